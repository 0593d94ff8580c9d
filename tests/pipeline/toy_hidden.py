"""Hidden checks for the toy lab."""

from gradlab.checks.case import Case
from gradlab_grading.hidden import hidden
from pipeline import toy_checks as checks


def corners(draw):
    """What a hard-coded answer does not know."""
    yield Case("a large number", lambda double: double(1024.0), want=2048.0)


double = hidden(checks.double, corners)
