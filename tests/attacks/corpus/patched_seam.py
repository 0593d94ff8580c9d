"""The near side of the seam, replaced.

Attempts: let the object store answer every request with `True`, `None` or the score.
Must: earn nothing: an answer of the store is an answer of the student.
"""

MEAN = """
from gradlab.seam import store

for name in list(store.OPERATIONS):
    store.OPERATIONS[name] = lambda target, *args, **kwargs: 5.0

def mean(values):
    return 0.0
"""
EARN = {"mean": 0, "double": 0}
