"""The graph of lab 03: the student's expression, and every step of the student's own backward pass on it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from html import escape
from math import isfinite
from pathlib import Path
from typing import Any

from gradlab.widgets.base import Answer, Widget, bundle
from gradlab.widgets.graph.drawing import NODE, layout, name, number, still
from gradlab.widgets.graph.walk import Walk, walk

HERE = Path(__file__).parent
CLOSE = 1e-6  # of a gradient, relative: Python's floats are exact to 1e-16, and a wrong rule is off by far more


class Graph(Widget):
    """A computation graph with values and gradients, to be stepped through.

    `value` is the class that lab 03 defines, with `data`, `grad`, `parents`, `push` and `backward`. `expression` is a
    function of numbers, by name, made of sums, products and tanh. `leaves` holds the numbers' names and values.

    Each step is one write to a gradient. A write that throws an earlier share away is marked, and playing stops there.
    Gradients of leaves are compared with the complex step. What the student's code raises is shown.

    Raises ValueError for leaves that are not finite numbers.
    """

    _esm = bundle(HERE / "view.js")
    _css = bundle(HERE / "view.css")

    def __init__(
        self, value: Callable[..., Any], expression: Callable[..., Any], leaves: Mapping[str, float], *, step: int = 0
    ) -> None:
        for leaf, start in leaves.items():
            if not isinstance(start, (int, float)) or not isfinite(start):
                raise ValueError(f"the leaf {leaf!r} must be a finite number, got {start!r}")
        self._value, self._expression = value, expression
        self.leaves = {leaf: float(start) for leaf, start in leaves.items()}
        config = {"leaves": self.leaves, "step": step, "node": NODE}
        given = ", ".join(f"{leaf} = {number(start)}" for leaf, start in self.leaves.items())
        super().__init__(label=f"The graph for {given}, and the steps of your backward pass.", config=config)

    def answer_walk(self, question: dict[str, Any]) -> Answer:
        """The graph for some values of the leaves, its layout, and the steps of `backward`."""
        found = walk(self._value, self._expression, question["leaves"])
        titles = [name(found, place) for place in range(len(found.names))]
        verdicts = verdicts_of(found)
        return asdict(found) | {
            "truth": dict(found.truth),
            "writes": [asdict(step) | {"share": step.share} for step in steps(found)],
            "layout": layout(found),
            "titles": titles,
            "verdicts": verdicts,
        }, []

    def picture(self) -> tuple[str, str]:
        """The graph with its final gradients, and the leaves' in words."""
        found = walk(self._value, self._expression, self.leaves)
        if not found.names:
            return f"<p>Your code: {escape(found.problem or '')}</p>", f"your code: {found.problem}"
        lines = [f"{leaf}: {verdict}" for leaf, verdict in verdicts_of(found).items()]
        rows = "".join(f"<li>{escape(line)}</li>" for line in lines)
        trouble = f"<p>Your backward: {escape(found.problem)}</p>" if found.problem else ""
        return f"{still(found, gradients(found), self.label)}{trouble}<ul>{rows}</ul>", "\n".join(lines)


def steps(found: Walk) -> list:
    """The writes that change something: zeros put in place of zeros are left out."""
    return [write for write in found.writes if write.source is not None or write.before or write.after]


def gradients(found: Walk) -> list[float]:
    """The gradient of every node in the end."""
    ends = [0.0] * len(found.names)
    for write in found.writes:
        ends[write.node] = write.after
    return ends


def verdicts_of(found: Walk) -> dict[str, str]:
    """For each leaf whether its gradient is right."""
    ends = dict(zip(found.names, gradients(found), strict=True))
    return {leaf: _verdict(ends.get(leaf), truth) for leaf, truth in found.truth.items()}


def _verdict(got: float | None, truth: float) -> str:
    if got is None:
        return f"is not in the graph; its derivative is {number(truth)}"
    if abs(got - truth) <= CLOSE * (1 + abs(truth)):
        return f"gradient {number(got)}, which is right"
    return f"gradient {number(got)}, and {number(truth)} is right"
