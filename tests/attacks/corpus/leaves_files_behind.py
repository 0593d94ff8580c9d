"""A message to the next submission.

Attempts: leave files in every folder that can be written, and a shared memory segment.
Must: leave nothing: `looks_for_leftovers` finds none.
"""

DOUBLE = """
import os
from multiprocessing import shared_memory

shared_memory.SharedMemory("leftover", create=True, size=1024)
folders = ["/tmp", "/dev/shm", "/var/tmp", "/run", "/opt", "/opt/cache", "/usr/lib", "/etc"]
for folder in [*folders, os.path.expanduser("~")]:
    try:
        with open(f"{folder}/leftover", "w") as file:
            file.write("the answer is 42")
    except OSError:
        pass

def double(array):
    return 2 * array
"""
EARN = {"double": 3}
