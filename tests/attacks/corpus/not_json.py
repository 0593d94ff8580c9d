"""A file that is no JSON.

Attempts: hand in a truncated notebook.
Must: earn nothing, and say where reading stopped.
"""

EARN = {"mean": 0, "double": 0}
SAYS = "not valid JSON"


def write(path, data):
    path.write_bytes(data[: len(data) // 2])
