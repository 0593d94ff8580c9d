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

from gradlab.widgets.optimizer_race.lanes import (
    OPTIMIZERS,
    Lane,
    Optimizer,
    Problem,
    explain,
    first_line,
)
from gradlab.widgets.optimizer_race.surfaces import (
    SURFACES,
    Terrain,
    height_and_slope,
    terrain,
)

STEPS = 150
# Ten a decade in round numbers (Renard's R10), so that a threshold such as 2/L can be met exactly.
LEARNING_RATES = np.array(
    [
        round(power * digit, 6)
        for power in (0.001, 0.01, 0.1, 1.0)
        for digit in (1, 1.25, 1.6, 2, 2.5, 3.15, 4, 5, 6.3, 8)
    ]
    + [10.0],
    np.float32,
)
# The library also runs from a start this much of the window away: where the two part, rounding decides and not the code.
NUDGE = 1e-5

Knobs = dict[str, Any]  # decay, b1, b2
Program = Callable[
    [Terrain, Float[Array, "2"], Float[Array, "rates"], Knobs],
    Float[Array, "rates lanes steps+1 3"],
]


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
        """Index of the slider's stop nearest to `learning_rate`."""
        return int(np.argmin(np.abs(np.log(LEARNING_RATES) - np.log(self.learning_rate))))

    @property
    def knobs(self) -> Knobs:
        return {"decay": self.decay, "b1": self.b1, "b2": self.b2}


@dataclass(frozen=True)
class Result:
    """Where every lane went: x, y and loss at each step.

    `paths` and `library` are the student's and optax's, NaN where nothing ran; `spread` is how far the library is
    from itself when the start is moved by NUDGE. `problems` says by lane why it stands still.
    """

    paths: Float[np.ndarray, "lanes rates steps+1 3"]
    library: Float[np.ndarray, "lanes rates steps+1 3"]
    spread: Float[np.ndarray, "lanes rates steps+1"]
    problems: dict[int, Problem]


class Race:
    """The student's lanes, compiled once, and raced as often as something moves."""

    _last: tuple[Setting, "Result"] | None = None

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self.lanes = [_traced(lane) for lane in lanes]
        self._compiled = [i for i, lane in enumerate(self.lanes) if not (lane.problem or lane.eager)]
        self._eager = [i for i, lane in enumerate(self.lanes) if lane.eager and not lane.problem]
        self._known = {
            i: list(OPTIMIZERS.values()).index(o) for i, lane in enumerate(self.lanes) if (o := lane.optimizer)
        }
        theirs = [_library_runner(optimizer) for optimizer in OPTIMIZERS.values()]
        self._program = program([*theirs, *(_runner(self.lanes[i]) for i in self._compiled)])

    def run(self, setting: Setting) -> Result:
        """Race every lane from the start of `setting`; the answer to the last question is kept."""
        # All learning rates are computed at once, unless some lane goes step by step.
        key = setting if self._eager else replace(setting, learning_rate=1.0)
        if self._last is None or self._last[0] != key:
            self._last = key, self._run(setting)
        return self._last[1]

    def _run(self, setting: Setting) -> Result:
        ground = terrain(setting.surface, setting.condition, setting.seed)
        start = np.array(setting.start, np.float32)
        left, right, *_ = SURFACES[setting.surface].window
        everyone, nudged = (
            np.swapaxes(
                np.asarray(self._program(ground, begin, LEARNING_RATES, setting.knobs)),
                0,
                1,
            )
            for begin in (start, start + np.float32(NUDGE * (right - left)))
        )
        paths, library = np.full((2, len(self.lanes), *everyone.shape[1:]), np.nan, np.float32)
        spread = np.zeros(paths.shape[:-1], np.float32)
        paths[self._compiled] = everyone[len(OPTIMIZERS) :]
        for i, optimizer in self._known.items():
            library[i] = everyone[optimizer]
            with np.errstate(invalid="ignore", over="ignore"):
                spread[i] = np.linalg.norm(everyone[optimizer, ..., :2] - nudged[optimizer, ..., :2], axis=-1)
        problems = {i: lane.problem for i, lane in enumerate(self.lanes) if lane.problem}
        for i in self._eager:
            try:
                paths[i, setting.rate] = step_by_step(self.lanes[i], ground, start, setting)
            except Exception as error:
                problems[i] = explain(error, self.lanes[i].function)
        return Result(paths, library, spread, problems)


@dataclass(frozen=True)
class _Runner:
    """One lane of a compiled race: a step function, or one for the whole run if `state` is None."""

    function: Callable
    state: Callable | None
    settings: tuple[str, ...]


def _runner(lane: Lane) -> _Runner:
    assert lane.optimizer is not None
    return _Runner(lane.function, lane.optimizer.state, lane.optimizer.settings)


def program(runners: Sequence[_Runner]) -> Program:
    """One compiled function that runs all of `runners` at all learning rates."""
    return jax.jit(jax.vmap(partial(_race, tuple(runners)), in_axes=(None, None, 0, None)))


def _library_runner(optimizer: Optimizer) -> _Runner:
    def step(params, gradients, state, learning_rate, **knobs):
        updates, state = optimizer.library(learning_rate, **knobs).update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    # The structure of the state does not depend on the settings.
    initial = optimizer.library(0.0, *(0.0 for _ in optimizer.settings)).init
    return _Runner(step, initial, optimizer.settings)


def _race(
    runners: tuple[_Runner, ...],
    ground: Terrain,
    start: Float[Array, "2"],
    learning_rate: Float[Array, ""],
    knobs: Knobs,
) -> Float[Array, "lanes steps+1 3"]:
    """All runners from `start`, in the order given."""
    stepping = [runner for runner in runners if runner.state is not None]
    paths = dict(
        zip(
            stepping,
            _stepped(stepping, ground, start, learning_rate, knobs) if stepping else (),
        )
    )
    for runner in runners:
        if runner.state is None:
            points = runner.function(
                lambda point: height_and_slope(ground, point)[1],
                start,
                learning_rate,
                STEPS,
            )
            heights, _ = jax.vmap(partial(height_and_slope, ground))(points)
            paths[runner] = jnp.concatenate([points, heights[:, None]], axis=1)
    return jnp.stack([paths[runner] for runner in runners])


def _stepped(
    runners: Sequence[_Runner],
    ground: Terrain,
    start: Float[Array, "2"],
    learning_rate: Float[Array, ""],
    knobs: Knobs,
) -> Float[Array, "lanes steps+1 3"]:
    """The runners that go step by step, in one scan; the surface is compiled once for all of them."""
    params = {"x": start[0], "y": start[1]}

    def advance(carry, _):
        points = jnp.stack([jnp.stack([p["x"], p["y"]]) for p, _ in carry])
        heights, slopes = jax.vmap(partial(height_and_slope, ground))(points)
        following = tuple(
            runner.function(
                p,
                {"x": slope[0], "y": slope[1]},
                state,
                learning_rate,
                **_pick(knobs, runner.settings),
            )
            for runner, (p, state), slope in zip(runners, carry, slopes)
        )
        return following, jnp.concatenate([points, heights[:, None]], axis=1)

    beginning = tuple((params, runner.state(params)) for runner in runners)
    _, steps = jax.lax.scan(advance, beginning, None, length=STEPS + 1)
    return jnp.swapaxes(steps, 0, 1)


def step_by_step(
    lane: Lane, ground: Terrain, start: Float[np.ndarray, "2"], setting: Setting
) -> Float[np.ndarray, "steps+1 3"]:
    """The lane's path at the chosen learning rate, its function called in plain Python."""
    assert lane.optimizer is not None
    learning_rate = float(LEARNING_RATES[setting.rate])
    if lane.optimizer.state is None:
        points = lane.function(lambda p: _slope(ground, p)[1], jnp.asarray(start), learning_rate, STEPS)
    else:
        params = {"x": jnp.asarray(start[0]), "y": jnp.asarray(start[1])}
        state, points = lane.optimizer.state(params), [start]
        for _ in range(STEPS):
            _, slope = _slope(ground, points[-1])
            gradients = {"x": slope[0], "y": slope[1]}
            params, state = lane.function(
                params,
                gradients,
                state,
                learning_rate,
                **_pick(setting.knobs, lane.optimizer.settings),
            )
            points.append(np.array([params["x"], params["y"]], np.float32))
    points = np.asarray(points, np.float32)
    heights = np.array([_slope(ground, point)[0] for point in points], np.float32)
    return np.concatenate([points, heights[:, None]], axis=1)


@jax.jit
def _slope(ground: Terrain, point: Float[Array, "2"]) -> tuple[Float[Array, ""], Float[Array, "2"]]:
    return height_and_slope(ground, point)


def _traced(lane: Lane) -> Lane:
    """The lane, marked eager if JAX cannot trace its function."""
    if lane.problem:
        return lane
    knobs = {"decay": 0.9, "b1": 0.9, "b2": 0.999}
    trial = jax.vmap(partial(_race, (_runner(lane),)), in_axes=(None, None, 0, None))
    try:
        jax.eval_shape(
            trial,
            terrain("quadratic", 1.0, 0),
            np.zeros(2, np.float32),
            LEARNING_RATES,
            knobs,
        )
    except Exception as error:
        return Lane(
            lane.name,
            lane.function,
            lane.optimizer,
            eager=f"{type(error).__name__}: {first_line(error)}",
        )
    return lane


def _pick(knobs: Knobs, names: tuple[str, ...]) -> Knobs:
    return {name: knobs[name] for name in names}
