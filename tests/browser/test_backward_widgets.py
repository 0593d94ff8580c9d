"""Lab 03's two widgets in JupyterLab and Chromium: touched, and seen to answer with the student's own functions."""

import re

import pytest
from playwright.sync_api import expect

from browser.harness import SHOTS, assert_accessible, assert_healthy, run_notebook

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(600)]

GIVEN = """
from gradlab import widgets
from gradlab.mistakes.backward import overwritten_gradient
from gradlab_grading.reference import lab_folders, reference

names = reference(lab_folders()["03-backward"])


def expression(x, w):
    a = x * w
    b = a + x
    return a * b + b.tanh()
"""
RIGHT = 'widgets.Graph(names["Value"], expression, {"x": 0.8, "w": -1.5})'
# Three graphs in one notebook need three labels, and a label tells the leaves.
WRONG = 'widgets.Graph(overwritten_gradient, expression, {"w": -1.5, "x": 0.8})'
FLOW = 'widgets.GradientFlow(names["gradient_flow"], names["deep_init"], depth=10)'
RAISING = 'widgets.Graph(lambda number: 1 / 0, expression, {"x": 1.0, "w": 1.0})'


@pytest.fixture(scope="module")
def notebook(lab, browser):
    opened = run_notebook(browser, lab, "backward.ipynb", GIVEN, RIGHT, WRONG, FLOW, RAISING)
    expect(opened.page.locator(".gl-view")).to_have_count(4, timeout=300_000)
    expect(opened.page.locator(".gl-map rect").nth(100)).to_be_attached(timeout=300_000)
    yield opened
    assert_healthy(opened)


def press(view, name, times=1):
    for _ in range(times):
        view.get_by_role("button", name=name, exact=True).click()


def test_each_step_is_one_write_of_the_students_backward(view):
    press(view(0), "Step", 2)
    words = view(0).locator(".gl-step-text")
    assert "Step 2 of 10" in words.inner_text()
    assert "upstream 1 times local derivative 1" in words.inner_text()
    assert view(0).locator(".gl-edge.gl-active").count() == 1
    press(view(0), "Step")
    assert [text for text in view(0).locator(".gl-share").all_text_contents() if text] == ["1"]
    press(view(0), "Step back", 2)
    assert "Step 1 of 10" in words.inner_text()


def test_the_arrow_keys_step_too(view):
    press(view(0), "To the start")
    view(0).locator(".gl-drawing svg").focus()
    view(0).page.keyboard.press("ArrowRight")
    view(0).page.keyboard.press("ArrowRight")
    assert "Step 2 of 10" in view(0).locator(".gl-step-text").inner_text()


def test_moving_a_leaf_computes_everything_anew(view):
    row = view(0).locator("tbody tr").first
    assert "gradient 0.772, which is right" in row.inner_text()
    view(0).get_by_role("slider", name="x").focus()
    view(0).page.keyboard.press("ArrowRight")
    expect(row).to_contain_text("0.85")
    assert "which is right" in row.inner_text()
    press(view(0), "Reset")
    expect(row).to_contain_text("gradient 0.772, which is right")


def test_a_gradient_can_be_guessed_before_it_is_revealed(view):
    press(view(0), "To the start")
    view(0).get_by_label("guess first").check()
    press(view(0), "Step")
    assert "?" in view(0).locator(".gl-drawing").inner_text()
    view(0).get_by_role("spinbutton").fill("1")
    press(view(0), "Check")
    assert "You said 1, and it is 1: right" in view(0).locator(".gl-status").inner_text()
    view(0).get_by_label("guess first").uncheck()


def test_playing_stops_where_a_gradient_is_overwritten(view):
    press(view(1), "To the start")
    press(view(1), "Play")
    view(1).locator(".gl-step-text.gl-lost").wait_for(timeout=30_000)
    assert "Overwritten" in view(1).locator(".gl-step-text").inner_text()
    assert view(1).locator(".gl-share.gl-gone").count() == 1
    view(1).get_by_role("button", name="Play", exact=True).wait_for()
    assert "and 0.772 is right" in view(1).locator("tbody tr").first.inner_text()


def test_the_map_answers_keys_and_settings(view):
    flow = view(2)
    flow.locator(".gl-map").focus()
    flow.page.keyboard.press("ArrowRight")
    flow.page.keyboard.press("ArrowUp")
    assert "Step 4." in flow.locator(".gl-verdict").inner_text()
    assert re.search(r"Activation 1: .* Measured by your gradient_flow", flow.inner_text())
    flow.get_by_label("Weights").select_option("small")
    expect(flow).to_contain_text("it vanishes", timeout=60_000)
    flow.get_by_label("residual connections").check()
    flow.page.wait_for_function(
        "f => f.innerText.includes('Measured by JAX')", arg=flow.element_handle(), timeout=60_000
    )
    assert "it arrives" in flow.locator(".gl-verdict").inner_text()


def test_what_the_students_code_raises_is_shown(view):
    assert "ZeroDivisionError" in view(3).inner_text()


def test_no_violation_that_axe_knows(notebook):
    assert_accessible(notebook)


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_how_it_looks(notebook, view, theme):
    notebook.theme(theme)
    SHOTS.mkdir(parents=True, exist_ok=True)
    for place, name in enumerate(["graph", "graph-overwritten", "gradient-flow"]):
        picture = view(place).screenshot(path=SHOTS / f"{name}-{theme.lower()}.png", animations="disabled")
        assert len(picture) > 10_000


def test_both_pictures_are_there_without_a_kernel(notebook):
    html = [output["data"].get("text/html", "") for output in notebook.outputs() if "data" in output]
    pictures = [text for text in html if "gl-picture" in text]
    assert len(pictures) == 4
    assert sum("<svg" in text and 'aria-label="' in text for text in pictures) == 3
