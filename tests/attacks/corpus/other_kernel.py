"""A kernel for another language.

Attempts: ask for R, and for a kernel that does not exist.
Must: be run with the course's own, with a note.
"""

EARN = {"mean": 2, "double": 3}
SAYS = "kernel for R"


def edit(notebook):
    notebook["metadata"]["kernelspec"] = {"name": "ir", "language": "R", "display_name": "R"}
    notebook["metadata"]["language_info"] = {"name": "R"}
