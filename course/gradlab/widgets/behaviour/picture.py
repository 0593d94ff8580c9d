"""The still picture: the decision regions, coarsely, with the points."""

from html import escape

import numpy as np
from jaxtyping import Float

from gradlab.widgets.behaviour.points import WINDOW, Points

SIZE, COARSE = 300, 25
# Class 1 is orange and positive, class 0 blue and negative; half transparent, so that light and dark show through.
COLOURS = ("#0072b2", "#e69f00")


def still(margin: Float[np.ndarray, "n n"], train: Points, label: str) -> str:
    """The sign and the certainty of the margin as squares, and the training points as discs and squares."""
    every = margin.shape[0] // COARSE
    cell = SIZE / COARSE
    certainty = np.abs(np.tanh(margin[every // 2 :: every, every // 2 :: every] / 2))
    positive = margin[every // 2 :: every, every // 2 :: every] > 0
    squares = "".join(
        f'<rect x="{j * cell:g}" y="{i * cell:g}" width="{cell:g}" height="{cell:g}"'
        f' fill="{COLOURS[int(positive[i, j])]}" fill-opacity="{0.1 + 0.5 * value:.2f}"/>'
        for (i, j), value in np.ndenumerate(np.nan_to_num(certainty))
    )
    left, right, _, top = WINDOW
    places = (train.x - [left, top]) * [1, -1] / (right - left) * SIZE
    marks = "".join(
        f'<g transform="translate({x:.1f} {y:.1f})" fill="{COLOURS[c]}" stroke="#fff">'
        + ('<circle r="4"/>' if c == 0 else '<rect x="-3.5" y="-3.5" width="7" height="7"/>')
        + "</g>"
        for (x, y), c in zip(places, train.y, strict=True)
    )
    return (
        f'<svg viewBox="0 0 {SIZE} {SIZE}" role="img" aria-label="{escape(label)}" style="max-width:{SIZE}px">'
        f'{squares}{marks}<rect class="gl-frame" width="{SIZE}" height="{SIZE}"/></svg>'
    )
