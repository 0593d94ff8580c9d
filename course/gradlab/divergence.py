"""Where do two computations part? The first node that differs, and what the difference looks like.

The last number of a wrong gradient is wrong, and so is nearly every number before it. What helps is the first. Two
functions name their intermediates with an explicit tap, `z = tap("z", x @ w)`, which reads better in a forward pass
than a list of outputs would, costs nothing when it is silent, and gives the same names to values and cotangents.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

VALUE, COTANGENT = "value", "cotangent"


class Tap:
    """Names the intermediates of a computation; this one, `silent`, keeps nothing."""

    def __call__(self, name: str, value: Float[Array, "..."]) -> Float[Array, "..."]:
        """Names a value of the forward pass, and gives it back."""
        return value

    def cotangent(self, name: str, value: Float[Array, "..."]) -> Float[Array, "..."]:
        """Names the cotangent of the node `name`, where the backward pass is written by hand, and gives it back."""
        return value


silent = Tap()


class _Recorder(Tap):
    """Keeps what is named. `nudges` are added to the values: the derivative along them is the cotangent."""

    def __init__(self, nudges: dict[str, Array] | None = None) -> None:
        self.values: dict[str, Any] = {}
        self.cotangents: dict[str, Any] = {}
        self._nudges = nudges or {}

    def __call__(self, name: str, value: Float[Array, "..."]) -> Float[Array, "..."]:
        if name in self._nudges:
            value = value + self._nudges[name]
        return _keep(self.values, name, value)

    def cotangent(self, name: str, value: Float[Array, "..."]) -> Float[Array, "..."]:
        return _keep(self.cotangents, name, value)


def _keep(where: dict[str, Any], name: str, value: Any) -> Any:
    if name in where:
        raise ValueError(f"two nodes are called {name!r}: give each a name of its own, with its layer's number say")
    where[name] = value
    return value


@dataclass(frozen=True)
class Trace:
    """What a computation named: values and cotangents, in the order in which they came."""

    values: dict[str, Array]
    cotangents: dict[str, Array]


def trace(function: Callable[..., Any], *args: Any) -> Trace:
    """Runs `function(tap, *args)` and keeps what it names.

    A function that names cotangents is a backward pass written by hand. Of any other function the cotangents are found
    by `jax.vjp`; it must return the loss. Raises ValueError where it names nothing, or its result is not a scalar.
    """
    recorder = _Recorder()
    function(recorder, *args)
    if recorder.cotangents:
        return Trace(recorder.values, recorder.cotangents)
    floating = {name: jnp.asarray(value) for name, value in recorder.values.items()}
    nudges = {name: jnp.zeros_like(v) for name, v in floating.items() if jnp.issubdtype(v.dtype, jnp.floating)}
    if not nudges:
        raise ValueError("the function names no intermediates: write tap(name, value) around some of them")
    result, pull_back = jax.vjp(lambda moved: function(_Recorder(moved), *args), nudges)
    if jnp.shape(result) != ():
        raise ValueError(
            f"cotangents are those of a loss, and the function returns {_kind(result)}: return a scalar, or name the"
            " cotangents with tap.cotangent(name, value)"
        )
    return Trace(recorder.values, pull_back(jnp.ones_like(result))[0])


@dataclass(frozen=True)
class Node:
    """One node of a comparison. `problem` is None where both sides agree, else what the difference looks like."""

    name: str
    kind: str
    problem: str | None
    got: Any = field(repr=False)
    want: Any = field(repr=False)


@dataclass(frozen=True)
class Divergence:
    """A comparison of two computations: values going forward, then cotangents going back."""

    nodes: tuple[Node, ...]

    @property
    def first(self) -> Node | None:
        """The first node that differs, or None."""
        return next((node for node in self.nodes if node.problem), None)

    @property
    def verdict(self) -> str:
        """The result in a sentence."""
        agreeing = [node.problem for node in self.nodes].index(self.first.problem) if self.first else len(self.nodes)
        if self.first is None:
            return f"all {agreeing} nodes agree"
        before = f"{agreeing} nodes before it agree" if agreeing else "it is the first of all"
        return f"the {self.first.kind} of {self.first.name!r} differs first ({before}): {self.first.problem}"

    def __repr__(self) -> str:
        return self.verdict

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        rows = "".join(
            f"<tr><th scope='row'>{escape(node.kind)} of {escape(node.name)}</th>"
            f"<td>{escape('differs: ' + node.problem if node.problem else 'agrees')}</td></tr>"
            for node in self.nodes
        )
        style = "text-align:left;background:none;color:var(--jp-content-font-color1,inherit)"
        table = f"<table style='{style}'><caption style='{style}'>{escape(self.verdict)}</caption>{rows}</table>"
        return {"text/plain": self.verdict, "text/html": table}


def first_divergence(
    candidate: Callable[..., Any], oracle: Callable[..., Any], *args: Any, rtol: float = 1e-4, atol: float = 1e-6
) -> Divergence:
    """Compares two functions `(tap, *args)` node by node, by name.

    Nodes are compared in the oracle's order: values forward, cotangents backward. Only what both sides name is
    compared. The tolerances are for float32: a few dozen roundings of 6e-8.

    Raises:
        ValueError: no name is common to both, or see `trace`.
    """
    ours, theirs = trace(candidate, *args), trace(oracle, *args)
    lengths = _lengths(args)
    pairs = [
        *((VALUE, name, ours.values.get(name), want) for name, want in theirs.values.items()),
        *((COTANGENT, n, ours.cotangents.get(n), theirs.cotangents[n]) for n in _backwards(theirs)),
    ]
    nodes = tuple(
        Node(name, kind, difference(got, want, lengths, rtol=rtol, atol=atol), got, want)
        for kind, name, got, want in pairs
        if got is not None
    )
    if not nodes:
        names = ", ".join(map(repr, theirs.values))
        raise ValueError(f"the two functions have no name in common; the oracle's names are {names}")
    return Divergence(nodes)


def _backwards(trace: Trace) -> list[str]:
    """Cotangents in the order of a backward pass: as they came if written by hand, else against the values' order."""
    order = [name for name in reversed(trace.values) if name in trace.cotangents]
    return order if len(order) == len(trace.cotangents) else list(trace.cotangents)


def _lengths(args: tuple) -> dict[int, str]:
    """What a factor of that size may come from: the axes of the arguments, the outermost first."""
    found: dict[int, str] = {}
    shapes = sorted((np.shape(leaf) for leaf in reversed(jax.tree.leaves(args))), key=len, reverse=True)
    for axis in range(max(map(len, shapes), default=0)):
        for shape in shapes:
            if len(shape) > axis and shape[axis] > 1:
                found.setdefault(shape[axis], f"the length of axis {axis} of an input of shape {shape}")
    return found


def difference(got: Any, want: Any, lengths: dict[int, str], *, rtol: float, atol: float) -> str | None:
    """What the difference of two arrays looks like in a phrase, or None where they agree.

    Known patterns: another sign, a factor (2, 1/2, a length among `lengths` or one over it), a transpose, axes that
    were not summed, zero, nan; and pairs of them, such as a transpose with a factor.
    """
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)

    def same(a: np.ndarray, b: np.ndarray) -> bool:
        scale = np.max(np.abs(b), initial=0.0)
        return np.allclose(a, b, rtol=rtol, atol=atol + rtol * scale)

    if got.shape == want.shape and np.allclose(got, want, rtol=rtol, atol=atol, equal_nan=True):
        return None
    if np.isnan(got).any() and not np.isnan(want).any():
        return "it contains nan"
    if got.shape == want.shape and not got.any():
        return "it is zero everywhere"
    usual = _usual(want)
    wanted = want[usual]
    for what, view in _views(got, want.shape):
        if not np.isfinite(view[usual]).all():
            continue
        factor = np.vdot(wanted, view[usual]) / max(np.vdot(wanted, wanted), 1e-300)
        # A factor of zero would explain anything small.
        if factor and same(view[usual], factor * wanted):
            parts = [part for part in (what, _factor(factor, lengths, rtol)) if part]
            if parts:
                return ", and ".join(parts)
    if got.shape != want.shape:
        return f"its shape is {got.shape}, and {want.shape} is expected"
    with np.errstate(invalid="ignore"):
        gap = np.where(got == want, 0.0, np.abs(got - want))
    place = np.unravel_index(int(np.argmax(gap)), got.shape)
    where = f" at {tuple(map(int, place))}" if place else ""
    return f"no simple pattern; the largest gap{where} is {got[place]:.4g} against {want[place]:.4g}"


def _usual(want: np.ndarray) -> np.ndarray:
    """Where an array holds its numbers, and not the minus infinity, or minus a billion, of a mask."""
    sizes = np.abs(want[np.isfinite(want) & (want != 0)])
    return np.abs(want) <= 1e6 * np.quantile(sizes, 0.25) if sizes.size else np.isfinite(want)


def _views(got: np.ndarray, shape: tuple[int, ...]) -> list[tuple[str, np.ndarray]]:
    """The ways of reading `got` as an array of `shape`, each with what must have gone wrong."""
    views = [("", got)] if got.shape == shape else []
    if got.ndim == 2 and got.T.shape == shape:
        views.append(("it is transposed", got.T))
    for axes in _axes_to_sum(got.shape, shape):
        summed = got.sum(axis=axes).reshape(shape)
        names = " and ".join(map(str, axes))
        views.append((f"axis {names} was not summed", summed))
    return views


def _axes_to_sum(shape: tuple[int, ...], wanted: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The sets of axes over which a sum gives `wanted`, with axes of length 1 put in or left out."""
    squeezed = tuple(n for n in wanted if n > 1)
    found = []
    for mask in range(1, 2 ** len(shape)):
        axes = tuple(axis for axis in range(len(shape)) if mask >> axis & 1 and shape[axis] > 1)
        left = tuple(n for axis, n in enumerate(shape) if axis not in axes and n > 1)
        if axes and left == squeezed and axes not in found:
            found.append(axes)
    return found


def _factor(factor: float, lengths: dict[int, str], rtol: float) -> str:
    """A factor in words."""

    def near(value: float) -> bool:
        return abs(abs(factor) - value) <= max(rtol, 1e-3) * value

    size = next((n for n in lengths if near(n)), None)
    inverse = next((n for n in lengths if near(1 / n)), None)
    sign = "minus " if factor < 0 else ""
    if near(1.0):
        return "the sign is wrong (ratio -1)" if factor < 0 else ""
    if size is not None:
        return f"it is {sign}{size} times too large, and {size} is {lengths[size]}: a factor 1/{size} is missing"
    if inverse is not None:
        return (
            f"it is {sign}1/{inverse} of what it should be, and {inverse} is {lengths[inverse]}: divided once too often"
        )
    if near(2.0):
        return f"it is {sign}twice what it should be"
    if near(0.5):
        return f"it is {sign}half of what it should be"
    return f"it is {factor:.4g} times what it should be"


def _kind(result: Any) -> str:
    return f"an array of shape {jnp.shape(result)}" if hasattr(result, "shape") else f"a {type(result).__name__}"
