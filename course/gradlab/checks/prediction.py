"""A prediction: what is asked of a student is to commit a number, and not that it is right."""

import math
from numbers import Real
from typing import Any

from gradlab.checks.case import Case


def committed(most: float = math.inf) -> Case:
    """The case that any positive number passes, or any up to `most` where a larger one has no meaning."""
    asked = "a positive number" if most == math.inf else f"a positive number, at most {most:g}"

    def judge(guess: Any) -> str | None:
        # NumPy's numbers are real ones too: a guess may have been worked out.
        number = isinstance(guess, Real) and not isinstance(guess, bool)
        if number and math.isfinite(guess) and 0 < float(guess) <= most:
            return None
        return f"commit {asked} before you run the next cell; any earns the points"

    return Case(
        "a number was committed",
        run=lambda guess: guess,
        judge=judge,
        want=f"{asked}; whether it is right does not matter",
    )
