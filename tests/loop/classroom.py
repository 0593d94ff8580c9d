"""A course in a folder of its own, with an exchange, whose staff and students run stock nbgrader."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from gradlab_grading.build import build
from gradlab_grading.layout import Layout, repository
from gradlab_grading.publish import generate
from submissions import fill, without_pictures

SESSION = Path(__file__).parent / "session.py"


class Classroom:
    """One lab of this repository taken through nbgrader's loop: stock, or graded by the course's engine."""

    def __init__(self, root: Path, source: Path, *, engine: bool = False) -> None:
        self.layout = Layout(root / "course")
        self.exchange = root / "exchange"
        self.homes = root / "homes"
        self.assignment, self.notebook = source.parent.name, f"{source.stem}.ipynb"
        (self.layout.solutions / self.assignment).mkdir(parents=True)
        copy = shutil.copy(source, self.layout.solutions / self.assignment)
        self.layout.grading.mkdir()
        config = (repository().grading / "nbgrader_config.py").read_text(encoding="utf-8")
        stock, last_line, _ = config.partition("isolate(c)\n")
        assert last_line
        (self.layout.grading / "nbgrader_config.py").write_text(config if engine else stock, encoding="utf-8")
        self.exchange.mkdir(mode=0o777)
        # The exchange refuses a folder that not everybody may write to, whatever the umask is.
        self.exchange.chmod(0o777)
        self.source = nbformat.read(build(Path(copy), self.layout), as_version=4)

    def staff(self, *commands: list[str]) -> str:
        """Run nbgrader in the course's folder `grading/`; return what it said."""
        return self.nbgrader(
            [(self.layout.grading, [*command, f"--Exchange.root={self.exchange}"]) for command in commands]
        )

    def student(self, name: str, *commands: list[str]) -> str:
        """Run nbgrader in the student's home."""
        return self.nbgrader([self._as_student(name, command) for command in commands])

    def students(self, names: list[str], *commands: list[str]) -> str:
        """Run nbgrader in each student's home."""
        return self.nbgrader([self._as_student(name, command) for name in names for command in commands])

    def twin(self, name: str) -> Path:
        """A copy of the course's folder as it is now, with the engine behind nbgrader's doors."""
        twin = self.layout.grading.with_name(name)
        shutil.copytree(self.layout.grading, twin)
        shutil.copy(repository().grading / "nbgrader_config.py", twin)
        return twin

    def receive(self, name: str, answers: dict[str, str]) -> None:
        """Put a student's submission where staff collect it, without the exchange."""
        released = generate(next(iter(self.layout.sources())), self.layout, gradebook=True)
        folder = self.layout.grading / "submitted" / name / self.assignment
        folder.mkdir(parents=True)
        nbformat.write(fill(nbformat.read(released, as_version=4), answers), folder / self.notebook)

    def hand_in(self, answers: dict[str, dict[str, str]], *, whole: Collection[str] = ()) -> None:
        """Write each student's answers into the fetched notebook; only students in `whole` keep the pictures."""
        for name, cells in answers.items():
            path = self.homes / name / self.assignment / self.notebook
            notebook = fill(nbformat.read(path, as_version=4), cells)
            nbformat.write(notebook if name in whole else without_pictures(notebook), path)

    def graded(self, name: str) -> NotebookNode:
        """A student's autograded notebook."""
        path = self.layout.grading / "autograded" / name / self.assignment / self.notebook
        return nbformat.read(path, as_version=4)

    def feedback(self, name: str) -> str:
        """The feedback page that a student has fetched."""
        (page,) = (self.homes / name / self.assignment / "feedback").glob("*/*.html")
        return page.read_text(encoding="utf-8")

    def _as_student(self, name: str, command: list[str]) -> tuple[Path, list[str]]:
        home = self.homes / name
        home.mkdir(parents=True, exist_ok=True)
        # One user plays them all: the names and the caches keep them apart.
        own = [f"--CourseDirectory.student_id={name}", f"--Exchange.cache={home / 'cache'}"]
        return home, [*command, "--course=gradlab", f"--Exchange.root={self.exchange}", *own]

    def nbgrader(self, commands: list[tuple[Path, list[str]]]) -> str:
        """Run nbgrader for each folder and arguments, in one process; return what it said."""
        run = subprocess.run(
            [sys.executable, str(SESSION)],
            input=json.dumps([(str(folder), arguments) for folder, arguments in commands]),
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "JUPYTER_CONFIG_DIR": str(self.exchange)},
        )
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout + run.stderr
