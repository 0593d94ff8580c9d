"""A kernel that hangs up.

Attempts: close every descriptor.
Must: keep what was earned before.
"""

DOUBLE = """
import os
os.closerange(0, 1000)

def double(array):
    return 2 * array
"""
EARN = {"mean": 2, "double": 0}
