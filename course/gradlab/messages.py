"""The messages that a function of one device sends to others, seen without any device.

A function that runs inside `pmap` or `shard_map` says, by its collectives, what every device sends to which. `listen`
traces it for a number of devices that need not exist, and plays the trace in lockstep: each equation once for each
device, and each collective for all at once, written down on the way.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal
from jax.sharding import AbstractMesh, AxisType, PartitionSpec

LIMIT = 5_000  # equations: a ring of eight takes some hundreds, an endless loop all of them
_LOOPS = ("cond", "while", "scan")
_CALLS = ("jaxpr", "call_jaxpr", "fun_jaxpr")  # the parameter that holds what a call calls
_SILENT = ("axis_index", "pvary", "pcast")  # they name an axis, and send nothing

Column = list[Any]  # one value for each device


class Deadlock(Exception):
    """Some devices come to a collective, and the others never do: on real devices all would wait for ever."""


class Endless(Exception):
    """The function does not come to an end."""


@dataclass(frozen=True)
class Exchange:
    """One collective.

    Attributes:
        primitive: as JAX names it: ppermute, psum, all_gather, ...
        pairs: of a ppermute, source and target of each message; None for the others, in which all take part.
        sent: the array that each device puts in.
    """

    primitive: str
    pairs: tuple[tuple[int, int], ...] | None
    sent: tuple[np.ndarray, ...]

    @property
    def bytes_sent(self) -> list[int]:
        """What each device sends over its links, in bytes; of a collective that is no ppermute, what it puts in."""
        if self.pairs is None:
            return [array.nbytes for array in self.sent]
        copies = [sum(source == device != target for source, target in self.pairs) for device in range(len(self.sent))]
        return [count * array.nbytes for count, array in zip(copies, self.sent, strict=True)]


@dataclass(frozen=True)
class Recording:
    """What became of a function on all devices.

    Attributes:
        results: what it returned: its pytree, each leaf with a leading axis of devices.
        exchanges: its collectives, in order.
        computed: before the first exchange, between two, and after the last: for each device the arrays of floating
            point that it computed, in order.
    """

    results: Any
    exchanges: tuple[Exchange, ...]
    computed: tuple[tuple[tuple[np.ndarray, ...], ...], ...]


def listen(function: Callable[..., Any], *inputs: Any, axis_name: str) -> Recording:
    """Plays `function` on as many devices as the inputs have rows, and writes down its messages.

    Args:
        function: takes what one device holds, as under `jax.pmap(function, axis_name=axis_name)`.
        inputs: arrays of one leading axis, of devices.
        axis_name: by which the function's collectives call the axis of devices.

    Raises:
        Deadlock: devices disagree on whether to take part in a collective.
        Endless: it has run LIMIT equations and not ended.
        ValueError: a ppermute names a device twice.
        Exception: whatever the function raises while JAX traces it.
    """
    size = len(inputs[0])
    mesh = AbstractMesh((size,), (axis_name,), axis_types=(AxisType.Auto,))
    spec = PartitionSpec(axis_name)
    structure = None

    def one_device(*blocks: jax.Array) -> list[jax.Array]:
        nonlocal structure
        leaves, structure = jax.tree.flatten(function(*(block[0] for block in blocks)))
        return [jnp.asarray(leaf)[None] for leaf in leaves]

    sharded = jax.shard_map(one_device, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)
    closed = jax.make_jaxpr(sharded)(*inputs)
    machine = _Machine(axis_name, size)
    columns = machine.whole(closed, [np.asarray(array) for array in inputs])
    leaves = [np.concatenate([np.asarray(value) for value in column]) for column in columns]
    assert structure is not None, "make_jaxpr has called the function"
    computed = tuple(tuple(map(tuple, interval)) for interval in machine.computed)
    return Recording(jax.tree.unflatten(structure, leaves), tuple(machine.exchanges), computed)


class _Machine:
    """Devices in lockstep, with a log."""

    def __init__(self, axis_name: str, size: int) -> None:
        self.axis_name, self.size = axis_name, size
        self.exchanges: list[Exchange] = []
        self.computed: list[list[list[np.ndarray]]] = [[[] for _ in range(size)]]
        self.equations = 0

    def whole(self, closed: ClosedJaxpr, inputs: list[np.ndarray]) -> list[Column]:
        """A program whose one equation is the shard_map: its inputs by rows, its constants to every device."""
        values = dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
        values |= dict(zip(closed.jaxpr.invars, inputs, strict=True))
        (eqn,) = closed.jaxpr.eqns
        columns = []
        for variable in eqn.invars:
            value = variable.val if isinstance(variable, Literal) else values[variable]
            own = variable in closed.jaxpr.invars
            rows = [value[d : d + 1] for d in range(self.size)] if own else [value] * self.size
            columns.append(rows)
        return self.run(eqn.params["jaxpr"], columns, range(self.size))

    def run(self, jaxpr: Jaxpr | ClosedJaxpr, inputs: list[Column], group: Sequence[int]) -> list[Column]:
        """What a program returns for the devices of a group, which are given by number."""
        jaxpr, consts = _open(jaxpr)
        values = dict(zip(jaxpr.invars, inputs, strict=True))
        values |= {variable: [const] * len(group) for variable, const in zip(jaxpr.constvars, consts, strict=True)}

        def read(atom: Any) -> Column:
            return [atom.val] * len(group) if isinstance(atom, Literal) else values[atom]

        for eqn in jaxpr.eqns:
            self.equations += 1
            if self.equations > LIMIT:
                raise Endless(f"not at its end after {LIMIT} operations: a while loop that does not stop?")
            outputs = self.step(eqn, [read(atom) for atom in eqn.invars], group)
            values |= dict(zip(eqn.outvars, outputs, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def step(self, eqn: JaxprEqn, inputs: list[Column], group: Sequence[int]) -> list[Column]:
        """What one equation returns."""
        name = eqn.primitive.name
        if name == "axis_index":
            return [[np.int32(device) for device in group]]
        if _named_axes(eqn):
            return inputs if name in _SILENT else self.exchange(eqn, inputs, group)
        if name not in (*_LOOPS, "jit", "pjit") or _names_an_axis(eqn):
            if name in _LOOPS:
                return {"cond": self.cond, "while": self.loop, "scan": self.scan}[name](eqn, inputs, group)
            for key in _CALLS:
                if key in eqn.params:
                    return self.run(eqn.params[key], inputs, group)
        return self.local(eqn, inputs, group)

    def local(self, eqn: JaxprEqn, inputs: list[Column], group: Sequence[int]) -> list[Column]:
        """An equation that concerns each device alone."""
        same = all(value is column[0] for column in inputs for value in column)
        rows = [tuple(column[i] for column in inputs) for i in range(1 if same else len(group))]
        results = [eqn.primitive.bind(*row, **eqn.params) for row in rows]
        results = [[_plain(result) for result in (row if eqn.primitive.multiple_results else [row])] for row in results]
        results = results * len(group) if same else results
        return self.keep([list(column) for column in zip(*results, strict=True)], group)

    def keep(self, columns: list[Column], group: Sequence[int]) -> list[Column]:
        """Writes down what the devices have computed, if it is of floating point."""
        for column in columns:
            if jnp.issubdtype(column[0].dtype, jnp.floating):
                for device, value in zip(group, column, strict=True):
                    self.computed[-1][device].append(np.asarray(value))
        return columns

    def exchange(self, eqn: JaxprEqn, inputs: list[Column], group: Sequence[int]) -> list[Column]:
        """A collective: written down, and carried out."""
        name = eqn.primitive.name
        if len(group) < self.size:
            absent = ", ".join(str(d) for d in range(self.size) if d not in group)
            raise Deadlock(f"{name} is called on some devices and not on {absent}: all have to call it, or all wait")
        pairs = None
        if name == "ppermute":
            pairs = tuple((int(source), int(target)) for source, target in eqn.params["perm"])
        for column in inputs:
            self.exchanges.append(Exchange(name, pairs, tuple(np.asarray(value) for value in column)))
            self.computed.append([[] for _ in group])
        if pairs is not None:
            return self.keep([_permute(column, pairs) for column in inputs], group)
        # Under vmap with an axis name JAX carries out its own collectives, and no device is needed.
        bind = jax.vmap(lambda *row: eqn.primitive.bind(*row, **eqn.params), axis_name=self.axis_name)
        results = bind(*(jnp.stack(column) for column in inputs))
        results = results if eqn.primitive.multiple_results else [results]
        return self.keep([list(np.asarray(result)) for result in results], group)

    def cond(self, eqn: JaxprEqn, inputs: list[Column], group: Sequence[int]) -> list[Column]:
        """Each device takes its own branch; those of one branch go together."""
        branches = eqn.params["branches"]
        picks = [min(max(int(index), 0), len(branches) - 1) for index in inputs[0]]
        merged: list[Column] = [[None] * len(group) for _ in eqn.outvars]
        for branch in sorted(set(picks)):
            places = [i for i, pick in enumerate(picks) if pick == branch]
            part = [[column[i] for i in places] for column in inputs[1:]]
            _put(merged, places, self.run(branches[branch], part, [group[i] for i in places]))
        return merged

    def loop(self, eqn: JaxprEqn, inputs: list[Column], group: Sequence[int]) -> list[Column]:
        """A while loop; a device whose condition is false waits outside."""
        first, second = eqn.params["cond_nconsts"], eqn.params["cond_nconsts"] + eqn.params["body_nconsts"]
        of_cond, of_body, carry = inputs[:first], inputs[first:second], [list(column) for column in inputs[second:]]
        places = list(range(len(group)))

        def of(columns: list[Column]) -> list[Column]:
            return [[column[i] for i in places] for column in columns]

        while True:
            devices = [group[i] for i in places]
            (on,) = self.run(eqn.params["cond_jaxpr"], of([*of_cond, *carry]), devices)
            places = [place for place, value in zip(places, on, strict=True) if value]
            if not places:
                return carry
            devices = [group[i] for i in places]
            _put(carry, places, self.run(eqn.params["body_jaxpr"], of([*of_body, *carry]), devices))

    def scan(self, eqn: JaxprEqn, inputs: list[Column], group: Sequence[int]) -> list[Column]:
        """A scan, turn by turn; every device takes as many."""
        body, _ = _open(eqn.params["jaxpr"])
        # By their shapes, for parameters differ by version: what is scanned over or stacked has one axis more outside.
        carries = sum(_rank(a) == _rank(b) for a, b in zip(eqn.outvars, body.outvars, strict=True))
        consts = sum(_rank(a) == _rank(b) for a, b in zip(eqn.invars, body.invars, strict=True)) - carries
        fixed, carry, xs = inputs[:consts], inputs[consts : consts + carries], inputs[consts + carries :]
        turns = range(eqn.params["length"])
        stacks: list[list[Column]] = []
        for turn in reversed(turns) if eqn.params["reverse"] else turns:
            slices = [[value[turn] for value in column] for column in xs]
            outputs = self.run(eqn.params["jaxpr"], [*fixed, *carry, *slices], group)
            carry = outputs[:carries]
            stacks.append(outputs[carries:])
        if eqn.params["reverse"]:
            stacks.reverse()
        if not stacks:
            empty: list[Any] = [variable.aval for variable in eqn.outvars[carries:]]
            return [*carry, *([np.zeros(aval.shape, aval.dtype)] * len(group) for aval in empty)]
        return [*carry, *([np.stack(values) for values in zip(*ys, strict=True)] for ys in zip(*stacks, strict=True))]


def _plain(value: Any) -> Any:
    """The value without the mesh that JAX notes on arrays of a traced program; a random key has to stay an array."""
    return value if jnp.issubdtype(value.dtype, jax.dtypes.extended) else np.asarray(value)


def _put(columns: list[Column], places: list[int], parts: list[Column]) -> None:
    """Writes the parts into the columns, at the places of their devices."""
    for column, part in zip(columns, parts, strict=True):
        for place, value in zip(places, part, strict=True):
            column[place] = value


def _permute(column: Column, pairs: tuple[tuple[int, int], ...]) -> Column:
    """What each device receives: zeros, if nobody sends to it."""
    for ends, word in ((0, "source"), (1, "target")):
        named = [pair[ends] for pair in pairs]
        if len(set(named)) < len(named):
            raise ValueError(f"ppermute has a {word} twice in {list(pairs)}: a device sends and receives once a call")
    received = [np.zeros_like(value) for value in column]
    for source, target in pairs:
        received[target] = column[source]
    return received


def _rank(atom: Any) -> int:
    return atom.aval.ndim


def _open(jaxpr: Jaxpr | ClosedJaxpr) -> tuple[Jaxpr, Sequence[Any]]:
    return (jaxpr.jaxpr, jaxpr.consts) if isinstance(jaxpr, ClosedJaxpr) else (jaxpr, ())


def _named_axes(eqn: JaxprEqn) -> list[str]:
    """The axes of devices that a collective goes over; an axis of an array is a number, and not meant."""
    axes = [eqn.params.get(key) for key in ("axis_name", "axes")]
    flat = [name for axis in axes for name in (axis if isinstance(axis, (tuple, list)) else [axis])]
    return [name for name in flat if isinstance(name, str)]


def _names_an_axis(eqn: JaxprEqn) -> bool:
    """Whether a collective is in the equation, however deep."""
    return bool(_named_axes(eqn)) or any(_names_an_axis(inner) for jaxpr in _inside(eqn) for inner in jaxpr.eqns)


def _inside(eqn: JaxprEqn) -> Iterator[Jaxpr]:
    for value in eqn.params.values():
        for item in value if isinstance(value, (tuple, list)) else [value]:
            if isinstance(item, (Jaxpr, ClosedJaxpr)):
                yield _open(item)[0]
