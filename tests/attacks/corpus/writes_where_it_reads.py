"""The libraries of the next submission, changed.

Attempts: write into the interpreter, the libraries, the course and the cache of compiled programs.
Must: be refused (no output says ESCAPED).
"""

DOUBLE = """
import os, sys
import gradlab, numpy

folders = [os.path.dirname(module.__file__) for module in (gradlab, numpy, os)]
folders += ["/opt/cache", "/opt/engine", sys.prefix]
for folder in folders:
    try:
        with open(folder + "/planted.py", "w") as file:
            file.write("x")
        print("ESCAPED", folder)
    except OSError:
        pass

def double(array):
    return 2 * array
"""
EARN = {"double": 3}
