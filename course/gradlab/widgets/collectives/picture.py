"""The ring in pixels, and the still picture of what a function has left on it."""

from html import escape
from math import ceil, cos, pi, sin
from pathlib import Path
from typing import Any

from gradlab.widgets.base import bundle
from gradlab.widgets.collectives.story import LETTERS, Cell, Story
from gradlab.widgets.collectives.words import text

WIDTH, HEIGHT = 800, 506
_RADII = 314, 204
CELL = {"width": 36, "height": 30}
_HEAD, _PAD = 19, 5
_ROW = 4  # chunks beside each other
STYLE = bundle(Path(__file__).parent / "picture.css")


def layout(size: int) -> dict[str, Any]:
    """Where everything stands: `devices`, the centre of each box; `box`, its size; `cells`, corners in the box."""
    columns = min(size, _ROW)
    width = columns * CELL["width"] + 2 * _PAD
    height = ceil(size / _ROW) * CELL["height"] + _HEAD + _PAD
    turns = [2 * pi * device / size - pi / 2 for device in range(size)]
    devices = [[WIDTH / 2 + _RADII[0] * cos(turn), HEIGHT / 2 + _RADII[1] * sin(turn)] for turn in turns]
    corners = [
        [-width / 2 + _PAD + chunk % _ROW * CELL["width"], -height / 2 + _HEAD + chunk // _ROW * CELL["height"]]
        for chunk in range(size)
    ]
    box = {"width": width, "height": height, "head": _HEAD}
    return {"width": WIDTH, "height": HEIGHT, "box": box, "cell": CELL, "devices": devices, "cells": corners}


def still(story: Story, label: str) -> str:
    """The devices with what the function returned on each, as an SVG."""
    size = len(story.frames[0].cells)
    place = layout(size)
    width, height = place["box"]["width"], place["box"]["height"]
    boxes = ""
    for device, ((x, y), cells) in enumerate(zip(place["devices"], story.frames[-1].cells, strict=True)):
        inside = "".join(_cell(cell, chunk, place["cells"][chunk], size) for chunk, cell in enumerate(cells))
        boxes += (
            f'<g transform="translate({x:.1f} {y:.1f})"><rect class="gl-box" x="{-width / 2}" y="{-height / 2}"'
            f' width="{width}" height="{height}" rx="5"/>'
            f'<text x="0" y="{-height / 2 + 14}">device {device}</text>{inside}</g>'
        )
    view = f'viewBox="0 0 {WIDTH} {HEIGHT}"'
    return f'<svg {view} role="img" aria-label="{escape(label)}"><style>{STYLE}</style>{boxes}</svg>'


def _cell(cell: Cell, chunk: int, corner: list[float], size: int) -> str:
    width, height = CELL["width"] - 3, CELL["height"] - 3
    level = height * cell.count / size
    wrong = " gl-wrong" if cell.wrong else ""
    return (
        f'<g class="gl-series-{chunk}" transform="translate({corner[0]:.1f} {corner[1]:.1f})">'
        f"<title>{escape(cell.wrong or 'the sum')}</title>"
        f'<rect y="{height - level:.1f}" width="{width}" height="{level:.1f}" fill="var(--gl-series)" opacity="0.3"/>'
        f'<rect class="gl-cell{wrong}" width="{width}" height="{height}" rx="2"/>'
        f'<text x="{width / 2}" y="{height / 2 + 4}">{LETTERS[chunk]} {text(cell.value)}</text></g>'
    )
