"""Points in the plane, of two classes, for training and testing."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from sklearn.datasets import make_circles, make_moons

# Left, right, bottom, top of the square that is drawn.
WINDOW = (-1.5, 1.5, -1.5, 1.5)
COUNT = 160
DATA = {"moons": "two moons", "circles": "a ring around a disc", "checkers": "four squares"}


@dataclass(frozen=True, eq=False)
class Points:
    """Points and their classes, 0 or 1."""

    x: Float[np.ndarray, "n 2"]
    y: Int[np.ndarray, " n"]

    def joined(self, other: "Points") -> "Points":
        """These points and the others."""
        return Points(np.concatenate([self.x, other.x]), np.concatenate([self.y, other.y]))


def painted(points: list[tuple[float, float, int]]) -> Points:
    """Points (x, y, class) that somebody has painted."""
    table = np.asarray(points, np.float32).reshape(-1, 3)
    return Points(table[:, :2], table[:, 2].astype(np.int32))


def sample(data: str, seed: int) -> tuple[Points, Points]:
    """A training set and a test set of one distribution, half of `COUNT` each."""
    rng = np.random.default_rng(seed)
    if data == "moons":
        x, y = make_moons(COUNT, noise=0.18, random_state=seed)
        x = (np.asarray(x) - [0.5, 0.25]) * 0.75
    elif data == "circles":
        x, y = make_circles(COUNT, noise=0.12, factor=0.45, random_state=seed)
    else:
        x = rng.uniform(-1.2, 1.2, (COUNT, 2))
        y = (x[:, 0] * x[:, 1] > 0) ^ (rng.random(COUNT) < 0.05)
    order = rng.permutation(COUNT)
    x, y = x[order].astype(np.float32), np.asarray(y)[order].astype(np.int32)
    half = COUNT // 2
    return Points(x[:half], y[:half]), Points(x[half:], y[half:])


def grid(size: int) -> Float[np.ndarray, "size*size 2"]:
    """The centres of size x size cells of the window, row by row from the top."""
    left, right, bottom, top = WINDOW
    centres = (np.arange(size) + 0.5) / size
    x, y = np.meshgrid(left + (right - left) * centres, top - (top - bottom) * centres)
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)
