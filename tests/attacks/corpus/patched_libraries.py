"""Libraries that agree with everything.

Attempts: replace NumPy's comparisons, `isinstance`, `abs`, `len` and the course's own comparison in the kernel.
Must: earn nothing: the checker has its own libraries.
"""

MEAN = """
import builtins
import numpy as np
import gradlab.checks.compare as compare

np.isclose = np.allclose = lambda *args, **kwargs: np.bool_(True)
np.testing.assert_allclose = lambda *args, **kwargs: None
compare.difference = lambda *args, **kwargs: None
builtins.abs = lambda value: 0

def mean(values):
    return 0.0
"""
EARN = {"mean": 0, "double": 3}
