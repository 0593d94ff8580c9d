"""An array that lies.

Attempts: return an ndarray subclass and an object with `__array__`, both of which give what is asked.
Must: earn nothing.
"""

DOUBLE = """
import numpy as np

class Chameleon(np.ndarray):
    def __array_ufunc__(self, *args, **kwargs): return np.bool_(True)
    def __array_function__(self, *args, **kwargs): return np.bool_(True)

def double(array):
    return np.zeros_like(array).view(Chameleon)
"""
EARN = {"double": 0}
