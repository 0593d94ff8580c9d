"""What a check holds in place of a student's object."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from gradlab.seam import plain
from gradlab.seam.store import ObjectStore


class Transport(Protocol):
    """Carries a request to the `ObjectStore` beside the student's objects, and its answer back."""

    def perform(self, request: bytes) -> bytes: ...


class StudentError(Exception):
    """The student's code raised. `kind` is the exception's class name, `where` its traceback as text."""

    def __init__(self, kind: str, message: str, where: str = "") -> None:
        super().__init__(f"{kind}: {message}" if message else kind)
        self.kind, self.message, self.where = kind, message, where


Call = tuple[str, tuple, dict]
_calls: ContextVar[list[Call] | None] = ContextVar("calls", default=None)


@contextmanager
def recorded_calls() -> Iterator[list[Call]]:
    """Collects `(label, args, kwargs)` of every call that is made through handles inside the block."""
    calls: list[Call] = []
    token = _calls.set(calls)
    try:
        yield calls
    finally:
        _calls.reset(token)


class Handle:
    """A student's object, seen from a check: call it, take its attributes and items, compute with it.

    Plain results arrive as plain data, JAX arrays as NumPy arrays; everything else as another handle. Raises
    `StudentError` when the student's code raises, and `plain.NotPlain` for an argument that cannot cross.
    """

    def __init__(self, transport: Transport, reference: int, label: str = "implementation") -> None:
        self._transport, self._reference, self._label = transport, reference, label

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.perform("call", *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        # Private names are answered here: copy, IPython and pytest ask for them, and a check never does.
        if name.startswith("_"):
            raise AttributeError(name)
        return self.perform("attribute", name)

    def __getitem__(self, key: Any) -> Any:
        return self.perform("item", key)

    def perform(self, operation: str, *args: Any, **kwargs: Any) -> Any:
        """Asks the other side for an operation of `gradlab.seam.store` on this object."""
        calls = _calls.get()
        if calls is not None and operation in ("call", "after_call", "keep", "method"):
            calls.append((self._label, args, kwargs))
        request = plain.encode((operation, self, args, kwargs), self._refer)
        answer = plain.decode(self._transport.perform(request), self._resolve)
        return _opened(answer)

    def keep(self, *args: Any, **kwargs: Any) -> "Handle":
        """Calls, and leaves even a plain result on the other side (an array whose sharding matters, say)."""
        return self.perform("keep", *args, **kwargs)

    if TYPE_CHECKING:  # the operators are made below, by a loop
        __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __call__
        __truediv__ = __rtruediv__ = __pow__ = __rpow__ = __neg__ = __matmul__ = __len__ = __call__

    @property
    def label(self) -> str:
        """How the object is called in reports."""
        return self._label

    def _refer(self, obj: Any) -> int:
        if isinstance(obj, Handle) and obj._transport is self._transport:
            return obj._reference
        raise plain.NotPlain(
            f"a {type(obj).__name__} cannot cross to the student's side: send arrays, numbers, strings, containers of"
            " them, or an instance of a @portable class"
        )

    def _resolve(self, reference: int) -> "Handle":
        return Handle(self._transport, reference, f"{self._label}(...)")

    def __repr__(self) -> str:
        return f"<handle of {self._label}>"


def _operator(name: str) -> Callable[..., Any]:
    def operate(self: Handle, *args: Any) -> Any:
        return self.perform("method", name, *args)

    operate.__name__ = name
    return operate


for _name in (
    *("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "pow", "rpow", "neg", "matmul", "len"),
):
    setattr(Handle, f"__{_name}__", _operator(f"__{_name}__"))


def _opened(answer: Any) -> Any:
    """The value of an answer, or the error in it, raised."""
    match answer:
        case ("value", value):
            return to_numpy(value)
        case ("error", str(kind), str(message), str(where)):
            raise StudentError(kind, message, where)
    raise plain.NotPlain("the other side gave an answer of an unknown form")


def to_numpy(value: Any) -> Any:
    """JAX arrays as NumPy arrays, through plain containers; random keys stay keys."""
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return type(value)(to_numpy(item) for item in value)
    if type(value) is dict:
        return {key: to_numpy(item) for key, item in value.items()}
    if isinstance(value, jax.Array) and not jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return np.asarray(value)
    return value


def local(**objects: Any) -> tuple:
    """Each object behind a handle of one store in this process, with the same encoding as a remote one.

    A handle is given back as it is, and plain data (a prediction, say) as plain data.
    """
    store = ObjectStore(objects)
    return tuple(obj if isinstance(obj, Handle) else by_name(store, name) for name, obj in objects.items())


def by_name(transport: Transport, name: str) -> Any:
    """What the other side's notebook calls `name`: a handle, or the value itself where it is plain."""
    request = plain.encode(("name", name, (), {}), lambda _: 0)
    return _opened(plain.decode(transport.perform(request), lambda ref: Handle(transport, ref, name)))
