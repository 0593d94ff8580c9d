"""How the figures of every chapter look, and how they are written.

A chapter is read on a white page and on a dark one, and an SVG inside an `<img>` cannot ask which.
So the background is transparent and every colour stands out from both. `INK` has 4.3:1 on white and
on JupyterLab's dark page (#111), the most that one colour can have on both. The lines are the four
colours of Okabe and Ito (2008) with at least 3:1 on both; each has a dash pattern of its own, so that
no figure needs its colours to be understood.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

INK = "#7a7a7a"
BLUE = "#0072B2"
VERMILLION = "#D55E00"
GREEN = "#009E73"
PURPLE = "#CC79A7"

SOLID = "solid"
DASHED = (0, (5, 2))
DOTTED = (0, (1.2, 1.6))
DASH_DOT = (0, (6, 2, 1.2, 2))

FIRST: dict[str, Any] = {"color": VERMILLION, "linestyle": SOLID}
SECOND: dict[str, Any] = {"color": BLUE, "linestyle": DASHED}
THIRD: dict[str, Any] = {"color": GREEN, "linestyle": DASH_DOT}
FOURTH: dict[str, Any] = {"color": PURPLE, "linestyle": DOTTED}

RC: dict[Any, Any] = {
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlesize": 11.5,
    "figure.facecolor": "none",
    "font.family": "DejaVu Sans",  # comes with matplotlib, so the outlines are the same on every machine
    "font.size": 11,
    "lines.linewidth": 2,
    "savefig.facecolor": "none",
    "svg.fonttype": "path",
    "svg.hashsalt": "gradlab",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}

# A number with three decimals or more, but not inside scale(...): glyphs are scaled by 1/64.
_LONG_NUMBER = re.compile(r"(?<![\w.#])(?<!scale\()-?\d+\.\d{3,}(?![\w.])")


def panels(columns: int, *, height: float, bottom: float = 0.19, space: float = 0.28) -> tuple[Figure, list[Axes]]:
    """Return a figure as wide as the text (7.2 inches) and its row of `columns` axes.

    The margins are given, not fitted: a layout solver would move everything by a hair from one
    version of its libraries to the next. `height` is in inches, the margins in parts of the figure.
    """
    figure = Figure(figsize=(7.2, height))
    axes = figure.subplots(1, columns, squeeze=False)[0]
    figure.subplots_adjust(left=0.09, right=0.965, bottom=bottom, top=0.89, wspace=space)
    return figure, list(axes)


def save(figure: Figure, path: Path) -> None:
    """Write `figure` to `path` as SVG, the same bytes on every machine: no date, no version, two decimals."""
    FigureCanvasSVG(figure)
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    text = _LONG_NUMBER.sub(lambda number: f"{float(number[0]):.2f}", path.read_text())
    # Rounding leaves "-0.00" or "0.00" by the sign of an error of 1e-17.
    path.write_text(text.replace("-0.00", "0.00"))


def draw(figures: Iterable[Callable[[], Figure]], chapter: str) -> None:
    """Call each function and write what it returns beside this file as `<chapter>-<function-name>.svg`."""
    with rc_context(rc=RC):
        for function in figures:
            name = function.__name__.replace("_", "-")
            save(function(), Path(__file__).parent / f"{chapter}-{name}.svg")
