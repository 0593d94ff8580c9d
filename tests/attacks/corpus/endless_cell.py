"""A cell that does not end.

Attempts: loop for ever in a cell of its own, after a correct answer.
Must: be interrupted after the cell's time; everything else counts.
"""

DOUBLE = """
def double(array):
    return 2 * array

while True:
    pass
"""
EARN = {"mean": 2, "double": 3}
SHOWS = "was interrupted"
