"""Small pictures of matrices in a row, for looking at what a function has computed."""

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
from jaxtyping import Float

_CELL, _GAP, _TOP = 14, 26, 22
_LARGEST = 40


class Heatmaps:
    """Matrices as rows of squares: white or black paper, blue for positive numbers and orange for negative ones.

    Each matrix has its own scale, which its caption states. A screen reader gets the label and the captions. Raises
    ValueError for anything but matrices of at most 40 x 40 finite numbers.
    """

    def __init__(self, matrices: Mapping[str, Float[Any, "rows columns"]], label: str) -> None:
        self.matrices = {name: np.asarray(matrix, np.float64) for name, matrix in matrices.items()}
        self.label = label
        for name, matrix in self.matrices.items():
            if matrix.ndim != 2 or max(matrix.shape) > _LARGEST or not np.isfinite(matrix).all():
                raise ValueError(
                    f"{name!r} has shape {matrix.shape}: a heat map shows a matrix of at most {_LARGEST} x {_LARGEST}"
                    " finite numbers"
                )

    def __repr__(self) -> str:
        return "\n".join([self.label, *(f"{name}: {_range(matrix)}" for name, matrix in self.matrices.items())])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._picture()}

    def _picture(self) -> str:
        parts, left, height = [], 0, 0
        for name, matrix in self.matrices.items():
            wide = max(matrix.shape[1] * _CELL, 110)
            parts.append(f'<g transform="translate({left} 0)">{_squares(name, matrix)}</g>')
            left, height = left + wide + _GAP, max(height, matrix.shape[0] * _CELL)
        return (
            '<figure style="margin:.3em 0;color:var(--jp-ui-font-color1,#212121)">'
            f'<svg role="img" aria-label="{escape(repr(self))}" viewBox="0 0 {left} {height + _TOP + 20}"'
            f' style="max-width:100%;width:{left}px" font-size="12"'
            f' font-family="var(--jp-ui-font-family, system-ui, sans-serif)">{"".join(parts)}</svg>'
            f"<figcaption>{escape(self.label)}</figcaption></figure>"
        )


def _squares(name: str, matrix: np.ndarray) -> str:
    peak = np.abs(matrix).max() or 1.0
    rows, columns = matrix.shape
    frame = f'<rect y="{_TOP}" width="{columns * _CELL}" height="{rows * _CELL}" fill="none" stroke="currentColor"/>'
    cells = "".join(
        f'<rect x="{j * _CELL}" y="{_TOP + i * _CELL}" width="{_CELL}" height="{_CELL}"'
        f' fill="{"#0072b2" if value > 0 else "#e69f00"}" fill-opacity="{abs(value) / peak:.2f}"/>'
        for (i, j), value in np.ndenumerate(matrix)
        # A square that cannot be seen is left out: pictures are mostly paper.
        if abs(value) > 0.005 * peak
    )
    caption = f'<text y="{_TOP + rows * _CELL + 14}" fill="currentColor" fill-opacity="0.8">{_range(matrix)}</text>'
    return f'<text y="14" fill="currentColor">{escape(name)}</text>{cells}{frame}{caption}'


def _range(matrix: np.ndarray) -> str:
    return f"{matrix.min():.3g} to {matrix.max():.3g}"
