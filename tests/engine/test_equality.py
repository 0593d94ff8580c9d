"""On submissions that behave, the engine gives what stock nbgrader gives."""

import re
import shutil

import pytest
from nbgrader.api import Gradebook
from traitlets.config import Config

from grading_course import Course, without_outputs

pytestmark = pytest.mark.needs("bubblewrap")
TESTS = ("correct_squares", "squares_invalid_input", "correct_sum_of_squares", "sum_of_squares_uses_squares")
STUDENTS = ("bitdiddle", "hacker", "perfect", "partial")


@pytest.fixture(scope="module")
def graded(ps1, tmp_path_factory):
    """The same course graded by nbgrader and by the engine. One student handed in late."""
    stock, ours = (ps1.clone(tmp_path_factory.mktemp(name) / "course") for name in ("stock", "ours"))
    for course in (stock, ours):
        with Gradebook(course.db_url) as gradebook:
            gradebook.update_or_create_assignment("ps1", duedate="2015-02-02 00:00:00 UTC")
    stock.grade_with_stock("ps1")
    ours.grade("ps1")
    return stock, ours


def test_gradebook_rows_are_equal(graded):
    stock, ours = graded
    rows = stock.rows("ps1")
    assert len(rows) > 40
    assert any(row[2] > 0 for row in rows), "nobody was late, so penalties were not compared"
    assert ours.rows("ps1") == rows


@pytest.mark.parametrize("student", STUDENTS)
def test_graded_notebooks_are_equal_but_for_outputs(graded, student):
    stock, ours = graded
    folder = stock.root / "autograded" / student / "ps1"
    names = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    assert names == sorted(
        p.relative_to(ours.root / "autograded" / student / "ps1")
        for p in (ours.root / "autograded" / student / "ps1").rglob("*")
    )
    for path in folder.glob("*.ipynb"):
        want, got = (course.graded(student, "ps1", path.stem) for course in graded)
        _drop_notes(got, student)
        for cell in want.cells:
            # The engine takes tags off, since one of them, skip-execution, would earn full marks; stock keeps them.
            cell.metadata.pop("tags", None)
        assert without_outputs(got).cells == without_outputs(want).cells
        assert got.metadata == want.metadata
        kinds = [[(o.output_type, o.get("ename")) for o in c.get("outputs", ())] for c in want.cells]
        assert [[(o.output_type, o.get("ename")) for o in c.get("outputs", ())] for c in got.cells] == kinds
        assert (ours.root / "autograded" / student / "ps1" / path.name).stat().st_mode == path.stat().st_mode


@pytest.mark.parametrize("student", ["hacker", "perfect"])
def test_feedback_is_equal(graded, student):
    want, got = (_without_volatile(course.feedback("ps1", student)) for course in graded)
    assert len(want) > 10_000
    assert got == want


def _drop_notes(notebook, student):
    """bitdiddle's copy in nbgrader's documentation has an older text of two test cells, which the engine says."""
    if notebook.cells[0].source.startswith("**Notes from grading**"):
        assert student == "bitdiddle"
        assert notebook.cells.pop(0).source.count("is read-only") == 2


def _without_volatile(page: str) -> str:
    """Tracebacks name a kernel's temporary files."""
    page = re.sub(r"<div class=\"output_subarea output_text output_error\">.*?</div>", "", page, flags=re.DOTALL)
    return re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "", page)


def test_manual_grades_are_kept_when_graded_again(graded):
    _, ours = graded
    with Gradebook(ours.db_url) as gradebook:
        grade = gradebook.find_grade("sum_of_squares_equation", "problem1", "ps1", "perfect")
        grade.manual_score, grade.needs_manual_grade = 0.75, False
        gradebook.find_comment("sum_of_squares_equation", "problem1", "ps1", "perfect").manual_comment = "Good."
        gradebook.db.commit()
    outcomes = ours.grade("ps1", "--student=perfect", "--force")
    assert {name: outcome.status for name, outcome in outcomes.items()} == {"perfect": "graded"}
    with Gradebook(ours.db_url) as gradebook:
        grade = gradebook.find_grade("sum_of_squares_equation", "problem1", "ps1", "perfect")
        assert grade.score == 0.75
        assert grade.needs_manual_grade
        comment = gradebook.find_comment("sum_of_squares_equation", "problem1", "ps1", "perfect")
        assert comment.comment == "Good."


def test_finished_work_is_skipped_until_it_is_newer(graded):
    _, ours = graded
    assert {o.status for o in ours.grade("ps1").values()} == {"skipped"}
    (ours.root / "submitted/perfect/ps1/timestamp.txt").write_text("2015-02-04 00:00:00 UTC")
    dry = ours.grade("ps1", dry_run=True)
    assert {name for name, o in dry.items() if o.status != "skipped"} == {"perfect"}
    assert dry["perfect"].status == "newer"
    assert ours.grade("ps1")["perfect"].status == "graded"


def test_one_notebook_of_several(graded):
    """--notebook grades it alone, and leaves the other notebook of the folder as it is."""
    _, ours = graded
    other = ours.root / "autograded/hacker/ps1/problem2.ipynb"
    before = other.stat().st_mtime_ns
    chosen = ours.root / "autograded/hacker/ps1/problem1.ipynb"
    old = chosen.stat().st_mtime_ns
    assert ours.grade("ps1", "--student=hacker", "--notebook=problem1", "--force")["hacker"].status == "graded"
    assert other.stat().st_mtime_ns == before
    assert chosen.stat().st_mtime_ns > old


def test_no_execute_grades_what_was_saved(ps1, tmp_path):
    """With --no-execute the outputs that were handed in decide, as in stock nbgrader."""
    stock, ours = (ps1.clone(tmp_path / name) for name in ("stock", "ours"))
    for course in (stock, ours):
        shutil.rmtree(course.root / "submitted")
        for name in ("problem1", "problem2"):
            course.submit("saved", "ps1", name, _as_run(course.notebook("ps1", name), fails="correct_squares"))
    stock.grade_with_stock("ps1", Config({"Execute": {"enabled": False}, "ClearOutput": {"enabled": False}}))
    ours.grade("ps1", "--student=saved", "--no-execute")
    scores = ours.scores("saved", "ps1")
    assert (scores["correct_squares"], scores["correct_sum_of_squares"]) == (0, 0.5)
    assert ours.rows("ps1") == stock.rows("ps1")


def _as_run(notebook, fails):
    """The notebook as it is after a run in which one test cell failed."""
    error = {"output_type": "error", "ename": "AssertionError", "evalue": "", "traceback": []}
    for count, cell in enumerate((cell for cell in notebook["cells"] if cell["cell_type"] == "code"), 1):
        cell["execution_count"] = count
        cell["outputs"] = [error] if cell["metadata"].get("nbgrader", {}).get("grade_id") == fails else []
    return notebook


def test_no_execute_gives_nothing_for_what_was_never_run(ps1, tmp_path):
    """Stock nbgrader gives full marks for a test cell that is not there or has no outputs."""
    course = ps1.clone(tmp_path / "course")
    shutil.rmtree(course.root / "submitted")
    cleared = course.notebook("ps1", "problem1")
    noisy = _as_run(course.notebook("ps1", "problem1"), fails="")
    tests = [cell for cell in noisy["cells"] if cell["metadata"].get("nbgrader", {}).get("grade_id") in TESTS]
    tests[0]["outputs"] = [{"output_type": "stream", "name": "stderr", "text": "a warning"}]
    tests[1]["outputs"] = [
        {"output_type": "execute_result", "data": {"text/plain": "-1"}, "metadata": {}, "execution_count": 1}
    ]
    for student, notebook in {"cleared": cleared, "empty": b"", "noisy": noisy}.items():
        course.submit(student, "ps1", "problem1", notebook)
    course.grade("ps1", "--no-execute")
    for student in ("cleared", "empty"):
        scores = course.scores(student, "ps1")
        assert [scores[name] for name in TESTS] == [0, 0, 0, 0], student
    assert "this cell was not run before it was handed in" in str(course.graded("cleared", "ps1", "problem1"))
    scores = course.scores("noisy", "ps1")
    assert [scores[cell["metadata"]["nbgrader"]["grade_id"]] > 0 for cell in tests[:3]] == [True, False, True]


def test_excluded_students_are_not_graded(ps1, tmp_path):
    course = ps1.clone(tmp_path / "course")
    outcomes = course.grade("ps1", "--CourseDirectory.student_id_exclude=hacker,perfect,partial", dry_run=True)
    assert {name for name, outcome in outcomes.items() if outcome.status == "new"} == {"bitdiddle"}


def test_an_assignment_nobody_released(tmp_path):
    from nbgrader.api import MissingEntry

    course = Course(tmp_path / "course")
    with pytest.raises(MissingEntry):
        course.grade("ps9")
