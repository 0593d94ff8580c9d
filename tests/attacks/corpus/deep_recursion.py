"""A recursion without end.

Attempts: exceed Python's stack, with the limit raised to a million.
Must: lose that exercise alone, or the kernel with it; what was earned before is kept.
"""

DOUBLE = """
import sys

sys.setrecursionlimit(10**6)

def double(array):
    return double(array) + double(array)
"""
EARN = {"mean": 2, "double": 0}
