"""What is wrong with a partition spec, in a few words: where several specs are right."""

import math
from collections.abc import Callable

from jax.sharding import PartitionSpec

Shape = tuple[int, ...]
EVENLY_CUT = "in equal shards over all of these devices, and no layer is cut"
WHOLE = "each whole on every device"
LIKE_COLUMNS = "whole, or cut as their columns"
_MESH = {"data": 2, "model": 4}


def on_axis(axis: int | None) -> str:
    """The words for the place at which an axis of the mesh cuts."""
    return "nowhere" if axis is None else f"axis {axis}"


def names_by_axis(spec: object, shape: Shape) -> list[tuple[str, ...]]:
    """The axes of the mesh that cut each axis of an array. Raises TypeError or ValueError for what is no spec of it."""
    if not isinstance(spec, PartitionSpec):
        raise TypeError(f"return a PartitionSpec, not a {type(spec).__name__}")
    if len(spec) > len(shape):
        raise ValueError(f"a spec of {len(spec)} entries for an array of {len(shape)} axes")
    entries = [*spec, *[None] * (len(shape) - len(spec))]
    found = [(entry,) if isinstance(entry, str) else tuple(entry or ()) for entry in entries]
    used = [axis for cut in found for axis in cut]
    for axis in used:
        if axis not in _MESH:
            raise ValueError(f'the mesh has the axes "data" and "model", and none that is called {axis!r}')
        if used.count(axis) > 1:
            raise ValueError(f"{spec} names {axis!r} twice: an axis of the mesh can cut one axis of an array")
    return found


def cut_along(spec: object, name: str, shape: Shape) -> str:
    """Which axis of an array the axis `name` of the mesh cuts."""
    found = [axis for axis, names in enumerate(names_by_axis(spec, shape)) if name in names]
    return on_axis(found[0] if found else None)


def all_whole(partition: Callable[[str, Shape], object], shapes: dict[str, Shape]) -> str:
    """Whether nothing cuts any of the arrays, else the name of one that is cut."""
    cut = [name for name, shape in shapes.items() if any(names_by_axis(partition(name, shape), shape))]
    return f"{cut[0]} is cut" if cut else WHOLE


def _shares(names: list[tuple[str, ...]]) -> list[int]:
    """Into how many parts a mesh of 2 x 4 devices cuts each axis."""
    return [math.prod(_MESH[axis] for axis in cut) for cut in names]


def cut_by(partition: Callable[[str, Shape], object], shapes: dict[str, Shape], count: int) -> str:
    """Whether each array is cut evenly into `count` shards by a mesh of 2 x 4 devices, layers whole."""
    for name, shape in shapes.items():
        names = names_by_axis(partition(name, shape), shape)
        if names[0] and name.startswith("blocks."):
            return f"{name}: the axis of the layers is cut"
        parts = _shares(names)
        if any(length % part for length, part in zip(shape, parts, strict=True)):
            return f"{name}: an axis is cut unevenly"
        if math.prod(parts) != count:
            return f"{name}: of 2 x 4 devices each holds one part in {math.prod(parts)}"
    return EVENLY_CUT


def biases(partition: Callable[[str, Shape], object], shapes: dict[str, Shape]) -> str:
    """Whether the stacked biases of columns are cut on their first axis after the layers, like columns, or not."""
    for name, shape in shapes.items():
        names = names_by_axis(partition(f"blocks.{name}", shape), shape)
        if names[0]:
            return f"{name}: the axis of the layers is cut"
        if any(names[2:]) or shape[1] % _shares(names)[1] or names[1] == ("data",):
            return f"{name}: cut elsewhere than its columns"
    return LIKE_COLUMNS
