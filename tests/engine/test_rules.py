"""Rules of marking: lateness, a submission that cannot be graded, cells that never ran."""

import os
import signal

import pytest
import typer
from nbgrader.api import Gradebook

from grading_course import Course
from gradlab_grading import engine_cli
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


def test_a_failure_is_in_nbgraders_log_and_in_the_summary(tmp_path, monkeypatch, capsys):
    """`c.NbGrader.logfile` holds the traceback, the table a line; the exit status tells a script."""
    handed_in(tmp_path, ["ada"], config=f'c.NbGrader.logfile = "{tmp_path}/errors.log"\n')

    def fails(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(Grader, "prepare", fails)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.environ["PATH"])
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(typer.Exit) as end:
            engine_cli.grade(lab="toy", course=tmp_path, jobs=1)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert end.value.exit_code == 1
    log = (tmp_path / "errors.log").read_text()
    assert "ada: Traceback" in log
    assert "OSError: the disk is full" in log
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    assert [part.strip() for part in line.split("│")[1:3]] == ["ada", "failed"]
    assert "the disk is full" in line


def test_the_feedback_says_why_a_cell_never_ran(tmp_path):
    course = handed_in(tmp_path, ["ada"], mean="import os\nos._exit(3)")
    outcomes = course.grade("toy")
    assert course.scores("ada", "toy") == {"test-mean": 0, "test-double": 0, "written": None}
    assert any("status 3" in note for note in outcomes["ada"].notes)
    page = course.feedback("toy", "ada")
    assert "this cell was not run: the kernel ended by itself with status 3" in page
