"""Test cells, rewritten.

Attempts: replace the source of the tests by a score.
Must: earn nothing with wrong answers, with a note.
"""

MEAN = """
def mean(values):
    return None
"""
EARN = {"mean": 0, "double": 3}
SAYS = "read-only"


def edit(notebook):
    for cell in notebook["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("grade_id") == "test-mean":
            cell["source"] = "5"
