"""Given pieces of lab 07: a mesh, small models to be cut up, and what has a student's functions train them.

What a check hands to a student's function is portable.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
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
    eps: float = 1e-8

    def init(self, params: Params) -> Any:
        return optax.adam(self.learning_rate, eps=self.eps).init(params)

    def update(self, gradients: Params, state: Any, params: Params) -> tuple[Params, Any]:
        return optax.adam(self.learning_rate, eps=self.eps).update(gradients, state, params)


def shard_shapes(tree: Any) -> list[tuple[int, ...]]:
    """The shape of what one device holds of each array of `tree`, largest shard first where they differ."""
    arrays = [leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.Array)]
    return [max(shard.data.shape for shard in array.addressable_shards) for array in arrays]


def lies(shape: tuple[int, ...], devices: int) -> str:
    """The words for an array of which `devices` devices hold a shard of that shape."""
    return f"shards of {shape} on {devices} device{'s' * (devices != 1)}"


def places(tree: Any) -> list[str]:
    """Where each array of `tree` lies: two that are whole, on one device and on all, have the same shard shapes."""
    arrays = [leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.Array)]
    return [lies(*it) for it in zip(shard_shapes(arrays), (len(a.sharding.device_set) for a in arrays), strict=True)]


def bytes_by_device(tree: Any) -> dict[int, int]:
    """How many bytes of `tree` lie on each device, by the device's number."""
    held: dict[int, int] = {}
    for leaf in jax.tree.leaves(tree):
        for shard in leaf.addressable_shards if isinstance(leaf, jax.Array) else ():
            held[shard.device.id] = held.get(shard.device.id, 0) + shard.data.nbytes
    return held


@portable
@dataclass(frozen=True)
class Start:
    """Has a student's `start_training` place parameters by `specs` on a mesh of `axes`, and tells where all lies."""

    specs: dict[str, PartitionSpec]
    axes: tuple[int, int]

    def __call__(self, start_training: Callable, params: dict) -> dict:
        found = start_training(Adam(), params, self.specs, grid(*self.axes))
        if not isinstance(found, (tuple, list)) or len(found) != 2 or not isinstance(found[0], dict):
            raise TypeError("return a pair: the placed parameters, a dictionary, and the state")
        placed, state = found
        return _layout(placed, state) | {"values": {name: np.asarray(leaf) for name, leaf in placed.items()}}


@portable
@dataclass(frozen=True)
class TwoSteps:
    """Makes two steps with a student's `make_step`, from arrays that lie by `specs`, and tells where all lies then.

    With Adam's usual `eps`, a gradient that is nothing but rounding error would be made a step of full length.
    """

    specs: dict[str, PartitionSpec]
    axes: tuple[int, int]
    eps: float

    def __call__(self, make_step: Callable, params: dict, x: Array, y: Array) -> dict:
        mesh = grid(*self.axes)

        def move(path: tuple, leaf: Any) -> Array:
            spec = self.specs.get(getattr(path[-1], "key", ""), PartitionSpec())
            return jax.device_put(leaf, NamedSharding(mesh, spec))

        own = jax.tree.map(jnp.array, params)
        optimizer = Adam(eps=self.eps)
        params, state = jax.tree_util.tree_map_with_path(move, (own, optimizer.init(own)))
        step, losses, before = make_step(SquaredError(), optimizer), [], []
        for _ in range(2):
            before = jax.tree.leaves((params, state))
            found = step(params, state, x, y)
            if not isinstance(found, (tuple, list)) or len(found) != 3 or not isinstance(found[1], dict):
                raise TypeError("a step returns three things: the loss, the parameters, a dictionary, and the state")
            value, params, state = found
            losses.append(float(value))
        told = _layout(params, state) | {"values": {name: np.asarray(leaf) for name, leaf in params.items()}}
        return told | {"losses": losses, "donated": [bool(leaf.is_deleted()) for leaf in before if leaf.ndim]}


def _layout(params: Params, state: Any) -> dict:
    moments = [leaf for leaf in jax.tree.leaves(state) if leaf.ndim]
    return {
        "params": places(params),
        "moments": places(moments),
        "bytes": max(bytes_by_device((params, moments)).values()),
    }


@portable
@dataclass(frozen=True)
class Placement:
    """Has a student's `global_batch` make a batch on a mesh of `axes`, and tells where it lies."""

    axes: tuple[int, int]

    def __call__(self, global_batch: Callable, rows: np.ndarray) -> dict[str, Any]:
        made = global_batch(rows, grid(*self.axes))
        if not isinstance(made, jax.Array):
            raise TypeError(f"return an array of JAX, which lies on devices, not a {type(made).__name__}")
        shards = [shard.data.shape for shard in made.addressable_shards]
        return {
            "value": np.asarray(made),
            "shards": shards,
            "devices": len({s.device for s in made.addressable_shards}),
        }


def can_connect() -> bool:
    """Whether programs of this machine can reach each other; where a lab is graded they cannot."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), timeout=5).close()
    except OSError:
        return False
    return True


def train_together(
    process_rows: Callable, global_batch: Callable, *, rows: int = 32, steps: int = 5, seed: int = 0
) -> list[float]:
    """The losses of a few steps of gradient descent on a network that all processes train together.

    Args:
        process_rows: `(rows, process, processes) -> (start, stop)`, which rows of a batch a process reads.
        global_batch: `(rows of this process, mesh) -> global array`.
        rows: of a batch, over all processes.
        steps: how many to make.
        seed: of weights and data, the same for any number of processes.
    """
    draw, mesh, loss = np.random.default_rng(seed), grid(jax.device_count(), 1), SquaredError()
    params = {name: draw.standard_normal((8, 8), np.float32) / 3 for name in ("hidden", "output")}
    # Weights are global arrays too: whole on every device, of every process.
    whole = NamedSharding(mesh, PartitionSpec())
    params = {name: jax.make_array_from_process_local_data(whole, w, w.shape) for name, w in params.items()}
    start, stop = process_rows(rows, jax.process_index(), jax.process_count())

    @jax.jit
    def step(params: Params, x: Array, y: Array) -> tuple[Array, Params]:
        mean, slope = jax.value_and_grad(loss)(params, x, y)
        return mean, jax.tree.map(lambda w, by: w - 0.5 * by, params, slope)

    losses = []
    for _ in range(steps):
        x = draw.standard_normal((rows, 8), np.float32)
        value, params = step(params, global_batch(x[start:stop], mesh), global_batch(np.tanh(x)[start:stop], mesh))
        losses.append(float(value))
    return losses
