"""JupyterLab as staff start it: nbgrader's formgrader finds the course, and a written answer is graded in it."""

import os
from pathlib import Path

import pytest
from nbgrader.api import Gradebook
from playwright.sync_api import expect

from browser.lab_server import chromium_page, lab_server
from loop.classroom import Classroom

pytestmark = pytest.mark.needs("chromium")
TESTS = Path(__file__).parents[1]
TOY = TESTS / "pipeline" / "toy" / "solutions" / "98-toy" / "toy.py"
LAB = "98-toy"


@pytest.fixture(scope="module")
def classroom(tmp_path_factory):
    """A course with one submission, autograded, whose written answer waits for a person."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]))
        room = Classroom(tmp_path_factory.mktemp("staff"), TOY)
        room.receive("ada", {"written-why": "Because $2 \\cdot \\frac{x}{2} = x$."})
        room.staff(["autograde", LAB])
        yield room


@pytest.fixture(scope="module")
def page(classroom):
    """A browser at the server that `make staff` starts for this course."""
    with (
        lab_server(classroom.layout.root, JUPYTER_CONFIG_PATH=str(classroom.layout.grading)) as address,
        chromium_page(base_url=address) as page,
    ):
        yield page


def test_formgrader_lists_the_assignment(page):
    page.goto("/formgrader")
    row = page.get_by_role("row", name=LAB)
    expect(row).to_be_visible()
    expect(row).to_contain_text("draft")


def test_generate_in_formgrader_sees_an_edit_of_the_source(page, classroom):
    source = next(classroom.layout.solutions.glob("*/*.py"))
    source.write_text(source.read_text().replace("nothing else.", "nothing more."))
    page.goto("/formgrader")
    page.get_by_role("row", name=LAB).locator(".assign a").click()
    expect(page.get_by_text("Successfully created")).to_be_visible(timeout=60_000)
    released = classroom.layout.release / LAB / "toy.ipynb"
    assert "nothing more." in released.read_text()


def test_a_written_answer_is_graded_by_hand(page, classroom):
    page.goto(f"/formgrader/gradebook/{LAB}/toy")
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.get_by_role("link", name="Submission #1").click()
    expect(page.locator("math mfrac")).to_be_visible()
    score = page.locator("input.score.needs_manual_grade")  # the page has asked the gradebook by now
    # Formgrader's keys work: the first place is chosen, and from there one goes on to the next.
    places = page.locator(".tabbable")
    expect(places.nth(0)).to_be_focused()
    page.keyboard.press("Tab")
    expect(places.nth(1)).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(places.nth(0)).to_be_focused()
    score.fill("4")
    with page.expect_response("**/formgrader/api/grade/**") as response:
        score.blur()
    assert response.value.ok
    assert faults == []
    with Gradebook(f"sqlite:///{classroom.layout.grading / 'gradebook.db'}", "gradlab") as gradebook:
        grade = gradebook.find_grade("written-why", "toy", LAB, "ada")
        assert (grade.manual_score, grade.needs_manual_grade) == (4, False)


def test_no_second_gradebook_appears(classroom):
    assert [path.parent for path in classroom.layout.root.rglob("gradebook.db")] == [classroom.layout.grading]
