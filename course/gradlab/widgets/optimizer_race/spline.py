"""The digits loss, sampled once and joined by a cubic spline.

One evaluation of the real loss reads 1797 images, and a race needs thousands in a few milliseconds.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import ndimage

from gradlab.landscapes import DigitsSlice

SAMPLES = 49
# Left, right, bottom, top: wider than the window, so that a run that overshoots still feels the real slope.
SAMPLED = (-2.4, 3.8, -2.3, 2.3)


@cache
def digits_spline(seed: int) -> Float[np.ndarray, "samples samples"]:
    """Cubic B-spline coefficients of `DigitsSlice(seed)` at SAMPLES x SAMPLES points of SAMPLED; rows go along y."""
    left, right, bottom, top = SAMPLED
    x, y = np.linspace(left, right, SAMPLES), np.linspace(bottom, top, SAMPLES)
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(np.float32)
    plane = DigitsSlice(seed)
    losses = np.asarray(jax.jit(lambda p: jax.lax.map(plane, p))(points), np.float64)
    return ndimage.spline_filter(losses.reshape(SAMPLES, SAMPLES), mode="mirror").astype(np.float32)


def interpolate(
    spline: Float[Array, "samples samples"] | Float[np.ndarray, "samples samples"], point: Float[Array, "2"]
) -> tuple[Float[Array, ""], Float[Array, "2"]]:
    """Height and slope of the spline at `point`; beyond the samples it goes on along its tangent plane."""
    left, right, bottom, top = SAMPLED
    cells = jnp.array([(SAMPLES - 1) / (right - left), (SAMPLES - 1) / (top - bottom)])
    place = (point - jnp.array([left, bottom])) * cells
    # The outermost cells are left out: there the four neighbours of a cubic are not all samples.
    inside = jnp.clip(place, 1.0, SAMPLES - 2.001)
    corner = jnp.floor(inside).astype(jnp.int32)
    patch = jax.lax.dynamic_slice(jnp.asarray(spline), (corner[1] - 1, corner[0] - 1), (4, 4))
    t = inside - corner
    # Shape (4, 2): the four basis functions along x and along y, and their derivatives.
    basis = jnp.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6
    rates = jnp.stack([-((1 - t) ** 2), 3 * t**2 - 4 * t, -3 * t**2 + 2 * t + 1, t**2]) / 2
    height = basis[:, 1] @ patch @ basis[:, 0]
    slope = jnp.stack([basis[:, 1] @ patch @ rates[:, 0], rates[:, 1] @ patch @ basis[:, 0]])
    return height + slope @ (place - inside), slope * cells
