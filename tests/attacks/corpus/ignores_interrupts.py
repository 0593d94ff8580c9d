"""A cell that cannot be interrupted.

Attempts: block SIGINT and every other signal, and loop.
Must: be killed; what was earned before is kept, and the rest says that it was not run.
"""

DOUBLE = """
import signal

signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
while True:
    pass
"""
EARN = {"mean": 2, "double": 0}
SAYS = "could not be interrupted"
SHOWS = "was not run"
