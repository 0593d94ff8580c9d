"""Lab 05's pictures of a student's Flax modules in JupyterLab: a plane that they learn, and gradients on their way."""

import re

import pytest
from playwright.sync_api import expect

from browser.harness import SHOTS, assert_accessible, assert_healthy, run_notebook

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(600)]

GIVEN = """
import optax
from flax import nnx
from gradlab.widgets.behaviour.module import behaviour_of
from gradlab.widgets.gradient_flow.steps import StepFlow
from gradlab_grading.reference import lab_folders, reference

names = reference(lab_folders()["05-training"])
planar = names["Planar"](nnx.Rngs(0), dropout=0.0)
optimizer = nnx.Optimizer(planar, optax.inject_hyperparams(optax.adam)(0.01), wrt=nnx.Param)
"""
PLANE = 'behaviour_of(planar, optimizer, names["train_step"], learning_rate=0.01)'
FLOW = 'StepFlow(names["train_step"], depth=10)'
UNWRITTEN = """
def train_step(model, optimizer, inputs, labels):
    raise NotImplementedError

StepFlow(train_step, depth=5)
"""


@pytest.fixture(scope="module")
def notebook(lab, browser):
    opened = run_notebook(browser, lab, "training.ipynb", GIVEN, PLANE, FLOW, UNWRITTEN)
    expect(opened.page.locator(".gl-view")).to_have_count(3, timeout=300_000)
    expect(opened.page.locator(".gl-map rect").nth(100)).to_be_attached(timeout=300_000)
    yield opened
    assert_healthy(opened)


def losses(plane):
    """Train and test loss, as the table says."""
    return [float(row.locator("td").first.inner_text()) for row in plane.locator(".gl-scores tbody tr").all()]


def test_a_flax_module_learns_the_plane_by_the_students_step(view):
    plane = view(0)
    step = plane.locator(".gl-scores thead th").first
    expect(step).to_have_text("step 0", timeout=60_000)
    before = losses(plane)
    picture = plane.locator(".gl-canvas").evaluate("canvas => canvas.toDataURL()")
    for count in range(10, 70, 10):
        plane.get_by_role("button", name="10 steps").click()
        expect(step).to_have_text(f"step {count}", timeout=60_000)
    assert losses(plane)[0] < before[0] / 2
    assert plane.locator(".gl-canvas").evaluate("canvas => canvas.toDataURL()") != picture
    plane.get_by_role("button", name="Reset").click()
    expect(step).to_have_text("step 0")
    assert losses(plane) == before


def test_the_map_shows_the_steps_own_gradients(view):
    flow = view(1)
    flow.locator(".gl-map").focus()
    flow.page.keyboard.press("ArrowRight")
    flow.page.keyboard.press("ArrowUp")
    assert "Step 4." in flow.locator(".gl-verdict").inner_text()
    assert re.search(r"Activation 1: .* Measured by JAX, at the weights that your train_step left", flow.inner_text())
    verdict = flow.locator(".gl-verdict")
    flow.get_by_label("Weights").select_option("small")
    expect(verdict).to_contain_text("it vanishes", timeout=60_000)
    flow.get_by_label("Optimizer").select_option("adam")
    flow.get_by_label("residual connections").check()
    expect(verdict).to_contain_text("it arrives", timeout=60_000)
    expect(flow.locator(".gl-trouble")).to_have_text("")
    flow.get_by_text("The chosen step as a table").click()
    expect(flow.locator(".gl-table tbody tr")).to_have_count(11)


def test_a_step_that_is_not_written_says_so(view):
    expect(view(2).locator(".gl-trouble")).to_have_text("train_step: not written yet")


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_they_are_accessible_in_both_themes(notebook, view, theme):
    notebook.theme(theme)
    assert_accessible(notebook)
    SHOTS.mkdir(parents=True, exist_ok=True)
    for place, name in enumerate(["behaviour-module", "step-flow", "step-flow-unwritten"]):
        view(place).screenshot(path=SHOTS / f"{name}-{theme.lower()}.png", animations="disabled")
