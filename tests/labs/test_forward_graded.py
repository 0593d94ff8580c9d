"""Lab 02 through the real engine: right, different and wrong students, each process in its sandbox."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from gradlab.checks import forward as checks
from gradlab.checks.exercise import exercises
from gradlab.checks.mistake import mistakes_of
from gradlab.checks.report import MIMETYPE
from gradlab_grading.alternatives import alternatives_of
from gradlab_grading.alternatives import forward as alternatives
from gradlab_grading.layout import repository
from loop.classroom import Classroom
from submissions import fill, mistaken, reference, without_pictures

LAB = "02-forward"
EXERCISES = {exercise.name: exercise for exercise in exercises(checks)}
#: Wrong students make the first mistake of every exercise, or the last; different ones write the two alternatives.
BELIEFS = {
    student: [mistakes_of("forward", name)[rank] for name in EXERCISES if mistakes_of("forward", name)]
    for student, rank in (("ben", 0), ("cleo", -1))
}
DIFFERENT = ("olga", "otto")
IMPORT = "from gradlab_grading.alternatives import alternative\n"

pytestmark = [pytest.mark.needs("bubblewrap"), pytest.mark.timeout(900)]


def different(rank):
    """Answers that are the alternatives of that rank: a student has their text, and no staff package."""
    text = inspect.getsource(alternatives).replace(IMPORT, "alternative = lambda of: lambda written: written\n")
    chosen = {name: found[rank] for name in EXERCISES if (found := alternatives_of("forward", name))}
    return {name.replace("_", "-"): f"{text}\n{name} = {one.__name__}" for name, one in chosen.items()}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """The classroom, and what the engine says of each student."""
    (source,) = repository().sources(LAB)
    room = Classroom(tmp_path_factory.mktemp("forward"), source)
    with (room.layout.grading / "nbgrader_config.py").open("a") as config:
        config.write("\nfrom gradlab_grading.isolate import isolate\n\nisolate(c)\n")
    room.staff(["generate_assignment", LAB])
    right = reference(room.source)
    answers = {"ada": right, "stub": {}}
    answers |= {student: right | mistaken(beliefs) for student, beliefs in BELIEFS.items()}
    answers |= {student: right | different(rank) for rank, student in enumerate(DIFFERENT)}
    released = nbformat.read(room.layout.grading / "build" / "release" / LAB / room.notebook, as_version=4)
    for student, cells in answers.items():
        folder = room.layout.grading / "submitted" / student / LAB
        folder.mkdir(parents=True)
        nbformat.write(without_pictures(fill(released, cells)), folder / room.notebook)
    gradlab = str(Path(sys.executable).with_name("gradlab"))
    command = [gradlab, "grade", LAB, "--course", str(room.layout.grading), "--json"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return room, json.loads(run.stdout)


def reports(room, student):
    outputs = [output for cell in room.graded(student).cells for output in cell.get("outputs", [])]
    data = [output.data[MIMETYPE] for output in outputs if MIMETYPE in output.get("data", {})]
    return {report["exercise"]: report for report in data}


def test_right_and_different_students_have_every_point(outcomes):
    room, _ = outcomes
    for student in ("ada", *DIFFERENT):
        found = {name: report["score"] for name, report in reports(room, student).items()}
        assert found == {name: exercise.points for name, exercise in EXERCISES.items()}, student


def test_the_untouched_notebook_has_none(outcomes):
    room, _ = outcomes
    assert {report["score"] for report in reports(room, "stub").values()} <= {0}


@pytest.mark.parametrize("student", BELIEFS)
def test_each_mistake_loses_marks_and_is_named(outcomes, student):
    room, _ = outcomes
    found = reports(room, student)
    for mistake in BELIEFS[student]:
        report = found[mistake.exercise]
        assert report["score"] < EXERCISES[mistake.exercise].points, mistake.name
        assert mistake.name in [known["name"] for known in report["mistakes"]], mistake.name
