"""A notebook under another name.

Attempts: nothing; the browser saved it as a copy.
Must: earn nothing, and say which file was expected and which was ignored.
"""

EARN = {"mean": 0, "double": 0}
SAYS = "was not handed in"


def write(path, data):
    path.with_name("toy (1).ipynb").write_bytes(data)
