"""A notebook in Latin-1.

Attempts: nothing; a comment with umlauts, saved by an old editor.
Must: be graded all the same, with a note.
"""

MEAN = """
def mean(values):  # f\u00fcr alle
    return sum(values) / len(values)
"""
EARN = {"mean": 2, "double": 3}
SAYS = "not UTF-8"


def write(path, data):
    path.write_bytes(data.decode().replace("\\u00fc", "\u00fc").encode("latin-1"))
