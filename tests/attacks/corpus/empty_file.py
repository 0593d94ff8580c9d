"""An empty file.

Attempts: hand in no bytes at all.
Must: earn nothing, and say so.
"""

EARN = {"mean": 0, "double": 0}
SAYS = "not valid JSON"


def write(path, data):
    path.write_bytes(b"")
