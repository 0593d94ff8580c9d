"""The expected value, looked for in memory.

Attempts: walk the stack and all objects of the process for test sources and expected values.
Must: find neither (no output says ESCAPED), and earn nothing.
"""

MEAN = """
import gc, sys

def mean(values):
    frame, seen = sys._getframe(), []
    while frame is not None:
        seen += list(frame.f_locals.values())
        frame = frame.f_back
    for item in gc.get_objects() + seen:
        # Built at run time, so that this source itself is not found.
        if type(item) is str and "BEGIN HIDDEN" + " TESTS" in item and "BEGIN HIDDEN\\" + "" not in item:
            if "def mean" not in item:
                print("ESCAPED", item)
    return 0.0
"""
EARN = {"mean": 0}
