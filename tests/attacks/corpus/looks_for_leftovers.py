"""A message from an earlier submission.

Attempts: find what `leaves_files_behind` has left.
Must: find nothing (no output says ESCAPED).
"""

DOUBLE = """
import os
from multiprocessing import shared_memory

folders = ["/tmp", "/dev/shm", "/var/tmp", "/run", "/opt", "/opt/cache", "/usr/lib", "/etc"]
for folder in [*folders, os.path.expanduser("~")]:
    if os.path.exists(f"{folder}/leftover"):
        print("ESCAPED", folder)
try:
    shared_memory.SharedMemory("leftover")
    print("ESCAPED")
except FileNotFoundError:
    pass

def double(array):
    return 2 * array
"""
EARN = {"double": 3}
