"""Which slice of which parameter lies on which device, by name; the shape of the mesh does the rest.

A mesh has the axes "data" and "model". Along "data" sequences are divided, and with them every matrix, its
gradient and its optimizer state: fully sharded data parallelism (Rajbhandari et al. 2020). Along "model" heads,
hidden units and the vocabulary are divided: tensor parallelism (Shoeybi et al. 2019). An axis of one device
divides nothing.
"""

from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Shaped

AXES = ("data", "model")
# By the last two names of a parameter's path. Norms and the biases of sums over "model" are on every device: they
# are a thousandth of the parameters, and a collective for each would cost more than it saves.
SPECS = {
    "tokens.embedding": P("model", "data"),
    "positions.embedding": P(None, "data"),
    # Columns: each device computes its own heads, and its own hidden units.
    "qkv.kernel": P("data", "model", None, None),
    "qkv.bias": P("model", None, None),
    "up.kernel": P("data", "model"),
    "up.bias": P("model"),
    # Rows: each device has a part of every sum, and one all-reduce adds the parts.
    "out.kernel": P("model", None, "data"),
    "out.bias": P(),
    "down.kernel": P("model", "data"),
    "down.bias": P(),
    "norm.scale": P(),
    "norm.bias": P(),
    "attention_norm.scale": P(),
    "attention_norm.bias": P(),
    "mlp_norm.scale": P(),
    "mlp_norm.bias": P(),
}
STACK = "blocks"


def make_mesh(data: int | None = None, model: int = 1, devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh of `data` x `model` devices; without `data`, as many as there are.

    Raises ValueError where the devices do not suffice, `model` does not divide them, or a number is below 1.
    """
    devices = jax.devices() if devices is None else devices
    for axis, count in zip(AXES, (data, model), strict=True):
        if count is not None and count < 1:
            raise ValueError(f"a mesh has at least 1 device along {axis!r}, not {count}")
    if data is None:
        data, rest = divmod(len(devices), model)
        if rest or not data:
            raise ValueError(f"{len(devices)} devices cannot be divided into groups of {model}")
    if data * model > len(devices):
        raise ValueError(f"a mesh of {data} x {model} needs {data * model} devices, there are {len(devices)}")
    return jax.make_mesh((data, model), AXES, axis_types=(AxisType.Auto,) * 2, devices=devices[: data * model])


def constrain(x: Shaped[Array, "..."], *spec: str | None) -> Shaped[Array, "..."]:
    """Have the compiler lay out `x` so; nothing where no mesh is set, as in a plain forward pass."""
    return x if jax.sharding.get_abstract_mesh().empty else jax.lax.with_sharding_constraint(x, P(*spec))


def spec_of(path: str) -> P:
    """The `PartitionSpec` of the parameter at a path such as `blocks.qkv.kernel`.

    Raises KeyError for a parameter that has no rule: silence would copy it to every device.
    """
    names = path.split(".")
    spec = SPECS[".".join(names[-2:])]
    return P(None, *spec) if names[0] == STACK and spec else spec


def parameter_path(path: Sequence[Any]) -> str:
    """The dotted names of a leaf, from what `jax.tree_util.tree_map_with_path` gives."""
    return ".".join(str(entry.key) for entry in path if isinstance(entry, jax.tree_util.DictKey))


def shardings(parameters: Any, mesh: Mesh) -> Any:
    """The same tree, of a `NamedSharding` for each parameter. `parameters` may be abstract.

    Raises ValueError, with the parameter's name, where an axis of the mesh does not divide its size.
    """

    def place(path: Sequence[Any], leaf: Any) -> NamedSharding:
        name = parameter_path(path)
        spec = spec_of(name)
        for size, axis in zip(leaf.shape, spec, strict=False):
            if axis is not None and size % mesh.shape[axis]:
                raise ValueError(
                    f"{name} of shape {leaf.shape} cannot be split: {size} / {mesh.shape[axis]} over {axis!r}"
                )
        return NamedSharding(mesh, spec)

    return jax.tree_util.tree_map_with_path(place, parameters)
