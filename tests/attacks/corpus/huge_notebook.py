"""A notebook of thirty megabytes.

Attempts: hand in a picture in a markdown cell, many times over.
Must: be refused for its size, and earn nothing.
"""

EARN = {"mean": 0, "double": 0}
SAYS = "the limit is"


def edit(notebook):
    notebook["cells"].append({"cell_type": "markdown", "source": "x" * 30_000_000, "metadata": {}})
