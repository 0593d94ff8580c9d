"""What is said of a path: diverged, oscillates, departs from the library, arrives."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from gradlab.widgets.optimizer_race.surfaces import Surface

SWING = 0.02  # of the window's width: a turn smaller than this is not seen as an oscillation
SWINGS = 6
# From the same parameters and gradients, a step may lead elsewhere than the library's by this part of the library's
SAME = 1e-3  # last two steps (momentum may all but cancel in one of them),
ROUNDING = 1e-6  # and of the parameters: some ten units in their last place.
ARRIVAL = 0.01  # of the height above the floor at the start


@dataclass(frozen=True)
class Verdict:
    """What became of one lane at one learning rate; `departs` and `arrives` are steps, None if it never did."""

    diverged: bool
    oscillates: bool
    departs: int | None
    arrives: int | None

    @property
    def badges(self) -> list[str]:
        """The verdict in words."""
        follows = self.departs is None
        words = ["follows the library" if follows else f"departs from the library at step {self.departs}"]
        if self.diverged:
            words.append("diverged")
        elif self.oscillates:
            words.append("oscillates")
        return words


def judge(
    path: Float[np.ndarray, "n 3"],
    library: Float[np.ndarray, "n 3"],
    apart: Float[np.ndarray, " n"],
    surface: Surface,
    floor: float,
) -> Verdict:
    """The verdict on one path beside the library's.

    Args:
        path: x, y and loss at each step.
        library: the same of the library.
        apart: how far the step before led from the library's, at each step.
        surface: where both ran.
        floor: the least loss of the surface.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        return Verdict(
            diverged=_diverged(path, surface),
            oscillates=_oscillates(path[:, :2], surface),
            departs=_first(_departed(library[:, :2], apart)),
            arrives=_first(path[:, 2] - floor <= ARRIVAL * (path[0, 2] - floor)),
        )


def _width(surface: Surface) -> float:
    left, right, *_ = surface.window
    return right - left


def _first(happens: Bool[np.ndarray, " n"]) -> int | None:
    return int(np.argmax(happens)) if happens.any() else None


def _diverged(path: Float[np.ndarray, "n 3"], surface: Surface) -> bool:
    """Not a number any more, or ended outside the window and higher than it began."""
    if not np.isfinite(path).all():
        return True
    left, right, bottom, top = surface.window
    x, y, height = path[-1]
    outside = not (left <= x <= right and bottom <= y <= top)
    return bool(outside and height > path[0, 2])


def _oscillates(points: Float[np.ndarray, "n 2"], surface: Surface) -> bool:
    """Turned back along an axis at least SWINGS times, by SWING of the window's width or more each time."""
    for column in points.T:
        values = column[np.isfinite(column)]
        turns = np.flatnonzero(np.diff(np.sign(np.diff(values)))) + 1
        swings = np.abs(np.diff(values[turns]))
        if np.count_nonzero(swings > SWING * _width(surface)) >= SWINGS:
            return True
    return False


def _departed(library: Float[np.ndarray, "n 2"], apart: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " m"]:
    """Which steps lead elsewhere than the library's, beyond what rounding explains."""
    # Past the library's own overflow there is nothing to compare with.
    end = _first(np.asarray(~np.isfinite(library).all(axis=1)))
    library, apart = library[:end], apart[:end]
    moved = np.linalg.norm(np.diff(library, axis=0, prepend=library[:1]), axis=1)
    moved = np.maximum(moved, np.roll(moved, 1))
    return ~(apart <= SAME * moved + ROUNDING * np.linalg.norm(library, axis=1))
