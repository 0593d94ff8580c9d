"""What devices send each other: the collectives in the text of a compiled program.

`collectives(text)` reads both forms in which JAX shows a program: StableHLO, as traced (`jitted.lower(...).as_text()`),
and the HLO that the compiler made of it (`.compile().as_text()`). In the first, each array is a collective of its own,
and what the compiler will add for sharded arguments is not there yet. In the second, the compiler has put some of them
together, and on the processor it has turned bfloat16 into float32.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import ml_dtypes
import numpy as np

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "collective-permute", "all-to-all", "collective-broadcast")

# Names of element types in StableHLO and in HLO, where NumPy has another.
_DTYPES = {
    **{f"{letter}{bits}": f"int{bits}" for letter in "is" for bits in (8, 16, 32, 64)},
    **{f"{name}{bits}": f"uint{bits}" for name in ("ui", "u") for bits in (8, 16, 32, 64)},
    "f16": "float16",
    "bf16": "bfloat16",
    "f32": "float32",
    "f64": "float64",
    "i1": "bool",
    "pred": "bool",
    "c64": "complex64",
    "c128": "complex128",
    "complex<f32>": "complex64",
    "complex<f64>": "complex128",
}


@dataclass(frozen=True)
class ArrayType:
    """Element type, by NumPy's name, and shape of an array on one device."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * _item_bytes(self.dtype)


@dataclass(frozen=True)
class Collective:
    """One collective in a program.

    Attributes:
        kind: one of `KINDS`.
        operands: what a device puts in, several arrays where the compiler has combined them.
        results: what a device gets out.
        groups: the devices that act together, a tuple for each group; empty for a collective-permute.
        pairs: (source, target) of each message of a collective-permute.
        in_loop: whether it stands in the body of a loop.
        times: how often a device runs it in one run of the program; None in a loop of unknown length.
    """

    kind: str
    operands: tuple[ArrayType, ...]
    results: tuple[ArrayType, ...]
    groups: tuple[tuple[int, ...], ...] = ()
    pairs: tuple[tuple[int, int], ...] = ()
    in_loop: bool = False
    times: int | None = 1

    @property
    def dtype(self) -> str:
        """The element type of the first operand."""
        return self.operands[0].dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the first operand."""
        return self.operands[0].shape

    @property
    def bytes(self) -> int:
        """The size of the whole array that is worked on: what is gathered, scattered, reduced or passed on."""
        return max(sum(array.bytes for array in side) for side in (self.operands, self.results))

    @property
    def group_size(self) -> int:
        """How many devices act together; 0 where the text does not say."""
        return max(map(len, self.groups), default=0)

    @property
    def sent(self) -> float:
        """Bytes that each device sends in one run of it, by the best ring algorithm."""
        if self.kind in ("collective-permute", "collective-broadcast"):
            return float(self.bytes)
        share = (self.group_size - 1) / self.group_size if self.group_size else 1.0
        return (2 if self.kind == "all-reduce" else 1) * share * self.bytes


def collectives(text: str) -> list[Collective]:
    """The collectives in the text of a program, StableHLO or HLO, in the order in which they stand there."""
    from gradlab import hlo, stablehlo

    return hlo.collectives(text) if text.lstrip().startswith("HloModule") else stablehlo.collectives(text)


def count(found: Iterable[Collective], kind: str | None = None) -> int:
    """How many collectives there are in the program's text, of one kind or of all."""
    return sum(kind in (None, it.kind) for it in found)


def counts(found: Iterable[Collective]) -> dict[str, int]:
    """How many of each kind are in the text, without the kinds that are not."""
    found = list(found)
    return {kind: count(found, kind) for kind in KINDS if count(found, kind)}


def runs(found: Iterable[Collective], kind: str | None = None) -> int | None:
    """How many collectives a device runs, those in loops as often as the loop does; None where that is not known."""
    return _total((1, it.times) for it in found if kind in (None, it.kind))


def bytes_of(found: Iterable[Collective], kind: str | None = None) -> int | None:
    """`Collective.bytes` of all that a device runs, loops counted; None where that is not known."""
    return _total((it.bytes, it.times) for it in found if kind in (None, it.kind))


def _total(parts: Iterable[tuple[int, int | None]]) -> int | None:
    total = 0
    for size, times in parts:
        if times is None:
            return None
        total += size * times
    return total


class Callers:
    """Who calls whom in a program: from it follows how often something in a function runs."""

    def __init__(self) -> None:
        self._calls: dict[str, list[tuple[str, bool, int | None]]] = {}

    def add(self, called: str, caller: str, in_loop: bool, times: int | None) -> None:
        """Notes that `caller` calls `called` so many times in one run of itself, None where that is not known."""
        self._calls.setdefault(called, []).append((caller, in_loop, times))

    def uses(self, function: str) -> list[tuple[bool, int | None]]:
        """For each way in which a function is reached: whether in a loop, and how often."""
        if function not in self._calls:
            return [(False, 1)]
        return [
            (in_loop or outer, product(times, outer_times))
            for caller, in_loop, times in self._calls[function]
            for outer, outer_times in self.uses(caller)
        ]


def product(one: int | None, other: int | None) -> int | None:
    """The product of two numbers of runs, None where one is not known."""
    return None if one is None or other is None else one * other


def mesh_groups(axes: dict[str, int], along: list[str]) -> tuple[tuple[int, ...], ...]:
    """The groups of devices that differ only in their place `along` some axes of a mesh, numbered in its order."""
    order = [list(axes).index(name) for name in (*(axis for axis in axes if axis not in along), *along)]
    devices = np.arange(math.prod(axes.values())).reshape(list(axes.values())).transpose(order)
    return rows(devices.reshape(-1, math.prod(axes[name] for name in along)))


def rows(table: np.ndarray) -> tuple[tuple[int, ...], ...]:
    """A matrix as plain numbers, a tuple for each row."""
    return tuple(tuple(int(n) for n in row) for row in table)


def numpy_name(name: str) -> str:
    """NumPy's name of an element type of StableHLO or HLO; an unknown one stays as it is."""
    return _DTYPES.get(name, name)


def _item_bytes(dtype: str) -> int:
    try:
        return np.dtype(getattr(ml_dtypes, dtype, dtype)).itemsize
    except TypeError:
        return 1  # the eight-bit and smaller types that NumPy has no name for
