"""The surfaces of the race: where each is looked at, where it starts, and how the kernel evaluates it.

One compiled program serves all surfaces: `Terrain` carries what differs between them as arrays, so that moving to
another surface, condition number or seed compiles nothing.
"""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import NamedTuple, cast

import contourpy
import jax
import numpy as np
from jaxtyping import Array, Float, Int

from gradlab.landscapes import Quadratic, Rosenbrock, Saddle
from gradlab.widgets.optimizer_race.spline import SAMPLES, digits_spline, interpolate

CONDITIONS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
TILT = 0.35  # radians; a valley along an axis would flatter the methods that scale each coordinate by itself
# With the classic b = 100, a step that suits gradient descent is too small for Adam to arrive: no shared race.
VALLEY = Rosenbrock(b=10.0)

CONTOUR_SAMPLES = 81
# Shares of the window's area below each contour: an even spread of lines on every surface, without a scale to choose.
CONTOUR_SHARES = (0.01, 0.04, 0.09, 0.16, 0.25, 0.36, 0.49, 0.64, 0.81)


@dataclass(frozen=True)
class Surface:
    """A surface as the widget offers it.

    Attributes:
        name: as a student writes it.
        title: as the view shows it.
        window: left, right, bottom, top, in the shape 4:3 of the picture: the gradient is drawn square to the contours.
        start: where the race starts at first.
        learning_rate: what suits all optimizers somewhat.
        minima: the points that the picture marks.
        floor: the least loss; None where only samples know it.
        knob: the setting that shapes the surface, if there is one.
    """

    name: str
    title: str
    window: tuple[float, float, float, float]
    start: tuple[float, float]
    learning_rate: float
    minima: tuple[tuple[float, float], ...] = ()
    floor: float | None = None
    knob: str | None = None


SURFACES = {
    surface.name: surface
    for surface in (
        Surface("quadratic", "Quadratic", (-4.0, 4.0, -3.0, 3.0), (-3.2, 1.6), 0.1, ((0.0, 0.0),), 0.0, "condition"),
        Surface("rosenbrock", "Rosenbrock's valley", (-2.0, 2.0, -1.0, 2.0), (-1.2, 1.0), 0.01, ((1.0, 1.0),), 0.0),
        Surface("saddle", "Saddle", (-2.0, 2.0, -1.5, 1.5), (-1.6, 0.02), 0.05, ((0.0, 1.0), (0.0, -1.0)), -0.25),
        Surface("digits", "Digits loss", (-0.6, 2.0, -0.975, 0.975), (-0.3, 0.7), 0.02, knob="seed"),
    )
}


class Terrain(NamedTuple):
    """What a compiled race needs of a surface, as arrays."""

    which: Int[np.ndarray, ""]
    matrix: Float[np.ndarray, "2 2"]
    spline: Float[np.ndarray, "samples samples"]


def terrain(name: str, condition: float, seed: int) -> Terrain:
    """The arrays of one surface; the fields that it does not use do not matter."""
    return Terrain(
        np.array(list(SURFACES).index(name), np.int32),
        Quadratic.with_condition(condition, angle=TILT).matrix,
        digits_spline(seed) if name == "digits" else np.zeros((SAMPLES, SAMPLES), np.float32),
    )


def height_and_slope(ground: Terrain, point: Float[Array, "2"]) -> tuple[Float[Array, ""], Float[Array, "2"]]:
    """The loss of the surface at `point`, and its gradient."""
    branches = [
        jax.value_and_grad(Quadratic(ground.matrix, np.zeros(2, np.float32))),
        jax.value_and_grad(VALLEY),
        jax.value_and_grad(Saddle()),
        lambda p: interpolate(ground.spline, p),
    ]
    return jax.lax.switch(ground.which, branches, point)


class Contours(NamedTuple):
    """The regions below rising levels, each a list of closed rings, and the range of the loss in the window."""

    regions: list[list[Float[np.ndarray, "points 2"]]]
    lowest: float
    highest: float


@cache
def contours(name: str, condition: float, seed: int) -> Contours:
    """The contours of a surface in its window."""
    left, right, bottom, top = SURFACES[name].window
    x, y = np.linspace(left, right, CONTOUR_SAMPLES), np.linspace(bottom, top, CONTOUR_SAMPLES)
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(np.float32)
    heights = np.asarray(_heights(terrain(name, condition, seed), points)).reshape(CONTOUR_SAMPLES, CONTOUR_SAMPLES)
    generator = contourpy.contour_generator(x, y, heights, fill_type=contourpy.FillType.OuterOffset)
    regions = []
    for level in np.quantile(heights, CONTOUR_SHARES):
        # Of each region an outer ring and its holes in one array, and where one ring ends and the next begins.
        outlines, cuts = cast(tuple[list[np.ndarray], list[np.ndarray]], generator.filled(-np.inf, level))
        regions.append(
            [outline[a:b] for outline, cut in zip(outlines, cuts, strict=True) for a, b in pairwise(cut.tolist())]
        )
    return Contours(regions, float(heights.min()), float(heights.max()))


@jax.jit
def _heights(ground: Terrain, points: Float[Array, "n 2"]) -> Float[Array, " n"]:
    return jax.vmap(height_and_slope, in_axes=(None, 0))(ground, points)[0]
