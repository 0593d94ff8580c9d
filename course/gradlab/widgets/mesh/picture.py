"""The mesh in pixels: a box for each device, and in it the slice of a parameter that it holds."""

from collections.abc import Mapping
from html import escape
from typing import Any

from gradlab.widgets.mesh.specs import DEVICES, Placed

WIDTH = 820
_HEIGHTS = {8: 52, 4: 92, 2: 170, 1: 170}  # of a box, by the number of rows
_LEFT, _TOP, _GAP = 64, 26, 8
_WIDE = 220  # of a box, from which on the text stands beside the map
_NARROW = 140  # of a box, below which only what is cut is written


def layout(parameter: Placed, mesh: Mapping[str, int]) -> dict[str, Any]:
    """Where everything stands: `heads` along the edges, and for each device its box, map, slice, text and colour.

    Devices with the same slice have the same colour. The map shows two axes: those that are cut, else the largest.
    """
    rows, columns = mesh["data"], mesh["model"]
    width, height = (WIDTH - _LEFT) / columns - _GAP, _HEIGHTS[rows]
    seen: dict[str, int] = {}
    devices = []
    for device in range(DEVICES):
        row, column = divmod(device, columns)
        box = {
            "x": _LEFT + column * (width + _GAP),
            "y": _TOP + row * (height + _GAP),
            "width": width,
            "height": height,
        }
        slices = parameter.slices(mesh, device)
        text = written(slices, parameter.shape)
        devices.append(
            {"box": box, "series": seen.setdefault(text, len(seen)), "text": text, "data": row, "model": column}
            | {"short": short(slices, parameter.shape) if width < _NARROW else text}
            | _inside(box, parameter, slices)
        )
    heads = [
        {"text": f"model {c}", "x": _LEFT + c * (width + _GAP) + width / 2, "y": 17, "anchor": "middle"}
        for c in range(columns)
    ] + [
        {"text": f"data {r}", "x": _LEFT - 10, "y": _TOP + r * (height + _GAP) + height / 2 + 4, "anchor": "end"}
        for r in range(rows)
    ]
    return {"width": WIDTH, "height": _TOP + rows * (height + _GAP), "heads": heads, "devices": devices}


def written(slices: list[tuple[int, int]], shape: tuple[int, ...]) -> str:
    """A slice as NumPy writes it."""
    parts = [":" if (a, b) == (0, size) else f"{a}:{b}" for (a, b), size in zip(slices, shape, strict=True)]
    return f"[{', '.join(parts)}]"


def short(slices: list[tuple[int, int]], shape: tuple[int, ...]) -> str:
    """A slice without the axes that are whole."""
    parts = [f"{a}:{b}" for (a, b), size in zip(slices, shape, strict=True) if (a, b) != (0, size)]
    return ", ".join(parts) or "whole"


def _inside(box: dict[str, float], parameter: Placed, slices: list[tuple[int, int]]) -> dict[str, Any]:
    """The map of the whole parameter in a box, the slice in it, and where the two lines of text stand."""
    beside = box["width"] > _WIDE
    width = min(box["width"] - 16, 150 if beside else 130)
    height = min(box["height"] - (12 if beside else 56), 110)
    left = box["x"] + (10 if beside else (box["width"] - width) / 2)
    top = box["y"] + (box["height"] - height) / 2 if beside else box["y"] + 8
    frame = {"x": left, "y": top, "width": width, "height": height}
    down, across = shown_axes(parameter)
    y, tall = _span(parameter.shape, slices, down)
    x, long = _span(parameter.shape, slices, across)
    part = {"x": left + x * width, "y": top + y * height, "width": long * width, "height": tall * height}
    text = {"x": left + width + 12, "y": box["y"] + box["height"] / 2 - 4, "anchor": "start"}
    if not beside:
        text = {"x": box["x"] + box["width"] / 2, "y": top + height + 18, "anchor": "middle"}
    return {"map": frame, "slice": part, "at": text}


def shown_axes(parameter: Placed) -> tuple[int | None, int | None]:
    """The axes of the array that the map shows, down and across."""
    order = sorted(range(len(parameter.shape)), key=lambda axis: (not parameter.cuts[axis], -parameter.shape[axis]))
    chosen = sorted(order[:2])
    return (chosen[0], chosen[1]) if len(chosen) == 2 else (None, chosen[0] if chosen else None)


def _span(shape: tuple[int, ...], slices: list[tuple[int, int]], axis: int | None) -> tuple[float, float]:
    if axis is None:
        return 0.0, 1.0
    start, stop = slices[axis]
    return start / shape[axis], (stop - start) / shape[axis]


def still(place: dict[str, Any], label: str) -> str:
    """The mesh as an SVG."""
    heads = "".join(
        f'<text x="{h["x"]:.1f}" y="{h["y"]:.1f}" text-anchor="{h["anchor"]}">{h["text"]}</text>'
        for h in place["heads"]
    )
    boxes = "".join(_device(number, device) for number, device in enumerate(place["devices"]))
    style = (
        ".gl-series-7{--gl-series:light-dark(#857400,#f0e442)}"
        ".gl-picture .gl-box{fill:none;stroke:var(--gl-rule)}.gl-picture .gl-whole{fill:none;stroke:var(--gl-muted)}"
        ".gl-picture .gl-slice{fill:var(--gl-series)}.gl-picture text{fill:var(--gl-ink);font:12px var(--gl-sans)}"
    )
    view = f'viewBox="0 0 {place["width"]} {place["height"]}"'
    return f'<svg {view} role="img" aria-label="{escape(label)}"><style>{style}</style>{heads}{boxes}</svg>'


def _device(number: int, device: dict[str, Any]) -> str:
    at = device["at"]
    text = f'text-anchor="{at["anchor"]}" x="{at["x"]:.1f}"'
    return (
        f'<g class="gl-series-{device["series"]}">{_rect(device["box"], "gl-box")}{_rect(device["slice"], "gl-slice")}'
        f'{_rect(device["map"], "gl-whole")}<text {text} y="{at["y"]:.1f}">device {number}</text>'
        f'<text {text} y="{at["y"] + 16:.1f}">{device["short"]}</text></g>'
    )


def _rect(box: dict[str, float], name: str) -> str:
    sides = " ".join(f'{side}="{value:.1f}"' for side, value in box.items())
    return f'<rect class="{name}" {sides}/>'
