"""Test cells, deleted.

Attempts: delete the test of a wrong answer, and of a right one.
Must: grade both, with a note.
"""

MEAN = """
def mean(values):
    return None
"""
EARN = {"mean": 0, "double": 3}
SAYS = "put back"


def edit(notebook):
    notebook["cells"] = [
        cell
        for cell in notebook["cells"]
        if cell["metadata"].get("nbgrader", {}).get("grade_id") not in ("setup", "test-mean", "test-double")
    ]
