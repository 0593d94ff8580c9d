"""Progress is what the saved notebooks say, and nothing else."""

import nbformat
import pytest
from nbformat.v4 import new_output

from gradlab import labs
from gradlab.progress import progress
from submissions import fill

REPORT = "application/vnd.gradlab.report+json"


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course of one lab, 04, whose notebook is the toy's."""
    folder = tmp_path / "labs" / "04-optimizers"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder / "optimizers.ipynb"


@pytest.fixture
def released(published):
    return nbformat.read(published[1], as_version=4)


def report(*, passed, score, points, unwritten=False):
    data = {"passed": passed, "score": score, "points": points, "cases": [{"unwritten": unwritten}], "mistakes": []}
    return new_output("execute_result", {"text/plain": str(score), REPORT: data})


def save(path, notebook, **outputs):
    for cell in notebook.cells:
        name = cell.metadata.get("gradlab", {}).get("exercise")
        if name in outputs:
            cell.outputs = [outputs[name]]
    nbformat.write(notebook, path)


def test_a_fresh_lab_is_not_started(course, released):
    save(course, released)
    (lab,) = progress().labs
    assert (lab.state, lab.passed, len(lab.exercises), lab.score, lab.points) == ("not started", 0, 2, 0, 4)
    assert (lab.answered, lab.questions) == (0, 1)


def test_passed_exercises_count_by_lab_role_and_skill(course, released):
    save(
        course,
        released,
        double=report(passed=True, score=1.0, points=1),
        halve=report(passed=False, score=1.5, points=3),
    )
    found = progress()
    assert found.labs[0].state == "started"
    assert (found.labs[0].passed, found.labs[0].score) == (1, 2.5)
    assert found.by_role() == {"algorithm engineer": (1, 2), "data engineer": (0, 0), "AI engineer": (0, 0)}
    assert found.by_skill() == {"arithmetic": (1, 1), "fractions": (0, 1)}


def test_a_lab_is_ready_when_all_is_passed_and_answered(course, released):
    answered = fill(released, {"written-why": "Because."})
    save(
        course,
        answered,
        double=report(passed=True, score=1.0, points=1),
        halve=report(passed=True, score=3.0, points=3),
    )
    assert progress().labs[0].state == "ready to submit"


def test_the_newest_word_on_an_exercise_counts(course, released):
    error = new_output("error", ename="NameError", evalue="double", traceback=[])
    save(course, released, double=error, halve=report(passed=False, score=0.0, points=3, unwritten=True))
    exercises = progress().labs[0].exercises
    assert [(it.state, it.remark) for it in exercises] == [("not written", "NameError: double"), ("not written", "")]


def test_a_torn_notebook_is_told_and_not_raised(course):
    course.write_text('{"cells": [')
    found = progress()
    assert found.labs[0].state == "its notebook cannot be read"
    assert "its notebook cannot be read" in found._repr_mimebundle_()["text/html"]


def test_the_root_is_found_from_inside_a_lab(course, released):
    save(course, released)
    assert labs.course_root() == course.parents[2]


@pytest.mark.parametrize(
    "name", ["4", "04", "optimizers", "04-optimizers", "labs/04-optimizers/", "x/optimizers.ipynb"]
)
def test_a_lab_goes_by_many_names(name):
    assert labs.find_lab(name).name == "04-optimizers"


def test_no_lab_by_another_name():
    with pytest.raises(labs.UnknownLab, match="14-capstone"):
        labs.find_lab("40")


def test_every_lab_is_on_a_track():
    assert [lab.number for lab in labs.LABS] == list(range(1, 15))
    assert all(lab.roles for lab in labs.LABS)
