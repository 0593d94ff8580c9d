"""The before/after explorer in JupyterLab: steps switched, moved and refitted, in both themes, right and wrong."""

import re

import pytest
from playwright.sync_api import expect

from browser.harness import assert_accessible, assert_healthy, run_notebook, shoot

FUNCTIONS = """
from gradlab import widgets
from gradlab.widgets.before_after import FUNCTIONS
from gradlab_grading.reference import lab_folders, reference

names = reference(lab_folders()["01-preprocessing"])
right = {name: names[name] for name in FUNCTIONS}
"""
MEASURED = re.compile(r"fitted on all rows: \+0\.\d+ ± 0\.\d+\.")
UNWRITTEN = """
def fit_scaler(x):
    raise NotImplementedError()


widgets.BeforeAfter(right | {"fit_scaler": fit_scaler})
"""

pytestmark = pytest.mark.needs("chromium")


@pytest.fixture(scope="module")
def explorer(lab, browser):
    """An explorer of right functions."""
    may = ["clipboard-read", "clipboard-write"]
    notebook = run_notebook(browser, lab, "explorer.ipynb", FUNCTIONS, "widgets.BeforeAfter(right)", permissions=may)
    expect(dots(notebook)).to_be_visible(timeout=120_000)
    yield notebook
    assert_healthy(notebook)


@pytest.fixture(autouse=True)
def _back_at_the_beginning(request):
    if "explorer" in request.fixturenames:
        notebook = request.getfixturevalue("explorer")
        notebook.widget().get_by_role("button", name="Reset").click()
        expect(dots(notebook)).to_be_visible(timeout=60_000)


def dots(notebook):
    return notebook.widget().locator(".gl-dots")


def titles(notebook):
    return notebook.widget().locator(".gl-panel h4")


def select(notebook, name):
    return notebook.widget().get_by_role("combobox", name=name)


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_it_is_drawn_and_accessible_in_both_themes(explorer, theme):
    explorer.theme(theme)
    expect(titles(explorer)).to_have_text(["Raw", "Clean", "Impute", "Choose 10 columns", "Scale"])
    assert_accessible(explorer)
    shoot(explorer, f"before-after-{theme.lower()}")


def test_another_column_and_another_fit_are_drawn_at_once(explorer):
    ranges = explorer.widget().locator(".gl-range")
    before = ranges.all_text_contents()
    select(explorer, "Column").select_option("bmi")
    assert ranges.all_text_contents()[:2] != before[:2]
    trained = ranges.all_text_contents()
    select(explorer, "Fit on").select_option("all")
    refitted = ranges.all_text_contents()
    assert refitted[:2] == trained[:2], "cleaning is fitted on nothing"
    assert refitted[-1] != trained[-1], "scaling is"


def test_steps_are_switched_and_moved_by_keyboard(explorer):
    explorer.widget().get_by_role("checkbox", name="choose 10 columns").uncheck()
    expect(titles(explorer)).to_have_text(["Raw", "Clean", "Impute", "Scale"], timeout=60_000)
    explorer.widget().get_by_role("checkbox", name="choose 10 columns").check()
    expect(titles(explorer)).to_have_count(5, timeout=60_000)
    explorer.widget().get_by_role("button", name="Choose 10 columns: earlier").press("Enter")
    expect(explorer.widget().locator(".gl-broken")).to_contain_text("impute first", timeout=60_000)
    # The button that was pressed is at its end now: its neighbour has the focus, and undoes the move.
    explorer.page.keyboard.press("Enter")
    expect(titles(explorer)).to_have_text(["Raw", "Clean", "Impute", "Choose 10 columns", "Scale"], timeout=60_000)


def test_the_leak_is_measured(explorer):
    expect(explorer.widget().get_by_role("status")).to_have_text(MEASURED, timeout=60_000)


def test_its_state_can_be_copied(explorer):
    # The status line also tells what the leak is worth, once that is measured.
    expect(explorer.widget().get_by_role("status")).to_have_text(MEASURED, timeout=60_000)
    explorer.widget().get_by_role("button", name="Copy state").click()
    text = 'column="pressure", steps=("clean", "impute", "choose", "scale"), fit_on="train"'
    expect(explorer.widget().get_by_role("status")).to_have_text(f"Copied: {text}")


def test_what_is_not_written_yet_says_so_in_its_panel(lab, browser):
    notebook = run_notebook(browser, lab, "unwritten.ipynb", FUNCTIONS, UNWRITTEN)
    expect(notebook.widget().locator(".gl-broken")).to_have_text(
        re.compile("fit_scaler is not written yet"), timeout=120_000
    )
    expect(notebook.widget().locator(".gl-accuracy")).to_have_text("fit_scaler is not written yet.", timeout=60_000)
    assert_healthy(notebook)
