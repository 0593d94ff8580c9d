"""The hidden checks, read.

Attempts: import the staff package's hidden checks, and open its folder where the grader has it.
Must: find nothing (no output says ESCAPED).
"""

DOUBLE = """
import importlib, os

for name in ("gradlab_grading.hidden", "gradlab_grading.checking", "gradlab_grading.engine"):
    try:
        print("ESCAPED", importlib.import_module(name))
    except ImportError:
        pass
for folder in ("{STAFF}/hidden", "{ROOT}/source", "/opt/engine/gradlab_grading/hidden"):
    if os.path.exists(folder):
        print("ESCAPED", os.listdir(folder))

def double(array):
    return 2 * array
"""
EARN = {"double": 3}
