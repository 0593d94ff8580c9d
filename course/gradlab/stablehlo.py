"""Reads the collectives in StableHLO text: regions open at the end of a line and close at the beginning of one."""

import math
import re
from dataclasses import dataclass, field, replace

import numpy as np

from gradlab.collectives import ArrayType, Callers, Collective, mesh_groups, numpy_name, product, rows

_START = re.compile(
    r'"stablehlo\.(all_reduce|all_gather|reduce_scatter|collective_permute|all_to_all|collective_broadcast)"'
)
_FUNCTION = re.compile(r"func\.func .*?@([\w.$-]+)\(")
_CALL = re.compile(r"(?:func\.)?call @([\w.$-]+)\(")
_TENSOR = re.compile(r"tensor<((?:\d+x)*)([a-z][\w<>]*?)>(?=[\s,)>]|$)")
_CONSTANT = re.compile(r"(%[\w#]+) = stablehlo\.constant dense<(-?\d+)> : tensor<u?i\d+>")
_MESH = re.compile(r"sdy\.mesh @([\w.$-]+) = <\[(.*?)\]>")
_ALONG = re.compile(r"replica_groups = #stablehlo\.replica_group_mesh_axes<mesh = @([\w.$-]+), axes = \[(.*?)\]>")
_BOUND = re.compile(r"stablehlo\.compare\s+(LT|LE), (%[\w#]+), (%[\w#]+)")


@dataclass
class _Loop:
    """A while loop as far as it has been read: its counter starts at `first[name]` and runs up to the bound."""

    first: dict[str, int]
    trips: int | None = None


@dataclass
class _Region:
    kind: str
    function: str
    loop: _Loop | None = None
    pending: str = ""


@dataclass
class _Reader:
    stack: list[_Region] = field(default_factory=list)
    constants: dict[str, int] = field(default_factory=dict)
    meshes: dict[str, dict[str, int]] = field(default_factory=dict)
    found: list[tuple[str, Collective]] = field(default_factory=list)
    callers: Callers = field(default_factory=Callers)
    waiting: _Loop | None = None

    @property
    def function(self) -> str:
        return self.stack[-1].function if self.stack else ""

    def line(self, line: str) -> None:
        if line.startswith("}"):
            closed = self.stack.pop()
            if closed.pending:
                self._add(closed.pending, line)
            if line.startswith("} do {"):
                self.stack.append(_Region("do", closed.function, closed.loop))
                return
        self._read(line)
        if line.endswith("{"):
            self._open(line)

    def _read(self, line: str) -> None:
        if constant := _CONSTANT.match(line):
            self.constants[constant[1]] = int(constant[2])
        elif mesh := _MESH.match(line):
            self.meshes[mesh[1]] = {name: int(size) for name, size in re.findall(r'"([^"]+)"=(\d+)', mesh[2])}
        if "stablehlo.while(" in line:
            pairs = re.findall(r"(%\w+) = (%[\w#]+)", line[line.index("stablehlo.while(") :])
            self.waiting = _Loop({name: self.constants[start] for name, start in pairs if start in self.constants})
        elif self.stack and self.stack[-1].kind == "cond" and (bound := _BOUND.search(line)):
            loop = self.stack[-1].loop
            if loop and bound[2] in loop.first and bound[3] in self.constants:
                last_too = bound[1] == "LE"
                loop.trips = max(self.constants[bound[3]] - loop.first[bound[2]] + last_too, 0)
        elif call := _CALL.search(line):
            inside, times = self._loops()
            self.callers.add(call[1], self.function, inside, times)
        if _START.search(line) and not line.endswith("{"):
            self._add(line, line)

    def _open(self, line: str) -> None:
        if function := _FUNCTION.search(line):
            self.constants = {}
            self.stack.append(_Region("function", function[1]))
        elif line == "cond {":
            self.stack.append(_Region("cond", self.function, self.waiting))
        else:
            self.stack.append(_Region("other", self.function, pending=line if _START.search(line) else ""))

    def _loops(self) -> tuple[bool, int | None]:
        loops = [region.loop for region in self.stack if region.kind == "do" and region.loop]
        times: int | None = 1
        for loop in loops:
            times = product(times, loop.trips)
        return bool(loops), times

    def _add(self, head: str, tail: str) -> None:
        kind = _START.search(head)
        assert kind
        operands, _, results = tail[tail.rindex(" : (") :].partition("->")
        inside, times = self._loops()
        self.found.append(
            (
                self.function,
                Collective(
                    kind[1].replace("_", "-"),
                    _types(operands),
                    _types(results),
                    groups=self._groups(head),
                    pairs=tuple((row[0], row[1]) for row in _matrix(head, "source_target_pairs")),
                    in_loop=inside,
                    times=times,
                ),
            )
        )

    def _groups(self, head: str) -> tuple[tuple[int, ...], ...]:
        """The replica groups: a matrix, or since JAX 0.12 the axes of a mesh."""
        if along := _ALONG.search(head):
            return mesh_groups(self.meshes[along[1]], re.findall(r'axis_ref<name = "([^"]+)"', along[2]))
        return _matrix(head, "replica_groups")


def collectives(text: str) -> list[Collective]:
    """The collectives in StableHLO text; one in a function that is called twice comes twice."""
    reader = _Reader()
    for line in text.splitlines():
        # Locations at a line's end say nothing here.
        reader.line(re.sub(r"\s+loc\(.*\)$", "", line.strip()))
    return [
        replace(it, in_loop=it.in_loop or inside, times=product(it.times, times))
        for function, it in reader.found
        for inside, times in reader.callers.uses(function)
    ]


def _types(text: str) -> tuple[ArrayType, ...]:
    return tuple(
        ArrayType(numpy_name(dtype), tuple(int(n) for n in shape.split("x") if n))
        for shape, dtype in _TENSOR.findall(text)
    )


def _matrix(text: str, name: str) -> tuple[tuple[int, ...], ...]:
    """The matrix of an attribute such as `replica_groups = dense<[[0, 1], [2, 3]]> : tensor<2x2xi64>`."""
    match = re.search(rf"{name} = dense<(.*?)> : tensor<(\d+)x(\d+)xi64>", text)
    if not match:
        return ()
    shape = int(match[2]), int(match[3])
    if match[1].startswith('"0x'):  # long ones are printed as bytes
        values = np.frombuffer(bytes.fromhex(match[1][3:-1]), np.int64)
    else:
        values = np.array([int(n) for n in re.findall(r"-?\d+", match[1])])
    table = np.broadcast_to(values, (math.prod(shape),)) if values.size == 1 else values
    return rows(table.reshape(shape))
