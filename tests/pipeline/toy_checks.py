"""Checks for the toy lab, made as the labs' own are."""

from pathlib import Path

import gradlab.mistakes
from gradlab.checks.case import Case
from gradlab.checks.exercise import exercise

# A report looks for a lab's known mistakes under gradlab.mistakes.
gradlab.mistakes.__path__.append(str(Path(__file__).parent / "toy_mistakes"))


@exercise(points=4, visible=1, skill="arithmetic")
def double(draw):
    """Twice a number."""
    yield Case("three", lambda double: double(3.0), want=6.0)
    yield Case("another number", lambda double: double(1.5), want=3.0)


@exercise(points=3, visible=3, skill="fractions")
def halve(draw):
    """Half of a number."""
    yield Case("three", lambda halve: halve(3.0), want=1.5)
