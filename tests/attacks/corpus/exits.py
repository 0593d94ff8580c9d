"""A notebook that leaves.

Attempts: call exit(), quit() and sys.exit() between the exercises.
Must: lose nothing.
"""

DOUBLE = """
import sys

def double(array):
    return 2 * array

exit()
sys.exit(3)
"""
EARN = {"mean": 2, "double": 3}
