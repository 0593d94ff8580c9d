"""An answer that claims to equal everything.

Attempts: return an object whose comparisons are always true.
Must: earn nothing, because only plain data is compared, and in the checker.
"""

MEAN = """
class Agreeable:
    def __eq__(self, other): return True
    def __lt__(self, other): return True
    __le__ = __gt__ = __ge__ = __lt__
    def __sub__(self, other): return 0.0
    __rsub__ = __sub__
    def __abs__(self): return 0.0

def mean(values):
    return Agreeable()
"""
EARN = {"mean": 0}
