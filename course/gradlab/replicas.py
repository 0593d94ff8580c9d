"""Given pieces of lab 06: how a linear classifier starts, and the losses of its examples one by one.

Both are portable, so that a check can hand them to a student's function. The mean loss is `SoftmaxRegression`.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from gradlab.seam.portable import portable

Params = dict[str, Float[Array, "..."]]


@portable
@dataclass(frozen=True)
class Start:
    """`key -> params`: random weights, shape (width, classes), and a bias of zeros, shape (classes,)."""

    width: int = 64
    classes: int = 10

    def __call__(self, key: Key[Array, ""]) -> Params:
        weight = jax.random.normal(key, (self.width, self.classes)) / self.width**0.5
        return {"weight": weight, "bias": jnp.zeros(self.classes)}


@portable
@dataclass(frozen=True)
class ExampleLosses:
    """`(params, x, y) -> losses`: the cross-entropy of each example, shape (b,), for x (b, width) and y (b,)."""

    def __call__(self, params: Params, x: Float[Array, "b d"], y: Int[Array, " b"]) -> Float[Array, " b"]:
        log_probability = jax.nn.log_softmax(x @ params["weight"] + params["bias"][None, :])
        return -jnp.take_along_axis(log_probability, y[:, None], axis=1)[:, 0]
