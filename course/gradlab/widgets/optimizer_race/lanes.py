"""The lanes of the race: what is known of each optimizer, and what becomes of a student's function in it."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

# Two leaves and not one vector: an optimizer has to work on pytrees, and one that shares its state between leaves
# must be seen to go wrong.
Params = dict[str, Float[Array, ""]]

WEIGHT_DECAY = 1e-2


def zeros(params: Params) -> Params:
    return jax.tree.map(jnp.zeros_like, params)


@dataclass(frozen=True)
class Optimizer:
    """An optimizer of lab 04: which settings reach it by keyword, the state it starts from, and optax's own.

    `state` is None for the one that is called once for the whole run and not once a step.
    """

    name: str
    settings: tuple[str, ...]
    state: Callable[[Params], Any] | None
    library: Callable[..., optax.GradientTransformation]


def _momentum(learning_rate, decay):
    return optax.sgd(learning_rate, momentum=decay)


def _nesterov(learning_rate, decay):
    return optax.sgd(learning_rate, momentum=decay, nesterov=True)


def _rmsprop(learning_rate, decay):
    return optax.rmsprop(learning_rate, decay=decay, eps=1e-8, eps_in_sqrt=False)


def _adamw(learning_rate, b1, b2):
    return optax.adamw(learning_rate, b1=b1, b2=b2, weight_decay=WEIGHT_DECAY)


def _moments(params: Params) -> tuple:
    return 0, zeros(params), zeros(params)


OPTIMIZERS = {
    optimizer.name: optimizer
    for optimizer in (
        Optimizer("gradient descent", (), None, optax.sgd),
        Optimizer("momentum", ("decay",), zeros, _momentum),
        Optimizer("nesterov", ("decay",), zeros, _nesterov),
        Optimizer("rmsprop", ("decay",), zeros, _rmsprop),
        Optimizer("adam", ("b1", "b2"), _moments, optax.adam),
        Optimizer("adamw", ("b1", "b2"), _moments, _adamw),
    )
}


@dataclass(frozen=True)
class Problem:
    """Why a lane stands still: in words for its row, and whether the function is merely not written yet."""

    message: str
    waiting: bool = False


@dataclass(frozen=True)
class Lane:
    """A student's function in the race.

    `eager` says why JAX could not trace the function, in which case it is called step by step; None if it could.
    """

    name: str
    function: Any
    optimizer: Optimizer | None
    problem: Problem | None = None
    eager: str | None = None


def enter(name: str, function: Any) -> Lane:
    """The lane of `function`, after trying it for one step."""
    optimizer = OPTIMIZERS.get(name.lower().replace("_", " "))
    if optimizer is None:
        known = ", ".join(OPTIMIZERS)
        return Lane(
            name,
            function,
            None,
            Problem(f"The race does not know “{name}”. It knows: {known}."),
        )
    if not callable(function):
        return Lane(name, function, optimizer, Problem(f"This is {function!r}, not a function."))
    try:
        wrong = _try_run(function) if optimizer.state is None else _try_step(function, optimizer)
    except Exception as error:
        return Lane(name, function, optimizer, explain(error, function))
    return Lane(name, function, optimizer, Problem(wrong) if wrong else None)


def explain(error: Exception, function: Callable) -> Problem:
    """What a student reads when the function raised: the error, and the line of theirs that it came from."""
    if isinstance(error, NotImplementedError):
        return Problem("Not written yet.", waiting=True)
    message = f"{type(error).__name__}: {first_line(error)}"
    home = getattr(getattr(function, "__code__", None), "co_filename", None)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == home]
    if frames:
        message += f" (in {frames[-1].name}: {frames[-1].line})"
    return Problem(message)


def first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no message"


def _try_step(function: Callable, optimizer: Optimizer) -> str | None:
    """What is wrong with the shape of one step's result, or None. Raises what the function raises."""
    assert optimizer.state is not None
    params = {"x": jnp.float32(1.0), "y": jnp.float32(-0.5)}
    gradients = {"x": jnp.float32(0.3), "y": jnp.float32(2.0)}
    settings = {"decay": 0.9, "b1": 0.9, "b2": 0.999}
    result = function(
        params,
        gradients,
        optimizer.state(params),
        0.1,
        **{key: settings[key] for key in optimizer.settings},
    )
    if not (isinstance(result, tuple) and len(result) == 2):
        return f"It returned {_describe(result)}, not the pair (params, state)."
    if jax.tree.structure(result[0]) != jax.tree.structure(params):
        return f"Its new params are {_describe(result[0])}; params came in as a dict with the scalars x and y."
    for key, value in result[0].items():
        if jnp.shape(value) != ():
            return f"Its new params['{key}'] has shape {jnp.shape(value)}; it came in as a scalar, shape ()."
    return None


def _try_run(function: Callable) -> str | None:
    """What is wrong with the shape of a short run, or None. Raises what the function raises."""
    steps = 3
    result = function(lambda point: point, jnp.array([1.0, -0.5]), 0.1, steps)
    if jnp.shape(result) != (steps + 1, 2):
        return f"For {steps} steps it returned {_describe(result)}, not an array of shape ({steps + 1}, 2)."
    return None


def _describe(value: Any) -> str:
    if hasattr(value, "shape"):
        return f"an array of shape {tuple(value.shape)}"
    if isinstance(value, dict):
        return f"a dict with the keys {', '.join(map(str, value))}"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    return f"{value!r}"[:60]
