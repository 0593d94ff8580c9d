"""Running the race: every optimizer, from one start, at every learning rate of the slider at once.

The student's functions and optax's are compiled together into one scan, which `vmap` widens over the learning rates:
41 rates cost about what one does. A function that JAX cannot trace is called step by step instead, at the chosen rate
only.

Beside its own run, each of the student's functions is led along the library's: it gets the parameters and gradients
that the library gets there, and carries its own state. Its step is then compared with the library's. Two whole runs
cannot be compared so: where they are chaotic, and RMSProp's are, the last digit decides where each ends.
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
from gradlab.widgets.optimizer_race.surfaces import Terrain, height_and_slope, terrain

STEPS = 150
# Ten a decade in round numbers (Renard's R10), so that a threshold such as 2/L can be met exactly.
_DIGITS = (1, 1.25, 1.6, 2, 2.5, 3.15, 4, 5, 6.3, 8)
LEARNING_RATES = np.array([digit * power for power in (1e-3, 1e-2, 0.1, 1) for digit in _DIGITS] + [10], np.float32)
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
        apart: how far each step of the student's leads from the library's, given the same parameters and gradients.
        problems: why a lane stands still, by its index.
    """

    paths: Float[np.ndarray, "lanes rates steps+1 3"]
    library: Float[np.ndarray, "lanes rates steps+1 3"]
    apart: Float[np.ndarray, "lanes rates steps+1"]
    problems: dict[int, Problem]


class Race:
    """The student's lanes, compiled once, and raced as often as something moves."""

    def __init__(self, entered: Sequence[Lane]) -> None:
        self.lanes = [_traced(lane) for lane in entered]
        self._eager = [i for i, lane in enumerate(self.lanes) if lane.eager]
        self._compiled = [i for i, lane in enumerate(self.lanes) if not (lane.problem or lane.eager)]
        runners = tuple(_student(self.lanes[i]) for i in self._compiled)
        self._program = jax.jit(jax.vmap(partial(_run, runners), in_axes=(None, None, 0, None), out_axes=1))
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
        theirs, ours, off = map(np.asarray, self._program(ground, start, LEARNING_RATES, setting.knobs))
        paths, library = np.full((2, len(self.lanes), *theirs.shape[1:]), np.nan, np.float32)
        apart = np.zeros(paths.shape[:-1], np.float32)
        paths[self._compiled], apart[self._compiled] = ours, off
        for i, lane in enumerate(self.lanes):
            if lane.optimizer:
                library[i] = theirs[lane.series]
        problems = {i: lane.problem for i, lane in enumerate(self.lanes) if lane.problem}
        for i in self._eager:
            lane, rate = self.lanes[i], setting.rate
            try:
                paths[i, rate], apart[i, rate] = step_by_step(lane, ground, library[i, rate], setting)
            except Exception as error:  # noqa: BLE001 - a student's function may raise anything
                problems[i] = lanes.explain(error, lane.function)
        return Result(paths, library, apart, problems)


@dataclass(frozen=True)
class Runner:
    """One lane: a step function, the state it starts from, which knobs it takes, and its place among OPTIMIZERS."""

    step: Callable
    state: Callable[[Params], Any]
    knobs: tuple[str, ...]
    series: int

    def advance(self, params: Params, slope: Any, state: Any, learning_rate: Any, knobs: Knobs) -> tuple[Params, Any]:
        """One step, down the `slope` in x and y."""
        taken = {name: knobs[name] for name in self.knobs}
        return self.step(params, {"x": slope[0], "y": slope[1]}, state, learning_rate, **taken)


def _student(lane: Lane) -> Runner:
    assert lane.optimizer is not None, "a lane without an optimizer has a problem, and does not run"
    return Runner(lane.function, lane.optimizer.state, lane.optimizer.knobs, lane.series)


def _library(optimizer: Optimizer) -> Runner:
    def step(params: Params, gradients: Params, state: Any, learning_rate: Any, **knobs: Any) -> tuple[Any, Any]:
        updates, state = optimizer.library(learning_rate, **knobs).update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    # The structure of the state does not depend on the knobs.
    initial = optimizer.library(0.0, *(0.0 for _ in optimizer.knobs)).init
    return Runner(step, initial, optimizer.knobs, OPTIMIZERS.index(optimizer))


def _run(
    runners: tuple[Runner, ...],
    ground: Terrain,
    start: Float[Array, "2"],
    learning_rate: Float[Array, ""],
    knobs: Knobs,
) -> tuple[Float[Array, "optimizers steps+1 3"], Float[Array, "lanes steps+1 3"], Float[Array, "lanes steps+1"]]:
    """The runs of the library, those of `runners`, and how far the latter lead from the former; all in one scan."""
    params = _params(start)
    library = [_library(optimizer) for optimizer in OPTIMIZERS]

    def advance(carry: tuple, _: None) -> tuple[tuple, tuple]:
        racing, led = carry
        points = jnp.stack([_vector(p) for p, _ in racing])
        heights, slopes = jax.vmap(partial(height_and_slope, ground))(points)
        after = tuple(
            runner.advance(p, slope, state, learning_rate, knobs)
            for runner, (p, state), slope in zip((*library, *runners), racing, slopes, strict=True)
        )
        followed = tuple(
            runner.advance(racing[runner.series][0], slopes[runner.series], state, learning_rate, knobs)
            for runner, state in zip(runners, led, strict=True)
        )
        apart = [
            jnp.linalg.norm(_vector(p) - _vector(after[runner.series][0]))
            for runner, (p, _) in zip(runners, followed, strict=True)
        ]
        return (after, tuple(state for _, state in followed)), (points, heights, jnp.array(apart))

    racing = tuple((params, runner.state(params)) for runner in (*library, *runners))
    led = tuple(runner.state(params) for runner in runners)
    _, (points, heights, apart) = jax.lax.scan(advance, (racing, led), None, length=STEPS + 1)
    paths = jnp.swapaxes(jnp.concatenate([points, heights[..., None]], axis=2), 0, 1)
    # What a step leads to is seen one step later.
    return paths[: len(library)], paths[len(library) :], jnp.roll(apart.T, 1, axis=1).at[:, 0].set(0.0)


def step_by_step(
    lane: Lane, ground: Terrain, library: Float[np.ndarray, "steps+1 3"], setting: Setting
) -> tuple[Float[np.ndarray, "steps+1 3"], Float[np.ndarray, " steps+1"]]:
    """The lane's path and how far it leads from the library's, its function called in plain Python."""
    runner, learning_rate = _student(lane), float(LEARNING_RATES[setting.rate])
    params = led = _params(library[0])
    state = led_state = runner.state(params)
    path, apart = [], []
    for step in range(STEPS + 1):
        apart.append(np.linalg.norm(_vector(led) - library[step, :2]))
        point, there = _vector(params), library[step, :2]
        height, slope = _height_and_slope(ground, point)
        path.append(np.append(point, height))
        params, state = runner.advance(params, slope, state, learning_rate, setting.knobs)
        _, slope = _height_and_slope(ground, there)
        led, led_state = runner.advance(_params(there), slope, led_state, learning_rate, setting.knobs)
    return np.stack(path), np.array(apart)


_height_and_slope = jax.jit(height_and_slope)


def _traced(lane: Lane) -> Lane:
    """The lane, marked eager if JAX cannot trace its function."""
    if lane.problem:
        return lane
    runner, params = _student(lane), _params(np.zeros(2, np.float32))

    def trial(learning_rate: Float[Array, ""], knobs: Knobs) -> Any:
        def advance(carry: tuple, _: None) -> tuple[tuple, None]:
            return runner.advance(carry[0], _vector(carry[0]), carry[1], learning_rate, knobs), None

        return jax.lax.scan(advance, (params, runner.state(params)), None, length=STEPS)

    try:
        jax.eval_shape(jax.vmap(trial, in_axes=(0, None)), LEARNING_RATES, lanes.KNOBS)
    except Exception as error:  # noqa: BLE001 - a student's function may raise anything
        return replace(lane, eager=f"{type(error).__name__}: {lanes.first_line(error)}")
    return lane


def _params(point: Any) -> Params:
    return {"x": jnp.asarray(point[0]), "y": jnp.asarray(point[1])}


def _vector(params: Params) -> Float[Array, "2"]:
    return jnp.stack([params["x"], params["y"]])
