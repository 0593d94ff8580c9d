"""A function that does not return.

Attempts: loop for ever when the check calls it.
Must: lose that check alone.
"""

MEAN = """
def mean(values):
    while True:
        pass
"""
EARN = {"mean": 0, "double": 3}
SHOWS = "was interrupted"
