"""A test worth a thousand points.

Attempts: change points, and the flags that say what is graded.
Must: earn what the answers are worth, with a note.
"""

EARN = {"mean": 2, "double": 3}
SAYS = "put right"


def edit(notebook):
    for cell in notebook["cells"]:
        tracked = cell["metadata"].get("nbgrader", {})
        if tracked.get("grade_id") == "test-mean":
            tracked["points"] = 1000
        if tracked.get("grade_id") == "test-double":
            tracked.update(grade=False, locked=False, solution=True)
