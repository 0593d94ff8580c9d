"""A small nbgrader course for tests of the engine: made in a folder, graded by the real thing."""

import copy
import json
import shutil
import warnings
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook
from nbgrader.apps import AutogradeApp
from nbgrader.converters import Autograde, GenerateAssignment, GenerateFeedback
from nbgrader.coursedir import CourseDirectory
from nbgrader.utils import is_solution
from traitlets.config import Config

from gradlab_grading.engine import Engine, Outcome, Watcher

CONFIG = """
from gradlab_grading.isolate import isolate

c = get_config()
c.CourseDirectory.course_id = "test"
isolate(c)
"""


class Course:
    """A course folder with its gradebook.

    Args:
        root: an empty folder.
        config: text to add to its `nbgrader_config.py`.
    """

    def __init__(self, root: Path, config: str = "", db_url: str | None = None) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        (root / "nbgrader_config.py").write_text(CONFIG + config)
        self.db_url = db_url or f"sqlite:///{root}/gradebook.db"
        self.stock = CourseDirectory(root=str(root), course_id="test", db_url=self.db_url)

    def release(self, assignment: str) -> None:
        """Make the release of what lies under source/, as `nbgrader generate_assignment` does."""
        self.stock.assignment_id = assignment
        converter = GenerateAssignment(coursedir=self.stock)
        converter.force = True
        _quietly(converter.start)

    def notebook(self, assignment: str, name: str) -> dict:
        """The released notebook as JSON, with the reference's answers filled in."""
        released = nbformat.read(self.root / "release" / assignment / f"{name}.ipynb", 4)
        source = nbformat.read(self.root / "source" / assignment / f"{name}.ipynb", 4)
        answers = {c.metadata.nbgrader.grade_id: c.source for c in source.cells if is_solution(c)}
        for cell in released.cells:
            if is_solution(cell):
                cell.source = answers[cell.metadata.nbgrader.grade_id]
        return json.loads(nbformat.writes(released))

    def submit(self, student: str, assignment: str, name: str, notebook: dict | bytes) -> Path:
        """Hand in a notebook; gives its path."""
        path = self.root / "submitted" / student / assignment / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(notebook if isinstance(notebook, bytes) else json.dumps(notebook).encode())
        return path

    def engine(self, *argv: str, **settings) -> Engine:
        """The engine with this course's settings and command-line options of `nbgrader autograde`."""
        app = AutogradeApp()
        app.initialize(
            [*argv, f"--CourseDirectory.root={self.root}", f"--db={self.db_url}", "--log-level=CRITICAL"],
            root=str(self.root),
        )
        engine = Engine(parent=app, coursedir=app.coursedir)
        for name, value in settings.items():
            setattr(engine, name, value)
        return engine

    def grade(
        self, assignment: str, *argv: str, dry_run: bool = False, seed: int = 7, **settings
    ) -> dict[str, Outcome]:
        """Grade with the engine; outcomes by student."""
        engine = self.engine(*argv, **settings)
        outcomes = _quietly(engine.grade, assignment, Watcher(), dry_run=dry_run, seed=seed)
        return {outcome.student: outcome for outcome in outcomes}

    def grade_with_stock(self, assignment: str, config: Config | None = None) -> None:
        """Grade with nbgrader's own Autograde, in its own defaults but for `config`."""
        self.stock.assignment_id = assignment
        converter = Autograde(coursedir=self.stock, config=config or Config())
        _quietly(converter.start)

    def feedback(self, assignment: str, student: str) -> str:
        """nbgrader's feedback pages of a student, one after the other, with the course's settings."""
        self.stock.assignment_id, self.stock.student_id = assignment, student
        converter = GenerateFeedback(coursedir=self.stock, config=self.engine().config)
        converter.force = True
        _quietly(converter.start)
        self.stock.student_id = "*"
        folder = self.root / "feedback" / student / assignment
        return "".join(path.read_text() for path in sorted(folder.glob("*.html")))

    def graded(self, student: str, assignment: str, name: str) -> nbformat.NotebookNode:
        """The graded notebook."""
        return nbformat.read(self.root / "autograded" / student / assignment / f"{name}.ipynb", nbformat.NO_CONVERT)

    def scores(self, student: str, assignment: str) -> dict[str, float | None]:
        """Automatic scores by cell, from the gradebook."""
        with Gradebook(self.db_url) as gradebook:
            submission = gradebook.find_submission(assignment, student)
            return {grade.name: grade.auto_score for book in submission.notebooks for grade in book.grades}

    def rows(self, assignment: str) -> list[tuple]:
        """Everything that autograding writes into the gradebook, but for random keys."""
        return rows(self.db_url, assignment)

    def clone(self, root: Path) -> "Course":
        """The same course, ungraded, elsewhere."""
        for part in ("source", "release", "submitted", "gradebook.db"):
            origin = self.root / part
            if origin.is_dir():
                shutil.copytree(origin, root / part)
            elif origin.exists():
                root.mkdir(parents=True, exist_ok=True)
                shutil.copy(origin, root / part)
        return Course(root)


def rows(db_url: str, assignment: str) -> list[tuple]:
    """Everything that autograding writes into a gradebook, but for random keys. A student's name comes first."""
    found = []
    with Gradebook(db_url) as gradebook:
        for submission in gradebook.assignment_submissions(assignment):
            head = (submission.student_id, submission.timestamp, submission.total_seconds_late)
            for book in submission.notebooks:
                found.append((*head, book.name, book.late_submission_penalty, book.score, book.needs_manual_grade))
                for grade in book.grades:
                    manual = (grade.manual_score, grade.extra_credit, grade.needs_manual_grade)
                    found.append((*head, book.name, grade.name, grade.auto_score, grade.score, *manual))
                found += [(*head, book.name, c.name, c.auto_comment, c.manual_comment) for c in book.comments]
    return sorted(found, key=repr)


def without_outputs(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A graded notebook without outputs, and without the times at which nbclient says they came."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = []
    return notebook


def _quietly(call, *args, **kwargs):
    """nbgrader 0.9.6 warns of its own use of SQLAlchemy 2."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*args, **kwargs)
