"""Secrets of the grader, looked for in the environment and at home.

Attempts: read environment variables, home folders, password files and other processes' environments.
Must: find none (no output says ESCAPED).
"""

DOUBLE = """
import glob, os

if "GRADER_SECRET" in os.environ:
    print("ESCAPED environment")
for path in ("/etc/shadow", "{HOME}/.ssh", "{HOME}/.cache", "{HOME}/.bashrc", "/etc/machine-id"):
    if os.path.exists(path):
        print("ESCAPED", path)
for path in glob.glob("/proc/[0-9]*/environ"):
    try:
        if b"GRADER_SECRET" in open(path, "rb").read():
            print("ESCAPED", path)
    except OSError:
        pass

def double(array):
    return 2 * array
"""
EARN = {"double": 3}
