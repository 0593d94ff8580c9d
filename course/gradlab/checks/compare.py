"""Whether two plain values agree, and if not, where they part."""

from typing import Any

import numpy as np


def difference(got: Any, want: Any, *, rtol: float, atol: float) -> str | None:
    """None where `got` agrees with `want`, else one sentence that says what differs first.

    Containers must match in kind, length and keys; arrays in shape, and in value to
    `|got - want| <= atol + rtol * |want|`. Booleans, integers and strings must be equal.
    """
    return _difference(got, want, rtol, atol, "")


def _difference(got: Any, want: Any, rtol: float, atol: float, path: str) -> str | None:
    where = f" at {path}" if path else ""
    if isinstance(want, dict):
        if not isinstance(got, dict) or set(got) != set(want):
            return f"expected a dict with keys {sorted(map(str, want))}{where}, got {_kind(got)}"
        parts = [(got[key], want[key], f"{path}[{key!r}]") for key in want]
    elif isinstance(want, (list, tuple)):
        if not isinstance(got, (list, tuple)) or len(got) != len(want):
            return f"expected {len(want)} values{where}, got {_kind(got)}"
        parts = [(g, w, f"{path}[{i}]") for i, (g, w) in enumerate(zip(got, want, strict=True))]
    elif isinstance(want, (str, bytes, type(None))):
        same = type(got) is type(want) and got == want
        # A verdict in words stands for itself: that it is a string says nothing.
        found = _short(got, 100) if isinstance(got, str) and isinstance(want, str) else _kind(got)
        return None if same else f"expected {want!r}{where}, got {found}"
    else:
        return _array_difference(got, want, rtol, atol, where)
    return next((found for g, w, p in parts if (found := _difference(g, w, rtol, atol, p))), None)


def _array_difference(got: Any, want: Any, rtol: float, atol: float, where: str) -> str | None:
    if not isinstance(got, (bool, int, float, complex, np.ndarray, np.generic)):
        return f"expected {_kind(want)}{where}, got {_kind(got)}"
    got, want = np.asarray(got), np.asarray(want)
    if got.dtype.kind in "USV" and got.dtype.name != "bfloat16":
        return f"expected numbers{where}, got an array of {got.dtype}"
    if got.shape != want.shape:
        return f"expected shape {want.shape}{where}, got {got.shape}"
    if want.dtype.kind in "biu":
        wrong = got != want
    else:
        got, want = _wide(got), _wide(want)
        # Infinities of equal sign agree, so that a limit can be asked for; nan agrees with nan alone.
        wrong = ~np.isclose(got, want, rtol=rtol, atol=atol, equal_nan=True)
    if not wrong.any():
        return None
    if np.isnan(_wide(got)).any() and not np.isnan(_wide(want)).any():
        return f"got nan{where}"
    return _largest(got, want, wrong, where)


def _largest(got: np.ndarray, want: np.ndarray, wrong: np.ndarray, where: str) -> str:
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.where(wrong, np.abs(_wide(got) - _wide(want)), -1.0)
    place = np.unravel_index(int(np.argmax(np.nan_to_num(gap, nan=np.inf))), gap.shape)
    entry = f" entry {tuple(int(i) for i in place)}:" if gap.shape else ""
    count = f"{int(wrong.sum())} of {wrong.size} numbers differ; " if wrong.size > 1 else ""
    return f"{count}largest gap{where}:{entry} got {_number(got[place])}, expected {_number(want[place])}"


def _wide(array: np.ndarray) -> np.ndarray:
    return array if array.dtype.kind == "c" else array.astype(np.float64)


def _number(value: Any) -> str:
    return f"{value:.6g}" if np.asarray(value).dtype.kind in "fc" else str(value)


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return f"a dict with keys {sorted(map(str, value))}"
    if isinstance(value, (list, tuple)):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, np.ndarray) and value.shape:
        return f"an array of shape {value.shape}"
    return "None" if value is None else f"{_short(value)} ({type(value).__name__})"


def _short(value: Any, limit: int = 40) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
