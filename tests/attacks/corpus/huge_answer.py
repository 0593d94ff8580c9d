"""An answer that is too large to carry.

Attempts: make the checker read a claimed frame of four gigabytes, and a list nested ten thousand deep.
Must: earn nothing, and leave the checker in working order for the next one.
"""

MEAN = """
def mean(values):
    nest = []
    for _ in range(10_000):
        nest = [nest]
    return nest
"""
DOUBLE = """
import os

def double(array):
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket"):
                os.write(int(name), b"\\xff\\xff\\xff\\xff" + b"x" * 1000)
        except OSError:
            pass
    return array
"""
EARN = {"mean": 0, "double": 0}
