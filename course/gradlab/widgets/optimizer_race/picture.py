"""The race as SVG paths: what the view and the still picture draw alike, and the still picture itself."""

from collections.abc import Sequence
from html import escape

import numpy as np
from jaxtyping import Float

from gradlab.widgets.optimizer_race.lanes import Lane
from gradlab.widgets.optimizer_race.surfaces import Contours, Surface

# The plot in pixels of its viewBox; 432 x 324 has the shape of every surface's window.
FRAME = {"width": 480, "height": 360, "left": 36, "right": 468, "top": 12, "bottom": 336}
# One shape for each optimizer, about 9 pixels wide around the origin; the last is for a name that is not known.
MARKERS = (
    "M-4 0A4 4 0 1 0 4 0A4 4 0 1 0-4 0Z",
    "M-3.7-3.7H3.7V3.7H-3.7Z",
    "M0-5L4.6 3.6H-4.6Z",
    "M0-5.2L5.2 0L0 5.2L-5.2 0Z",
    "M0 5L4.6-3.6H-4.6Z",
    "M-1.6-5H1.6V-1.6H5V1.6H1.6V5H-1.6V1.6H-5V-1.6H-1.6Z",
    "M-5-1H5V1H-5Z",
)
FAR = 1e5


def to_pixels(points: Float[np.ndarray, "n 2"], window: tuple[float, ...]) -> Float[np.ndarray, "n 2"]:
    """Points of a surface in pixels of the plot."""
    left, right, bottom, top = window
    x = FRAME["left"] + (points[:, 0] - left) / (right - left) * (FRAME["right"] - FRAME["left"])
    y = FRAME["bottom"] - (points[:, 1] - bottom) / (top - bottom) * (FRAME["bottom"] - FRAME["top"])
    return np.stack([x, y], axis=1)


def trace(pixels: Float[np.ndarray, "n 2"]) -> str:
    """An SVG path through the points."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in pixels) if len(pixels) else ""


def near(pixels: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "m 2"]:
    """The points up to the first that is not finite or lies far outside any picture."""
    far = ~(np.abs(pixels) < FAR).all(axis=1)
    return pixels[: np.argmax(far)] if far.any() else pixels


def regions(contours: Contours, surface: Surface) -> list[str]:
    """For each level one SVG path around everything below it."""
    return ["".join(trace(to_pixels(ring, surface.window)) + "Z" for ring in rings) for rings in contours.regions]


def still(
    surface: Surface, contours: Contours, lanes: Sequence[Lane], paths: Float[np.ndarray, "lanes n 3"], label: str
) -> str:
    """The race at its last step, as an SVG."""
    left, top = FRAME["left"], FRAME["top"]
    box = f'x="{left}" y="{top}" width="{FRAME["right"] - left}" height="{FRAME["bottom"] - top}"'
    ground = "".join(f'<path class="gl-region" d="{d}"/>' for d in reversed(regions(contours, surface)))
    lines = ""
    for lane, path in zip(lanes, paths, strict=True):
        pixels = near(to_pixels(path[:, :2], surface.window))
        end = marker(lane.series, *pixels[-1]) if len(pixels) else ""
        line = f'<path class="gl-path" d="{trace(pixels)}"/>{end}'
        lines += f'<g class="gl-series-{lane.series}"><title>{escape(lane.name)}</title>{line}</g>'
    # The inner svg cuts off what leaves the frame.
    view = f'viewBox="{left} {top} {FRAME["right"] - left} {FRAME["bottom"] - top}"'
    return (
        f'<svg viewBox="0 0 {FRAME["width"]} {FRAME["height"]}" role="img" aria-label="{escape(label)}">'
        f'<svg {box} {view}>{ground}{lines}</svg><rect class="gl-frame" {box}/></svg>'
    )


def marker(series: int, x: float, y: float) -> str:
    """The marker of a lane at a point."""
    return f'<path class="gl-marker" d="{MARKERS[series]}" transform="translate({x:.1f} {y:.1f})"/>'


def swatch(series: int) -> str:
    """The line and marker of a lane, for a table."""
    line = f'<path class="gl-path" d="M1 7H33"/>{marker(series, 17, 7)}'
    return f'<svg class="gl-swatch gl-series-{series}" viewBox="0 0 34 14" aria-hidden="true">{line}</svg>'
