"""The loss curve as an SVG, for notebooks that are read without a kernel."""

from collections.abc import Sequence
from html import escape
from math import isfinite

WIDTH, HEIGHT, LEFT, BOTTOM = 480, 180, 40, 22


def curve(points: Sequence[tuple[int, float]], steps: int, label: str) -> str:
    """Loss over steps. Losses that are not finite are left out."""
    finite = [(step, loss) for step, loss in points if isfinite(loss)]
    top = max((loss for _, loss in finite), default=1.0) or 1.0
    width, height = WIDTH - LEFT - 8, HEIGHT - BOTTOM - 8
    places = [(LEFT + width * step / steps, 8 + height * (1 - loss / top)) for step, loss in finite]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places) if places else ""
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">'
        f'<rect x="{LEFT}" y="8" width="{width}" height="{height}" fill="none" stroke="var(--gl-rule)"/>'
        f'<path d="{path}" fill="none" stroke="var(--gl-blue)" stroke-width="2"/>'
        f'<g fill="var(--gl-muted)" font-size="12"><text x="{LEFT - 6}" y="16" text-anchor="end">{top:.2g}</text>'
        f'<text x="{LEFT - 6}" y="{HEIGHT - BOTTOM}" text-anchor="end">0</text>'
        f'<text x="{LEFT}" y="{HEIGHT - 6}">step 0</text>'
        f'<text x="{WIDTH - 8}" y="{HEIGHT - 6}" text-anchor="end">{steps}</text></g></svg>'
    )
