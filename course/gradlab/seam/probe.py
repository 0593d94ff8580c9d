"""Questions about a student's function that JAX can answer: its derivative, its program, its cost.

Each takes a handle and works on either side of the seam. Where the structure of a program decides about marks, use
`program`: the text that is read and the values that are compared then come from one artefact, which the checker runs
itself, so a patched library on the student's side gains nothing.
"""

import re
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import export
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gradlab.seam import plain
from gradlab.seam.handle import Handle, StudentError, to_numpy

# XLA takes these annotations out before anything runs. Any other custom call is code outside of the program:
# a callback into Python, or a routine that trusts the sizes that it is given.
_ANNOTATIONS = frozenset({"Sharding", "SPMDFullToShardShape", "SPMDShardToFullShape"})
# How the printer writes a custom call, and the operations that wait for a host.
_OUTSIDE = re.compile(r'stablehlo\.custom_call"?(?: @"?([^\s"(]+))?|stablehlo\.(infeed|outfeed|send|recv)\b')


@dataclass(frozen=True)
class Program:
    """A student's function as an exported StableHLO program of the arrays among its arguments, in tree order."""

    exported: export.Exported
    arrays: tuple

    @property
    def text(self) -> str:
        """The StableHLO text."""
        return self.exported.mlir_module()

    def operations(self, name: str) -> int:
        """How often an operation occurs in the text, `stablehlo.while` say."""
        return self.text.count(f"{name}(") + self.text.count(f"{name} ") + self.text.count(f'"{name}"')

    def run(self) -> Any:
        """The program's result on the arguments that it was exported with, computed on this side.

        A program for several devices takes as many here: `gradlab.devices.use_devices` comes first.
        """
        arrays = self.arrays
        if (count := self.exported.nr_devices) > 1:
            everywhere = NamedSharding(Mesh(np.array(jax.devices()[:count]), ("devices",)), PartitionSpec())
            arrays = jax.device_put(arrays, everywhere)
        return to_numpy(self.exported.call(*arrays))


def program(function: Handle, *args: Any, **kwargs: Any) -> Program:
    """Traces `function` on the other side and brings its program here.

    Arrays among the arguments are traced; numbers, strings and portable functions are static. Raises `StudentError`
    where the function cannot be traced, or its program calls what lies outside of it (a callback, a foreign function).
    """
    data = function.perform("program", *args, **kwargs)
    leaves = jax.tree.leaves((args, kwargs))
    arrays = tuple(leaf for leaf in leaves if plain.is_array(leaf))
    found = Program(export.deserialize(bytearray(data)), arrays)
    for call in _OUTSIDE.finditer(found.text):
        if call[1] not in _ANNOTATIONS:
            raise StudentError(
                "OutsideCall", f"the traced program is not self-contained: it calls {call[1] or call[0]}"
            )
    return found


def jaxpr(function: Handle, *args: Any, **kwargs: Any) -> str:
    """The jaxpr as text, arrays traced as in `program`."""
    return function.perform("jaxpr", *args, **kwargs)


def lowered(function: Handle, *args: Any, **kwargs: Any) -> str:
    """The StableHLO text, as JAX traced it and before the compiler; for `gradlab.collectives`.

    What is jitted (or mapped over devices) already is lowered as it is, with its own static arguments, shardings and
    donations; of anything else, arrays are traced as in `program`. The same goes for `compiled` and `memory`.
    """
    return function.perform("lowered", *args, **kwargs)


def compiled(function: Handle, *args: Any, **kwargs: Any) -> str:
    """The optimised HLO as text, for the backend beside the student's code; for `gradlab.collectives`."""
    return function.perform("compiled", *args, **kwargs)


def memory(function: Handle, *args: Any, **kwargs: Any) -> dict[str, int]:
    """What the compiler plans on each device, in bytes: `argument`, `output`, `temp` and `alias`."""
    return function.perform("memory", *args, **kwargs)


def trace_count(function: Handle, *calls: tuple) -> int:
    """How often JAX traces `function`, jitted once and called with each tuple of arguments."""
    return function.perform("trace_count", *calls)


def after_call(function: Handle, *args: Any, **kwargs: Any) -> tuple[Any, tuple]:
    """The result, and the arguments as the call left them."""
    return function.perform("after_call", *args, **kwargs)


def leaves_arguments(function: Handle, *args: Any, **kwargs: Any) -> bool:
    """Whether a call leaves its arguments alone, when their arrays are NumPy's, which can be changed in place."""
    args = jax.tree.map(np.array, args)
    _, after = after_call(function, *args, **kwargs)
    before, after = jax.tree.flatten(args), jax.tree.flatten(tuple(after))
    return before[1] == after[1] and all(map(np.array_equal, before[0], after[0]))


def grad(function: Handle, **options: Any) -> Handle:
    """`jax.grad(function, **options)`, still on the other side."""
    return function.perform("grad", **options)


def jit(function: Handle, **options: Any) -> Handle:
    """`jax.jit(function, **options)`, still on the other side."""
    return function.perform("jit", **options)


def vmap(function: Handle, **options: Any) -> Handle:
    """`jax.vmap(function, **options)`, still on the other side."""
    return function.perform("vmap", **options)


def pmap(function: Handle, **options: Any) -> Handle:
    """`jax.pmap(function, **options)`, still on the other side; it gets one more axis in front, the devices."""
    return function.perform("pmap", **options)


def placement(function: Handle, *args: Any, **kwargs: Any) -> Any:
    """Where the arrays of `function(*args, **kwargs)` lie: in place of each, its shards in the order of devices.

    A shard is `(device, start, shape)`: the number of its device, the index at which it starts in the whole array, and
    its shape.
    """
    return function.perform("placement", *args, **kwargs)


def vjp(function: Handle, *args: Any, cotangent: Any) -> tuple[Any, tuple]:
    """The value and the cotangents of `args`, by `jax.vjp`; `cotangent` has the shape and dtype of the value."""
    return function.perform("vjp", *args, cotangent=cotangent)


def kind(obj: Handle) -> str:
    """The class name of the student's object."""
    return obj.perform("kind")


def apply(obj: Handle, function: Any, *args: Any, **kwargs: Any) -> Any:
    """`function(obj, *args, **kwargs)` on the other side, for a portable `function`: one call where many would be slow.

    A training run goes this way. What comes back was computed beside the student's code: judge it here.
    """
    return obj.perform("apply", function, *args, **kwargs)
