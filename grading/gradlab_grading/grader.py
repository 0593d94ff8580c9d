"""nbgrader's `Autograde`, cut in two where the execution was.

`Grader.prepare` does what comes before (files, gradebook rows, sanitizing) in a
staging folder, `Grader.record` what comes after. A submission's folder under
`autograded/` appears in one move when everything in it is final, so whatever
interrupts a run, what is there is finished and what is not will be done again.
"""

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.preprocessors import ExecutePreprocessor
from nbconvert.writers.files import FilesWriter
from nbformat import NotebookNode
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde
from nbgrader.converters.base import BaseConverter
from nbgrader.preprocessors import Execute
from nbgrader.utils import parse_utc, setenv
from traitlets.utils.importstring import import_item

from gradlab_grading.collect import Submission, take
from gradlab_grading.job import CHECKER, Cell, Job, Result
from gradlab_grading.limits import Limits
from gradlab_grading.mend import Unreadable, mend
from gradlab_grading.replay import IsolatedExecute, MendNotebook, Replay, autograded, judge_saved
from gradlab_grading.template import Template, templates

STAGING = ".grading"


@dataclass
class Prepared:
    """A submission in the staging folder, with the jobs that are left to run."""

    student: str
    submission: Submission
    jobs: list[Job] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Grader(Autograde):
    """Prepares and records submissions of one assignment, one at a time."""

    # nbgrader declares it in a way that type checkers cannot follow.
    coursedir: Any

    def setup(self, assignment: str, limits: Limits, mode: str) -> None:
        """Read the assignment from the gradebook and empty the staging folder.

        Raises:
            MissingEntry: the gradebook does not know the assignment.
        """
        self.assignment, self.limits, self.mode = assignment, limits, mode
        with Gradebook(self.coursedir.db_url, self.coursedir.course_id) as gradebook:
            self.templates: dict[str, Template] = templates(gradebook, assignment, self)
        self.replay = Replay(parent=self)
        self.exporter = self.exporter_class(parent=self, config=self.config)
        self.writer = FilesWriter(parent=self, config=self.config)
        self.executes = Execute(parent=self).enabled
        self.wipe()

    @property
    def staging(self) -> Path:
        """Where unfinished work lies: on the same file system as what it will become."""
        return Path(self.coursedir.root, self.coursedir.autograded_directory, STAGING)

    def wipe(self) -> None:
        """Remove what an earlier run has left unfinished."""
        if self.staging.exists():
            _remove(self.staging)

    def submitted(self, student: str) -> Path:
        """The folder that the student handed in."""
        step = self.coursedir.submitted_directory
        return Path(self.coursedir.format_path(step, student, self.assignment))

    def graded(self, student: str) -> Path:
        """The folder that a finished submission is in."""
        step = self.coursedir.autograded_directory
        return Path(self.coursedir.format_path(step, student, self.assignment))

    @property
    def _input_directory(self) -> str:
        return f"{self.coursedir.autograded_directory}/{STAGING}/" + ("in" if self._sanitizing else "out")

    @property
    def _output_directory(self) -> str:
        return f"{self.coursedir.autograded_directory}/{STAGING}/out"

    def wanted(self, student: str) -> str:
        """Why a submission is to be graded: new, forced or newer; empty if it is not.

        These are nbgrader's own rules (`BaseConverter.init_destination`).
        """
        if student in self.coursedir.student_id_exclude.split(","):
            return ""
        graded = self.graded(student)
        chosen = self._notebook_names() if self.coursedir.notebook_id != "*" else []
        handed_in = [f"{name}.ipynb" for name in chosen if (self.submitted(student) / f"{name}.ipynb").exists()]
        if not graded.is_dir() or not all((graded / name).exists() for name in handed_in):
            return "new"
        if self.force:
            return "forced"
        new = _timestamp(self.submitted(student))
        old = _timestamp(graded)
        return "newer" if new is not None and old is not None and new > old else ""

    def _notebook_names(self) -> list[str]:
        """The notebooks of the assignment that `--notebook` selects."""
        pattern = self.coursedir.notebook_id
        return [name for name in self.templates if Path(name).match(pattern)]

    def prepare(self, student: str, seed: int) -> Prepared:
        """Take a submission in, mend it, and do what nbgrader does before execution."""
        submission = take(self.submitted(student), self.limits, self.coursedir.ignore)
        prepared = Prepared(student, submission, notes=list(submission.notes))
        self._check_timestamp(prepared)
        source = Path(self._format_source(self.assignment, student))
        _fresh(source)
        for path, data in submission.files.items():
            target = source / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        self.notebooks = list(self._mended(prepared, source))
        with self._in_course():
            destination = Path(self._format_dest(self.assignment, student))
            _fresh(destination)
            self.run_pre_convert_hook()
            self.init_assignment(self.assignment, student)
            for notebook in self.notebooks:
                self._convert(notebook, sanitizing=True)
        prepared.jobs = [self._job(prepared, Path(path).stem, seed) for path in self.notebooks]
        return prepared

    def _mended(self, prepared: Prepared, source: Path) -> Iterator[str]:
        """Write each notebook of the assignment, mended, into the staging folder."""
        handed_in = prepared.submission.notebooks
        for name in sorted(handed_in.keys() - self.templates.keys()):
            prepared.notes.append(f"The notebook '{name}' is not part of the assignment; it was ignored.")
        names = self._notebook_names()
        said = tuple(prepared.notes)
        for name in names:
            data = handed_in.get(name)
            if data is None:
                prepared.notes.append(f"The notebook '{name}' was not handed in.")
                # nbgrader gives zero for one that is missing among others, and fails if all are.
                if any(other in handed_in for other in names):
                    continue
                data = Unreadable("it was not handed in")
            keep = not self.executes
            notebook, notes = mend(data, self.templates[name], self.limits, keep_outputs=keep, said=said)
            if keep:
                judge_saved(notebook)
            prepared.notes += [f"{name}: {note}" for note in notes]
            path = source / f"{name}.ipynb"
            nbformat.write(notebook, path)
            yield str(path)

    def _check_timestamp(self, prepared: Prepared) -> None:
        """A timestamp that nbgrader could not read would end the whole run."""
        text = prepared.submission.files.get("timestamp.txt")
        if text is None or not text.strip():
            return
        try:
            parse_utc(text.decode().strip())
        except (ValueError, OverflowError):
            del prepared.submission.files["timestamp.txt"]
            prepared.notes.append("The file 'timestamp.txt' holds no time; it was ignored.")

    def _job(self, prepared: Prepared, name: str, seed: int) -> Job:
        folder = Path(self._format_dest(self.assignment, prepared.student))
        notebook = nbformat.read(folder / f"{name}.ipynb", as_version=nbformat.NO_CONVERT)
        return self.job(notebook, prepared.student, name, folder, seed)

    def job(self, notebook: NotebookNode, student: str, name: str, folder: Path, seed: int) -> Job:
        """The job that runs a sanitized notebook, with the files in its folder."""
        cells = tuple(
            Cell(index, cell.source, autograded(cell))
            for index, cell in enumerate(notebook.cells)
            if cell.cell_type == "code" and cell.source.strip()
        )
        files = tuple(
            (path.relative_to(folder).as_posix(), path.read_bytes())
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.suffix != ".ipynb"
        )
        template = self.templates[name]
        setup = template.setup if self.mode == CHECKER else ()
        key = (self.assignment, student, name)
        return Job(key, cells, files, setup, self.mode, self.limits, seed)

    def record(self, prepared: Prepared, results: dict[str, Result]) -> None:
        """Do what nbgrader does after execution, and move the folder into its place."""
        folder = Path(self._format_dest(self.assignment, prepared.student))
        with self._in_course():
            for name in sorted(path.stem for path in folder.glob("*.ipynb")):
                self.replay.result = results.get(name)
                self._convert(str(folder / f"{name}.ipynb"), sanitizing=False)
            self.set_permissions(self.assignment, prepared.student)
            self.run_post_convert_hook()
        self._publish(folder, self.graded(prepared.student))

    def _publish(self, folder: Path, target: Path) -> None:
        """Move a finished folder into its place, and only then remove what was there."""
        target.parent.mkdir(parents=True, exist_ok=True)
        old = self.staging / "old"
        if target.exists():
            if self.coursedir.notebook_id != "*":
                _keep_others(target, folder)
            if old.exists():
                _remove(old)
            target.replace(old)
        folder.replace(target)
        if old.exists():
            _remove(old)

    @contextlib.contextmanager
    def _in_course(self) -> Iterator[None]:
        """nbgrader's relative paths start at the course."""
        before = Path.cwd()
        os.chdir(self.coursedir.root)
        try:
            yield
        finally:
            os.chdir(before)

    def _convert(self, notebook: str, *, sanitizing: bool) -> None:
        self._sanitizing = sanitizing
        self._init_preprocessors()
        try:
            with setenv(NBGRADER_EXECUTION="autograde"):
                BaseConverter.convert_single_notebook(self, notebook)
        finally:
            self._sanitizing = True

    def _init_preprocessors(self) -> None:
        """nbgrader's own lists in their own order, but for the one that executes."""
        self.exporter._preprocessors = []
        chosen = self.sanitize_preprocessors if self._sanitizing else self.autograde_preprocessors
        for preprocessor in chosen:
            kind = import_item(preprocessor) if isinstance(preprocessor, str) else preprocessor
            if issubclass(kind, MendNotebook):
                continue
            if not issubclass(kind, (ExecutePreprocessor, IsolatedExecute)):
                self.exporter.register_preprocessor(kind)
            elif self.executes:
                self.exporter.register_preprocessor(self.replay, enabled=True)


def _timestamp(folder: Path) -> datetime | None:
    """When a submission was made, or None where nothing readable says so."""
    try:
        text = (folder / "timestamp.txt").read_text()
        return parse_utc(text.strip()) if text.strip() else None
    except (OSError, ValueError, OverflowError):
        return None


def _fresh(folder: Path) -> None:
    if folder.exists():
        _remove(folder)
    folder.mkdir(parents=True)


def _keep_others(target: Path, folder: Path) -> None:
    """Carry over what this run did not grade: the other notebooks of the folder."""
    for path in target.rglob("*"):
        kept = folder / path.relative_to(target)
        if path.is_file() and not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, kept)


def _remove(folder: Path) -> None:
    """Remove a tree, whatever its modes."""
    for parent, folders, _ in os.walk(folder):
        for name in folders:
            path = Path(parent, name)
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | stat.S_IRWXU)
    shutil.rmtree(folder)
