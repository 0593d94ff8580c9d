"""Links, pipes and archives beside the notebook.

Attempts: links to the password file and to the gradebook's folder, a pipe that never ends, a bad time.
Must: keep the marks; what is no regular file is left out, with a note, and none of it is copied.
"""

import os

EARN = {"mean": 2, "double": 3}
SAYS = "it is a link"
LEAVES_NO_FILE = ("passwd", "everything", "pipe", "timestamp.txt")


def write(path, data):
    path.write_bytes(data)
    (path.parent / "passwd").symlink_to("/etc/passwd")
    (path.parent / "everything").symlink_to("/")
    os.mkfifo(path.parent / "pipe")
    (path.parent / "timestamp.txt").write_text("yesterday, I think")
