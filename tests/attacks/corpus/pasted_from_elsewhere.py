"""A cell of another assignment.

Attempts: nothing; a pasted cell brings an id that this assignment does not have.
Must: keep the marks; it is an ordinary cell here, with a note.
"""

EARN = {"mean": 2, "double": 3}
SAYS = "unknown id"


def edit(notebook):
    metadata = {
        "grade": True,
        "solution": False,
        "locked": True,
        "grade_id": "test-other",
        "points": 50,
        "schema_version": 3,
    }
    notebook["cells"].append({"cell_type": "code", "source": "50", "metadata": {"nbgrader": metadata}, "outputs": []})
