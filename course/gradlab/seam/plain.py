"""Plain data as bytes: the only thing that crosses the seam, apart from references.

The exact types below and no subclass of them: an object with a lying `__eq__` or `__array__` never arrives on the
other side, a reference to it does. A mesh crosses as its axes, and is made anew of the
devices there. Nothing here is able to run code that was sent (no pickle).
"""

import inspect
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import msgpack
import numpy as np
from jax.core import Tracer
from jax.sharding import AxisType, Mesh, PartitionSpec

from gradlab.seam import portable

MAX_DEPTH = 64
_SCALARS = (type(None), bool, float, str, bytes)
_INT64 = range(-(2**63), 2**63)


class NotPlain(ValueError):
    """The bytes do not hold plain data of this format."""


def is_array(value: Any) -> bool:
    """Whether `value` is an array or an array's scalar, of NumPy or JAX; decides what is traced."""
    return isinstance(value, (np.ndarray, np.generic, jax.Array))


def encode(value: Any, refer: Callable[[Any], int]) -> bytes:
    """`value` as bytes; `refer` gives the reference of whatever is not plain data."""
    return msgpack.Packer(use_bin_type=True).pack(_pack(value, refer, 0))


def decode(data: bytes, resolve: Callable[[int], Any]) -> Any:
    """The value that `encode` wrote; `resolve` gives the object of a reference. Raises `NotPlain`."""
    try:
        tree = msgpack.unpackb(data, raw=False, strict_map_key=False)
        return _unpack(tree, resolve, 0)
    except NotPlain:
        raise
    except Exception as error:
        raise NotPlain(f"{type(error).__name__}: {error}") from error


def _pack(value: Any, refer: Callable[[Any], int], depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise NotPlain(f"nested deeper than {MAX_DEPTH} levels")
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is int:
        return value if value in _INT64 else ["int", str(value)]
    if kind is complex:
        return ["complex", value.real, value.imag]
    if kind in (list, tuple):
        return [kind.__name__, [_pack(item, refer, depth + 1) for item in value]]
    if kind is dict:
        return ["dict", [[_pack(k, refer, depth + 1), _pack(v, refer, depth + 1)] for k, v in value.items()]]
    if kind is np.ndarray or (isinstance(value, np.generic) and kind.__module__ in ("numpy", "ml_dtypes")):
        return _pack_array("numpy", np.asarray(value), value, refer)
    if isinstance(value, jax.Array) and not isinstance(value, Tracer):
        return _pack_jax(value, refer)
    packed = _pack_layout(value) or _pack_portable(value, refer, depth)
    return packed or ["ref", refer(value)]


def _pack_layout(value: Any) -> list | None:
    """A mesh as its axes, a partition spec as its entries; the axes of a mesh are of the type Auto."""
    if isinstance(value, Mesh) and set(value.axis_types) == {AxisType.Auto}:
        return ["mesh", list(value.axis_sizes), list(value.axis_names)]
    if type(value) is PartitionSpec:
        entries = [list(entry) if isinstance(entry, tuple) else entry for entry in value]
        return ["spec", entries] if all(type(entry) in (str, type(None), list) for entry in entries) else None
    return None


def _pack_array(tag: str, array: np.ndarray, original: Any, refer: Callable[[Any], int]) -> list:
    if array.dtype.kind not in "biufcVUS" or array.dtype.fields is not None:  # V: bfloat16 and its kin
        return ["ref", refer(original)]
    data = np.ascontiguousarray(array)
    return [tag, array.dtype.name if array.dtype.kind == "V" else array.dtype.str, list(array.shape), data.tobytes()]


def _pack_jax(value: jax.Array, refer: Callable[[Any], int]) -> list:
    if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        data = np.asarray(jax.random.key_data(value))
        return ["key", str(jax.random.key_impl(value)), data.dtype.str, list(data.shape), data.tobytes()]
    return _pack_array("jax", np.asarray(value), value, refer)


def _pack_portable(value: Any, refer: Callable[[Any], int], depth: int) -> list | None:
    owner = value.__self__ if inspect.ismethod(value) else value
    name = portable.name_of(type(owner))
    if name is None:
        return None
    method = value.__name__ if inspect.ismethod(value) else ""
    return ["portable", name, method, _pack(portable.fields_of(owner), refer, depth + 1)]


def _unpack(tree: Any, resolve: Callable[[int], Any], depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise NotPlain(f"nested deeper than {MAX_DEPTH} levels")
    if type(tree) is not list:
        if type(tree) is int or type(tree) in _SCALARS:
            return tree
        raise NotPlain(f"a {type(tree).__name__} is not plain data")
    tag, *rest = tree
    if tag not in _UNPACK:
        raise NotPlain(f"unknown tag {tag!r}")
    return _UNPACK[tag](rest, resolve, depth + 1)


def _unpack_array(rest: list, resolve: Callable[[int], Any], depth: int) -> np.ndarray:
    dtype, shape, data = rest
    kind = np.dtype(dtype)
    if kind.hasobject:
        raise NotPlain("an array of objects is not plain data")
    if any(type(length) is not int or length < 0 for length in shape):
        raise NotPlain(f"{shape} is not a shape")
    return np.frombuffer(data, dtype=kind).reshape(shape).copy()


def _unpack_key(rest: list, resolve: Callable[[int], Any], depth: int) -> jax.Array:
    implementation, *array = rest
    return jax.random.wrap_key_data(jnp.asarray(_unpack_array(array, resolve, depth)), impl=implementation)


def _unpack_mesh(rest: list, resolve: Callable[[int], Any], depth: int) -> Mesh:
    """A mesh of the same axes over the first devices of this side."""
    sizes, names = rest
    devices = jax.devices()[: math.prod(sizes)]
    return jax.make_mesh(tuple(sizes), tuple(names), axis_types=(AxisType.Auto,) * len(sizes), devices=devices)


def _unpack_portable(rest: list, resolve: Callable[[int], Any], depth: int) -> Any:
    name, method, fields = rest
    instance = portable.rebuild(name, _unpack(fields, resolve, depth))
    if not method:
        return instance
    if method.startswith("_"):
        raise NotPlain(f"{name}.{method} is not public")
    return getattr(instance, method)


def _unpack_items(rest: list, resolve: Callable[[int], Any], depth: int) -> list:
    return [_unpack(item, resolve, depth) for item in rest[0]]


_UNPACK: dict[str, Callable[[list, Callable[[int], Any], int], Any]] = {
    "int": lambda rest, resolve, depth: int(rest[0]),
    "complex": lambda rest, resolve, depth: complex(rest[0], rest[1]),
    "list": _unpack_items,
    "tuple": lambda rest, resolve, depth: tuple(_unpack_items(rest, resolve, depth)),
    "dict": lambda rest, resolve, depth: {
        _unpack(key, resolve, depth): _unpack(value, resolve, depth) for key, value in rest[0]
    },
    "numpy": _unpack_array,
    "jax": lambda rest, resolve, depth: jnp.asarray(_unpack_array(rest, resolve, depth)),
    "key": _unpack_key,
    "mesh": _unpack_mesh,
    "spec": lambda rest, resolve, depth: PartitionSpec(*(tuple(e) if type(e) is list else e for e in rest[0])),
    "portable": _unpack_portable,
    "ref": lambda rest, resolve, depth: resolve(rest[0]),
}
