"""What is wrong with a partition spec, in a few words: where several specs are right."""

import math
from collections.abc import Callable

from jax.sharding import PartitionSpec

Shape = tuple[int, ...]
FULLY_CUT = "a shard is an eighth of its matrix, and no layer is cut"


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
    return [(entry,) if isinstance(entry, str) else tuple(entry or ()) for entry in entries]


def cut_along(spec: object, name: str, shape: Shape) -> str:
    """Which axis of an array the axis `name` of the mesh cuts."""
    found = [axis for axis, names in enumerate(names_by_axis(spec, shape)) if name in names]
    return on_axis(found[0] if found else None)


def whole(spec: object, shape: Shape) -> bool:
    """Whether nothing cuts the array."""
    return not any(names_by_axis(spec, shape))


def fully_cut(partition: Callable[[str, Shape], object], shapes: dict[str, Shape]) -> str:
    """Whether each of the stacked matrices is cut along both axes of a mesh of 2 x 4 devices, evenly, layers whole."""
    sizes = {"data": 2, "model": 4}
    for name, shape in shapes.items():
        names = names_by_axis(partition(name, shape), shape)
        if names[0]:
            return "the axis of the layers is cut"
        parts = [math.prod(sizes.get(axis, 1) for axis in cut) for cut in names]
        if any(length % count for length, count in zip(shape, parts, strict=True)):
            return "an axis is cut unevenly"
        if math.prod(parts) != 8:
            return "a device holds more than an eighth"
    return FULLY_CUT
