"""The surfaces of the race: where each is looked at, where it starts, and how the kernel evaluates it.

One compiled program serves all surfaces: `Terrain` carries what differs between them as arrays, so that moving to
another surface, condition number or seed compiles nothing.
"""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import contourpy
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy import ndimage

from gradlab.landscapes import DigitsSlice, Quadratic, Rosenbrock, Saddle

CONDITIONS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
TILT = 0.35  # radians; a valley along an axis would flatter the methods that scale each coordinate by itself
# With the classic b = 100 a step that suits gradient descent is too small for Adam to arrive: no shared race.
VALLEY = Rosenbrock(b=10.0)

SAMPLES = 49
SAMPLED = (
    -2.4,
    3.8,
    -2.3,
    2.3,
)  # wider than the window, so that a run that overshoots still feels the real slope

CONTOUR_SAMPLES = 81
# Shares of the window's area below each contour: an even spread of lines on every surface, without a scale to choose.
CONTOUR_SHARES = (0.01, 0.04, 0.09, 0.16, 0.25, 0.36, 0.49, 0.64, 0.81)


class Terrain(NamedTuple):
    """What a compiled race needs of a surface, as arrays."""

    index: Int[np.ndarray, ""]
    matrix: Float[np.ndarray, "2 2"]
    spline: Float[np.ndarray, "samples samples"]


@dataclass(frozen=True)
class Surface:
    """A surface as the widget offers it.

    `window` is (left, right, bottom, top) with the shape 4:3 of the picture, so that on every surface the gradient
    is drawn square to the contours. `knob` names the one setting that shapes the surface, if it has one. `minimum` is
    the point that the picture marks, `floor` the least loss, None where only its samples know it.
    """

    name: str
    title: str
    window: tuple[float, float, float, float]
    start: tuple[float, float]
    learning_rate: float
    minimum: tuple[tuple[float, float], ...] = ((0.0, 0.0),)
    floor: float | None = 0.0
    knob: str | None = None


SURFACES = {
    surface.name: surface
    for surface in (
        Surface(
            "quadratic",
            "Quadratic",
            (-4.0, 4.0, -3.0, 3.0),
            (-3.2, 1.6),
            0.1,
            knob="condition",
        ),
        Surface(
            "rosenbrock",
            "Rosenbrock’s valley",
            (-2.0, 2.0, -1.0, 2.0),
            (-1.2, 1.0),
            0.01,
            minimum=((1.0, 1.0),),
        ),
        Surface(
            "saddle",
            "Saddle",
            (-2.0, 2.0, -1.5, 1.5),
            (-1.6, 0.02),
            0.05,
            minimum=((0.0, 1.0), (0.0, -1.0)),
            floor=-0.25,
        ),
        Surface(
            "digits",
            "Digits loss",
            (-0.6, 2.0, -0.975, 0.975),
            (-0.3, 0.7),
            0.02,
            minimum=(),
            floor=None,
            knob="seed",
        ),
    )
}


def terrain(name: str, condition: float, seed: int) -> Terrain:
    """The arrays of one surface; the fields that it does not use hold zeros."""
    return Terrain(
        np.int32(list(SURFACES).index(name)),
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
    return jax.lax.switch(ground.index, branches, point)


@cache
def digits_spline(seed: int) -> Float[np.ndarray, "samples samples"]:
    """Cubic B-spline coefficients of `DigitsSlice(seed)`, the real loss at SAMPLES x SAMPLES points of SAMPLED.

    One evaluation of the real loss reads 1797 images, and a race needs thousands in a few milliseconds.
    """
    left, right, bottom, top = SAMPLED
    grid = np.stack(
        np.meshgrid(np.linspace(left, right, SAMPLES), np.linspace(bottom, top, SAMPLES)),
        axis=-1,
    )
    slice_ = DigitsSlice(seed)
    values = jax.jit(lambda points: jax.lax.map(slice_, points))(jnp.asarray(grid.reshape(-1, 2), jnp.float32))
    return ndimage.spline_filter(np.asarray(values, np.float64).reshape(SAMPLES, SAMPLES), mode="mirror").astype(
        np.float32
    )


def interpolate(spline: Float[Array, "n n"], point: Float[Array, "2"]) -> tuple[Float[Array, ""], Float[Array, "2"]]:
    """Height and slope of the cubic B-spline at `point`; beyond the samples it goes on along its tangent plane."""
    left, right, bottom, top = SAMPLED
    cells = jnp.array([(SAMPLES - 1) / (right - left), (SAMPLES - 1) / (top - bottom)])
    place = (point - jnp.array([left, bottom])) * cells
    # The outermost cells are left out: there the four neighbours of a cubic are not all samples.
    inside = jnp.clip(place, 1.0, SAMPLES - 2.001)
    corner = jnp.floor(inside).astype(jnp.int32)
    patch = jax.lax.dynamic_slice(spline, (corner[1] - 1, corner[0] - 1), (4, 4))
    t = inside - corner
    # Shape (4, 2): the four basis functions along x and along y, and their derivatives.
    basis = (
        jnp.stack(
            [
                (1 - t) ** 3,
                3 * t**3 - 6 * t**2 + 4,
                -3 * t**3 + 3 * t**2 + 3 * t + 1,
                t**3,
            ]
        )
        / 6.0
    )
    rates = jnp.stack([-((1 - t) ** 2), 3 * t**2 - 4 * t, -3 * t**2 + 2 * t + 1, t**2]) / 2.0
    height = basis[:, 1] @ patch @ basis[:, 0]
    slope = jnp.stack([basis[:, 1] @ patch @ rates[:, 0], rates[:, 1] @ patch @ basis[:, 0]])
    return height + slope @ (place - inside), slope * cells


class Contours(NamedTuple):
    """Regions below rising levels, each a list of closed rings in the coordinates of the surface."""

    levels: list[float]
    regions: list[list[Float[np.ndarray, "points 2"]]]
    highest: float
    lowest: float


def contours(name: str, condition: float, seed: int) -> Contours:
    """The contours of a surface in its window."""
    left, right, bottom, top = SURFACES[name].window
    x, y = (
        np.linspace(left, right, CONTOUR_SAMPLES),
        np.linspace(bottom, top, CONTOUR_SAMPLES),
    )
    grid = np.stack(np.meshgrid(x, y), axis=-1).astype(np.float32).reshape(-1, 2)
    values = np.asarray(_losses(terrain(name, condition, seed), grid)).reshape(CONTOUR_SAMPLES, CONTOUR_SAMPLES)
    levels = np.quantile(values, CONTOUR_SHARES)
    generator = contourpy.contour_generator(x, y, values, fill_type="OuterOffset")
    regions = []
    for level in levels:
        rings, offsets = generator.filled(-np.inf, level)
        regions.append([ring[a:b] for ring, cut in zip(rings, offsets) for a, b in zip(cut[:-1], cut[1:])])
    return Contours(
        [float(level) for level in levels],
        regions,
        float(values.max()),
        float(values.min()),
    )


@jax.jit
def _losses(ground: Terrain, points: Float[Array, "n 2"]) -> Float[Array, "n"]:
    return jax.vmap(height_and_slope, in_axes=(None, 0))(ground, points)[0]
