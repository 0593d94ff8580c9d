"""The training dashboard and the confusion matrix in JupyterLab: touched by mouse and keyboard, in both themes."""

import re

import pytest
from playwright.sync_api import expect

from browser.harness import assert_accessible, assert_healthy, run_notebook, shoot

SETUP = """
import time
import jax.numpy as jnp, numpy as np, optax
from flax import nnx
from gradlab.handwriting import digit_images
from gradlab.widgets.confusion import Confusion
from gradlab.widgets.dashboard import Dashboard

images, labels = digit_images().train
model = nnx.Sequential(nnx.Linear(64, 32, rngs=nnx.Rngs(0)), nnx.relu, nnx.Linear(32, 10, rngs=nnx.Rngs(1)))
optimizer = nnx.Optimizer(model, optax.inject_hyperparams(optax.adam)(learning_rate=1e-3), wrt=nnx.Param)

@nnx.jit
def step(model, optimizer, x, y):
    def loss(model):
        logits = model(x)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean(), logits
    (value, logits), slope = nnx.value_and_grad(loss, has_aux=True)(model)
    optimizer.update(model, slope)
    return value, (logits.argmax(-1) == y).mean(), slope

def run(on_step):
    for k in range(400):
        rows = np.arange(64 * k, 64 * k + 64) % len(labels)
        on_step(k + 1, *step(model, optimizer, jnp.asarray(images[rows]).reshape(64, 64), jnp.asarray(labels[rows])))
        time.sleep(0.01)
"""
WRONG = "def run(on_step):\n    raise ValueError('the student made this')\nDashboard(run, model, optimizer, steps=5)"
MATRIX = """
validation = digit_images().validation
logits = 5 * np.eye(10)[np.where(np.arange(300) % 20 == 0, (validation.labels + 1) % 10, validation.labels)]
Confusion(validation.images[..., 0], validation.labels, logits)
"""

pytestmark = pytest.mark.needs("chromium")


@pytest.fixture(scope="module")
def board(lab, browser):
    """A dashboard that has not been started."""
    notebook = run_notebook(browser, lab, "dashboard.ipynb", SETUP, "Dashboard(run, model, optimizer, steps=400)")
    yield notebook
    assert_healthy(notebook)


@pytest.fixture(scope="module")
def matrix(lab, browser):
    """A confusion matrix with 15 mistakes."""
    notebook = run_notebook(browser, lab, "confusion.ipynb", SETUP, MATRIX)
    yield notebook
    assert_healthy(notebook)


def press(notebook, name):
    notebook.widget().get_by_role("button", name=name, exact=True).click()


def test_a_run_is_stepped_held_and_finished(board):
    widget = board.widget()
    where = widget.locator(".gl-where")
    expect(where).to_have_text("step 0 of 400")
    press(board, "Step")
    expect(where).to_have_text("step 1 of 400", timeout=60_000)
    widget.get_by_role("button", name="Step", exact=True).focus()
    board.page.keyboard.press("Enter")
    expect(where).to_have_text("step 2 of 400")
    press(board, "Continue")
    expect(where).to_have_text(re.compile(r"step \d{2,3} of 400"), timeout=30_000)
    press(board, "Pause")
    expect(widget.get_by_role("status")).to_contain_text("Held between two steps.")
    held = where.text_content()
    slider = widget.get_by_role("slider", name="learning rate")
    slider.focus()
    board.page.keyboard.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", "1.5e-3")
    assert where.text_content() == held
    press(board, "Continue")
    expect(widget.get_by_role("status")).to_contain_text("Finished. Step 400", timeout=60_000)
    loss, accuracy, rate = (widget.locator(".gl-curve").nth(i).get_attribute("d") for i in range(3))
    assert min(len(path) for path in (loss, accuracy, rate)) > 500
    for hill in widget.locator(".gl-hill").all():
        assert hill.get_attribute("d")


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_the_dashboard_is_accessible_in_both_themes(board, theme):
    board.theme(theme)
    shoot(board, f"dashboard-{theme.lower()}")
    assert_accessible(board)


def test_a_loop_that_raises_says_so(lab, browser):
    notebook = run_notebook(browser, lab, "raises.ipynb", SETUP, WRONG)
    press(notebook, "Start")
    expect(notebook.widget().get_by_role("alert")).to_contain_text("the student made this", timeout=30_000)
    assert_healthy(notebook)


def test_a_cell_of_the_matrix_shows_its_images(matrix):
    widget = matrix.widget()
    expect(widget.locator(".gl-gallery canvas")).to_have_count(15)
    cell = widget.get_by_role("button", name=re.compile(r"^\d taken for \d: ")).first
    count = int(cell.text_content())
    cell.focus()
    matrix.page.keyboard.press("Enter")
    expect(widget.locator(".gl-gallery canvas")).to_have_count(count)
    expect(cell).to_have_attribute("aria-pressed", "true")
    press(matrix, "All mistakes")
    expect(widget.locator(".gl-gallery canvas")).to_have_count(15)


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_the_matrix_is_accessible_in_both_themes(matrix, theme):
    matrix.theme(theme)
    shoot(matrix, f"confusion-{theme.lower()}")
    assert_accessible(matrix)
