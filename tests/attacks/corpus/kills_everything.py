"""A signal to everybody.

Attempts: kill process 1, every process that can be seen, and the parent's group.
Must: hurt nobody else; what the submission earned before is kept.
"""

DOUBLE = """
import os, signal

for target in (1, os.getppid(), -1):
    try:
        os.kill(target, signal.SIGKILL)
    except OSError:
        pass

def double(array):
    return 2 * array
"""
EARN = {"mean": 2}
