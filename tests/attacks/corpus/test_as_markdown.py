"""A test cell, made into text.

Attempts: change the test to a markdown cell, so that it does not run.
Must: earn nothing with a wrong answer, with a note.
"""

MEAN = """
def mean(values):
    return None
"""
EARN = {"mean": 0, "double": 3}
SAYS = "changed back"


def edit(notebook):
    for cell in notebook["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("grade_id") == "test-mean":
            cell["cell_type"] = "markdown"
            cell.pop("outputs", None)
            cell.pop("execution_count", None)
