"""`make lab` opens the course: the real JupyterLab of this repository."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEADLESS = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}


@pytest.fixture(scope="module")
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module", params=["lab", "staff"])
def address(request, port):
    """The address that the goal prints where there is no browser; the server ends as by Ctrl-C, twice."""
    # Elsewhere the command would first make an environment, which test_bootstrap.py does in small.
    assert Path(sys.prefix).resolve() == ROOT / ".venv", "run by `make test`, or .venv/bin/pytest"
    server = subprocess.Popen(
        ["make", request.param, f"PORT={port}"],
        cwd=ROOT,
        env=HEADLESS,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        lines = iter(server.stdout.readline, "")
        assert "open the http address below" in next(lines)
        yield next(found.group() for line in lines if (found := re.search(r"http://localhost\S+", line)))
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.communicate(timeout=30)


def answer(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as response:
        return response.read().decode()


def test_address_is_the_start_page(address):
    page, token = address.split("?")
    assert page.endswith("/tree/course/start.ipynb")
    assert "<title>JupyterLab</title>" in answer(address)
    base = re.match(r"http://[^/]+", page).group()
    assert '"type": "notebook"' in answer(f"{base}/api/contents/course/start.ipynb?{token}")


def test_formgrader_is_for_staff(address):
    base, token = re.match(r"http://[^/]+", address).group(), address.split("?")[1]
    disabled = re.search(r'"disabledExtensions": (\[.*?\])', answer(address)).group(1)
    assert ("@jupyter/nbgrader:formgrader" in disabled) == ("workspaces/staff" not in address)
    if "workspaces/staff" in address:
        assert "Formgrader" in answer(f"{base}/formgrader?{token}")
        layout = answer(f"{base}/lab/api/workspaces/staff?{token}")
        assert "notebook:course/start.ipynb" in layout
        assert "nbgrader-formgrader" in layout
    else:
        with pytest.raises(urllib.error.HTTPError, match="404"):
            answer(f"{base}/formgrader?{token}")


def test_second_start_names_the_open_one(address, port):
    again = subprocess.run(["make", "lab", f"PORT={port}"], cwd=ROOT, env=HEADLESS, capture_output=True, text=True)
    assert again.returncode != 0
    assert f"the course is open already: http://localhost:{port}/lab?token=" in again.stderr
