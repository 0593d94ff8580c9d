"""Harmless text on standard error.

Attempts: nothing; a correct answer that warns, logs and prints to stderr.
Must: earn full marks. To stock nbgrader any text on stderr in a test cell is a failed test.
"""

MEAN = """
import logging, sys, warnings

def mean(values):
    warnings.warn("this is deprecated")
    print("debugging", file=sys.stderr)
    logging.getLogger().error("careful")
    return sum(values) / len(values)
"""
EARN = {"mean": 2, "double": 3}
