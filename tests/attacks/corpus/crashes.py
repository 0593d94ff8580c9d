"""A segmentation fault.

Attempts: read address zero after the first exercise.
Must: keep what was earned before, and say what happened.
"""

DOUBLE = """
import ctypes
ctypes.string_at(0)
"""
EARN = {"mean": 2, "double": 0}
SAYS = "segmentation fault"
SHOWS = "was not run"
