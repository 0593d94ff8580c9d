"""One output of fifty megabytes.

Attempts: display it as HTML, and print as much to the descriptor of standard output.
Must: be cut; everything else counts.
"""

DOUBLE = """
import os
from IPython.display import HTML, display

display(HTML("x" * 50_000_000))
os.write(1, b"y" * 5_000_000)

def double(array):
    return 2 * array
"""
EARN = {"mean": 2, "double": 3}
SHOWS = "output cut"
