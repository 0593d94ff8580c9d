"""The checker's names, defined in the notebook.

Attempts: define `difference`, `np`, `hidden`, `len`, `all` and `AssertionError` so that the test cells use them.
Must: earn nothing: trusted names and builtins come first in the checker.
"""

MEAN = """
def difference(*args, **kwargs):
    return None

def len(anything):
    return 0

def all(anything):
    return True

AssertionError = KeyboardInterrupt
hidden = None

def mean(values):
    return 0.0
"""
EARN = {"mean": 0}
