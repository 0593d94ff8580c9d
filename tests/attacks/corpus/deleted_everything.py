"""A notebook without cells.

Attempts: hand in an empty notebook.
Must: earn nothing, and be there for the instructor to see.
"""

EARN = {"mean": 0, "double": 0}
SAYS = "put back"


def edit(notebook):
    notebook["cells"] = []
