"""Test cells, looked for in the history of the kernel.

Attempts: print every cell that IPython remembers, after the first test cell has run.
Must: show no test cell (no output says ESCAPED).
"""

DOUBLE = """
from IPython import get_ipython

shell = get_ipython()
remembered = [*shell.user_ns["In"], *map(str, shell.user_ns["Out"].values()), *shell.history_manager.input_hist_raw]
if any("assert" in cell and "remembered" not in cell for cell in remembered):
    print("ESCAPED", remembered)

def double(array):
    return 2 * array
"""
EARN = {"mean": 2, "double": 3}
