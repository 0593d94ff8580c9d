"""Hidden checks of lab 02, forward."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special
from scipy.signal import correlate2d

from gradlab.checks import forward as checks
from gradlab.checks.case import Case
from gradlab.checks.draw import Draw
from gradlab.seam import probe
from gradlab_grading.hidden import hidden

close = checks.close


def _no_examples(draw: Draw) -> Iterator[Case]:
    weight, bias = checks.array(draw, 3, 2), checks.array(draw, 2)
    yield close(
        "a batch of no examples",
        run=lambda affine: affine(jnp.zeros((0, 3)), weight, bias),
        want=np.zeros((0, 2)),
        trivial=True,
    )


def _excluded_classes(draw: Draw) -> Iterator[Case]:
    n = draw.size(3, 5)
    x = checks.array(draw, n, n, scale=2).at[:, 1].set(-jnp.inf)
    yield close(
        "a class that is excluded by a logit of minus infinity",
        run=lambda log_softmax: log_softmax(x),
        want=special.log_softmax(checks.wide(x), axis=-1),
    )
    yield close(
        "inside jax.jit",
        run=lambda log_softmax: probe.program(log_softmax, x, axis=0).run()[:, 0],
        want=special.log_softmax(checks.wide(x)[:, 0]),
    )


def _column_of_predictions(draw: Draw) -> Iterator[Case]:
    prediction, target = checks.array(draw, 3, 1), checks.array(draw, 3, 1)
    yield close(
        "columns of equal shape",
        run=lambda mse: mse(prediction, target),
        want=float(np.square(checks.wide(prediction) - checks.wide(target)).sum() / 3),
    )


def _all_smoothed(draw: Draw) -> Iterator[Case]:
    logits, labels = checks.array(draw, 6, 4), jnp.asarray(draw.rng.integers(0, 4, 6), jnp.int32)
    even = -special.log_softmax(checks.wide(logits), axis=-1).mean()
    yield close(
        "targets that are smoothed to the end",
        run=lambda loss: loss(logits, labels, label_smoothing=1.0),
        want=float(even),
    )


def _tiny_spread(draw: Draw) -> Iterator[Case]:
    d = draw.size(3, 5)
    x, scale, bias = checks.array(draw, d, d, scale=1e-3), checks.array(draw, d), checks.array(draw, d)
    yield close(
        "a spread so small that the default eps counts",
        run=lambda norm: norm(x, scale, bias),
        want=checks.normalized(x, scale, bias, 1e-5),
    )


def _padding_and_stride(draw: Draw) -> Iterator[Case]:
    height, c = draw.size(5, 6), 2
    images, kernel = checks.array(draw, 2, height, height + 2, c), checks.array(draw, 3, 2, c, c + 1)
    yield close(
        "padding and a stride together",
        run=lambda conv: conv(images, kernel, 3, 2),
        want=checks.lax_convolution(images, kernel, 3, 2),
    )
    one, small = checks.array(draw, 1, height, height + 2, 1), checks.array(draw, 3, 3, 1, 1)
    yield close(
        "one channel, against SciPy",
        run=lambda conv: conv(one, small)[0, :, :, 0],
        want=correlate2d(checks.wide(one)[0, :, :, 0], checks.wide(small)[:, :, 0, 0], mode="valid"),
    )


def _one_token(draw: Draw) -> Iterator[Case]:
    query, key, value = (checks.array(draw, 1, 3) for _ in range(3))
    yield close("a sequence of one token gives its value", run=lambda attend: attend(query, key, value), want=value)


def _inside_jit(draw: Draw) -> Iterator[Case]:
    params, x = checks.layers(draw, [3, 5, 4, 2]), checks.array(draw, 2, 3, 3)
    yield close(
        "inside jax.jit, on a batch of sequences",
        run=lambda forward: probe.program(forward, params, x).run(),
        want=checks.perceptron(params, x)[-1],
    )


def _same_key(draw: Draw) -> Iterator[Case]:
    key = jax.random.key(int(draw.rng.integers(2**31)))

    def gap(one: list, other: list) -> float:
        return max(float(np.abs(a["weight"] - b["weight"]).max()) for a, b in zip(one, other, strict=True))

    yield Case(
        "the same key gives the same numbers",
        run=lambda init: gap(init(key, [5, 7, 3]), init(key, [5, 7, 3])),
        want=0.0,
        trivial=True,
    )


affine = hidden(checks.affine, _no_examples)
relu = hidden(checks.relu)
gelu = hidden(checks.gelu)
log_softmax = hidden(checks.log_softmax, _excluded_classes)
mse = hidden(checks.mse, _column_of_predictions)
cross_entropy = hidden(checks.cross_entropy, _all_smoothed)
layer_norm = hidden(checks.layer_norm, _tiny_spread)
conv2d = hidden(checks.conv2d, _padding_and_stride)
causal_attention = hidden(checks.causal_attention, _one_token)
mlp_forward = hidden(checks.mlp_forward, _inside_jit)
map_examples = hidden(checks.map_examples)
init_params = hidden(checks.init_params, _same_key)
