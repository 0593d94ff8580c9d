"""Running the race: every optimizer, from one start, at every learning rate of the slider at once.

The student's functions and optax's are compiled together into one scan, which `vmap` widens over the learning rates:
41 rates cost about what one does. A function that JAX cannot trace is called step by step instead, at the chosen rate
only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from gradlab.widgets.optimizer_race import lanes
from gradlab.widgets.optimizer_race.lanes import OPTIMIZERS, Lane, Optimizer, Params, Problem
from gradlab.widgets.optimizer_race.surfaces import SURFACES, Terrain, height_and_slope, terrain

STEPS = 150
# Ten a decade in round numbers (Renard's R10), so that a threshold such as 2/L can be met exactly.
_DIGITS = (1, 1.25, 1.6, 2, 2.5, 3.15, 4, 5, 6.3, 8)
LEARNING_RATES = np.array([digit * power for power in (1e-3, 1e-2, 0.1, 1) for digit in _DIGITS] + [10], np.float32)
# The library also runs from a start this part of the window away: where its two runs separate, rounding decides.
NUDGE = 1e-5

Knobs = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """Everything that a race depends on; what "copy state" copies."""

    surface: str
    condition: float
    seed: int
    start: tuple[float, float]
    learning_rate: float
    decay: float
    b1: float
    b2: float

    @property
    def rate(self) -> int:
        """Index of the stop of the slider nearest to `learning_rate`."""
        return int(np.argmin(np.abs(np.log(LEARNING_RATES) - np.log(self.learning_rate))))

    @property
    def knobs(self) -> Knobs:
        """What optimizers take by keyword."""
        return {"decay": self.decay, "b1": self.b1, "b2": self.b2}


@dataclass(frozen=True)
class Result:
    """Where every lane went: x, y and loss at each step.

    Attributes:
        paths: the student's; NaN where nothing ran.
        library: optax's; NaN for a lane that it has no optimizer for.
        spread: how far the library is from itself when the start is moved by NUDGE.
        problems: why a lane stands still, by its index.
    """

    paths: Float[np.ndarray, "lanes rates steps+1 3"]
    library: Float[np.ndarray, "lanes rates steps+1 3"]
    spread: Float[np.ndarray, "lanes rates steps+1"]
    problems: dict[int, Problem]


class Race:
    """The student's lanes, compiled once, and raced as often as something moves."""

    def __init__(self, entered: Sequence[Lane]) -> None:
        self.lanes = [_traced(lane) for lane in entered]
        self._eager = [i for i, lane in enumerate(self.lanes) if lane.eager]
        self._compiled = [i for i, lane in enumerate(self.lanes) if not (lane.problem or lane.eager)]
        runners = [_library(optimizer) for optimizer in OPTIMIZERS] + [_student(self.lanes[i]) for i in self._compiled]
        self._program = jax.jit(jax.vmap(partial(_run, tuple(runners)), in_axes=(None, None, 0, None)))
        self._last: tuple[Setting, Result] | None = None

    def run(self, setting: Setting) -> Result:
        """Race every lane from the start of `setting`; the answer to the last question is kept."""
        # All learning rates are computed at once, unless some lane goes step by step.
        key = setting if self._eager else replace(setting, learning_rate=1.0)
        if self._last is None or self._last[0] != key:
            self._last = key, self._answer(setting)
        return self._last[1]

    def _answer(self, setting: Setting) -> Result:
        ground = terrain(setting.surface, setting.condition, setting.seed)
        start = np.array(setting.start, np.float32)
        left, right, *_ = SURFACES[setting.surface].window
        runs, nudged = (
            np.swapaxes(np.asarray(self._program(ground, begin, LEARNING_RATES, setting.knobs)), 0, 1)
            for begin in (start, start + np.float32(NUDGE * (right - left)))
        )
        theirs = [i for i, lane in enumerate(self.lanes) if lane.optimizer]
        which = [lane.series for lane in self.lanes if lane.optimizer]
        paths, library = np.full((2, len(self.lanes), *runs.shape[1:]), np.nan, np.float32)
        spread = np.zeros(paths.shape[:-1], np.float32)
        paths[self._compiled], library[theirs] = runs[len(OPTIMIZERS) :], runs[which]
        with np.errstate(invalid="ignore", over="ignore"):
            spread[theirs] = np.linalg.norm(runs[which, ..., :2] - nudged[which, ..., :2], axis=-1)
        problems = {i: lane.problem for i, lane in enumerate(self.lanes) if lane.problem}
        for i in self._eager:
            try:
                paths[i, setting.rate] = step_by_step(self.lanes[i], ground, start, setting)
            except Exception as error:  # noqa: BLE001 - a student's function may raise anything
                problems[i] = lanes.explain(error, self.lanes[i].function)
        return Result(paths, library, spread, problems)


@dataclass(frozen=True)
class Runner:
    """One lane of a compiled race: a step function, the state it starts from, and which knobs it takes."""

    step: Callable
    state: Callable[[Params], Any]
    knobs: tuple[str, ...]


def _student(lane: Lane) -> Runner:
    assert lane.optimizer is not None, "a lane without an optimizer has a problem, and does not run"
    return Runner(lane.function, lane.optimizer.state, lane.optimizer.knobs)


def _library(optimizer: Optimizer) -> Runner:
    def step(params: Params, gradients: Params, state: Any, learning_rate: Any, **knobs: Any) -> tuple[Any, Any]:
        updates, state = optimizer.library(learning_rate, **knobs).update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    # The structure of the state does not depend on the knobs.
    return Runner(step, optimizer.library(0.0, *(0.0 for _ in optimizer.knobs)).init, optimizer.knobs)


def _run(
    runners: tuple[Runner, ...],
    ground: Terrain,
    start: Float[Array, "2"],
    learning_rate: Float[Array, ""],
    knobs: Knobs,
) -> Float[Array, "lanes steps+1 3"]:
    """All runners from `start`, in one scan: the surface is compiled once for all of them."""
    params = {"x": start[0], "y": start[1]}

    def advance(carry: tuple, _: None) -> tuple[tuple, Float[Array, "lanes 3"]]:
        points = jnp.stack([jnp.stack([p["x"], p["y"]]) for p, _ in carry])
        heights, slopes = jax.vmap(partial(height_and_slope, ground))(points)
        following = tuple(
            runner.step(p, {"x": slope[0], "y": slope[1]}, state, learning_rate, **_pick(knobs, runner))
            for runner, (p, state), slope in zip(runners, carry, slopes, strict=True)
        )
        return following, jnp.concatenate([points, heights[:, None]], axis=1)

    beginning = tuple((params, runner.state(params)) for runner in runners)
    _, steps = jax.lax.scan(advance, beginning, None, length=STEPS + 1)
    return jnp.swapaxes(steps, 0, 1)


def step_by_step(
    lane: Lane, ground: Terrain, start: Float[np.ndarray, "2"], setting: Setting
) -> Float[np.ndarray, "steps+1 3"]:
    """The lane's path at the chosen learning rate, its function called in plain Python."""
    runner, learning_rate = _student(lane), float(LEARNING_RATES[setting.rate])
    params = {"x": jnp.asarray(start[0]), "y": jnp.asarray(start[1])}
    state, path = runner.state(params), []
    for _ in range(STEPS + 1):
        point = np.array([params["x"], params["y"]], np.float32)
        height, slope = _height_and_slope(ground, point)
        path.append(np.append(point, height))
        gradients = {"x": slope[0], "y": slope[1]}
        params, state = runner.step(params, gradients, state, learning_rate, **_pick(setting.knobs, runner))
    return np.stack(path)


_height_and_slope = jax.jit(height_and_slope)


def _traced(lane: Lane) -> Lane:
    """The lane, marked eager if JAX cannot trace its function."""
    if lane.problem:
        return lane
    trial = jax.vmap(partial(_run, (_student(lane),)), in_axes=(None, None, 0, None))
    try:
        jax.eval_shape(trial, terrain("quadratic", 1.0, 0), np.zeros(2, np.float32), LEARNING_RATES, lanes.KNOBS)
    except Exception as error:  # noqa: BLE001 - a student's function may raise anything
        return replace(lane, eager=f"{type(error).__name__}: {lanes.first_line(error)}")
    return lane


def _pick(knobs: Knobs, runner: Runner) -> Knobs:
    return {name: knobs[name] for name in runner.knobs}
