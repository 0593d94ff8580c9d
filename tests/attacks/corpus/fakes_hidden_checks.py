"""The hidden checks' module, brought along.

Attempts: put a module of that name into `sys.modules` and a file of that name into the working folder.
Must: earn nothing.
"""

MEAN = """
import sys, types

fake = types.ModuleType("gradlab_grading.hidden")
fake.seed = types.SimpleNamespace(get=lambda: 0)
sys.modules["gradlab_grading.hidden"] = sys.modules["gradlab_grading"] = fake
with open("random.py", "w") as file:
    file.write("class Random: pass")

def mean(values):
    return 0.0
"""
EARN = {"mean": 0}
