"""Visible questions, answered by heart.

Attempts: hard-code the answers of the visible tests.
Must: earn nothing for the hidden part, whose questions are drawn afresh.
"""

MEAN = """
def mean(values):
    return 2.0
"""
DOUBLE = """
def double(array):
    return 2 * array if array.shape == (2,) else array
"""
EARN = {"mean": 0, "double": 1}
