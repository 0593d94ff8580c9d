"""The behaviour widget in JupyterLab: trained, edited, painted on, by mouse and keyboard, right and wrong."""

import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect

from browser.harness import assert_accessible, assert_healthy, drag, run_notebook, shoot

FUNCTIONS = Path(__file__).parents[1] / "widgets" / "behaviour_functions.py"
IMPORTS = "from gradlab import widgets\nimport behaviour_functions as f"

pytestmark = pytest.mark.needs("chromium")


def opened(lab, browser, name, **context):
    shutil.copy(FUNCTIONS, lab.root)
    cell = f"widgets.Behaviour(f.{name}, f.PARAMS)"
    return run_notebook(browser, lab, f"{name}.ipynb", IMPORTS, cell, **context)


@pytest.fixture(scope="module")
def network(lab, browser):
    """A right network, fresh from the first run."""
    may = ["clipboard-read", "clipboard-write"]
    notebook = opened(lab, browser, "right", permissions=may)
    expect(step(notebook)).to_have_text("step 0", timeout=60_000)
    yield notebook
    assert_healthy(notebook)


@pytest.fixture(autouse=True)
def _back_at_the_beginning(request):
    if "network" in request.fixturenames:
        network = request.getfixturevalue("network")
        button(network, "Reset").click()
        expect(step(network)).to_have_text("step 0")
        expect(network.widget().locator(".gl-status")).to_have_text("Back at the beginning.")


def step(notebook):
    return notebook.widget().locator(".gl-scores thead th").first


def button(notebook, name):
    return notebook.widget().get_by_role("button", name=name)


def pixels(notebook):
    """The large map as it is drawn."""
    return notebook.widget().locator(".gl-canvas").evaluate("canvas => canvas.toDataURL()")


def wait_until_another(notebook, before):
    notebook.page.wait_for_function(
        "before => document.querySelector('.gl-canvas').toDataURL() !== before", arg=before, timeout=30_000
    )


def train_loss(notebook):
    return float(notebook.widget().locator(".gl-scores tbody td").first.inner_text())


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_it_is_drawn_and_accessible_in_both_themes(network, theme):
    network.theme(theme)
    assert network.widget().locator(".gl-canvas").evaluate("canvas => [canvas.width, canvas.height]") == [100, 100]
    expect(network.widget().locator(".gl-unit")).to_have_count(7)
    expect(network.widget().locator(".gl-point")).to_have_count(160)
    assert_accessible(network)
    shoot(network, f"behaviour-{theme.lower()}")
    for _ in range(6):
        button(network, "10 steps").click()
    expect(step(network)).to_have_text("step 60", timeout=30_000)
    shoot(network, f"behaviour-trained-{theme.lower()}")


def test_steps_lower_the_loss_and_reset_takes_them_back(network):
    first, before = train_loss(network), pixels(network)
    button(network, "10 steps").click()
    expect(step(network)).to_have_text("step 10", timeout=30_000)
    assert train_loss(network) < first
    button(network, "Reset").click()
    expect(step(network)).to_have_text("step 0")
    assert train_loss(network) == first
    assert pixels(network) == before


def test_it_plays_and_pauses(network):
    button(network, "Play").click()
    expect(step(network)).to_have_text(re.compile(r"step [1-9]\d"), timeout=30_000)
    button(network, "Pause").click()
    network.page.wait_for_timeout(300)
    at = step(network).inner_text()
    network.page.wait_for_timeout(300)
    assert step(network).inner_text() == at


def test_with_reduced_motion_it_only_steps(network):
    network.page.emulate_media(reduced_motion="reduce")
    expect(button(network, "Play")).to_be_hidden()
    button(network, "10 steps").click()
    expect(step(network)).to_have_text("step 10", timeout=30_000)
    network.page.emulate_media(reduced_motion="no-preference")


def test_a_weight_is_edited_by_typing_and_by_keys(network):
    before = pixels(network)
    typed = network.widget().get_by_role("spinbutton", name="from x1")
    typed.fill("-3")
    typed.press("Enter")
    wait_until_another(network, before)
    between = pixels(network)
    slide = network.widget().get_by_role("slider", name="bias, slider")
    slide.focus()
    for _ in range(30):
        network.page.keyboard.press("ArrowRight")
    wait_until_another(network, between)


def test_a_unit_is_enlarged_and_put_back(network):
    before = pixels(network)
    unit = button(network, re.compile("layer 2, unit 1"))
    unit.click()
    wait_until_another(network, before)
    expect(unit).to_have_attribute("aria-pressed", "true")
    expect(network.widget().locator(".gl-maplabel")).to_contain_text("Layer 2, unit 1")
    expect(network.widget().get_by_role("spinbutton", name="from unit 4")).to_be_visible()
    shoot(network, "behaviour-unit")
    between = pixels(network)
    button(network, "Show the decision").click()
    wait_until_another(network, between)
    assert pixels(network) == before


def test_points_are_painted_by_mouse_and_by_keyboard_and_erased(network):
    painted = network.widget().locator(".gl-painted")
    brush = network.widget().get_by_role("slider", name="Brush")
    drag(network.page, brush, 90, 0)
    expect(painted.nth(3)).to_be_attached(timeout=30_000)
    count = painted.count()
    network.widget().get_by_role("combobox", name="Brush").select_option("0")
    brush.focus()
    network.page.keyboard.press("ArrowUp")
    network.page.keyboard.press("Enter")
    expect(painted).to_have_count(count + 1, timeout=30_000)
    button(network, "Copy state").click()
    expect(network.widget().locator(".gl-status")).to_contain_text("Copied")
    assert "painted=[(0, 0, 1)" in network.page.evaluate("() => navigator.clipboard.readText()")
    network.widget().get_by_role("combobox", name="Brush").select_option("-1")
    brush.focus()
    network.page.keyboard.press("Enter")
    expect(painted).not_to_have_count(count + 1, timeout=30_000)
    network.widget().get_by_role("combobox", name="Brush").select_option("1")


def test_other_points(network):
    before = pixels(network)
    places = network.widget().locator(".gl-point").first
    place = places.get_attribute("transform")
    network.widget().get_by_role("combobox", name="Points").select_option("circles")
    expect(places).not_to_have_attribute("transform", place)
    assert pixels(network) == before


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("unwritten", "is not written yet"),
        ("column", "returned shape (10000, 1)"),
    ],
)
def test_a_wrong_network_says_what_is_wrong(lab, browser, name, said):
    notebook = opened(lab, browser, name)
    expect(notebook.widget().locator(".gl-problem")).to_contain_text(said, timeout=60_000)
    shoot(notebook, f"behaviour-{name}")
    assert_healthy(notebook)


def test_a_network_without_an_activation_can_only_draw_a_line(lab, browser):
    """Wrong, but it runs: the picture shows how."""
    notebook = opened(lab, browser, "linear")
    expect(step(notebook)).to_have_text("step 0", timeout=60_000)
    for _ in range(5):
        button(notebook, "10 steps").click()
    expect(step(notebook)).to_have_text("step 50", timeout=30_000)
    shoot(notebook, "behaviour-linear")
    assert_healthy(notebook)
