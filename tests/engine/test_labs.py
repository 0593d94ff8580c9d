"""Every lab through the engine: a right, a different and a wrong student, and what their reports say."""

import importlib
import inspect
import shutil

import nbformat
import pytest
from nbformat import from_dict
from nbformat.v4 import new_code_cell

from grading_course import Course
from gradlab.checks.exercise import exercises
from gradlab.checks.mistake import mistakes_of
from gradlab.checks.report import MIMETYPE
from gradlab_grading.alternatives import alternatives_of
from gradlab_grading.build import build
from gradlab_grading.engine import PRIMING_SEED
from gradlab_grading.layout import Layout
from gradlab_grading.reference import lab_folders
from submissions import without_pictures

pytestmark = [pytest.mark.needs("bubblewrap"), pytest.mark.long, pytest.mark.timeout(900)]

LABS = lab_folders()
# Students have the bank's text beside their notebook: the staff package is out of their sight.
STAFF_IMPORT = "from gradlab_grading.alternatives import alternative\n"
STUDENT_IMPORT = "alternative = lambda *, of: lambda implementation: implementation\n"


def grade_id(exercise):
    """The identifier of its grade cell."""
    return f"test-{exercise.name.replace('_', '-')}"


class Lab:
    """A lab's exercises by the identifier of their grade cell, and three students' answers to them."""

    def __init__(self, folder, root):
        source = LABS[folder]
        self.folder, self.notebook = folder, source.stem
        self.exercises = exercises(importlib.import_module(f"gradlab.checks.{self.notebook}"))
        layout = Layout(root / "repository")
        copied = layout.solutions / folder / source.name
        copied.parent.mkdir(parents=True)
        shutil.copy(source, copied)
        # As in the course's own settings: a busy machine is no reason to stop a cell.
        self.course = Course(root / "course", "c.Execute.timeout = 300\n")
        # Pictures, some of which train for minutes, are in no student's copy here, so the cache is not primed for them.
        right = without_pictures(nbformat.read(build(copied, layout), 4))
        (self.course.root / "source" / folder).mkdir(parents=True)
        nbformat.write(right, self.course.root / "source" / folder / f"{self.notebook}.ipynb")
        self.course.release(folder)
        for student, answers in {"ada": {}, "other": self.different(), "ben": self.wrong()}.items():
            self.hand_in(student, answers)
        self.outcomes = self.course.grade(folder, seed=PRIMING_SEED)

    def different(self):
        """For each exercise that has one, the code that puts a correct alternative in place."""
        chosen = {e.name: (e, found[0]) for e in self.exercises if (found := alternatives_of(self.notebook, e.name))}
        return {
            name: f"import bank\n{', '.join(e.arguments)} = bank.{one.__name__}{'()' if len(e.arguments) > 1 else ''}"
            for name, (e, one) in chosen.items()
        }

    def wrong(self):
        """For each exercise that has one, the code that puts a known mistake in place."""
        chosen = {e.name: (e, known[0]) for e in self.exercises if (known := mistakes_of(self.notebook, e.name))}
        return {
            name: f"from {one.implementation.__module__} import {one.name} as {e.arguments[one.position]}"
            for name, (e, one) in chosen.items()
        }

    def hand_in(self, student, answers):
        """The reference's notebook, in which `answers` stand in while their exercise is graded."""
        notebook = from_dict(self.course.notebook(self.folder, self.notebook))
        for exercise in self.exercises:
            if exercise.name in answers:
                own = ", ".join(exercise.arguments)
                test = [cell.metadata.get("nbgrader", {}).get("grade_id") for cell in notebook.cells].index(
                    grade_id(exercise)
                )
                notebook.cells.insert(test + 1, new_code_cell(f"{own}, = own"))
                notebook.cells.insert(test, new_code_cell(f"own = {own},\n{answers[exercise.name]}"))
        path = self.course.submit(student, self.folder, self.notebook, notebook)
        bank = inspect.getsource(importlib.import_module(f"gradlab_grading.alternatives.{self.notebook}"))
        assert STAFF_IMPORT in bank
        path.with_name("bank.py").write_text(bank.replace(STAFF_IMPORT, STUDENT_IMPORT))

    def scores(self, student):
        """Points by exercise."""
        found = self.course.scores(student, self.folder)
        return {e.name: found[grade_id(e)] for e in self.exercises}

    def reports(self, student):
        """The reports that grading left in the notebook, by exercise."""
        cells = self.course.graded(student, self.folder, self.notebook).cells
        outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", ())]
        return {data[MIMETYPE]["exercise"]: data[MIMETYPE] for data in outputs if MIMETYPE in data}


@pytest.fixture(scope="module", params=LABS)
def lab(request, tmp_path_factory):
    return Lab(request.param, tmp_path_factory.mktemp("lab"))


@pytest.mark.parametrize("student", ["ada", "other"])
def test_right_is_full_marks(lab, student):
    assert lab.scores(student) == {exercise.name: exercise.points for exercise in lab.exercises}


def test_every_mistake_costs_marks_and_is_named(lab):
    scores, reports, wrong = lab.scores("ben"), lab.reports("ben"), lab.wrong()
    points = {exercise.name: exercise.points for exercise in lab.exercises}
    assert [name for name in wrong if scores[name] >= points[name]] == []
    first = {name: mistakes_of(lab.notebook, name)[0].name for name in wrong}
    assert [name for name in wrong if first[name] not in [m["name"] for m in reports[name]["mistakes"]]] == []
    assert {name for name in points if name not in wrong} == {name for name in points if scores[name] == points[name]}


def test_every_exercise_with_mistakes_has_alternatives(lab):
    assert lab.wrong()
    assert lab.wrong().keys() == lab.different().keys()


def test_nothing_goes_wrong_in_the_checks_themselves(lab):
    assert {name: outcome.status for name, outcome in lab.outcomes.items()} == dict.fromkeys(lab.outcomes, "graded")
    assert [note for outcome in lab.outcomes.values() for note in outcome.notes] == []
