"""Partition specs by arithmetic: which device holds which slice, and what is wrong with a spec. No device is needed."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from jax.sharding import PartitionSpec

DEVICES = 8
MESHES: dict[str, dict[str, int]] = {
    f"{data}x{DEVICES // data}": {"data": data, "model": DEVICES // data} for data in (8, 4, 2, 1)
}


@dataclass(frozen=True)
class Placed:
    """A parameter and its spec. `cuts` names for each axis of the array the axes of the mesh that divide it."""

    name: str
    shape: tuple[int, ...]
    cuts: tuple[tuple[str, ...], ...]
    error: str = ""

    @property
    def elements(self) -> int:
        return prod(self.shape)

    def parts(self, mesh: Mapping[str, int], axis: str | None = None) -> int:
        """Into how many slices it is cut, by the whole mesh or along one of its axes."""
        return prod(mesh[name] for cut in self.cuts for name in cut if axis in (None, name))

    def shard(self, mesh: Mapping[str, int]) -> tuple[int, ...]:
        """The shape of one slice."""
        return tuple(size // prod(mesh[name] for name in cut) for size, cut in zip(self.shape, self.cuts, strict=True))

    def slices(self, mesh: Mapping[str, int], device: int) -> list[tuple[int, int]]:
        """Start and stop along each axis of what a device holds; devices are counted along "model" first."""
        row, column = divmod(device, mesh["model"])
        place: dict[str, int] = {"data": row, "model": column}
        found = []
        for size, cut in zip(self.shard(mesh), self.cuts, strict=True):
            number = 0
            for name in cut:
                number = number * mesh[name] + place[name]
            found.append((number * size, (number + 1) * size))
        return found


def place(name: str, shape: tuple[int, ...], spec: Any, mesh: Mapping[str, int]) -> Placed:
    """A parameter with its spec, or, whole and with the error, with one that is not legal."""
    try:
        return Placed(name, shape, cuts_of(shape, spec, mesh))
    except (TypeError, ValueError) as error:
        return whole(name, shape, str(error))


def whole(name: str, shape: tuple[int, ...], error: str) -> Placed:
    """A parameter that no spec cuts."""
    return Placed(name, shape, ((),) * len(shape), error)


def cuts_of(shape: tuple[int, ...], spec: Any, mesh: Mapping[str, int]) -> tuple[tuple[str, ...], ...]:
    """For each axis of the array the mesh axes that divide it. Raises TypeError or ValueError for an illegal spec."""
    if not isinstance(spec, PartitionSpec):
        raise TypeError(f"this is a {type(spec).__name__}, not a PartitionSpec")
    if len(spec) > len(shape):
        raise ValueError(f"{len(spec)} entries for an array with {len(shape)} axes")
    entries = [() if entry is None else entry if isinstance(entry, tuple) else (entry,) for entry in spec]
    cuts = tuple(entries) + ((),) * (len(shape) - len(spec))
    used: set[str] = set()
    for axis, (size, cut) in enumerate(zip(shape, cuts, strict=True)):
        for name in cut:
            if name not in mesh:
                raise ValueError(f"there is no mesh axis {name!r}: the mesh has {' and '.join(mesh)}")
            if name in used:
                raise ValueError(f"the mesh axis {name!r} is used twice, and can cut one axis only")
            used.add(name)
        if size % (into := prod(mesh[name] for name in cut)):
            raise ValueError(f"axis {axis} has size {size}, which {' times '.join(cut)} = {into} does not divide")
    return cuts


def written(spec: PartitionSpec) -> str:
    """The spec as Python."""
    return f"P({', '.join(_entry(entry) for entry in spec)})"


def _entry(entry: Any) -> str:
    if isinstance(entry, tuple):
        return f"({', '.join(map(_entry, entry))}{',' if len(entry) == 1 else ''})"
    return f'"{entry}"' if isinstance(entry, str) else str(entry)


def parse(text: str) -> PartitionSpec:
    """The spec that is written, for example `P(None, "data")`. Raises ValueError for anything else."""
    wrong = ValueError('write it as P(None, "data"), with an entry for each axis of the array')
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.keywords:
            raise wrong
        if call.func.id not in ("P", "PartitionSpec"):
            raise wrong
        entries = [ast.literal_eval(argument) for argument in call.args]
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise wrong from None
    for entry in entries:
        names = entry if isinstance(entry, tuple) else (entry,)
        if not all(name is None or isinstance(name, str) for name in names):
            raise wrong
    return PartitionSpec(*entries)
