"""An error with a message of a hundred megabytes.

Attempts: raise it where the check calls, and in the cell.
Must: be cut; everything else counts.
"""

MEAN = """
def mean(values):
    raise ValueError("x" * 10_000_000)
"""
DOUBLE = """
def double(array):
    return 2 * array

raise ValueError("y" * 100_000_000)
"""
EARN = {"mean": 0, "double": 3}
