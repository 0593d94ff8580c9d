"""Standard output, taken away.

Attempts: replace and close the streams, and the shell's publisher of outputs.
Must: lose nothing but outputs.
"""

DOUBLE = """
import sys
from IPython import get_ipython

get_ipython().display_pub.publish = None
sys.stdout.close()
sys.stdout = sys.stderr = None

def double(array):
    return 2 * array
"""
EARN = {"mean": 2, "double": 3}
