"""A function that catches its interrupt.

Attempts: catch KeyboardInterrupt in the checked function, and go on.
Must: lose that check; the kernel is given up if it does not answer.
"""

DOUBLE = """
def double(array):
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
"""
EARN = {"mean": 2, "double": 0}
