"""A function under jit, whose exported program the checker runs: nothing hostile.

Attempts: nothing; it shows that a program which is self-contained is run.
Must: earn full marks.
"""

DOUBLE = """
import jax

@jax.jit
def double(array):
    return 2 * array
"""
EARN = {"mean": 2, "double": 3}
