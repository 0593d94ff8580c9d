"""`make lab` run as a user runs it, on a machine without a screen."""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# No browser opens, and nothing of what `make test` passes on to a make within.
LEFT_OUT = ("DISPLAY", "WAYLAND_DISPLAY", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "PYTHON")
HEADLESS = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def made(goal: str, root: Path, port: int, **variables: str) -> Iterator[str]:
    """`make lab` or `make staff` in `root`, with more environment variables; gives the address that it prints.

    The server listens a moment after that, and ends as by Ctrl-C, twice.
    """
    server = subprocess.Popen(
        ["make", goal, f"PORT={port}"],
        cwd=root,
        env=HEADLESS | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert server.stdout
    try:
        lines = iter(server.stdout.readline, "")
        said = next(lines)
        assert "open the http address below" in said, said
        yield next(found.group() for line in lines if (found := re.search(r"http://localhost\S+", line)))
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            # It may wait for ever for a kernel that a failed test left in its restart; kernels end with it.
            os.killpg(server.pid, signal.SIGKILL)
            server.communicate()
