"""Loss surfaces that a check can send to a student's function, and a widget can draw.

Each is a frozen dataclass of plain fields, so that it crosses the seam by name (`gradlab.seam.portable`),
and each has the loss itself (`surface(x)`) and its gradient (`surface.gradient(x)`).
"""

from dataclasses import dataclass
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from gradlab.seam.portable import portable

DIGIT_CLASSES = 10
PIXELS = 64
PIXEL_MAX = 16.0


@cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's handwritten digits: pixels in [0, 1], shape (1797, 64), and integer labels, shape (1797,)."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    return (np.asarray(pixels) / PIXEL_MAX).astype(np.float32), np.asarray(labels, np.int32)


@portable
@dataclass(frozen=True, eq=False)
class Quadratic:
    """`1/2 (x - c)' A (x - c)`, the surface on which every rate in the chapter is exact.

    `matrix` is symmetric, shape (n, n); its largest eigenvalue is the smoothness L of the loss.
    `center` is the minimum, shape (n,).
    """

    matrix: Float[np.ndarray, "n n"]
    center: Float[np.ndarray, " n"]

    @classmethod
    def with_condition(cls, condition: float, n: int = 2, *, angle: float = 0.0) -> "Quadratic":
        """Eigenvalues spaced geometrically from 1/`condition` to 1, the first two axes turned by `angle` radians."""
        scales = np.geomspace(1.0 / condition, 1.0, n)
        turn = np.eye(n)
        turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        return cls((turn @ np.diag(scales) @ turn.T).astype(np.float32), np.zeros(n, np.float32))

    def __call__(self, x: Float[Array, " n"]) -> Float[Array, ""]:
        offset = x - self.center
        return 0.5 * offset @ jnp.asarray(self.matrix) @ offset

    def gradient(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """The gradient `A (x - c)`."""
        return jnp.asarray(self.matrix) @ (x - self.center)


@portable
@dataclass(frozen=True, eq=False)
class Rosenbrock:
    """`(a - x)^2 + b (y - x^2)^2`: a curved valley (Rosenbrock 1960), minimum at (a, a^2)."""

    a: float = 1.0
    b: float = 100.0

    def __call__(self, x: Float[Array, "2"]) -> Float[Array, ""]:
        return (self.a - x[0]) ** 2 + self.b * (x[1] - x[0] ** 2) ** 2

    def gradient(self, x: Float[Array, "2"]) -> Float[Array, "2"]:
        """The gradient, by `jax.grad`."""
        return jax.grad(self)(x)


@portable
@dataclass(frozen=True, eq=False)
class Saddle:
    """`x^2 / 2 - y^2 / 2 + y^4 / 4`: a saddle at the origin, minima at (0, 1) and (0, -1), of height -1/4."""

    def __call__(self, x: Float[Array, "2"]) -> Float[Array, ""]:
        return 0.5 * x[0] ** 2 - 0.5 * x[1] ** 2 + 0.25 * x[1] ** 4

    def gradient(self, x: Float[Array, "2"]) -> Float[Array, "2"]:
        """The gradient, by `jax.grad`."""
        return jax.grad(self)(x)


@portable
@dataclass(frozen=True, eq=False)
class SoftmaxRegression:
    """Mean cross-entropy of a linear classifier, `params = {"weight": (d, c), "bias": (c,)}`."""

    def __call__(
        self, params: PyTree[Float[Array, "..."]], x: Float[Array, "b d"], y: Int[Array, " b"]
    ) -> Float[Array, ""]:
        return _softmax_loss(params, x, y)

    def gradient(
        self, params: PyTree[Float[Array, "..."]], x: Float[Array, "b d"], y: Int[Array, " b"]
    ) -> PyTree[Float[Array, "..."]]:
        """The gradient of the batch's mean loss with respect to `params`."""
        return _softmax_gradient(params, x, y)


# One program for each shape of a batch, where operation by operation would be a dozen.
@jax.jit
def _softmax_loss(params: PyTree[Float[Array, "..."]], x: Float[Array, "b d"], y: Int[Array, " b"]) -> Float[Array, ""]:
    log_probability = jax.nn.log_softmax(x @ params["weight"] + params["bias"][None, :])
    return -jnp.mean(jnp.take_along_axis(log_probability, y[:, None], axis=1))


_softmax_gradient = jax.jit(jax.grad(_softmax_loss))


@portable
@dataclass(frozen=True, eq=False)
class DigitsSlice:
    """The digits loss of a linear classifier along two directions through the weights.

    The origin is an untrained classifier; the first direction is the way to the trained one, the second is random
    and orthogonal to it (Goodfellow et al. 2015; Li et al. 2018). Both have the length of the way, so that (1, 0) is
    the trained classifier.
    """

    seed: int = 0

    def __call__(self, x: Float[Array, "2"]) -> Float[Array, ""]:
        origin, first, second = _digits_plane(self.seed)
        images, labels = digits()
        params = {name: origin[name] + x[0] * first[name] + x[1] * second[name] for name in origin}
        return SoftmaxRegression()(params, jnp.asarray(images), jnp.asarray(labels))

    def gradient(self, x: Float[Array, "2"]) -> Float[Array, "2"]:
        """The gradient along the two directions, by `jax.grad`."""
        return jax.grad(self)(x)


@cache
def _digits_plane(seed: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Origin and two directions of `DigitsSlice`, each shaped like the parameters of `SoftmaxRegression`."""
    images, labels = digits()
    rng = np.random.default_rng(seed)
    start = {
        "weight": 0.3 * rng.standard_normal((PIXELS, DIGIT_CLASSES)).astype(np.float32),
        "bias": np.zeros(DIGIT_CLASSES, np.float32),
    }
    trained = _train(start, images, labels, steps=300)
    way = {name: trained[name] - start[name] for name in start}
    across = {name: rng.standard_normal(value.shape).astype(np.float32) for name, value in way.items()}
    overlap = sum(np.vdot(across[name], way[name]) for name in way) / sum(np.vdot(w, w) for w in way.values())
    across = {name: across[name] - overlap * way[name] for name in way}
    scale = np.sqrt(sum(np.vdot(w, w) for w in way.values()) / sum(np.vdot(a, a) for a in across.values()))
    return start, way, {name: (scale * value).astype(np.float32) for name, value in across.items()}


def _train(
    start: dict[str, np.ndarray], images: np.ndarray, labels: np.ndarray, *, steps: int
) -> dict[str, np.ndarray]:
    """Plain gradient descent: the plane must not depend on the optimizers that it shows."""
    gradient = jax.jit(SoftmaxRegression().gradient)
    params = start
    # The first call may come from inside a student's scan or jit, where a plain call would be traced with it.
    with jax.ensure_compile_time_eval():
        for _ in range(steps):
            slope = gradient(params, images, labels)
            params = {name: params[name] - 0.5 * np.asarray(slope[name]) for name in params}
    return params
