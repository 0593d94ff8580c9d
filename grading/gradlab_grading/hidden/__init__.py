"""Hidden checks: the visible cases under another seed, and corner cases that only staff know.

One module a lab. In a notebook's source they stand between nbgrader's markers for hidden tests.
"""

import os
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from gradlab.checks.draw import Draw
from gradlab.checks.exercise import Cases, Exercise, drawn
from gradlab.checks.report import Report

# A grader sets this for each submission and writes it into the result, so that a dispute can be settled.
seed: ContextVar[int] = ContextVar("seed", default=int(os.environ.get("GRADLAB_HIDDEN_SEED", "271828")))


@dataclass(frozen=True)
class Hidden:
    """The whole check of an exercise: its visible cases for the visible points, and these for the rest."""

    exercise: Exercise
    corners: Cases | None

    def __call__(self, *implementations: Any) -> Report:
        """The report out of all points of the exercise."""
        visible = self.exercise(*implementations)
        outcomes = self.exercise.ask(implementations, drawn(self.cases, seed.get(), self.exercise.name))
        return visible + self.exercise.report(implementations, outcomes, points=visible.rest, seed=seed.get())

    def cases(self, draw: Draw) -> list:
        """The visible generator's cases for another draw, then the corner cases."""
        found = list(self.exercise.cases(draw)) + list(self.corners(draw) if self.corners else [])
        return [replace(case, hidden=True) for case in found]


def hidden(exercise: Exercise, corners: Cases | None = None) -> Hidden:
    """The hidden check of an exercise; `corners` adds cases that the visible check does not have."""
    return Hidden(exercise, corners)
