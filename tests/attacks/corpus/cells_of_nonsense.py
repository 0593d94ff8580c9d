"""Cells that are no cells.

Attempts: numbers and lists among the cells, sources that are numbers, metadata that are strings.
Must: keep the marks; nonsense is left out, with a note.
"""

EARN = {"mean": 2, "double": 3}
SAYS = "no cell"


def edit(notebook):
    notebook["cells"] += [
        7,
        ["code"],
        {"cell_type": "code", "source": 7, "metadata": "none", "outputs": "none"},
        {"cell_type": 12, "metadata": {"nbgrader": [1]}, "id": 9},
        {"cell_type": "markdown", "source": ["a", 1, None], "attachments": {"x": 3}},
        {},
    ]
    notebook["metadata"] = {"kernelspec": 3, "widgets": {"x": []}}
