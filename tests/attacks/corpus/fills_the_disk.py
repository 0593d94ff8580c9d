"""A disk full of zeros.

Attempts: write until the disk is full.
Must: be refused after the size allowed, and go on.
"""

DOUBLE = """
try:
    with open("zeros", "wb") as file:
        while True:
            file.write(bytes(2**24))
except OSError as error:
    print("refused:", error)

def double(array):
    return 2 * array
"""
EARN = {"mean": 2, "double": 3}
SHOWS = "refused:"
