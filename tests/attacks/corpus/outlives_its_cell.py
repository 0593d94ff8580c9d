"""A process that goes on.

Attempts: start a daemon in a session of its own, twice forked, that sleeps for an hour.
Must: leave no process behind when the submission has ended.
"""

DOUBLE = """
import os, time

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvp("sleep", ["sleep", "3607"])
    os._exit(0)

def double(array):
    return 2 * array
"""
EARN = {"double": 3}
LEAVES_NO_PROCESS = "sleep 3607"
