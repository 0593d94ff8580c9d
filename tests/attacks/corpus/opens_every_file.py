"""Descriptors without end.

Attempts: open files until none is left.
Must: be refused, and lose nothing else.
"""

DOUBLE = """
files = []
try:
    while True:
        files.append(open("/dev/null"))
except OSError as error:
    files.clear()
    print("refused:", error)

def double(array):
    return 2 * array
"""
EARN = {"mean": 2, "double": 3}
SHOWS = "refused:"
