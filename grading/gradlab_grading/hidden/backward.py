"""Hidden checks of lab 03, backward."""

import math
from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from gradlab.checks import backward as checks
from gradlab.checks.case import Case
from gradlab.checks.complex_step import attention, cross_entropy, layer_norm, pullback
from gradlab.checks.draw import Draw
from gradlab.curves import Waves
from gradlab.seam import probe
from gradlab.seam.handle import Handle
from gradlab_grading.hidden import hidden

close = checks.close


def _scalar_variable(draw: Draw) -> Iterator[Case]:
    x, h = draw.normal(), draw.uniform(0.2, 0.4)
    waves = Waves(np.float32(2.0) * np.ones((), np.float32))
    yield close(
        "a single variable, an array without axes",
        run=lambda grad: grad(waves, jnp.asarray(x), h),
        want=2.0 * np.cos(np.float64(x)) * math.sin(h) / h,
    )


def _matrix_of_variables(draw: Draw) -> Iterator[Case]:
    waves, x, h = Waves(draw.normal(2, 3)), draw.normal(2, 3), draw.uniform(0.3, 0.6)
    yield close(
        "a matrix of variables",
        run=lambda errors: errors(waves, waves.gradient, jnp.asarray(x), [h]),
        want=np.array([1 - math.sin(h) / h]),
        atol=3e-5,
    )


def _long_use(draw: Draw) -> Iterator[Case]:
    a, g = draw.uniform(0.3, 0.9), draw.uniform(1.0, 2.0)

    def run(Value: Handle) -> list[float]:
        x = Value(a)
        for _ in range(4):
            product = x * x
            product.perform("set_attribute", "grad", g)
            product.push()
        return [x.grad, product.data]

    yield Case("one number in four products", run=run, want=[8 * a * g, a * a], rtol=1e-6)


def _deep_and_ladder(draw: Draw) -> Iterator[Case]:
    a, b = draw.uniform(0.4, 0.9), draw.uniform(-0.9, -0.4)

    def ladder(x, y):  # noqa: ANN001, ANN202 (nodes, or complex numbers)
        for _ in range(4):
            x, y = x * y + x, y + x * 0.5
        return x * y

    def run(Value: Handle) -> list[float]:
        one, other = Value(a), Value(b)
        ladder(one, other).backward()
        return [one.grad, other.grad]

    want = pullback(lambda x, y: ladder(x[()], y[()]), (a, b), 1.0)
    yield Case("a ladder of paths", run=run, want=[float(w) for w in want], rtol=1e-6)

    def chain(Value: Handle) -> float:
        x = Value(a)
        total = x
        for _ in range(200):
            total = total + 0.5 * x
        total.backward()
        return x.grad

    yield Case("two hundred additions", run=chain, want=101.0, rtol=1e-6)


def _several_axes(draw: Draw) -> Iterator[Case]:
    cotangent = draw.normal(2, 3, 2, 4)
    yield close(
        "four axes, to (3, 1, 4)",
        run=lambda unbroadcast: unbroadcast(jnp.asarray(cotangent), (3, 1, 4)),
        want=cotangent.astype(np.float64).sum(axis=(0, 2))[:, None, :],
    )


def _single_example(draw: Draw) -> Iterator[Case]:
    args, cotangent = (draw.normal(1, 3), draw.normal(3, 2), draw.normal(2)), draw.normal(1, 2)
    yield close(
        "a batch of one",
        run=lambda vjp: vjp(*checks.on_device(*args, cotangent)),
        want=pullback(lambda x, weight, bias: x @ weight + bias, args, cotangent),
    )


def _negative_cotangents(draw: Draw) -> Iterator[Case]:
    x = draw.normal(5)
    yield close(
        "negative cotangents, one axis",
        run=lambda vjp: vjp(*checks.on_device(x, -1 - abs(x))),
        want=np.where(x > 0, -1.0 - abs(x.astype(np.float64)), 0.0),
    )


def _two_classes(draw: Draw) -> Iterator[Case]:
    logits, labels = draw.normal(2, 2), np.array([1, 0], np.int32)
    yield close(
        "two classes, minus one",
        run=lambda vjp: vjp(*checks.on_device(logits, labels, np.float32(-1.0))),
        want=pullback(partial(cross_entropy, labels), (logits,), -1.0)[0],
    )


def _default_eps(draw: Draw) -> Iterator[Case]:
    args, cotangent = (5 + draw.normal(3, 4), draw.normal(4), draw.normal(4)), draw.normal(3, 4)
    yield close(
        "the default eps, and rows far from zero",
        run=lambda vjp: vjp(*checks.on_device(*args, cotangent)),
        want=pullback(partial(layer_norm, 1e-5), args, cotangent),
        rtol=1e-3,  # x - mean loses a digit
        atol=1e-4,
    )


def _large_scores(draw: Draw) -> Iterator[Case]:
    args, cotangent = (20 * draw.normal(3, 3), 20 * draw.normal(3, 3), draw.normal(3, 3)), draw.normal(3, 3)
    yield close(
        "scores far from zero, and far from each other",
        run=lambda vjp: vjp(*checks.on_device(*args, cotangent))[2],
        want=pullback(attention, args, cotangent)[2],
    )


def _traced(draw: Draw) -> Iterator[Case]:
    params, x, labels = checks.random_mlp(draw, 2, 3, 2), draw.normal(3, 2), np.array([0, 1, 1], np.int32)
    yield close(
        "inside a jitted step",
        run=lambda backward: probe.program(backward, *checks.on_device(params, x, labels)).run(),
        want=checks.mlp_oracle(params, x, labels),
    )


def _far_out(draw: Draw) -> Iterator[Case]:
    x = np.array([-1000.0, 0.0, 1000.0], np.float32)
    yield close(
        "a thousand on both sides, and zero",
        run=lambda f: probe.vjp(f, jnp.asarray(x), cotangent=jnp.full(3, 2.0)),
        want=(np.array([0.0, math.log(2), 1000.0]), (np.array([0.0, 1.0, 2.0]),)),
        trivial=True,
    )


def _a_matrix(draw: Draw) -> Iterator[Case]:
    table, arriving = draw.normal(2, 3, scale=4), draw.normal(2, 3)
    yield close(
        "a matrix",
        run=lambda f: probe.vjp(f, jnp.asarray(table), cotangent=jnp.asarray(arriving)),
        want=(np.round(table), (arriving,)),
    )


def _steep(draw: Draw) -> Iterator[Case]:
    b, x, v = draw.uniform(5, 10), draw.normal(5), draw.normal(5)
    yield close(
        "a steep valley",
        run=lambda hvp: hvp(checks.Valley(b), *checks.on_device(x, v)),
        want=checks.valley_hvp(b, x.astype(np.float64), v.astype(np.float64)),
        rtol=1e-3,
        atol=1e-3,
    )


def _one_layer(draw: Draw) -> Iterator[Case]:
    weights, x, cotangent = draw.normal(1, 3, 3), draw.normal(4, 3), draw.normal(4, 3)
    yield close(
        "one layer",
        run=lambda flow: flow(*checks.on_device(weights, x, cotangent), "tanh"),
        want=checks.flow_oracle(weights, x, cotangent, "tanh"),
    )


def _other_keys(draw: Draw) -> Iterator[Case]:
    first, second = (jax.random.key(int(seed)) for seed in draw.rng.choice(1000, 2, replace=False))
    yield Case(
        "another key gives other weights, the same key the same",
        run=lambda init: [
            bool(np.array_equal(init(first, 3, 64, "tanh"), init(key, 3, 64, "tanh"))) for key in (first, second)
        ],
        want=[True, False],
    )


numerical_grad = hidden(checks.numerical_grad, _scalar_variable)
gradient_errors = hidden(checks.gradient_errors, _matrix_of_variables)
value = hidden(checks.value, _long_use)
backward = hidden(checks.backward, _deep_and_ladder)
unbroadcast = hidden(checks.unbroadcast, _several_axes)
affine_vjp = hidden(checks.affine_vjp, _single_example)
relu_vjp = hidden(checks.relu_vjp, _negative_cotangents)
log_softmax_cross_entropy_vjp = hidden(checks.log_softmax_cross_entropy_vjp, _two_classes)
layer_norm_vjp = hidden(checks.layer_norm_vjp, _default_eps)
attention_vjp = hidden(checks.attention_vjp, _large_scores)
mlp_backward = hidden(checks.mlp_backward, _traced)
log1pexp = hidden(checks.log1pexp, _far_out)
straight_through_round = hidden(checks.straight_through_round, _a_matrix)
hvp = hidden(checks.hvp, _steep)
gradient_flow = hidden(checks.gradient_flow, _one_layer)
deep_init = hidden(checks.deep_init, _other_keys)
