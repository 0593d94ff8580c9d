"""Guess first, measure after: a number that the student committed beside the one that was measured.

The guess is a line of the notebook, so it is submitted with it; the picture is kept among the cell's outputs.
"""

import math
from dataclasses import dataclass
from html import escape
from numbers import Real
from typing import Any

_WIDTH, _LEFT, _RIGHT = 560, 110, 40


@dataclass(frozen=True)
class Reveal:
    """A guess and a measurement, shown on one axis. Any guess is a good one: effort is what is scored."""

    guess: float
    measured: float
    what: str

    @property
    def verdict(self) -> str:
        """How far the guess is from the measurement, in words."""
        if self.guess == self.measured:
            return "exactly as predicted"
        if self.guess * self.measured <= 0:
            return f"off by {abs(self.guess - self.measured):.3g}"
        factor = max(self.guess / self.measured, self.measured / self.guess)
        side = "too large" if self.guess > self.measured else "too small"
        return f"{side} by {factor - 1:.0%}" if factor < 2 else f"{side} by a factor of {factor:.3g}"

    def __repr__(self) -> str:
        return f"{self.what}: predicted {self.guess:.4g}, measured {self.measured:.4g} ({self.verdict})"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._picture()}

    def _picture(self) -> str:
        low, high = sorted((self.guess, self.measured))
        low, high = (0.0, high) if low >= 0 else (low, max(high, 0.0))
        span = (high - low) * 1.1 or 1.0

        def bar(y: int, name: str, value: float, mark: str) -> str:
            zero, tip = (_LEFT + (_WIDTH - _LEFT - _RIGHT) * (v - low) / span for v in (0.0, value))
            left, length = min(zero, tip), max(abs(tip - zero), 1)
            return (
                f'<text x="{_LEFT - 10}" y="{y + 14}" text-anchor="end" fill="currentColor">{name}</text>'
                f'<rect x="{left:.1f}" y="{y}" width="{length:.1f}" height="18" {mark}/>'
                f'<text x="{tip + 6:.1f}" y="{y + 14}" fill="currentColor">{value:.3g}</text>'
            )

        # An outline for what was guessed, a filled bar for what was measured: told apart without colour.
        guess = bar(10, "predicted", self.guess, 'fill="none" stroke="#e69f00" stroke-width="2"')
        truth = bar(38, "measured", self.measured, 'fill="#0072b2" fill-opacity="0.75"')
        text = escape(repr(self))
        return (
            '<figure style="margin:.3em 0;color:var(--jp-ui-font-color1,#212121)">'
            f'<svg role="img" aria-label="{text}" width="{_WIDTH}" height="68" font-size="13"'
            f' font-family="var(--jp-ui-font-family, system-ui, sans-serif)">{guess}{truth}</svg>'
            f"<figcaption>{text}</figcaption></figure>"
        )


def reveal(guess: float, measured: float, what: str) -> Reveal:
    """Shows `guess` beside `measured`; `what` names the quantity. Raises ValueError for a guess that is no number."""
    for name, value in (("guess", guess), ("measured value", measured)):
        if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
            raise ValueError(f"the {name} must be a finite number, got {value!r}: commit a number in the cell above")
    return Reveal(float(guess), float(measured), what)
