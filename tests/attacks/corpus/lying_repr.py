"""A result that shows itself as a full score.

Attempts: let `__repr__`, `__str__`, `__float__` and `_repr_mimebundle_` of the answer all say 5.
Must: earn nothing: the answer is never shown in place of the report.
"""

MEAN = """
class Five:
    def __repr__(self): return "5"
    __str__ = __repr__
    def __float__(self): return 5.0
    def _repr_mimebundle_(self, **kwargs): return {"text/plain": "5"}

def mean(values):
    return Five()
"""
DOUBLE = MEAN.replace("mean(values)", "double(array)")
EARN = {"mean": 0, "double": 0}
