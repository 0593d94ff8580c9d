"""What is said of a path: diverged, oscillates, departs from the library, arrives."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from gradlab.widgets.optimizer_race.surfaces import Surface

SWING = 0.02  # of the window's width: a turn smaller than this is not seen as an oscillation
SWINGS = 6
DEPARTURE = 1e-3  # of the window's width, or of the distance from the origin once a run has left it
# How many times the library's own answer to a shift of the start in the last digits is still rounding.
ROUNDING = 30.0
ARRIVAL = 0.01  # of the height above the floor at the start


@dataclass(frozen=True)
class Verdict:
    """What became of one lane at one learning rate. `departs` and `arrives` are steps, None if it never did."""

    diverged: bool
    oscillates: bool
    departs: int | None
    arrives: int | None

    @property
    def badges(self) -> list[str]:
        """The verdict in words, the gravest first."""
        words = [f"departs from the library at step {self.departs}"] if self.departs is not None else []
        if self.diverged:
            words.append("diverged")
        elif self.oscillates:
            words.append("oscillates")
        return words


def judge(
    path: Float[np.ndarray, "steps+1 3"],
    library: Float[np.ndarray, "steps+1 3"],
    spread: Float[np.ndarray, "steps+1"],
    surface: Surface,
    floor: float,
) -> Verdict:
    """The verdict on one path (x, y and loss at each step) beside the library's; `floor` is the least loss."""
    with np.errstate(invalid="ignore", over="ignore"):
        return Verdict(
            diverged=_diverged(path, surface),
            oscillates=_oscillates(path[:, :2], surface),
            departs=_departure(path[:, :2], library[:, :2], spread, surface),
            arrives=_arrival(path[:, 2], floor),
        )


def _width(surface: Surface) -> float:
    left, right, *_ = surface.window
    return right - left


def _diverged(path: Float[np.ndarray, "steps+1 3"], surface: Surface) -> bool:
    """Not a number any more, or ended outside the window and higher than it began."""
    if not np.isfinite(path).all():
        return True
    left, right, bottom, top = surface.window
    x, y, height = path[-1]
    outside = not (left <= x <= right and bottom <= y <= top)
    return bool(outside and height > path[0, 2])


def _oscillates(points: Float[np.ndarray, "steps+1 2"], surface: Surface) -> bool:
    """Turned back along an axis at least SWINGS times, by SWING of the window's width or more each time."""
    for values in points.T:
        values = values[np.isfinite(values)]
        turns = np.flatnonzero(np.diff(np.sign(np.diff(values)))) + 1
        swings = np.abs(np.diff(values[turns]))
        if np.count_nonzero(swings > SWING * _width(surface)) >= SWINGS:
            return True
    return False


def _departure(
    points: Float[np.ndarray, "steps+1 2"],
    library: Float[np.ndarray, "steps+1 2"],
    spread: Float[np.ndarray, "steps+1"],
    surface: Surface,
) -> int | None:
    """The first step at which the path is not where the library's is, beyond what rounding explains."""
    known = np.isfinite(library).all(axis=1) & np.isfinite(spread)
    # Past the library's own overflow there is nothing to compare with.
    end = len(known) if known.all() else int(np.argmin(known))
    apart = np.linalg.norm(points[:end] - library[:end], axis=1)
    reach = np.maximum(_width(surface), np.linalg.norm(library[:end], axis=1))
    allowed = DEPARTURE * reach + ROUNDING * np.maximum.accumulate(spread[:end])
    departed = ~(apart <= allowed)
    return int(np.argmax(departed)) if departed.any() else None


def _arrival(heights: Float[np.ndarray, "steps+1"], floor: float) -> int | None:
    """The first step at which ARRIVAL of the starting height above the floor is left."""
    left_over = heights - floor
    arrived = left_over <= ARRIVAL * left_over[0]
    return int(np.argmax(arrived)) if arrived.any() else None
