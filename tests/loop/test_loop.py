"""Lab 04 through the whole of stock nbgrader, for students of every kind."""

import csv
import itertools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook

from grading_course import rows, without_outputs
from gradlab.checks import optimizers as checks
from gradlab.checks.exercise import exercises
from gradlab.checks.mistake import mistakes_of
from gradlab.checks.report import MIMETYPE
from gradlab_grading.layout import repository
from gradlab_grading.reference import reference as implementations
from loop.classroom import Classroom
from submissions import hard_coded, mistaken, reference

LAB, NOTEBOOK = "04-optimizers", "optimizers"
EXERCISES = {exercise.name: exercise for exercise in exercises(checks)}
WRONG = ("ben", "cleo", "dora")
#: The mistakes of each wrong student: the first of every exercise, the second, the third.
BELIEFS = {
    student: [mistakes_of(NOTEBOOK, name)[rank] for name in EXERCISES if mistakes_of(NOTEBOOK, name)]
    for rank, student in enumerate(WRONG)
}
STUDENTS = ("ada", "stub", "copycat", *WRONG)
"""The perfect student, one who hands in the notebook untouched, and one who hard-codes the visible cases."""
COMPARED = ("ada", "stub", "ben")
#: What hidden checks draw from in stock nbgrader, where nobody says otherwise.
SEED = 271828

# nbgrader's own: it makes objects before it adds them to its session.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Object of type <Submitted"),
    pytest.mark.long,
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def classroom(tmp_path_factory):
    """The course after the whole loop, from the source to the feedback that each student has fetched."""
    (source,) = repository().sources(LAB)
    room = Classroom(tmp_path_factory.mktemp("loop"), source)
    room.staff(["generate_assignment", LAB], ["release_assignment", LAB])
    listing = room.students(STUDENTS, ["list"], ["fetch_assignment", LAB])
    assert f"gradlab {LAB}" in listing
    room.hand_in(_answers(room, source), whole={"ada"})
    room.students(STUDENTS, ["submit", LAB])
    room.staff(["collect", LAB])
    room.twin("engine")
    room.staff(["autograde", LAB])
    room.twin("stock")
    with _gradebook(room) as gradebook:
        for student in STUDENTS:
            grade = gradebook.find_grade("written-optimizers", NOTEBOOK, LAB, student)
            if grade.needs_manual_grade:
                grade.manual_score = 8
                gradebook.find_comment("written-optimizers", NOTEBOOK, LAB, student).manual_comment = "Say why."
        gradebook.db.commit()
    room.staff(["generate_feedback", LAB], ["release_feedback", LAB], ["export"])
    room.students(STUDENTS, ["fetch_feedback", LAB])
    return room


def _answers(room, source):
    right = reference(room.source)
    known = implementations(source)
    copied = {}
    for name, exercise in EXERCISES.items():
        if exercise.arguments == (name,):
            copied |= hard_coded(exercise, known[name])
    wrong = {student: right | mistaken(beliefs) for student, beliefs in BELIEFS.items()}
    return {"ada": right, "stub": {}, "copycat": copied} | wrong


def _gradebook(room):
    return Gradebook(f"sqlite:///{room.layout.grading / 'gradebook.db'}", "gradlab")


def scores(room, student):
    """The autograder's score of each test cell, by exercise."""
    with _gradebook(room) as gradebook:
        submission = gradebook.find_submission_notebook(NOTEBOOK, LAB, student)
        return {
            grade.name.removeprefix("test-").replace("-", "_"): grade.auto_score
            for grade in submission.grades
            if grade.name.startswith("test-")
        }


def reports(room, student):
    """The reports that the autograder's run left in a student's notebook, by exercise."""
    outputs = [output for cell in room.graded(student).cells for output in cell.get("outputs", [])]
    data = [output.data[MIMETYPE] for output in outputs if MIMETYPE in output.get("data", {})]
    return {report["exercise"]: report for report in data}


def test_the_perfect_student_has_every_point(classroom):
    assert scores(classroom, "ada") == {name: exercise.points for name, exercise in EXERCISES.items()}


def test_the_untouched_notebook_has_none(classroom):
    assert set(scores(classroom, "stub").values()) == {0}


def test_hard_coded_answers_earn_no_hidden_point(classroom):
    found = reports(classroom, "copycat")
    for name, score in scores(classroom, "copycat").items():
        assert score <= EXERCISES[name].visible, name
    assert sum(score > 0 for score in scores(classroom, "copycat").values()) >= 5
    hidden = [case["earned"] for report in found.values() for case in report["cases"] if case["hidden"]]
    assert hidden
    assert set(hidden) == {0}


@pytest.mark.parametrize("student", WRONG)
def test_each_mistake_loses_marks_and_is_named_in_the_feedback(classroom, student):
    page, got = classroom.feedback(student), scores(classroom, student)
    for mistake in BELIEFS[student]:
        assert got[mistake.exercise] < EXERCISES[mistake.exercise].points, mistake.name
        part = page.partition(f"<code>test-{mistake.exercise.replace('_', '-')}</code>")[2].partition("<code>test-")[0]
        assert f"This looks like a known mistake: {mistake.title}" in part, mistake.name


def test_a_person_grades_the_written_answer(classroom):
    with _gradebook(classroom) as gradebook:
        assert gradebook.find_submission(LAB, "ada").score == 98
        assert gradebook.find_submission(LAB, "stub").score == 0
        assert not gradebook.find_submission(LAB, "stub").needs_manual_grade
    assert "Say why." in classroom.feedback("ada")


def test_the_feedback_needs_no_network(classroom):
    page = classroom.feedback("ben")
    assert "<math" in page
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//[^"']*\.(?:js|css|mjs)""", page)
    assert "cdn" not in page
    assert "<script" not in page


def test_no_widget_state_is_kept(classroom):
    # It would make the feedback ask a CDN for the widgets' code.
    assert "widgets" not in classroom.graded("ada").metadata


def test_no_hidden_input_is_shown(classroom):
    for report in reports(classroom, "ben").values():
        assert not any(case["called"] or case["wanted"] for case in report["cases"] if case["hidden"])


def test_the_grades_are_exported(classroom):
    with (classroom.layout.grading / "grades.csv").open() as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    assert set(rows) == set(STUDENTS)
    assert (float(rows["ada"]["score"]), float(rows["ada"]["max_score"])) == (98, 100)
    assert float(rows["ada"]["score"]) > float(rows["ben"]["score"]) > float(rows["stub"]["score"])


@pytest.fixture(scope="module")
def twins(classroom):
    """The course after stock nbgrader's autograde, and the same course graded by the engine; both with feedback."""
    stock, engine = (classroom.layout.grading.with_name(name) for name in ("stock", "engine"))
    for folder in (engine / "submitted").iterdir():
        if folder.name not in COMPARED:
            shutil.rmtree(folder)
    grade = [Path(sys.executable).with_name("gradlab"), "grade", LAB, "--course", engine, "--seed", str(SEED), "--json"]
    run = subprocess.run(grade, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert {it["student"]: it["status"] for it in json.loads(run.stdout)[LAB]} == dict.fromkeys(COMPARED, "graded")
    students = f"--CourseDirectory.student_id=[{''.join(name[0] for name in COMPARED)}]*"
    classroom.nbgrader([(folder, ["generate_feedback", LAB, students]) for folder in (stock, engine)])
    return stock, engine


@pytest.mark.needs("bubblewrap")
def test_the_engine_writes_the_rows_that_stock_nbgrader_writes(twins):
    want, got = (
        [row for row in rows(f"sqlite:///{folder / 'gradebook.db'}", LAB) if row[0] in COMPARED] for folder in twins
    )
    assert len(want) > 3 * len(EXERCISES)
    assert got == want


@pytest.mark.needs("bubblewrap")
@pytest.mark.parametrize("student", COMPARED)
def test_the_engine_leaves_the_notebook_that_stock_nbgrader_leaves(twins, student):
    want, got = (nbformat.read(next((at / "autograded" / student / LAB).glob("*.ipynb")), 4) for at in twins)
    for cell in want.cells:
        # The engine keeps only what nbgrader itself has written into a cell.
        cell.metadata.pop("gradlab", None)
        cell.metadata.pop("tags", None)
    assert without_outputs(got).cells == without_outputs(want).cells
    assert got.metadata == want.metadata
    assert [_kinds(cell) for cell in got.cells] == [_kinds(cell) for cell in want.cells]


def _kinds(cell):
    """The outputs in words; stock nbgrader cuts one stream at random into several."""
    kinds = [(output.output_type, output.get("ename")) for output in cell.get("outputs", ())]
    return [kind for kind, _ in itertools.groupby(kinds)]


@pytest.mark.needs("bubblewrap")
@pytest.mark.parametrize("student", COMPARED)
def test_the_engine_gives_the_feedback_that_stock_nbgrader_gives(twins, student):
    want, got = (next((at / "feedback" / student / LAB).glob("*.html")).read_text() for at in twins)
    assert len(want) > 100_000
    assert _comparable(got) == _comparable(want)


BETWEEN_STREAMS = re.compile(
    r'</pre>\s*</div>\s*</div>\s*<div class="output_area">\s*<div class="prompt"></div>\s*'
    r'<div class="output_subarea output_stream output_stdout output_text">\s*<pre>'
)


def _comparable(page):
    """A page without what is to differ: identifiers, tracebacks, styles (ours are cleaned), cuts in streams."""
    page = re.sub(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", "", page)
    page = re.sub(r'<div class="output_subarea output_text output_error">.*?</div>', "", page, flags=re.DOTALL)
    page = re.sub(r' style="[^"]*"', "", page)
    return BETWEEN_STREAMS.sub("", page)
