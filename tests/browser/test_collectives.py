"""The collectives widget in JupyterLab: stepped, played, and moved to other numbers of devices, right and wrong."""

import re

import pytest
from playwright.sync_api import expect

from browser.harness import SHOTS, assert_accessible, assert_healthy, run_widgets

GIVEN = "from gradlab import widgets\nimport ring_functions as rings"
# In one notebook each widget needs a label of its own, and the label tells the number of devices.
CELLS = (
    "widgets.Collectives(rings.fori_loop)",
    "widgets.Collectives(rings.adds_again, devices=4)",
    "widgets.Collectives(rings.whole_vectors, devices=6, step=2)",
    "widgets.Collectives(rings.cheat, devices=3)",
    "widgets.Collectives(rings.raising, devices=5)",
)

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def notebook(lab, browser):
    opened = run_widgets(browser, lab, "collectives.ipynb", "ring_functions.py", GIVEN, *CELLS)
    # Every number of devices is in the view: nothing is under way in the kernel any more.
    expect(opened.page.locator(".gl-stage[data-ready]")).to_have_count(len(CELLS), timeout=240_000)
    yield opened
    assert_healthy(opened)


def press(view, name, times=1):
    for _ in range(times):
        view.get_by_role("button", name=name, exact=True).click()


def words(view):
    return view.locator(".gl-step-text")


def test_each_step_is_one_message_of_every_device(view):
    press(view(0), "To the start")
    expect(words(view(0))).to_contain_text("The start: each of 8 devices")
    press(view(0), "Step")
    expect(words(view(0))).to_contain_text("Step 1 of 14. Each device sends 0.125 of a vector to the next device")
    expect(view(0).locator(".gl-token")).to_have_count(8)
    expect(view(0).locator("tbody tr").nth(1)).to_contain_text("2/8")
    press(view(0), "Step back")
    expect(view(0).locator(".gl-token")).to_have_count(0)


def test_the_arrow_keys_and_the_slider_step_too(view):
    press(view(0), "To the start")
    view(0).locator(".gl-ring").focus()
    view(0).page.keyboard.press("ArrowRight")
    view(0).page.keyboard.press("ArrowRight")
    expect(words(view(0))).to_contain_text("Step 2 of 14")
    view(0).get_by_role("slider", name="step", exact=True).focus()
    view(0).page.keyboard.press("End")
    expect(words(view(0))).to_contain_text("Step 14 of 14")
    expect(view(0).locator("tbody td", has_text="sum")).to_have_count(64)
    expect(view(0).get_by_role("img", name=re.compile("Vectors sent so far: busiest device 1.75"))).to_be_visible()


def test_another_number_of_devices_needs_no_kernel(notebook, view):
    view(0).get_by_role("slider", name="devices").focus()
    notebook.page.keyboard.press("ArrowLeft")
    expect(view(0).locator("tbody tr")).to_have_count(7)
    expect(view(0).locator(".gl-verdicts")).to_contain_text("12 steps; the ring takes 2(n-1) = 12.")
    press(view(0), "Reset")
    expect(view(0).locator("tbody tr")).to_have_count(8)
    expect(words(view(0))).to_contain_text("The start")


def test_latency_and_bandwidth_move_the_predicted_time(notebook, view):
    times = view(0).get_by_role("img", name=re.compile("Predicted time"))
    expect(times).to_have_attribute("aria-label", re.compile("yours 3.64 ms, ring, at the bound 3.64 ms, tree 12.1 ms"))
    view(0).get_by_role("slider", name="latency").focus()
    notebook.page.keyboard.press("End")
    expect(times).to_have_attribute("aria-label", re.compile("yours 17.5 ms"))
    press(view(0), "Reset")


def test_the_state_is_copied_as_keywords(notebook, view):
    press(view(2), "Copy state")
    text = notebook.page.evaluate("() => navigator.clipboard.readText()")
    assert text == "devices=6, seed=0, step=2, latency=10, bandwidth=50, megabytes=100"


def test_playing_stops_where_it_goes_wrong(view):
    press(view(1), "To the start")
    press(view(1), "Play")
    expect(words(view(1))).to_contain_text(
        "Now wrong: device 0, chunk A: the share of device 0 is in it more than once"
    )
    view(1).get_by_role("button", name="Play", exact=True).wait_for()
    expect(view(1).locator(".gl-cell.gl-wrong")).to_have_count(4)
    expect(view(1).locator(".gl-verdicts")).to_contain_text("Wrong in 12 of 16 chunks")


def test_with_less_motion_a_step_does_not_travel(notebook, view):
    notebook.page.emulate_media(reduced_motion="reduce")
    press(view(0), "To the start")
    view(0).locator(".gl-ring").evaluate(
        """ring => { window.seenPlaces = new Set(); new MutationObserver(() => {
          const token = ring.querySelector('.gl-token');
          if (token) window.seenPlaces.add(token.getAttribute('transform'));
        }).observe(ring, {attributes: true, subtree: true, childList: true}); }"""
    )
    press(view(0), "Step")
    expect(view(0).locator(".gl-token")).to_have_count(8)
    notebook.page.wait_for_timeout(300)
    assert notebook.page.evaluate("() => window.seenPlaces.size") == 1
    notebook.page.emulate_media(reduced_motion="no-preference")


def test_too_many_bytes_a_cheat_and_an_error_are_said(view):
    expect(view(2).locator(".gl-verdicts .gl-bad").first).to_contain_text("3 times too many bytes")
    expect(view(3).locator(".gl-verdicts .gl-bad")).to_contain_text("It calls psum: the library sends for you")
    expect(view(3).get_by_role("img", name=re.compile("Predicted time: yours not sent by you"))).to_be_visible()
    expect(view(4)).to_contain_text("in the line: return x.reshape(size, 3)")
    expect(view(4).locator(".gl-ring")).to_be_hidden()


def test_no_violation_that_axe_knows(notebook):
    assert_accessible(notebook)


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_how_it_looks(notebook, view, theme):
    notebook.theme(theme)
    SHOTS.mkdir(parents=True, exist_ok=True)
    press(view(0), "To the start")
    press(view(0), "Step", 5)
    press(view(3), "Step")
    notebook.page.wait_for_timeout(1000)
    for place, name in enumerate(["right", "wrong", "whole", "psum", "raising"]):
        path = SHOTS / f"collectives-{name}-{theme.lower()}.png"
        assert len(view(place).screenshot(path=path, animations="disabled")) > 5_000


def test_every_picture_is_there_without_a_kernel(notebook):
    html = [output["data"].get("text/html", "") for output in notebook.outputs() if "data" in output]
    pictures = [text for text in html if "gl-picture" in text]
    assert len(pictures) == len(CELLS)
    assert sum("<svg" in text and 'aria-label="' in text for text in pictures) == len(CELLS) - 1
