"""The race as SVG paths: what the view and the still picture draw alike, and the still picture itself."""

from collections.abc import Sequence
from html import escape

import numpy as np
from jaxtyping import Float

from gradlab.widgets.optimizer_race.lanes import OPTIMIZERS, Lane
from gradlab.widgets.optimizer_race.surfaces import Contours, Surface

# The plot in pixels of its viewBox; 432 x 324 has the shape of every surface's window.
FRAME = {
    "width": 480,
    "height": 360,
    "left": 36,
    "right": 468,
    "top": 12,
    "bottom": 336,
}
# One shape for each optimizer, about 9 pixels wide around the origin.
MARKERS = (
    "M-4 0A4 4 0 1 0 4 0A4 4 0 1 0-4 0Z",
    "M-3.7-3.7H3.7V3.7H-3.7Z",
    "M0-5L4.6 3.6H-4.6Z",
    "M0-5.2L5.2 0L0 5.2L-5.2 0Z",
    "M0 5L4.6-3.6H-4.6Z",
    "M-1.6-5H1.6V-1.6H5V1.6H1.6V5H-1.6V1.6H-5V-1.6H-1.6Z",
)


def series(lane: Lane) -> int:
    """Which colour, dashes and marker a lane has: an optimizer keeps its own whatever it runs beside."""
    return list(OPTIMIZERS.values()).index(lane.optimizer) if lane.optimizer else len(OPTIMIZERS)


def to_pixels(points: Float[np.ndarray, "n 2"], window: tuple[float, ...]) -> Float[np.ndarray, "n 2"]:
    """Points of a surface in pixels of the plot."""
    left, right, bottom, top = window
    x = FRAME["left"] + (points[:, 0] - left) / (right - left) * (FRAME["right"] - FRAME["left"])
    y = FRAME["bottom"] - (points[:, 1] - bottom) / (top - bottom) * (FRAME["bottom"] - FRAME["top"])
    return np.stack([x, y], axis=1)


def trace(pixels: Float[np.ndarray, "n 2"]) -> str:
    """An SVG path through the points, up to the first that is not finite or lies far outside any picture."""
    far = ~(np.abs(pixels) < 1e5).all(axis=1)
    end = int(np.argmax(far)) if far.any() else len(pixels)
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in pixels[:end]) if end else ""


def regions(contours: Contours, surface: Surface) -> list[str]:
    """For each level one SVG path around everything below it."""
    return ["".join(trace(to_pixels(ring, surface.window)) + "Z" for ring in rings) for rings in contours.regions]


def still(
    surface: Surface,
    contours: Contours,
    lanes: Sequence[Lane],
    paths: Float[np.ndarray, "lanes steps+1 3"],
    label: str,
) -> str:
    """The race at its last step, as an SVG."""
    left, top = FRAME["left"], FRAME["top"]
    width, height = FRAME["right"] - left, FRAME["bottom"] - top
    ground = "".join(
        f'<path d="{d}" fill="var(--gl-terrain)" fill-opacity="0.09" stroke="var(--gl-terrain)" stroke-opacity="0.35"/>'
        for d in reversed(regions(contours, surface))
    )
    drawn = ""
    for lane, path in zip(lanes, paths):
        line = trace(to_pixels(path[:, :2], surface.window))
        if line:
            drawn += (
                f'<g class="gl-series-{series(lane)}"><title>{escape(lane.name)}</title>'
                f'<path d="{line}" fill="none" stroke="var(--gl-series)" stroke-width="2" stroke-linejoin="round" '
                f'style="stroke-dasharray:var(--gl-dash)"/></g>'
            )
    return (
        f'<svg viewBox="0 0 {FRAME["width"]} {FRAME["height"]}" role="img" aria-label="{escape(label)}">'
        f'<clipPath id="gl-race-clip"><rect x="{left}" y="{top}" width="{width}" height="{height}"/></clipPath>'
        f'<g clip-path="url(#gl-race-clip)">{ground}{drawn}</g>'
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="var(--gl-rule)"/></svg>'
    )


def swatch(index: int) -> str:
    """The line and marker of a lane, for a table."""
    marker = f'<path d="{MARKERS[index]}" transform="translate(17 7)" fill="var(--gl-series)"/>' if index < 6 else ""
    return (
        f'<svg class="gl-series-{index}" viewBox="0 0 34 14" style="width:34px" aria-hidden="true">'
        f'<path d="M1 7H33" stroke="var(--gl-series)" stroke-width="2" style="stroke-dasharray:var(--gl-dash)"/>{marker}</svg>'
    )
