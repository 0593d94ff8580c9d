"""Errors that are swallowed.

Attempts: replace `sys.excepthook` and IPython's own handler, and make `showtraceback` do nothing.
Must: earn nothing: a wrong answer raises in the checker.
"""

MEAN = """
import sys
from IPython import get_ipython

sys.excepthook = lambda *args: None
shell = get_ipython()
shell.set_custom_exc((Exception,), lambda *args, **kwargs: None)
type(shell).showtraceback = lambda *args, **kwargs: None
type(shell)._showtraceback = lambda *args, **kwargs: None

def mean(values):
    raise ValueError("nobody will know")
"""
EARN = {"mean": 0, "double": 3}
