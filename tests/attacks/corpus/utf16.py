"""A notebook in UTF-16.

Attempts: nothing; some editors save so.
Must: be graded all the same, with a note.
"""

EARN = {"mean": 2, "double": 3}
SAYS = "not UTF-8"


def write(path, data):
    path.write_bytes(data.decode().encode("utf-16"))
