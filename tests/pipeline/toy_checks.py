"""Checks for the toy lab, of the outward shape that `gradlab.checks` has."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Exercise:
    want: Callable[[float], float]
    points: float

    def __call__(self, function: Callable[[float], float]) -> float:
        return self.points * sum(function(x) == self.want(x) for x in (0.0, 1.0, 3.0)) / 3


double = Exercise(lambda x: 2 * x, points=4)
halve = Exercise(lambda x: x / 2, points=3)
