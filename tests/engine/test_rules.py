"""Rules of marking: lateness, a submission that cannot be graded, cells that never ran."""

import pytest
from nbgrader.api import Gradebook

from grading_course import Course
from gradlab_grading.grader import Grader
from toy_assignment import CONFIG, write_source

pytestmark = [pytest.mark.needs("bubblewrap"), pytest.mark.filterwarnings("ignore")]


def handed_in(root, students, *, config="", mean=None):
    course = Course(root, CONFIG + config)
    write_source(root)
    course.release("toy")
    notebook = course.notebook("toy", "toy")
    for cell in notebook["cells"]:
        if mean is not None and cell["metadata"]["nbgrader"]["grade_id"] == "mean":
            cell["source"] = mean
    for student in students:
        course.submit(student, "toy", "toy", notebook)
    return course


def test_lateness_costs_what_the_courses_policy_says(tmp_path):
    course = handed_in(tmp_path, ["early", "late"], config='c.LateSubmissionPlugin.penalty_method = "zero"\n')
    with Gradebook(course.db_url) as gradebook:
        gradebook.update_or_create_assignment("toy", duedate="2026-11-20 12:00:00 UTC")
    for student, hour in (("early", 11), ("late", 13)):
        stamp = course.root / "submitted" / student / "toy" / "timestamp.txt"
        stamp.write_text(f"2026-11-20 {hour}:00:00 UTC")
    course.grade("toy")
    with Gradebook(course.db_url) as gradebook:
        for student, seconds, penalty in (("early", 0, None), ("late", 3600, 5)):
            submission = gradebook.find_submission("toy", student)
            assert (submission.score, submission.total_seconds_late) == (5, seconds)
            assert submission.notebooks[0].late_submission_penalty == penalty


def test_a_submission_that_cannot_be_graded_is_named_and_stops_nobody(tmp_path, monkeypatch):
    course = handed_in(tmp_path, ["ada", "ben", "cleo"])
    prepare = Grader.prepare

    def fails(self, student, seed):
        if student == "ben":
            raise OSError("the disk is full")
        return prepare(self, student, seed)

    monkeypatch.setattr(Grader, "prepare", fails)
    outcomes = course.grade("toy")
    assert {name: it.status for name, it in outcomes.items()} == {"ada": "graded", "ben": "failed", "cleo": "graded"}
    assert outcomes["ben"].notes == ["OSError: the disk is full"]
    monkeypatch.undo()
    again = course.grade("toy")
    assert {name: it.status for name, it in again.items()} == {"ada": "skipped", "ben": "graded", "cleo": "skipped"}


def test_the_feedback_says_why_a_cell_never_ran(tmp_path):
    course = handed_in(tmp_path, ["ada"], mean="import os\nos._exit(3)")
    outcomes = course.grade("toy")
    assert course.scores("ada", "toy") == {"test-mean": 0, "test-double": 0, "written": None}
    assert any("status 3" in note for note in outcomes["ada"].notes)
    page = course.feedback("toy", "ada")
    assert "this cell was not run: the kernel ended by itself with status 3" in page
