"""Reads the collectives in the text of a compiled program (HLO)."""

import re
from dataclasses import dataclass, field, replace

import numpy as np

from gradlab.collectives import KINDS, ArrayType, Callers, Collective, mesh_groups, numpy_name, rows

_INSTRUCTION = re.compile(r"\s*(?:ROOT )?(%[\w.-]+) = (.*)")
_COMPUTATION = re.compile(r"(?:ENTRY )?(%[\w.-]+) \(.*\) -> .* \{$")
_ARRAY = re.compile(r"\b([a-z]+\d*\w*)\[([\d,]*)\]")
_OPCODE = re.compile(r"^((?:\([^()]*(?:\([^()]*\)[^()]*)*\))|\S+) ([a-z][\w-]*)\((.*)$")
_CALLED = re.compile(r"(?:calls|to_apply|body|condition|\w*_computations?)=(\{[^}]*\}|%[\w.-]+)")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')


@dataclass
class _Module:
    types: dict[str, str] = field(default_factory=dict)
    found: list[tuple[str, Collective]] = field(default_factory=list)
    callers: Callers = field(default_factory=Callers)


def collectives(text: str) -> list[Collective]:
    """The collectives in HLO text; one that is started and awaited apart counts once."""
    module, computation = _Module(), ""
    for line in text.splitlines():
        if header := _COMPUTATION.match(line):
            computation = header[1]
        elif instruction := _INSTRUCTION.match(line):
            _read(module, computation, instruction[1], instruction[2])
    return [
        replace(it, in_loop=inside, times=times)
        for computation, it in module.found
        for inside, times in module.callers.uses(computation)
    ]


def _read(module: _Module, computation: str, name: str, text: str) -> None:
    parsed = _OPCODE.match(re.sub(r"/\*.*?\*/", "", text))
    if not parsed:
        return
    kind, opcode, rest = parsed.groups()
    module.types[name] = kind
    trips = _TRIPS.search(rest)
    for called in re.findall(r"%[\w.-]+", " ".join(_CALLED.findall(rest))):
        loop = opcode == "while"
        times = (int(trips[1]) if trips else None) if loop else 1
        module.callers.add(called, computation, loop, times)
    base = opcode.removesuffix("-start")
    if base in KINDS:
        module.found.append((computation, _collective(module, base, opcode.endswith("-start"), kind, rest)))


def _collective(module: _Module, kind: str, started: bool, result: str, rest: str) -> Collective:
    inputs = rest[: rest.index(")")]
    operands = tuple(array for name in re.findall(r"%[\w.-]+", inputs) for array in _arrays(module.types.get(name, "")))
    results = _arrays(result)
    if started and kind != "all-reduce":
        # The pair (what is put in, what comes out), and for a permutation two counters.
        results = results[len(operands) : 2 * len(operands)]
    pairs = re.search(r"source_target_pairs=\{(.*?)\}\}", rest)
    numbers = [int(n) for n in re.findall(r"\d+", pairs[1])] if pairs else []
    return Collective(
        kind,
        operands or results,
        results,
        groups=_groups(rest) if kind != "collective-permute" else (),
        pairs=tuple(zip(numbers[::2], numbers[1::2], strict=True)),
    )


def _arrays(text: str) -> tuple[ArrayType, ...]:
    return tuple(
        ArrayType(numpy_name(dtype), tuple(int(n) for n in shape.split(",") if n))
        for dtype, shape in _ARRAY.findall(text)
    )


def _groups(text: str) -> tuple[tuple[int, ...], ...]:
    """The replica groups, in each of the three forms in which they are written."""
    if listed := re.search(r"replica_groups=\{(\{[\d,{} ]*\})\}", text):
        return tuple(tuple(int(n) for n in re.findall(r"\d+", row)) for row in re.findall(r"\{([\d, ]*)\}", listed[1]))
    if iota := re.search(r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?", text):
        shape, grid = (tuple(map(int, iota[i].split(","))) for i in (1, 2))
        devices = np.arange(np.prod(grid)).reshape(grid)
        if iota[3]:
            devices = devices.transpose([int(axis) for axis in iota[3].split(",")])
        return rows(devices.reshape(shape))
    if mesh := re.search(r"replica_groups=mesh\[([^\]]*)\]\s*\{([^}]*)\}", text):
        axes = {name: int(size) for name, size in re.findall(r"'([^']+)'=(\d+)", mesh[1])}
        if "device_ids" in mesh[1]:
            return ()
        return mesh_groups(axes, re.findall(r"'([^']+)'", mesh[2]))
    return ()
