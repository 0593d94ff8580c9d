"""Run several nbgrader commands in one process, for nbgrader takes seconds to import.

Reads from standard input a JSON list of [folder, [argument, ...]]; ends with the first status that is not zero.
"""

import json
import os
import sys

from jupyter_core.application import NoStart
from nbgrader.apps import NbGraderApp


def run(folder: str, arguments: list[str]) -> None:
    """What `nbgrader ARGUMENTS` does in `folder`."""
    os.chdir(folder)
    app = NbGraderApp.instance()
    try:
        app.initialize(arguments)
        app.start()
    except NoStart:
        pass  # a subcommand has run in its place
    finally:
        app.reset()


for folder, arguments in json.load(sys.stdin):
    print("+", folder, "nbgrader", *arguments, file=sys.stderr, flush=True)
    run(folder, arguments)
