"""Lab 03 through the engine: a right, an alternative and a wrong student, and what their reports say."""

import inspect
import shutil

import pytest
from nbformat import from_dict
from nbgrader.utils import is_solution

from grading_course import Course
from gradlab.checks import backward as checks
from gradlab.checks.exercise import exercises
from gradlab.checks.mistake import mistakes_of
from gradlab.checks.report import MIMETYPE
from gradlab_grading.alternatives import backward as others
from gradlab_grading.build import build
from gradlab_grading.layout import Layout
from gradlab_grading.reference import lab_folders

pytestmark = [pytest.mark.needs("bubblewrap"), pytest.mark.timeout(900)]

LAB, NOTEBOOK = "03-backward", "backward"
EXERCISES = {e.name: e for e in exercises(checks)}
OTHERS = {
    "unbroadcast": others.unbroadcast_by_jax,
    "layer_norm_vjp": others.layer_norm_vjp_step_by_step,
    "attention_vjp": others.attention_vjp_by_jax,
    "mlp_backward": others.mlp_backward_recursive,
    "log1pexp": others.log1pexp_with_two_branches,
    "straight_through_round": others.straight_through_by_stop_gradient,
    "hvp": others.hvp_reverse_over_reverse,
}


def wrong():
    """Cells that hold a known mistake for every exercise that has any."""
    return {
        name: f"from gradlab.mistakes.backward import {known[0].name} as {exercise.arguments[0]}"
        for name, exercise in EXERCISES.items()
        if (known := mistakes_of(NOTEBOOK, name))
    }


def different():
    """Cells that hold correct solutions of another kind, as text."""
    return {name: inspect.getsource(f).split("\n", 1)[1] + f"\n\n{name} = {f.__name__}" for name, f in OTHERS.items()}


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    root = tmp_path_factory.mktemp("backward")
    layout = Layout(root / "repository")
    source = layout.solutions / LAB / f"{NOTEBOOK}.py"
    source.parent.mkdir(parents=True)
    shutil.copy(lab_folders()[LAB], source)
    course = Course(root / "course")
    folder = course.root / "source" / LAB
    folder.mkdir(parents=True)
    shutil.copy(build(source, layout), folder)
    course.release(LAB)
    for student, answers in {"ada": {}, "other": different(), "ben": wrong()}.items():
        course.submit(student, LAB, NOTEBOOK, handed_in(course, answers))
    course.grade(LAB)
    return course


def handed_in(course, answers):
    """The reference's notebook with some cells replaced, and without pictures."""
    notebook = from_dict(course.notebook(LAB, NOTEBOOK))
    for cell in notebook.cells:
        if is_solution(cell) and (text := answers.get(cell.metadata.nbgrader.grade_id.replace("-", "_"))):
            cell.source = text
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type != "code" or "nbgrader" in cell.metadata]
    return notebook


def code_scores(course, student):
    return {name: score for name, score in course.scores(student, LAB).items() if not name.startswith("written")}


@pytest.mark.parametrize("student", ["ada", "other"])
def test_right_is_full_marks(course, student):
    wanted = {f"test-{name.replace('_', '-')}": exercise.points for name, exercise in EXERCISES.items()}
    assert code_scores(course, student) == wanted


def test_every_mistake_costs_marks_and_is_named(course):
    scores = code_scores(course, "ben")
    reports = {
        output.data[MIMETYPE]["exercise"]: output.data[MIMETYPE]
        for cell in course.graded("ben", LAB, NOTEBOOK).cells
        for output in cell.get("outputs", ())
        if MIMETYPE in output.get("data", {})
    }
    for name in wrong():
        assert scores[f"test-{name.replace('_', '-')}"] < EXERCISES[name].points, name
        assert mistakes_of(NOTEBOOK, name)[0].name in [known["name"] for known in reports[name]["mistakes"]], name
