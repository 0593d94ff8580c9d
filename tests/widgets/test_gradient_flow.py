"""The maps of gradient flow: their training runs agree with JAX, and they say when a student's function does not."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from gradlab.mistakes import backward as mistakes
from gradlab.widgets import GradientFlow
from gradlab.widgets.gradient_flow import picture
from gradlab.widgets.gradient_flow.steps import StepFlow, StepSetting
from gradlab.widgets.gradient_flow.training import BINS, LEARNING_RATE, Setting, histograms, size, start, train
from gradlab_grading.reference import lab_folders, reference

SHORT = Setting("glorot", depth=5)


@pytest.fixture(scope="module")
def names():
    return reference(lab_folders()["03-backward"])


@pytest.fixture(scope="module")
def run():
    return train(SHORT, start(SHORT))


def test_the_cotangents_belong_to_the_network(run):
    """Pulling the output's cotangent back through the layers, one by one, gives the input's."""
    back = jnp.asarray(run.cotangents[0, -1])
    hidden, pulls = jnp.asarray(run.x), []
    for weight in run.weights[0]:
        hidden, pull = jax.vjp(lambda h, w=weight: jnp.tanh(h @ w), hidden)
        pulls.append(pull)
    for pull in reversed(pulls):
        (back,) = pull(back)
    np.testing.assert_allclose(back, run.cotangents[0, 0], rtol=1e-3, atol=1e-6)


def test_the_update_is_the_learning_rate_times_the_gradient(run):
    hidden = jnp.tanh(jnp.asarray(run.x) @ run.weights[0, 0])
    inner = jnp.asarray(run.cotangents[0, 1]) * (1 - hidden**2)
    slope = jnp.asarray(run.x).T @ inner
    want = LEARNING_RATE * jnp.sqrt(jnp.mean(slope**2)) / np.sqrt(np.mean(run.weights[0, 0] ** 2))
    assert run.ratios[0, 0] == pytest.approx(float(want), rel=1e-3)


def test_every_entry_is_in_a_histogram(run):
    counts = histograms(run.cotangents)
    assert counts.shape == (len(run.weights), 6, BINS)
    assert (counts.sum(-1) == run.x.size).all()


def test_a_right_function_agrees_with_jax(names):
    flow = GradientFlow(names["gradient_flow"], names["deep_init"], depth=5).measure(SHORT)
    assert (flow.problem, flow.departs, flow.measured_by) == (None, None, "your gradient_flow")


def test_a_wrong_function_is_found_out(names):
    wrong = GradientFlow(mistakes.norm_instead_of_root_mean_square, names["deep_init"], depth=5)
    assert "departs from JAX" in wrong.measure(SHORT).departs


def test_residual_connections_are_measured_by_jax(names):
    setting = Setting("glorot", depth=5, residual=True)
    assert "JAX" in GradientFlow(names["gradient_flow"], names["deep_init"]).measure(setting).measured_by


def test_what_the_students_code_raises_is_said(names):
    def stub(*_):
        raise NotImplementedError

    assert GradientFlow(stub, names["deep_init"], depth=5).measure(SHORT).problem == "gradient_flow: not written yet"
    unwritten = GradientFlow(names["gradient_flow"], stub, depth=5)
    assert unwritten.answer_flow({"setting": {"weights": "yours", "depth": 5}})[0]["problem"].startswith("deep_init")
    flat = GradientFlow(names["gradient_flow"], lambda key, depth, width, activation: jnp.zeros(3))
    assert "shape (3,)" in flat.measure(Setting(depth=5)).problem


@pytest.mark.parametrize(("sizes", "word"), [([-3.0, 0], "vanishes"), ([2.0, 0], "explodes"), ([0.2, 0], "arrives")])
def test_the_verdict(sizes, word):
    assert word in picture.verdict(np.array(sizes))


def test_a_setting_that_there_is_not_is_refused(names):
    with pytest.raises(ValueError, match="depth=7: choose one of 5, 10, 20, 30"):
        GradientFlow(names["gradient_flow"], names["deep_init"], depth=7)


SHALLOW = StepSetting(depth=5)


@nnx.jit
def train_step(model, optimizer, x, labels, scale=1.0):
    """A right step, whose loss can be scaled, which makes it wrong."""

    def loss(model):
        logits = model(x)
        return scale * optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), logits

    (value, logits), slope = nnx.value_and_grad(loss, has_aux=True)(model)
    optimizer.update(model, slope)
    return value, (logits.argmax(-1) == labels).mean(), slope


def test_a_right_step_agrees_with_jax_and_with_the_run_of_lab_03(run):
    flow = StepFlow(train_step).measure(SHALLOW)
    assert (flow.problem, flow.departs) == (None, None)
    # The same start, batch, and rate: two programs of five layers that round differently part slowly.
    np.testing.assert_allclose(flow.ratios, np.log10(run.ratios), atol=0.01)
    np.testing.assert_allclose(flow.sizes, np.log10(size(run.cotangents)), atol=0.01)
    assert (flow.histograms[0] == histograms(run.cotangents)[0]).all()


def test_the_first_update_of_adam_is_its_rate_whatever_the_gradient():
    flow = StepFlow(train_step).measure(StepSetting("small", depth=10, optimizer="adam"))
    assert "vanishes" in picture.verdict(flow.sizes[0])
    # Every entry moves by the rate, 1e-3, but those of pixels that are always white; the weights' spread is 1/16.
    np.testing.assert_allclose(flow.ratios[0], np.log10(16e-3), atol=0.05)


def test_a_wrong_step_is_found_out():
    doubled = StepFlow(lambda *batch: train_step(*batch, 2.0)).measure(SHALLOW)
    assert "Your train_step departs from JAX: in the weights of layer 5 it finds" in doubled.departs


def test_what_a_step_raises_or_returns_instead_is_said():
    def stub(*_):
        raise NotImplementedError

    assert StepFlow(stub).measure(SHALLOW).problem == "train_step: not written yet"
    assert "not written yet" in StepFlow(stub).picture()[1]
    nothing = StepFlow(lambda *batch: (*train_step(*batch)[:2], {})).measure(SHALLOW)
    assert "the gradients have shape nothing, and (5, 64, 64) is asked for" in nothing.problem
    with pytest.raises(ValueError, match="optimizer='momentum': choose one of sgd, adam"):
        StepFlow(stub, optimizer="momentum")
