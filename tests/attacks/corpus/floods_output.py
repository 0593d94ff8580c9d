"""Output without end.

Attempts: print until stopped.
Must: be cut; the notebook stays small and everything else counts.
"""

DOUBLE = """
def double(array):
    return 2 * array

while True:
    print("spam " * 1000)
"""
EARN = {"mean": 2, "double": 3}
SHOWS = "output cut"
