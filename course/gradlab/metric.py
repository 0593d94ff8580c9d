"""A function of one example, given to the students of lab 02 to map over a batch."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gradlab.seam.portable import portable


@portable
@dataclass(frozen=True)
class ClassDistance:
    """The squared Mahalanobis distance of one example from the centre of its class (Mahalanobis 1936).

    `params = {"centers": (classes, d), "precision": (d, d)}`. It is written for one example, `x` of shape (d,) and
    `label` a scalar, and means nothing for a batch.
    """

    def __call__(
        self, params: dict[str, Float[Array, "..."]], x: Float[Array, " d"], label: Int[Array, ""]
    ) -> Float[Array, ""]:
        offset = x - params["centers"][label]
        return jnp.vdot(offset, params["precision"] @ offset)

    def fit(self, x: Float[Array, "n d"], labels: Int[Array, " n"], classes: int) -> dict[str, Float[Array, "..."]]:
        """The centres of the classes, and the inverse of the covariance inside them with a ridge of 0.1."""
        members = jax.nn.one_hot(labels, classes)
        centers = (members.T @ x) / members.sum(axis=0)[:, None]
        offset = x - centers[labels]
        covariance = offset.T @ offset / len(x) + 0.1 * jnp.eye(x.shape[1])
        return {"centers": centers, "precision": jnp.linalg.inv(covariance)}
