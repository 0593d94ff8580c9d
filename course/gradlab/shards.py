"""Given pieces of lab 07: a mesh, small models to be cut up, and a rehearsal of two training steps.

What a check hands to a student's function is portable.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, Mesh, PartitionSpec
from jaxtyping import Array, Float, PyTree

from gradlab.seam.portable import portable

Params = PyTree[Float[Array, "..."]]


def grid(data: int = 2, model: int = 4) -> Mesh:
    """The first `data * model` devices as a mesh of two axes, "data" and "model".

    Raises ValueError where there are fewer devices.
    """
    devices = jax.devices()[: data * model]
    return jax.make_mesh((data, model), ("data", "model"), axis_types=(AxisType.Auto,) * 2, devices=devices)


def attend(
    query: Float[Array, "batch sequence heads size"],
    key: Float[Array, "batch sequence heads size"],
    value: Float[Array, "batch sequence heads size"],
) -> Float[Array, "batch sequence heads size"]:
    """Causal attention of as many heads as there are: each head on its own."""
    return jax.nn.dot_product_attention(query, key, value, is_causal=True)


@portable
@dataclass(frozen=True)
class SquaredError:
    """`(params, x, y) -> loss` of a network with one hidden layer, a mean over the rows of x and y.

    `params` holds the matrices "hidden", shape (width, inner), and "output", shape (inner, width).
    """

    def __call__(self, params: Params, x: Float[Array, "rows width"], y: Float[Array, "rows width"]) -> Array:
        return jnp.mean((jnp.tanh(x @ params["hidden"]) @ params["output"] - y) ** 2)


@portable
@dataclass(frozen=True)
class Block:
    """`(layer, x) -> x`: one residual layer of a transformer without its attention.

    `layer` holds "up", shape (width, inner), and "down", shape (inner, width); x has the shape (rows, width).
    """

    def __call__(self, layer: Params, x: Float[Array, "rows width"]) -> Float[Array, "rows width"]:
        size = jnp.sqrt(jnp.mean(x**2, axis=-1, keepdims=True) + 1e-6)
        return x + jax.nn.gelu((x / size) @ layer["up"]) @ layer["down"]


@portable
@dataclass(frozen=True)
class Adam:
    """Adam as in lab 04, by optax: `init(params) -> state`, `update(gradients, state, params) -> (updates, state)`."""

    learning_rate: float = 0.01

    def init(self, params: Params) -> Any:
        return optax.adam(self.learning_rate).init(params)

    def update(self, gradients: Params, state: Any, params: Params) -> tuple[Params, Any]:
        return optax.adam(self.learning_rate).update(gradients, state, params)


def shard_shapes(tree: Any) -> list[tuple[int, ...]]:
    """The shape of what one device holds of each array of `tree`, largest shard first where they differ."""
    arrays = [leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.Array)]
    return [max(shard.data.shape for shard in array.addressable_shards) for array in arrays]


def bytes_by_device(tree: Any) -> dict[int, int]:
    """How many bytes of `tree` lie on each device, by the device's number."""
    held: dict[int, int] = {}
    for leaf in jax.tree.leaves(tree):
        for shard in leaf.addressable_shards if isinstance(leaf, jax.Array) else ():
            held[shard.device.id] = held.get(shard.device.id, 0) + shard.data.nbytes
    return held


@portable
@dataclass(frozen=True)
class Rehearsal:
    """Starts a training and makes two steps, and writes down where everything lay.

    Called with a student's `start_training` and `make_step`; see the lab for both. `specs` are the partition specs of
    the parameters by name, `axes` the sizes of the mesh.
    """

    specs: dict[str, PartitionSpec]
    axes: tuple[int, int]

    def __call__(self, start_training: Callable, make_step: Callable, params: dict, x: Array, y: Array) -> dict:
        optimizer = Adam()
        placed, state = start_training(optimizer, params, self.specs, grid(*self.axes))
        step = make_step(SquaredError(), optimizer)
        told = {"start": _layout(placed, state), "losses": []}
        for _ in range(2):
            before = jax.tree.leaves((placed, state))
            value, placed, state = step(placed, state, x, y)
            told["losses"].append(float(value))
        told["after"] = _layout(placed, state)
        told["donated"] = [bool(leaf.is_deleted()) for leaf in before if leaf.ndim]
        told["params"] = {name: np.asarray(leaf) for name, leaf in placed.items()}
        return told


def _layout(params: Params, state: Any) -> dict:
    moments = [leaf for leaf in jax.tree.leaves(state) if leaf.ndim]
    return {
        "params": shard_shapes(params),
        "moments": shard_shapes(moments),
        "bytes": max(bytes_by_device((params, moments)).values()),
    }


@portable
@dataclass(frozen=True)
class Placement:
    """Has a student's `global_batch` make a batch on a mesh of `axes`, and tells where it lies."""

    axes: tuple[int, int]

    def __call__(self, global_batch: Callable, rows: np.ndarray) -> dict[str, Any]:
        made = global_batch(rows, grid(*self.axes))
        shards = [shard.data.shape for shard in made.addressable_shards]
        return {
            "value": np.asarray(made),
            "shards": shards,
            "devices": len({s.device for s in made.addressable_shards}),
        }
