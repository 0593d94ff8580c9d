"""The student's backward pass, written down: every node of the graph, and every write to a gradient in order."""

import cmath
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

STEP = 1e-30  # of the complex step, which gives the true gradients
MOST_NODES, MOST_WRITES = 60, 600
TIMES = "\N{MULTIPLICATION SIGN}"


class TooLong(RuntimeError):
    """The walk does not end, or the graph is too large to be drawn."""


@dataclass(frozen=True)
class Write:
    """One assignment to a node's gradient.

    `source` is the node that was pushing, None outside of a push (a zero, or the root's 1). `lost` says that an earlier
    share was thrown away: the node had a gradient, and nobody read it before it was replaced.
    """

    node: int
    source: int | None
    before: float
    after: float
    upstream: float
    lost: bool

    @property
    def share(self) -> float:
        """What the write added, or what it put in place of what was lost."""
        return self.after if self.lost else self.after - self.before


@dataclass(frozen=True)
class Walk:
    """A graph and what `backward` did on it.

    `nodes` are in the order in which they were made; `parents` and `levels` (the longest way from a leaf) belong to
    them. `truth` holds the gradient of each leaf by the complex step. `problem` is what the student's code raised.
    """

    names: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    data: tuple[float, ...] = ()
    parents: tuple[tuple[int, ...], ...] = ()
    levels: tuple[int, ...] = ()
    root: int = 0
    writes: tuple[Write, ...] = ()
    truth: Mapping[str, float] = field(default_factory=dict)
    problem: str | None = None


def walk(value: Callable[..., Any], expression: Callable[..., Any], leaves: Mapping[str, float]) -> Walk:
    """Builds the expression on `leaves`, runs `backward`, and writes down what happens."""
    truth = true_gradients(expression, leaves)
    try:
        made = {name: value(float(number)) for name, number in leaves.items()}
        root = expression(**made)
        graph = _order(root)
        watch = _Watch(graph)
        described = _describe(graph, made, root)
    except Exception as error:  # noqa: BLE001 - whatever the student's code raises is shown in the widget
        return Walk(truth=truth, problem=_sentence(error))
    try:
        root.backward()
        problem = None
    except Exception as error:  # noqa: BLE001 - see above
        problem = _sentence(error)
    return Walk(**described, writes=tuple(watch.writes), truth=truth, problem=problem)


def true_gradients(expression: Callable[..., Any], leaves: Mapping[str, float]) -> dict[str, float]:
    """The derivative of the expression with respect to each leaf, by the complex step: no rule of the student's."""
    found = {}
    for name in leaves:
        moved = {other: _Complex(number + (1j * STEP if other == name else 0)) for other, number in leaves.items()}
        found[name] = float(np.imag(complex(expression(**moved))) / STEP)
    return found


class _Complex(complex):
    """A complex number with the operations of a node."""

    def __add__(self, other: Any) -> "_Complex":
        return _Complex(complex(self) + other)

    def __mul__(self, other: Any) -> "_Complex":
        return _Complex(complex(self) * other)

    def __sub__(self, other: Any) -> "_Complex":
        return _Complex(complex(self) - other)

    __radd__, __rmul__ = __add__, __mul__

    def tanh(self) -> "_Complex":
        return _Complex(cmath.tanh(complex(self)))


class _Watch:
    """Stands between the nodes and their gradients, by a class that inherits each node's own."""

    def __init__(self, graph: list[Any]) -> None:
        self.writes: list[Write] = []
        self._places = {id(node): place for place, node in enumerate(graph)}
        self._grads = [float(node.grad) for node in graph]
        # Whether a node's gradient has been read since it was last written.
        self._read = [True] * len(graph)
        self._pushing: list[int] = []
        kinds: dict[type, type] = {}
        for node in graph:
            push = node.push
            node.__class__ = kinds.setdefault(type(node), self._watched(type(node)))
            node.push = self._wrap(self._places[id(node)], push)

    def _watched(self, kind: type) -> type:
        def read(node: Any) -> float:
            place = self._places[id(node)]
            self._read[place] = True
            return self._grads[place]

        def write(node: Any, after: float) -> None:
            self._write(self._places[id(node)], float(after))

        # push may be a method of the class or an attribute of the node: this makes it an attribute in either case.
        return type(kind.__name__, (kind,), {"grad": property(read, write)})

    def _wrap(self, place: int, push: Callable[[], None]) -> Callable[[], None]:
        def pushed() -> None:
            self._pushing.append(place)
            # A share that a rule reads for another purpose must be read again in this push, to be kept.
            self._read = [False] * len(self._read)
            try:
                push()
            finally:
                self._pushing.pop()

        return pushed

    def _write(self, place: int, after: float) -> None:
        if len(self.writes) >= MOST_WRITES:
            raise TooLong(f"backward has written {MOST_WRITES} gradients: does it visit nodes again and again?")
        source, before = (self._pushing[-1] if self._pushing else None), self._grads[place]
        lost = source is not None and before != 0 and not self._read[place]
        upstream = self._grads[source] if source is not None else 0.0
        self.writes.append(Write(place, source, before, after, upstream, lost))
        self._grads[place], self._read[place] = after, False


def _order(root: Any) -> list[Any]:
    """All nodes, each after its parents; the widget's own walk, not the student's."""
    order, seen, stack = [], set(), [(root, False)]
    while stack:
        node, parents_done = stack.pop()
        if parents_done:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            if len(seen) > MOST_NODES:
                raise TooLong(f"the expression has more than {MOST_NODES} nodes: take a smaller one")
            stack.append((node, True))
            stack.extend((parent, False) for parent in reversed(tuple(node.parents)) if id(parent) not in seen)
    return order


def _describe(graph: list[Any], leaves: Mapping[str, Any], root: Any) -> dict[str, Any]:
    places = {id(node): place for place, node in enumerate(graph)}
    parents = tuple(tuple(places[id(parent)] for parent in node.parents) for node in graph)
    given = {id(node): name for name, node in leaves.items()}
    levels: list[int] = []
    for above in parents:
        levels.append(1 + max((levels[place] for place in above), default=-1))
    data = tuple(float(node.data) for node in graph)
    operations = tuple(_operation(data, place, above) for place, above in enumerate(parents))
    names = tuple(given.get(id(node), "") or (f"{node.data:g}" if not node.parents else "") for node in graph)
    return {
        "names": names,
        "operations": operations,
        "data": data,
        "parents": parents,
        "levels": tuple(levels),
        "root": places[id(root)],
    }


def _operation(data: tuple[float, ...], place: int, above: tuple[int, ...]) -> str:
    """What a node did, by its values: a node does not say."""
    if len(above) == 1:
        return "tanh"
    if len(above) == 2:
        total = data[above[0]] + data[above[1]]
        return "+" if abs(total - data[place]) <= 1e-9 * (1 + abs(total)) else TIMES
    return ""


def _sentence(error: Exception) -> str:
    if isinstance(error, NotImplementedError):
        return "not written yet"
    frames = traceback.extract_tb(error.__traceback__)
    line = f" (line {frames[-1].lineno}: {frames[-1].line})" if frames and frames[-1].line else ""
    return f"{type(error).__name__}: {error}{line}"
