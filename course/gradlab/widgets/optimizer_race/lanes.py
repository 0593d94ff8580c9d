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

KNOBS = {"decay": 0.9, "b1": 0.9, "b2": 0.999}
WEIGHT_DECAY = 1e-2


@dataclass(frozen=True)
class Optimizer:
    """An optimizer of lab 04.

    Attributes:
        name: as the student writes it in the race.
        knobs: which of KNOBS it takes by keyword.
        state: the state it starts from, made from the parameters.
        library: optax's own, made from the learning rate and the knobs.
    """

    name: str
    knobs: tuple[str, ...]
    state: Callable[[Params], Any]
    library: Callable[..., optax.GradientTransformation]


def _nothing(_: Params) -> tuple[()]:
    return ()


def _zeros(params: Params) -> Params:
    return jax.tree.map(jnp.zeros_like, params)


def _moments(params: Params) -> tuple[int, Params, Params]:
    return 0, _zeros(params), _zeros(params)


OPTIMIZERS = (
    Optimizer("gradient descent", (), _nothing, optax.sgd),
    Optimizer("momentum", ("decay",), _zeros, lambda rate, decay: optax.sgd(rate, decay)),
    Optimizer("nesterov", ("decay",), _zeros, lambda rate, decay: optax.sgd(rate, decay, nesterov=True)),
    Optimizer("rmsprop", ("decay",), _zeros, lambda rate, decay: optax.rmsprop(rate, decay, eps_in_sqrt=False)),
    Optimizer("adam", ("b1", "b2"), _moments, optax.adam),
    Optimizer(
        "adamw", ("b1", "b2"), _moments, lambda rate, b1, b2: optax.adamw(rate, b1, b2, weight_decay=WEIGHT_DECAY)
    ),
)


@dataclass(frozen=True)
class Problem:
    """Why a lane stands still: in words for its row, and whether the function is merely not written yet."""

    message: str
    waiting: bool = False


@dataclass(frozen=True)
class Lane:
    """A student's function in the race.

    Attributes:
        name: what the student called it.
        function: the step function, or whatever was given in its place.
        optimizer: what it is compared with; None if the race does not know the name.
        problem: why it cannot race; None if it can.
        eager: why JAX could not trace it, in which case it is called step by step; None if it could.
    """

    name: str
    function: Any
    optimizer: Optimizer | None
    problem: Problem | None = None
    eager: str | None = None

    @property
    def series(self) -> int:
        """Its colour, dashes and marker: an optimizer keeps its own whatever it runs beside."""
        return OPTIMIZERS.index(self.optimizer) if self.optimizer else len(OPTIMIZERS)


def enter(name: str, function: Any) -> Lane:
    """The lane of `function`, after trying it for one step."""
    wanted = name.lower().replace("_", " ")
    optimizer = next((known for known in OPTIMIZERS if known.name == wanted), None)
    if optimizer is None:
        names = ", ".join(known.name for known in OPTIMIZERS)
        return Lane(name, function, None, Problem(f'The race does not know "{name}". It knows {names}.'))
    if not callable(function):
        return Lane(name, function, optimizer, Problem(f"This is {function!r}, not a function."))
    try:
        wrong = _try_step(function, optimizer)
    except Exception as error:  # noqa: BLE001 - a student's function may raise anything
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
    if isinstance(error, TypeError) and "dict" in str(error):
        message += ". Here params and gradients are dicts, as a model's are: use jax.tree.map."
    return Problem(message)


def first_line(error: BaseException) -> str:
    """The first line of what the error says."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no message"


def _try_step(function: Callable, optimizer: Optimizer) -> str | None:
    """What is wrong with the shape of one step's result, or None. Raises what the function raises."""
    params = {"x": jnp.float32(1.0), "y": jnp.float32(-0.5)}
    gradients = {"x": jnp.float32(0.3), "y": jnp.float32(2.0)}
    knobs = {name: KNOBS[name] for name in optimizer.knobs}
    result = function(params, gradients, optimizer.state(params), 0.1, **knobs)
    if not (isinstance(result, tuple) and len(result) == 2):
        return f"It returned {_describe(result)}, not the pair (params, state)."
    if jax.tree.structure(result[0]) != jax.tree.structure(params):
        return f"Its new params are {_describe(result[0])}; params came in as a dict with the scalars x and y."
    for key, value in result[0].items():
        if jnp.shape(value) != ():
            return f"Its new params['{key}'] has shape {jnp.shape(value)}; it came in as a scalar, shape ()."
    return None


def _describe(value: Any) -> str:
    if hasattr(value, "shape"):
        return f"an array of shape {tuple(value.shape)}"
    if isinstance(value, dict):
        return f"a dict with the keys {', '.join(map(str, value))}"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    return f"{value!r}"[:60]
