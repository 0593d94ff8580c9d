"""A neighbour's work, copied.

Attempts: read other submissions, and those already graded.
Must: not find them (no output says ESCAPED).
"""

DOUBLE = """
import os

for folder in ("{ROOT}", "{ROOT}/submitted", "{ROOT}/autograded", "{ROOT}/autograded/.grading"):
    if os.path.exists(folder):
        print("ESCAPED", os.listdir(folder))

def double(array):
    return 2 * array
"""
EARN = {"double": 3}
