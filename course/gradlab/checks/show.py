"""Values as short text, for reports."""

from typing import Any

import numpy as np

from gradlab.seam.handle import Handle
from gradlab.seam.plain import is_array

ROOM = 240
_ENTRIES = 6


def show(value: Any) -> str:
    """`value` in at most about `ROOM` characters."""
    text = _show(value)
    return text if len(text) <= ROOM else text[: ROOM - 4] + " ..."


def show_call(label: str, args: tuple, kwargs: dict) -> str:
    """A call as a line of code, with its arguments shortened."""
    parts = [_show(arg) for arg in args] + [f"{name}={_show(value)}" for name, value in kwargs.items()]
    text = f"{label}({', '.join(parts)})"
    return text if len(text) <= 2 * ROOM else text[: 2 * ROOM - 4] + " ..."


def _show(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_show(item)}" for key, item in _items(value)) + "}"
    if isinstance(value, (list, tuple)):
        inside = ", ".join(_show(item) for item in value[:_ENTRIES]) + (", ..." if len(value) > _ENTRIES else "")
        return f"[{inside}]" if isinstance(value, list) else f"({inside}{',' if len(value) == 1 else ''})"
    if isinstance(value, (float, np.floating)):
        return f"{float(value):.6g}"
    if is_array(value):
        return "random key" if str(value.dtype).startswith("key") else _show_array(np.asarray(value))
    if isinstance(value, Handle):
        return value.label
    return getattr(value, "__qualname__", None) or repr(value)


def _items(value: dict) -> list[tuple[Any, Any]]:
    """The entries by key, as JAX orders them, so that what came back and what was wanted read alike."""
    try:
        return sorted(value.items(), key=lambda item: item[0])
    except TypeError:  # keys of several kinds have no order
        return list(value.items())


def _show_array(array: np.ndarray) -> str:
    if array.ndim == 0:
        return f"{array[()]:.6g}" if array.dtype.kind == "f" else str(array[()])
    if array.size > 16:
        first = ", ".join(_entry(item) for item in array.ravel()[:4])
        return f"array{array.shape}[{first}, ...]"
    if array.ndim == 1:
        return "[" + ", ".join(_entry(item) for item in array) + "]"
    return "[" + ", ".join(_show_array(row) for row in array) + "]"


def _entry(item: Any) -> str:
    return f"{item:.5g}" if np.asarray(item).dtype.kind == "f" else str(item)
