"""Another schema version.

Attempts: claim version 99 and version 1 of nbgrader's metadata. Either ends stock nbgrader's whole batch.
Must: keep the marks, with a note.
"""

EARN = {"mean": 2, "double": 3}
SAYS = "schema_version"


def edit(notebook):
    tracked = [c["metadata"]["nbgrader"] for c in notebook["cells"] if "nbgrader" in c["metadata"]]
    tracked[0]["schema_version"], tracked[-1]["schema_version"] = 99, 1
