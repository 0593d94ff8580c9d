"""A hundred thousand cells.

Attempts: make the grader run and show them all.
Must: keep the marks; the cells past the limit are left out, with a note.
"""

EARN = {"mean": 2, "double": 3}
SAYS = "were left out"


def edit(notebook):
    cell = {"cell_type": "code", "source": "1", "metadata": {}, "outputs": [], "execution_count": None}
    notebook["cells"] += [cell] * 100_000
