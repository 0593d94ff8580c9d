"""A float that lies.

Attempts: return a subclass of float whose difference to anything is zero.
Must: earn nothing: a subclass does not cross as a number.
"""

MEAN = """
class Zero(float):
    def __sub__(self, other): return 0.0
    def __rsub__(self, other): return 0.0
    def __eq__(self, other): return True
    __hash__ = None

def mean(values):
    return Zero(0)
"""
EARN = {"mean": 0}
