"""Random numbers that others have drawn too, the second kernel.

Attempts: nothing; prints what a fresh kernel draws.
Must: differ from what `draws_alike` prints.
"""

DOUBLE = """
import random
import numpy as np

print("drew", random.random(), np.random.uniform())

def double(array):
    return 2 * array
"""
EARN = {"double": 3}
