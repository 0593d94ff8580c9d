"""JSON that is no notebook.

Attempts: hand in a list.
Must: earn nothing, and say so.
"""

EARN = {"mean": 0, "double": 0}
SAYS = "no notebook"


def write(path, data):
    path.write_bytes(b"[1, 2, 3]")
