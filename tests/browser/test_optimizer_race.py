"""The optimizer race in JupyterLab: touched by mouse and by keyboard, seen in both themes, right and wrong."""

import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect

from browser.harness import SHOTS, assert_accessible, assert_healthy, drag, run_notebook, shoot

FUNCTIONS = Path(__file__).parents[1] / "widgets" / "race_functions.py"
RACE = "from gradlab import widgets\nfrom race_functions import RIGHT, WRONG"
MINUS = "\N{MINUS SIGN}"
# A fault of the widget itself, as an author of a widget would make one.
FAULT = """
broken = widgets.OptimizerRace(RIGHT)
broken.answer_race = lambda question: 1 / 0
broken
"""

pytestmark = pytest.mark.needs("chromium")


@pytest.fixture(scope="module")
def race(lab, browser):
    """A race of right functions, fresh from the first run."""
    shutil.copy(FUNCTIONS, lab.root)
    may = ["clipboard-read", "clipboard-write"]
    notebook = run_notebook(browser, lab, "right.ipynb", RACE, "widgets.OptimizerRace(RIGHT)", permissions=may)
    expect(verdicts(notebook).first).to_be_visible(timeout=30_000)
    yield notebook
    assert_healthy(notebook)


@pytest.fixture(scope="module")
def wrong(lab, browser):
    """A race of wrong functions."""
    shutil.copy(FUNCTIONS, lab.root)
    notebook = run_notebook(browser, lab, "wrong.ipynb", RACE, "widgets.OptimizerRace(WRONG)")
    yield notebook
    assert_healthy(notebook)


@pytest.fixture(autouse=True)
def _back_at_the_beginning(request):
    if "race" in request.fixturenames:
        race = request.getfixturevalue("race")
        race.widget().get_by_role("button", name="Reset").click()
        expect(verdicts(race).first).to_have_text("follows the library")


def verdicts(notebook):
    return notebook.widget().locator("td.gl-verdict")


def verdict(notebook, name):
    return notebook.widget().get_by_role("row", name=re.compile(f"^{name}")).locator("td.gl-verdict")


def paths(notebook):
    """What is drawn of each lane on the surface."""
    lines = notebook.widget().locator(".gl-surface .gl-lane .gl-path:not(.gl-ahead)")
    return lines.evaluate_all("lines => lines.map(line => line.getAttribute('d'))")


def wait_until_redrawn(notebook, lane, before):
    """Wait until the path of a lane is another than it was in `before`."""
    line = notebook.widget().locator(f".gl-surface .gl-series-{lane} .gl-path:not(.gl-ahead)")
    expect(line).not_to_have_attribute("d", before[lane])


def slider(notebook, name):
    return notebook.widget().get_by_role("slider", name=name, exact=True)


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_it_is_drawn_and_accessible_in_both_themes(race, theme):
    race.theme(theme)
    assert all(path.count("L") == 150 for path in paths(race))
    assert_accessible(race)
    background = race.widget().evaluate("element => getComputedStyle(element).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (theme == "Light")
    shoot(race, f"optimizer-race-{theme.lower()}")


def test_dragging_the_start_changes_the_picture(race):
    before, pixels = paths(race), shoot(race, "optimizer-race-before")
    handle = race.widget().get_by_role("slider", name="Start of the race")
    drag(race.page, handle, 150, 60)
    expect(race.widget().get_by_label("start x")).not_to_have_value("-3.2")
    expect(handle).not_to_have_attribute("aria-valuetext", f"x {MINUS}3.2, y 1.6")
    wait_until_redrawn(race, 0, before)
    after = paths(race)
    assert all(old != new for old, new in zip(before, after, strict=True))
    # Every run begins where the start was dropped.
    assert len({path.split("L")[0] for path in after}) == 1
    # The pointer rests on the start, under which all lanes lie: none is singled out.
    expect(race.widget().locator(".gl-dim")).to_have_count(0)
    assert shoot(race, "optimizer-race-dragged") != pixels
    expect(verdicts(race).first).to_have_text("follows the library")


def test_the_keyboard_moves_the_start_and_not_the_notebook(race):
    handle = race.widget().get_by_role("slider", name="Start of the race")
    handle.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "Shift+ArrowDown"):
        race.page.keyboard.press(key)
    expect(handle).to_have_attribute("aria-valuetext", f"x {MINUS}3, y 1.68")
    cell = "() => jupyterapp.shell.currentWidget.content.activeCellIndex"
    cells = "() => jupyterapp.shell.currentWidget.content.widgets.length"
    active, number = race.page.evaluate(cell), race.page.evaluate(cells)
    race.widget().get_by_label("start x").focus()
    for key in ("d", "d", "a"):  # in command mode: delete the cell, insert one
        race.page.keyboard.press(key)
    slider(race, "decay").focus()
    race.page.keyboard.press("ArrowUp")
    assert (race.page.evaluate(cell), race.page.evaluate(cells)) == (active, number)


def test_a_large_learning_rate_diverges(race):
    rate = slider(race, "learning rate")
    rate.focus()
    race.page.keyboard.press("End")
    expect(rate).to_have_attribute("aria-valuetext", "10")
    expect(verdict(race, "gradient descent")).to_contain_text("diverged")
    race.page.keyboard.press("Home")
    expect(verdict(race, "gradient descent")).to_have_text("follows the library")


def test_steps_are_scrubbed_by_slider_and_by_pointing_at_the_curves(race):
    slider(race, "step").focus()
    race.page.keyboard.press("Home")
    head = race.widget().locator("thead")
    expect(head).to_contain_text("loss at 0")
    assert all("L" not in path for path in paths(race))
    curves = race.widget().locator(".gl-curves").bounding_box()
    race.page.mouse.move(curves["x"] + 0.54 * curves["width"], curves["y"] + 80)
    expect(head).to_contain_text(re.compile(r"loss at 7\d"))
    race.page.mouse.move(5, 5)
    expect(head).to_contain_text("loss at 0")


def test_it_plays_and_pauses(race):
    race.widget().get_by_role("button", name="Play").click()
    expect(slider(race, "step")).to_have_attribute("aria-valuetext", re.compile("^1?[1-9]$"))
    race.widget().get_by_role("button", name="Pause").click()
    at = slider(race, "step").input_value()
    assert 0 < int(at) < 150
    race.page.wait_for_timeout(200)
    assert slider(race, "step").input_value() == at


def test_with_reduced_motion_nothing_moves_by_itself(race):
    race.page.emulate_media(reduced_motion="reduce")
    button = race.widget().get_by_role("button", name="Next 10 steps")
    for wanted in ("0", "10", "20"):  # from the end it goes back to the beginning
        button.click()
        assert slider(race, "step").input_value() == wanted
    race.page.wait_for_timeout(200)
    assert slider(race, "step").input_value() == "20"
    race.page.emulate_media(reduced_motion="no-preference")


def test_other_surfaces(race):
    surface = race.widget().get_by_role("combobox", name="Surface")
    regions = race.widget().locator(".gl-region")
    seen = set()
    for name in ("quadratic", "rosenbrock", "saddle", "digits"):
        surface.select_option(name)
        seen.add(regions.first.get_attribute("d"))
        expect(slider(race, "condition number")).to_be_visible(visible=name == "quadratic")
        expect(slider(race, "seed of the slice")).to_be_visible(visible=name == "digits")
        expect(regions).to_have_count(9)
    expect(regions.first).not_to_have_attribute("d", re.compile("|".join(map(re.escape, seen))))
    shoot(race, "optimizer-race-digits")


def test_a_copied_state_is_the_setting(race):
    slider(race, "learning rate").focus()
    race.page.keyboard.press("ArrowRight")
    race.widget().get_by_role("button", name="Copy state").click()
    expect(race.widget().get_by_role("status")).to_contain_text("Copied")
    text = race.page.evaluate("() => navigator.clipboard.readText()")
    assert (
        text == 'surface="quadratic", condition=20, start=(-3.2, 1.6), learning_rate=0.125, decay=0.9, b1=0.9, b2=0.999'
    )


def test_a_lane_can_be_hidden(race):
    toggle = race.widget().get_by_role("button", name="adam", exact=True)
    toggle.click()
    expect(toggle).to_have_attribute("aria-pressed", "false")
    expect(race.widget().locator(".gl-surface .gl-series-4")).to_be_hidden()


def test_wrong_functions_are_seen_and_the_others_race_on(wrong):
    expect(verdict(wrong, "adam ")).to_have_text("departs from the library at step 1")
    expect(verdict(wrong, "adamw")).to_have_text("Not written yet.")
    expect(verdict(wrong, "nesterov")).to_contain_text("TypeError: unsupported operand")
    expect(verdict(wrong, "momentum")).to_contain_text("runs step by step: JAX could not trace it")
    expect(verdict(wrong, "lion")).to_contain_text("does not know")
    before = paths(wrong)
    slider(wrong, "learning rate").press("ArrowRight")
    wait_until_redrawn(wrong, 1, before)
    assert_accessible(wrong)
    shoot(wrong, "optimizer-race-wrong")


def test_a_notebook_without_its_kernel_shows_the_picture(wrong):
    picture = wrong.page.get_by_role("img", name="Optimizer race. Surface: Quadratic.")
    expect(picture).to_be_hidden()
    wrong.save()
    wrong.stop_kernel()
    wrong.open()
    expect(picture).to_be_visible(timeout=30_000)
    expect(wrong.page.get_by_role("cell", name="Not written yet.")).to_be_visible()
    expect(wrong.page.get_by_text("model not found")).to_be_hidden()
    wrong.page.locator(".gl-picture").screenshot(path=SHOTS / "optimizer-race-still.png")


def test_a_fault_of_the_widget_is_shown_and_fails_the_harness(lab, browser):
    notebook = run_notebook(browser, lab, "fault.ipynb", RACE, FAULT)
    expect(notebook.widget().get_by_role("alert")).to_contain_text("ZeroDivisionError")
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        assert_healthy(notebook)
    assert {fault.split(" ")[0] for fault in notebook.faults} == {"console:", "kernel:"}
