"""A notebook in format 3.

Attempts: nothing; an old tool saved it.
Must: be graded, with a note; its tests are put back, for format 3 has no ids.
"""

EARN = {"mean": 2, "double": 3}
SAYS = "old format"


def edit(notebook):
    cells = [
        {
            "cell_type": "code",
            "language": "python",
            "input": cell["source"],
            "outputs": [],
            "metadata": cell["metadata"],
            "collapsed": False,
        }
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]
    notebook.pop("cells")
    notebook.update(nbformat=3, nbformat_minor=0, worksheets=[{"cells": cells, "metadata": {}}])
