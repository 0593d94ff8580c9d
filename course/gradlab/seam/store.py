"""What lives beside the student's objects and does, on request, what a check asks of them."""

import copy
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import jax
from jax import export

from gradlab.seam import plain

TRACEBACK_LIMIT = 4000
_HERE = __file__

Operation = Callable[..., Any]


class ObjectStore:
    """Performs requests on objects that never leave this process.

    A request is `(operation, target, args, kwargs)` in plain bytes and so is its answer: `("value", result)`, or
    `("error", kind, message, traceback)` when the student's code raised. `names` is what the notebook defines.
    """

    def __init__(self, names: Mapping[str, Any] | None = None) -> None:
        self._names = {} if names is None else names
        self._objects: list[Any] = []

    def refer(self, obj: Any) -> int:
        """A reference to `obj`, which is kept alive as long as this store."""
        self._objects.append(obj)
        return len(self._objects) - 1

    def resolve(self, reference: int) -> Any:
        """The object of a reference. Raises `NotPlain` for one that was never given."""
        if type(reference) is not int or not 0 <= reference < len(self._objects):
            raise plain.NotPlain(f"no object has the reference {reference!r}")
        return self._objects[reference]

    def perform(self, request: bytes) -> bytes:
        """The answer to one request; whatever the student's code raises is part of the answer."""
        operation, target, args, kwargs = plain.decode(request, self.resolve)
        try:
            if operation == "name":
                result = self._names[target]
            elif operation == "keep":
                return plain.encode(("value", _Reference(self.refer(target(*args, **kwargs)))), _number)
            else:
                result = OPERATIONS[operation](target, *args, **kwargs)
            return plain.encode(("value", result), self.refer)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a student's function may raise anything
            return plain.encode(("error", type(error).__name__, str(error), _where(error)), self.refer)


class _Reference(int):
    """Marks the number of an object that is to stay on this side although it is plain."""


def _number(reference: _Reference) -> int:
    return int(reference)


def _where(error: BaseException) -> str:
    """The traceback as the student should read it: without the frames of this package's seam."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != _HERE]
    own = [frame for frame in frames if "site-packages" not in frame.filename] or frames
    return "".join(traceback.format_list(own))[-TRACEBACK_LIMIT:]


def _call(target: Any, *args: Any, **kwargs: Any) -> Any:
    return target(*args, **kwargs)


def _after_call(target: Any, *args: Any, **kwargs: Any) -> tuple[Any, tuple]:
    """The result and the arguments as the call left them: shows whether they were changed in place."""
    own = copy.deepcopy(args)
    return target(*own, **kwargs), own


def _of_arrays(target: Any, args: tuple, kwargs: dict) -> tuple[Callable[..., Any], list]:
    """`target` as a function of the arrays among its arguments alone: the rest (numbers, functions) is static."""
    leaves, tree = jax.tree.flatten((args, kwargs))
    places = [i for i, leaf in enumerate(leaves) if plain.is_array(leaf)]

    def function(*arrays: Any) -> Any:
        filled = list(leaves)
        for place, array in zip(places, arrays, strict=True):
            filled[place] = array
        own_args, own_kwargs = jax.tree.unflatten(tree, filled)
        return target(*own_args, **own_kwargs)

    return function, [leaves[i] for i in places]


def _jaxpr(target: Any, *args: Any, **kwargs: Any) -> str:
    function, arrays = _of_arrays(target, args, kwargs)
    return str(jax.make_jaxpr(function)(*arrays))


def _program(target: Any, *args: Any, **kwargs: Any) -> bytes:
    """The traced function as a serialised `jax.export.Exported`, which the other side reads and also runs."""
    function, arrays = _of_arrays(target, args, kwargs)
    return bytes(export.export(jax.jit(function))(*arrays).serialize())


def _lower(target: Any, args: tuple, kwargs: dict) -> Any:
    if hasattr(target, "lower"):
        return target.lower(*args, **kwargs)
    function, arrays = _of_arrays(target, args, kwargs)
    return jax.jit(function).lower(*arrays)


def _lowered(target: Any, *args: Any, **kwargs: Any) -> str:
    return _lower(target, args, kwargs).as_text()


def _compiled(target: Any, *args: Any, **kwargs: Any) -> str:
    return _lower(target, args, kwargs).compile().as_text() or ""


def _memory(target: Any, *args: Any, **kwargs: Any) -> dict[str, int]:
    analysis = _lower(target, args, kwargs).compile().memory_analysis()
    names = ("argument", "output", "temp", "alias")
    return {name: int(getattr(analysis, f"{name}_size_in_bytes")) for name in names}


def _placement(target: Any, *args: Any, **kwargs: Any) -> Any:
    """For each array of the result its shards, `(device, start, shape)`, in the order of the devices' numbers."""
    return jax.tree.map(_shards, target(*args, **kwargs))


def _shards(leaf: Any) -> Any:
    if not isinstance(leaf, jax.Array):
        return None
    found = [
        (shard.device.id, tuple(int(part.start or 0) for part in shard.index), tuple(shard.data.shape))
        for shard in leaf.addressable_shards
    ]
    return sorted(found)


def _trace_count(target: Any, *calls: tuple) -> int:
    """How often jax traces `target` when it is jitted once and called with each argument tuple."""
    count = 0

    def counted(*args: Any) -> Any:
        nonlocal count
        count += 1
        return target(*args)

    jitted = jax.jit(counted)
    for args in calls:
        jitted(*args)
    return count


def _vjp(target: Any, *args: Any, cotangent: Any) -> tuple[Any, tuple]:
    value, pull_back = jax.vjp(target, *args)
    return value, pull_back(cotangent)


OPERATIONS: dict[str, Operation] = {
    "call": _call,
    "after_call": _after_call,
    "attribute": lambda target, name: getattr(target, name),
    "set_attribute": lambda target, name, value: setattr(target, name, value),
    "item": lambda target, key: target[key],
    "method": lambda target, name, *args, **kwargs: getattr(target, name)(*args, **kwargs),
    "value": lambda target: target,
    "kind": lambda target: type(target).__name__,
    "grad": lambda target, **options: jax.grad(target, **options),
    "jit": lambda target, **options: jax.jit(target, **options),
    "pmap": lambda target, **options: jax.pmap(target, **options),
    "vmap": lambda target, **options: jax.vmap(target, **options),
    "vjp": _vjp,
    "jaxpr": _jaxpr,
    "program": _program,
    "lowered": _lowered,
    "compiled": _compiled,
    "memory": _memory,
    "placement": _placement,
    "trace_count": _trace_count,
    "apply": lambda target, function, *args, **kwargs: function(target, *args, **kwargs),
}
