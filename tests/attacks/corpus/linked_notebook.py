"""A notebook that is a link.

Attempts: hand in a link to the instructor's own notebook, with the solutions.
Must: earn nothing, and say why.
"""

EARN = {"mean": 0, "double": 0}
SAYS = "it is a link"


def write(path, data):
    path.symlink_to(path.parents[3] / "source" / "toy" / "toy.ipynb")
