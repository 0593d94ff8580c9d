"""More memory than there is, asked for at once.

Attempts: make an array of a hundred gigabytes.
Must: get a MemoryError in that cell, and go on.
"""

DOUBLE = """
import numpy as np

def double(array):
    return 2 * array

everything = np.ones(100 * 2**27)
"""
EARN = {"mean": 2, "double": 3}
