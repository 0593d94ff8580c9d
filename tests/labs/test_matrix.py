"""The matrix of every lab: right is right, wrong is wrong and named, and nothing can be had for nothing."""

import importlib

import jupytext
import pytest

from gradlab.checks.exercise import exercises
from gradlab_grading.hidden import Hidden
from gradlab_grading.margins import margins, right_answers
from gradlab_grading.matrix import line, whole_check
from gradlab_grading.reference import lab_folders, reference

SOURCES = lab_folders()


@pytest.fixture(scope="module")
def names():
    """What each lab's reference defines, made once a lab."""
    made = {}

    def of(lab):
        if lab not in made:
            made[lab] = reference(SOURCES[lab])
        return made[lab]

    return of


def all_exercises():
    for lab, source in SOURCES.items():
        for exercise in exercises(importlib.import_module(f"gradlab.checks.{source.stem}")):
            yield pytest.param(lab, exercise, id=f"{lab}-{exercise.name}")


@pytest.mark.allow_rank_promotion("the banks hold what students write, and JAX lets students write it")
@pytest.mark.parametrize(("lab", "exercise"), list(all_exercises()))
def test_matrix_has_no_gap(lab, exercise, names):
    found = line(lab, exercise, tuple(names(lab)[name] for name in exercise.arguments))
    assert not found.gaps, found


# More seeds are asked before a release, by `gradlab margins`: where an exercise trains, each takes seconds.
@pytest.mark.long
@pytest.mark.allow_rank_promotion("the banks hold what students write, and JAX lets students write it")
@pytest.mark.parametrize(("lab", "exercise"), list(all_exercises()))
def test_right_answers_keep_well_within_tolerance_under_other_seeds(lab, exercise, names):
    if isinstance(check := whole_check(exercise), Hidden):
        gaps = [it.gap for it in margins(check, right_answers(exercise, names(lab)), seeds=5) if it.gap]
        assert not gaps


@pytest.mark.parametrize("lab", SOURCES)
def test_points_of_a_lab_add_up_to_a_hundred(lab):
    cells = jupytext.read(SOURCES[lab]).cells
    points = {c.metadata.nbgrader["grade_id"]: c.metadata.nbgrader["points"] for c in cells if is_graded(c)}
    assert sum(points.values()) == 100
    module = importlib.import_module(f"gradlab.checks.{SOURCES[lab].stem}")
    for exercise in exercises(module):
        assert points[f"test-{exercise.name.replace('_', '-')}"] == exercise.points


def is_graded(cell):
    return cell.metadata.get("nbgrader", {}).get("grade", False)
