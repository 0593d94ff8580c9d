"""Checks of lab 04, optimizers.

Oracles: closed forms in float64 for gradient descent and SGD, optax for the rest. The student's float32 results are
compared at rtol 1e-4: a few dozen rounded operations at 6e-8 each, with a wide margin, and far below what any of the
known mistakes changes. The atol of 1e-5 is for parameters that a step leaves near zero: 1 - 0.999 is known to 3e-5 in
float32, so each of Adam's first steps, 0.1 long, to 2e-6, however little of the parameter is left.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gradlab.checks.case import Case
from gradlab.checks.draw import Draw
from gradlab.checks.exercise import exercise
from gradlab.checks.prediction import committed
from gradlab.landscapes import Quadratic, SoftmaxRegression
from gradlab.optim import Signum, ZeroMoments, Zeros, train_on_digits
from gradlab.seam import probe
from gradlab.seam.handle import Handle

close = partial(Case, rtol=1e-4, atol=1e-5)
UNTOUCHED = "the arguments are as they were"


def tree(draw: Draw, *, positive: bool = False) -> dict[str, Any]:
    """Parameters as a student's model has them: leaves of different shapes, nested."""
    n, m = draw.size(), draw.size()
    leaves = {"layer": {"weight": draw.normal(n, m), "bias": draw.normal(m)}, "scale": draw.normal(1)}
    return jax.tree.map(lambda leaf: jnp.asarray(abs(leaf) if positive else leaf), leaves)


def like(draw: Draw, params: Any, *, positive: bool = False) -> Any:
    """Fresh normal numbers in the shape of `params`."""
    fresh = jax.tree.map(lambda leaf: draw.normal(*leaf.shape), params)
    return jax.tree.map(lambda leaf: jnp.asarray(abs(leaf) if positive else leaf), fresh)


def path(step: Callable, params: Any, gradients: list, state: Any, **settings: Any) -> list:
    """The parameters after each of several steps with given gradients."""
    visited = []
    for gradient in gradients:
        params, state = step(params, gradient, state, **settings)
        visited.append(params)
    return visited


def optax_path(tx: optax.GradientTransformation, params: Any, gradients: list, state: Any = None) -> list:
    """The same by optax, from its own starting state unless one is given."""
    state = tx.init(params) if state is None else state
    visited = []
    for gradient in gradients:
        updates, state = tx.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        visited.append(jax.tree.map(np.asarray, params))
    return visited


@exercise(points=10, visible=4, skill="optimization")
def gradient_descent(draw: Draw) -> Iterator[Case]:
    # In a scan the rate is a constant of the program: drawn as sizes are, one program serves every batch.
    n, steps, rate = draw.size(2, 5), draw.size(4, 8), draw.size(1, 9) / 10
    bowl = Quadratic.with_condition(draw.uniform(2, 20), n, angle=draw.uniform(0.2, 1.2))
    bowl = Quadratic(bowl.matrix, draw.normal(n))
    start = jnp.asarray(draw.normal(n))
    shrink = np.eye(n) - rate * bowl.matrix.astype(np.float64)
    powers = [np.linalg.matrix_power(shrink, t) for t in range(steps + 1)]
    exact = np.stack([bowl.center + power @ (np.asarray(start) - bowl.center) for power in powers])
    yield close(
        "the whole trajectory on a quadratic",
        run=lambda descend: descend(bowl.gradient, start, rate, steps),
        want=exact,
        weight=3,
        because="On a quadratic x_t = c + (I - learning_rate A)^t (x_0 - c), the starting point included.",
    )
    yield close(
        "no step: the start alone",
        run=lambda descend: descend(bowl.gradient, start, rate, 0),
        want=np.asarray(start)[None],
        trivial=True,
    )
    yield Case(
        "one program for any number of steps",
        run=lambda descend: _program_grows(descend, bowl.gradient, start, rate),
        want=False,
        because="A Python loop is unrolled: the program gets longer with every step. jax.lax.scan keeps it small.",
        trivial=True,
    )


def _program_grows(descend: Handle, gradient: Any, start: Any, rate: float) -> bool:
    short, long = (probe.program(descend, gradient, start, rate, steps) for steps in (4, 16))
    # Loop bounds and shapes are numbers in the text; only unrolling adds lines.
    return len(long.text.splitlines()) > len(short.text.splitlines()) + 4


@exercise(points=2, visible=2, skill="optimization", arguments=("limit_guess",))
def stability_limit(draw: Draw) -> Iterator[Case]:
    yield committed()


@exercise(points=10, visible=4, skill="optimization")
def sgd(draw: Draw) -> Iterator[Case]:
    count, width, classes = draw.size(9, 14), draw.size(3, 5), draw.size(3, 4)
    x, y = draw.normal(count, width), draw.rng.integers(0, classes, count).astype(np.int32)
    params = {"weight": draw.normal(width, classes), "bias": draw.normal(classes)}
    order = draw.rng.permutation(count).astype(np.int32)
    rate = draw.uniform(0.2, 0.6)
    uneven = next(size for size in (4, 5, 3) if count % size)

    def run(batch: int, sequence: np.ndarray) -> Callable:
        start = jax.tree.map(jnp.asarray, params)
        arrays = (jnp.asarray(x), jnp.asarray(y), jnp.asarray(sequence))
        return lambda sgd: sgd(SoftmaxRegression().gradient, start, *arrays, batch, rate)

    even = order[: uneven * (count // uneven)]
    yield close(
        "batches that divide the data",
        run=run(uneven, even),
        want=softmax_epoch(params, x, y, even, uneven, rate),
        weight=2,
        because="Each batch gives one step, with the gradient at the parameters that the step before has left.",
    )
    yield close(
        "a last batch that is short",
        run=run(uneven, order),
        want=softmax_epoch(params, x, y, order, uneven, rate),
        weight=2,
        because="The examples that are left over make one more step, with the mean over as many as there are.",
    )
    yield close("one batch of everything", run=run(count, order), want=softmax_epoch(params, x, y, order, count, rate))


def softmax_epoch(params: dict, x: np.ndarray, y: np.ndarray, order: np.ndarray, batch: int, rate: float) -> dict:
    """One epoch in NumPy and float64, with the gradient of softmax regression written out: (p - one-hot) / B."""
    weight, bias = (params[name].astype(np.float64) for name in ("weight", "bias"))
    for first in range(0, len(order), batch):
        rows = order[first : first + batch]
        scores = np.exp(x[rows] @ weight + bias)
        error = scores / scores.sum(axis=1, keepdims=True)
        error[np.arange(len(rows)), y[rows]] -= 1
        weight, bias = weight - rate * x[rows].T @ error / len(rows), bias - rate * error.mean(axis=0)
    return {"weight": weight, "bias": bias}


def _step_cases(
    draw: Draw, reference: Callable[..., optax.GradientTransformation], settings: dict, start: Callable, warm: Callable
) -> Iterator[Case]:
    """The cases that every step function with a state shares.

    `start(params)` is the state at zero; `warm(draw, params)` gives another state, for the student and for optax.
    """
    params = tree(draw)
    slopes = [like(draw, params) for _ in range(4)]
    rate = draw.uniform(0.05, 0.3)
    tx = reference(rate, **settings)
    yield close(
        "four steps with changing gradients, from the starting state",
        run=lambda step: path(step, params, slopes, start(params), learning_rate=rate, **settings),
        want=optax_path(tx, params, slopes),
        weight=3,
    )
    state, optax_state = warm(draw, params)
    yield close(
        "two steps from a state that is not zero",
        run=lambda step: path(step, params, slopes[:2], state, learning_rate=rate, **settings),
        want=optax_path(tx, params, slopes[:2], optax_state),
        weight=3,
        because="Training that resumes starts here. The state is the one that the docstring defines.",
    )
    yield Case(
        UNTOUCHED,
        run=lambda step: probe.leaves_arguments(step, params, slopes[0], state, learning_rate=rate, **settings),
        want=True,
        trivial=True,
        because="Return new values. Whoever holds the old ones (a checkpoint, a second optimizer) still needs them.",
    )


def _chained(scale: Callable[..., optax.GradientTransformation]) -> Callable[..., optax.GradientTransformation]:
    return lambda rate, **settings: optax.chain(scale(**settings), optax.scale(-rate))


def _trace_state(draw: Draw, params: Any) -> tuple[Any, Any]:
    velocity = like(draw, params)
    return velocity, (optax.TraceState(trace=velocity), optax.ScaleState())


def _rms_state(draw: Draw, params: Any) -> tuple[Any, Any]:
    square = like(draw, params, positive=True)
    return square, (optax.ScaleByRmsState(nu=square), optax.ScaleState())


def _adam_moments(draw: Draw, params: Any) -> tuple[tuple, optax.ScaleByAdamState]:
    count, mean, square = draw.size(2, 5), like(draw, params), like(draw, params, positive=True)
    return (count, mean, square), optax.ScaleByAdamState(count=jnp.asarray(count), mu=mean, nu=square)


@exercise(points=7, visible=3, skill="optimization")
def momentum(draw: Draw) -> Iterator[Case]:
    settings = {"decay": draw.uniform(0.6, 0.95)}
    yield from _step_cases(draw, _chained(optax.trace), settings, Zeros(), _trace_state)


@exercise(points=7, visible=3, skill="optimization")
def nesterov(draw: Draw) -> Iterator[Case]:
    settings = {"decay": draw.uniform(0.6, 0.95)}
    yield from _step_cases(draw, _chained(partial(optax.trace, nesterov=True)), settings, Zeros(), _trace_state)


@exercise(points=7, visible=3, skill="optimization")
def rmsprop(draw: Draw) -> Iterator[Case]:
    # An eps as large as this makes its place in the formula visible.
    settings = {"decay": draw.uniform(0.6, 0.95), "eps": draw.uniform(0.02, 0.1)}
    scale = partial(optax.scale_by_rms, eps_in_sqrt=False)
    yield from _step_cases(draw, _chained(scale), settings, Zeros(), _rms_state)


def _adam_settings(draw: Draw) -> dict[str, float]:
    return {"b1": draw.uniform(0.6, 0.85), "b2": draw.uniform(0.9, 0.99), "eps": draw.uniform(0.02, 0.1)}


@exercise(points=10, visible=4, skill="optimization")
def adam(draw: Draw) -> Iterator[Case]:
    def warm(draw: Draw, params: Any) -> tuple[tuple, tuple]:
        moments, state = _adam_moments(draw, params)
        return moments, (state, optax.ScaleState())

    yield from _step_cases(draw, _chained(optax.scale_by_adam), _adam_settings(draw), ZeroMoments(), warm)


@exercise(points=7, visible=3, skill="optimization")
def adamw(draw: Draw) -> Iterator[Case]:
    def warm(draw: Draw, params: Any) -> tuple[tuple, tuple]:
        moments, state = _adam_moments(draw, params)
        return moments, (state, optax.EmptyState(), optax.ScaleState())

    def reference(rate: float, weight_decay: float, **settings: Any) -> optax.GradientTransformation:
        decay = optax.add_decayed_weights(weight_decay)
        return optax.chain(optax.scale_by_adam(**settings), decay, optax.scale(-rate))

    settings = _adam_settings(draw) | {"weight_decay": draw.uniform(0.2, 0.6)}
    yield from _step_cases(draw, reference, settings, ZeroMoments(), warm)


@exercise(points=7, visible=3, skill="numerics")
def clip_by_global_norm(draw: Draw) -> Iterator[Case]:
    gradients = tree(draw)
    norm = float(optax.tree.norm(gradients))
    for name, limit, trivial in (("longer than the limit", 0.3 * norm, False), ("within the limit", 2 * norm, True)):
        yield close(
            f"gradients {name}",
            run=lambda clip, limit=limit: clip(gradients, limit),
            want=jax.tree.map(np.asarray, optax.clip_by_global_norm(limit).update(gradients, optax.EmptyState())[0]),
            trivial=trivial,
            weight=1 if trivial else 2,
            because="One norm over all leaves together, and one factor for all of them, which is never above 1.",
        )
    yield close(
        "gradients that are zero",
        run=lambda clip: clip(Zeros()(gradients), 1.0),
        want=jax.tree.map(np.zeros_like, gradients),
        trivial=True,
        because="A norm of zero must not be divided by.",
    )


@exercise(points=7, visible=3, skill="optimization")
def warmup_cosine(draw: Draw) -> Iterator[Case]:
    warmup, total = draw.size(4, 9), draw.size(20, 40)
    peak, floor = draw.size(2, 9) / 10, draw.size(1, 5) / 100
    oracle = optax.warmup_cosine_decay_schedule(0.0, peak, warmup, total, floor)
    moments = {
        "during warm-up": [1, warmup // 2, warmup - 1],
        "at the peak and on the way down": [warmup, warmup + 1, (warmup + total) // 2, total - 1],
        "at the end and after it": [total, total + 1, 2 * total],
    }
    for name, steps in moments.items():
        yield close(
            name,
            run=lambda rate, steps=steps: [rate(step, peak, warmup, total, floor) for step in steps],
            want=[np.asarray(oracle(step)) for step in steps],
            because="Up in a straight line from 0 at step 0, then half a cosine down to the floor, which then stays.",
        )
    yield close(
        "with a step that jax traces",
        run=lambda rate: _traced_rate(rate, jnp.asarray(warmup + 2), peak, warmup, total, floor),
        want=np.asarray(oracle(warmup + 2)),
        because="Inside a jitted training step the step is a tracer: use jnp.where, not a Python if.",
    )


def _traced_rate(rate: Handle, *args: Any) -> Any:
    return np.asarray(probe.program(rate, *args).run())


@exercise(points=8, visible=3, skill="frameworks", arguments=("as_transformation", "adam"))
def as_transformation(draw: Draw) -> Iterator[Case]:
    params = tree(draw)
    slopes = [like(draw, params) for _ in range(5)]
    rate, decay = draw.uniform(0.05, 0.3), draw.uniform(0.6, 0.95)
    signum = optax.chain(optax.ema(decay, debias=False), optax.scale_by_sign(), optax.scale(-rate))

    def chained(make: Handle, limit: float, *args: Any, **settings: Any) -> optax.GradientTransformation:
        tx = make(*args, **settings)
        return optax.chain(optax.clip_by_global_norm(limit), optax.GradientTransformation(tx.init, tx.update))

    def signed(limit: float) -> Callable:
        settings = {"learning_rate": rate, "decay": decay}
        return lambda make, _: _plain(optax_path(chained(make, limit, Signum(), Zeros(), **settings), params, slopes))

    yield close(
        "a given update rule, five steps",
        run=signed(1e9),
        want=optax_path(signum, params, slopes),
        weight=3,
        because="optax adds what update returns to the parameters, and hands the state that it returns to the next.",
    )
    yield close(
        "chained behind optax.clip_by_global_norm",
        run=signed(0.5),
        want=optax_path(optax.chain(optax.clip_by_global_norm(0.5), signum), params, slopes),
        weight=2,
    )
    few = {"weight": jnp.asarray(draw.normal(4))}
    many = [{"weight": few["weight"] * np.cos(0.3 * t)} for t in range(100)]
    yield Case(
        "your adam against optax.adam, 100 steps",
        run=lambda make, adam: _plain(
            optax_path(chained(make, 1e9, adam, ZeroMoments(), learning_rate=0.01), few, many)[-1]
        ),
        want=optax_path(optax.adam(0.01), few, many)[-1],
        rtol=1e-3,  # 100 steps of float32 in another order of operations
        atol=1e-4,
        weight=3,
    )


def _plain(tree: Any) -> Any:
    return jax.tree.map(np.asarray, tree)


# Starts and orders move the loss of one recipe by a twentieth (one standard deviation). What has reached the target in
# the notebook shall not miss it where the grader draws others.
RECIPE_STEPS, RECIPE_TARGET, RECIPE_LUCK = 60, 0.16, 0.02


@exercise(points=8, visible=4, skill="optimization")
def digits_recipe(draw: Draw) -> Iterator[Case]:
    seed = int(draw.rng.integers(1000))
    for target, weight in ((0.3, 1), (RECIPE_TARGET if draw.visible else RECIPE_TARGET + RECIPE_LUCK, 2)):
        yield Case(
            f"a loss of {target:g} within {RECIPE_STEPS} steps",
            run=lambda recipe, target=target: _verdict(recipe, seed, target),
            want="reached",
            weight=weight,
            because="The check trains on digits by your recipe, with optax, from its own seed.",
        )


def _verdict(recipe: Handle, seed: int, target: float) -> str:
    try:
        rule = recipe()
        losses = train_on_digits(rule, steps=RECIPE_STEPS, seed=seed)
    except (ValueError, TypeError) as error:
        return f"the recipe cannot be followed: {error}"
    if losses[-1] <= target:
        return "reached"
    unclipped = train_on_digits(rule | {"max_norm": None}, steps=RECIPE_STEPS, seed=seed)
    if unclipped[-1] < 0.8 * losses[-1]:
        return "not reached: clipping holds the steps back"
    if not np.isfinite(losses).all() or losses.max() > 1.5 * losses[0]:
        return "not reached: the loss rose high above its start"
    return "not reached: the loss fell too slowly"
