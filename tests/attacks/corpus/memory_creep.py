"""More memory than allowed, bit by bit, in shared pages.

Attempts: fill anonymous shared memory, which no limit of a process counts.
Must: be stopped; what was earned before is kept.
"""

DOUBLE = """
import mmap

pages = []
while True:
    block = mmap.mmap(-1, 2**26)
    block.write(b"x" * 2**26)
    pages.append(block)
"""
EARN = {"mean": 2, "double": 0}
SAYS = "MiB of memory"
