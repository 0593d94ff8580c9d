"""A test cell, copied and pasted.

Attempts: nothing; pasting a cell keeps its id. One such cell ends stock nbgrader's whole batch.
Must: keep the marks; the last copy counts, with a note.
"""

EARN = {"mean": 2, "double": 3}
SAYS = "more than once"


def edit(notebook):
    (place,) = (
        i for i, c in enumerate(notebook["cells"]) if c["metadata"].get("nbgrader", {}).get("grade_id") == "test-mean"
    )
    notebook["cells"].insert(place, dict(notebook["cells"][place]))
