"""The explorer as a still picture: a histogram for each stage, and the same as a table."""

from html import escape

import numpy as np
from jaxtyping import Float

BINS, WIDTH, HEIGHT, GAP = 20, 150, 110, 16


def histogram(values: Float[np.ndarray, " n"]) -> tuple[Float[np.ndarray, " bins"], float, float]:
    """How many finite values fall into each of equal bins, from the smallest to the largest."""
    there = values[np.isfinite(values)]
    if not len(there):
        return np.zeros(BINS), 0.0, 1.0
    low, high = float(there.min()), float(there.max())
    return np.histogram(there, BINS, (low, high if high > low else low + 1))[0], low, high


def still(stages: list[tuple[str, np.ndarray]], column: str, problem: str | None) -> tuple[str, str]:
    """HTML and text for stages given as (title, values of the column)."""
    drawn, rows, lines = "", "", []
    for number, (title, values) in enumerate(stages):
        counts, low, high = histogram(values)
        gaps = int((~np.isfinite(values)).sum())
        drawn += _panel(title, counts, number * (WIDTH + GAP))
        cells = (title, f"{low:.4g}", f"{high:.4g}", str(len(values)), str(gaps))
        rows += "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
        lines.append(f"{title}: {len(values)} rows, {gaps} gaps, from {low:.4g} to {high:.4g}")
    width = max(len(stages) * (WIDTH + GAP) - GAP, WIDTH)
    label = f"Histograms of {column} after each step"
    head = "".join(f"<th scope='col'>{name}</th>" for name in ("after", "smallest", "largest", "rows", "gaps"))
    said = f"<p>{escape(problem)}</p>" if problem else ""
    html = (
        f'<svg viewBox="0 0 {width} {HEIGHT + 22}" role="img" aria-label="{escape(label)}">{drawn}</svg>'
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{said}"
    )
    return html, "\n".join([*lines, *([problem] if problem else [])])


def _panel(title: str, counts: np.ndarray, left: float) -> str:
    step, top = WIDTH / BINS, max(float(counts.max()), 1.0)
    bars = "".join(
        f'<rect x="{left + i * step:.1f}" y="{22 + HEIGHT * (1 - count / top):.1f}" width="{step - 1:.1f}"'
        f' height="{HEIGHT * count / top:.1f}" fill="var(--gl-blue)"/>'
        for i, count in enumerate(counts)
        if count
    )
    return (
        f'<text x="{left}" y="14" fill="currentColor" font-size="17">{escape(title)}</text>{bars}'
        f'<path d="M{left} {HEIGHT + 22}h{WIDTH}" stroke="var(--gl-rule)"/>'
    )
