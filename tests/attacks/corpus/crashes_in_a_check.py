"""A kernel that dies while it is checked.

Attempts: end the process when the check calls.
Must: lose that check and what follows; keep what was earned before.
"""

DOUBLE = """
import os

def double(array):
    os._exit(7)
"""
EARN = {"mean": 2, "double": 0}
