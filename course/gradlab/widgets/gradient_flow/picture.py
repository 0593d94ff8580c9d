"""The map as an SVG, and what it says in words: shared by the still picture and the view."""

from html import escape

import numpy as np
from jaxtyping import Float

#: A gradient is called vanishing or exploding when it is this many powers of ten from the output's.
BAND = 1.0


def verdict(sizes: Float[np.ndarray, " depth+1"]) -> str:
    """One sentence on the way of the gradient from the output to the input; `sizes` are powers of ten."""
    change = sizes[0] - sizes[-1]
    if not np.isfinite(sizes).all():
        return "The gradient is not a number: the training has diverged."
    factor = f"The gradient at the input is 10^{change:.1f} times the output's"
    if change < -BAND:
        return f"{factor}: it vanishes."
    return f"{factor}: it explodes." if change > BAND else f"{factor}: it arrives."


def still(sizes: Float[np.ndarray, "times depth+1"], label: str) -> str:
    """The map: a column for each snapshot, the output's activation at the top."""
    width, height = 480 / sizes.shape[0], 240 / sizes.shape[1]
    cells = "".join(
        f'<rect x="{time * width:.1f}" y="{240 - (layer + 1) * height:.1f}" width="{width + 0.3:.1f}"'
        f' height="{height + 0.3:.1f}" {_paint(sizes[time, layer] - sizes[time, -1])}/>'
        for time in range(sizes.shape[0])
        for layer in range(sizes.shape[1])
    )
    words = escape(f"{label} {verdict(sizes[0])}")
    return f'<svg viewBox="0 0 480 240" role="img" aria-label="{words}">{cells}</svg>'


def _paint(change: float) -> str:
    """Blue where the gradient is smaller than the output's, vermilion where it is larger, fainter towards equal."""
    if not np.isfinite(change):
        return 'fill="none" stroke="var(--gl-muted)"'
    color = "var(--gl-blue)" if change < 0 else "var(--gl-vermilion)"
    return f'fill="{color}" fill-opacity="{min(abs(change) / (3 * BAND), 1):.2f}"'
