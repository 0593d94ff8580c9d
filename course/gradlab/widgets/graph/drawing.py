"""Where the nodes of a graph stand, in pixels, and the graph as a still picture."""

from html import escape
from pathlib import Path
from typing import Any

from gradlab.widgets.base import bundle
from gradlab.widgets.graph.walk import Walk

NODE = {"width": 112, "height": 50}
_COLUMN, _ROW, _MARGIN = 176, 84, 14
STYLE = bundle(Path(__file__).parent / "picture.css")


def layout(walk: Walk) -> dict[str, Any]:
    """Nodes left to right by level, and a curve for each edge from a parent to its child.

    Returns `width`, `height`, `nodes` (the centre of each) and `edges`, each with its child, its parent, and `d`, the
    path, on which `x` and `y` is the middle.
    """
    columns: dict[int, list[int]] = {}
    for place, level in enumerate(walk.levels):
        columns.setdefault(level, []).append(place)
    tallest = max((len(column) for column in columns.values()), default=1)
    middle = _MARGIN + NODE["height"] / 2 + (tallest - 1) * _ROW / 2 + 34
    centres: dict[int, tuple[float, float]] = {}
    for level in sorted(columns):
        # A node stands beside its parents; every second column is moved, so that long edges find a gap.
        column = sorted(columns[level], key=lambda place: _mean([centres[p][1] for p in walk.parents[place]], place))
        top = middle - (len(column) - 1) * _ROW / 2 + (24 if level % 2 else -12)
        x = _MARGIN + NODE["width"] / 2 + level * _COLUMN
        centres |= {place: (x, top + row * _ROW) for row, place in enumerate(column)}
    edges = [
        _edge(centres[parent], centres[child], parent, child, number, middle)
        for child, above in enumerate(walk.parents)
        for number, parent in enumerate(above)
    ]
    return {
        "width": 2 * _MARGIN + NODE["width"] + max(walk.levels, default=0) * _COLUMN,
        "height": 2 * middle,
        "nodes": [centres[place] for place in range(len(walk.levels))],
        "edges": edges,
    }


def _mean(heights: list[float], otherwise: float) -> float:
    return sum(heights) / len(heights) if heights else otherwise


def _edge(
    start: tuple[float, float], end: tuple[float, float], parent: int, child: int, number: int, middle: float
) -> dict[str, Any]:
    x0, y0, x1, y1 = start[0] + NODE["width"] / 2, start[1], end[0] - NODE["width"] / 2, end[1]
    # The two edges of x * x part, and an edge that passes over a column bows around what stands there.
    columns = round((end[0] - start[0]) / _COLUMN)
    bow = (12 if number else -12) + (columns - 1) * (70 if start[1] >= middle else -70)
    reach = max(30.0, (x1 - x0) / 3)
    path = f"M{x0:.1f} {y0:.1f}C{x0 + reach:.1f} {y0 + bow:.1f} {x1 - reach:.1f} {y1 + bow:.1f} {x1:.1f} {y1:.1f}"
    return {"parent": parent, "child": child, "d": path, "x": (x0 + x1) / 2, "y": (y0 + y1) / 2 + 0.75 * bow}


def name(walk: Walk, place: int) -> str:
    """What a node is called: its leaf's name, or its operation and number."""
    return walk.names[place] or f"{walk.operations[place]} {place - sum(map(bool, walk.names)) + 1}"


def number(value: float) -> str:
    """A number in at most seven characters."""
    return f"{value:.3g}"


def still(walk: Walk, gradients: list[float], label: str) -> str:
    """The graph with values and final gradients as an SVG."""
    place = layout(walk)
    edges = "".join(f'<path class="gl-edge" d="{edge["d"]}"/>' for edge in place["edges"])
    width, height = NODE["width"], NODE["height"]
    box = f'<rect class="gl-node" x="{-width / 2}" y="{-height / 2}" width="{width}" height="{height}" rx="6"/>'
    nodes = "".join(
        f'<g transform="translate({x:.1f} {y:.1f})">{box}'
        f'<text text-anchor="middle" y="-6">{escape(name(walk, i))}</text>'
        f'<text text-anchor="middle" y="15">{number(walk.data[i])} | {number(gradients[i])}</text></g>'
        for i, (x, y) in enumerate(place["nodes"])
    )
    view = f'viewBox="0 0 {place["width"]:.0f} {place["height"]:.0f}"'
    return f'<svg {view} role="img" aria-label="{escape(label)}"><style>{STYLE}</style>{edges}{nodes}</svg>'
