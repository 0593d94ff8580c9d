"""A prediction: what is asked of a student is to commit a number, and not that it is right."""

from typing import Any

import numpy as np

from gradlab.checks.case import Case


def committed() -> Case:
    """The case that any positive number passes."""
    return Case(
        "a number was committed",
        run=lambda guess: guess,
        judge=_judge,
        want="a positive number; whether it is right does not matter",
    )


def _judge(guess: Any) -> str | None:
    if isinstance(guess, (int, float)) and not isinstance(guess, bool) and 0 < guess < np.inf:
        return None
    return "commit a positive number before you run the next cell; any number earns the points"
