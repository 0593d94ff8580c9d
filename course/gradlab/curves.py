"""Smooth functions whose derivatives are known in closed form: something to differentiate.

All are portable, so that a check can hand them to a student's function.
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from gradlab.seam.portable import portable


@portable
@dataclass(frozen=True, eq=False)
class Waves:
    """`sum(a sin(x))`, for x in the shape of `amplitude`.

    Its central difference with step h is `a cos(x) sin(h) / h` exactly, so truncation and rounding can be told apart.
    """

    amplitude: Float[np.ndarray, "..."]

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, ""]:
        return jnp.sum(jnp.asarray(self.amplitude) * jnp.sin(x))

    def gradient(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """The gradient `a cos(x)`."""
        return jnp.asarray(self.amplitude) * jnp.cos(x)


@portable
@dataclass(frozen=True, eq=False)
class Scaled:
    """`factor` times another portable function, one number or one for each entry: a gradient with a planted error."""

    function: Any
    factor: float | Float[np.ndarray, "..."]

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return jnp.asarray(self.factor, jnp.float32) * self.function(x)


@portable
@dataclass(frozen=True, eq=False)
class Valley:
    """Rosenbrock's valley in n dimensions, `sum_i b (x_{i+1} - x_i^2)^2 + (1 - x_i)^2`."""

    b: float

    def __call__(self, x: Float[Array, " n"]) -> Float[Array, ""]:
        return jnp.sum(self.b * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


@portable
@dataclass(frozen=True, eq=False)
class Coupled:
    """`1/2 |u|^2 |v|^2` of `{"u": u, "v": v}`: its Hessian couples the two leaves."""

    def __call__(self, params: PyTree[Float[Array, "..."]]) -> Float[Array, ""]:
        return 0.5 * jnp.sum(params["u"] ** 2) * jnp.sum(params["v"] ** 2)
