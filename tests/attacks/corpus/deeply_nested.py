"""JSON nested a hundred thousand deep.

Attempts: exhaust the parser's stack.
Must: earn nothing, and stop nobody.
"""

EARN = {"mean": 0, "double": 0}
SAYS = "not valid JSON"


def write(path, data):
    path.write_bytes(b"[" * 100_000)
