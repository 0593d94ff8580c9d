"""Hidden checks of lab 04, optimizers."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gradlab.checks import optimizers as checks
from gradlab.checks.case import Case
from gradlab.checks.draw import Draw
from gradlab.landscapes import Quadratic
from gradlab.optim import ZeroMoments
from gradlab_grading.hidden import hidden

close = checks.close


def _at_the_limit(draw: Draw) -> Iterator[Case]:
    curve = float(draw.size(1, 4))
    bowl = Quadratic(np.full((1, 1), curve, np.float32), np.zeros(1, np.float32))
    start = jnp.asarray(draw.normal(1))
    yield close(
        "at twice the stable rate, diverging as it should",
        run=lambda descend: descend(bowl.gradient, start, 4 / curve, 6),
        want=np.asarray(start, np.float64) * (-3.0) ** np.arange(7)[:, None],
    )


def _batches_of_one(draw: Draw) -> Iterator[Case]:
    x, y = draw.normal(4, 2), np.array([0, 1, 1, 0], np.int32)
    params = {"weight": draw.normal(2, 2), "bias": draw.normal(2)}
    order = np.array([2, 0, 3], np.int32)
    yield close(
        "batches of one, on a part of the data",
        run=lambda sgd: sgd(checks.SoftmaxRegression().gradient, params, jnp.asarray(x), jnp.asarray(y), order, 1, 0.5),
        want=checks.softmax_epoch(params, x, y, order, 1, 0.5),
    )


def _no_memory(draw: Draw) -> Iterator[Case]:
    params = checks.tree(draw)
    slopes = checks.like(draw, params)
    velocity = checks.like(draw, params)
    yield close(
        "with no memory it is gradient descent",
        run=lambda step: step(params, slopes, velocity, 0.1, decay=0.0)[0],
        want=jax.tree.map(lambda p, g: np.asarray(p, np.float64) - 0.1 * np.asarray(g, np.float64), params, slopes),
    )


def _tiny_gradients(draw: Draw) -> Iterator[Case]:
    """Gradients of 1e-6: the default eps of 1e-8 must not dominate, and under the root it would."""
    params = {"w": jnp.asarray(draw.normal(draw.size()))}
    slopes = [{"w": jnp.asarray(1e-6 * np.sign(draw.normal(*params["w"].shape)))} for _ in range(3)]
    yield close(
        "tiny gradients, with the default settings",
        run=lambda step: checks.path(step, params, slopes, ZeroMoments()(params), learning_rate=0.1),
        want=checks.optax_path(optax.adam(0.1), params, slopes),
    )


def _adamw_defaults(draw: Draw) -> Iterator[Case]:
    params = {"w": jnp.asarray(100 * draw.normal(draw.size()))}
    slopes = [checks.like(draw, params) for _ in range(3)]
    yield close(
        "large weights, with the default settings",
        run=lambda step: checks.path(step, params, slopes, ZeroMoments()(params), learning_rate=0.1),
        want=checks.optax_path(optax.adamw(0.1, weight_decay=1e-2), params, slopes),
    )


def _one_leaf(draw: Draw) -> Iterator[Case]:
    vector = draw.normal(draw.size(3, 8))
    yield close(
        "a tree that is one array",
        run=lambda clip: clip(jnp.asarray(vector), 0.5 * float(np.linalg.norm(vector))),
        want=0.5 * vector.astype(np.float64),
    )


def _no_warm_up(draw: Draw) -> Iterator[Case]:
    peak, total = draw.uniform(0.1, 1), draw.size(10, 20)
    oracle = optax.cosine_decay_schedule(peak, total)
    yield close(
        "without warm-up",
        run=lambda rate: [rate(step, peak, 0, total) for step in (0, 1, total // 2, total)],
        want=[np.asarray(oracle(step)) for step in (0, 1, total // 2, total)],
    )


gradient_descent = hidden(checks.gradient_descent, _at_the_limit)
sgd = hidden(checks.sgd, _batches_of_one)
momentum = hidden(checks.momentum, _no_memory)
nesterov = hidden(checks.nesterov, _no_memory)
rmsprop = hidden(checks.rmsprop)
adam = hidden(checks.adam, _tiny_gradients)
adamw = hidden(checks.adamw, _adamw_defaults)
clip_by_global_norm = hidden(checks.clip_by_global_norm, _one_leaf)
warmup_cosine = hidden(checks.warmup_cosine, _no_warm_up)
as_transformation = hidden(checks.as_transformation)
digits_recipe = hidden(checks.digits_recipe)
