"""`make lab` opens the course: the real JupyterLab of this repository."""

import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from make_lab import HEADLESS, free_port, made

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def port():
    return free_port()


@pytest.fixture(scope="module", params=["lab", "staff"])
def address(request, port):
    """The address that the goal prints where there is no browser; the server ends as by Ctrl-C, twice."""
    # Elsewhere the command would first make an environment, which test_bootstrap.py does in small.
    assert Path(sys.prefix).resolve() == ROOT / ".venv", "run by `make test`, or .venv/bin/pytest"
    with made(request.param, ROOT, port) as address:
        yield address


def answer(address: str, path: str = "") -> str:
    """What the server at the printed address says there, or at another path."""
    page, token = address.split("?token=")
    url = re.match(r"http://[^/]+", page).group() + path if path else page
    request = urllib.request.Request(url, headers={"Authorization": f"token {token}"})
    for _ in range(100):
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.read().decode()
        except urllib.error.URLError as error:
            # The address is printed a moment before the server listens.
            if not isinstance(error.reason, ConnectionRefusedError):
                raise
            time.sleep(0.1)
    raise TimeoutError(url)


def test_address_is_the_start_page(address):
    assert address.split("?")[0].endswith("/tree/course/start.ipynb")
    assert "<title>JupyterLab</title>" in answer(address)
    assert json.loads(answer(address, "/api/contents/course/start.ipynb"))["type"] == "notebook"


def test_formgrader_is_for_staff(address):
    disabled = re.search(r'"disabledExtensions": (\[.*?\])', answer(address)).group(1)
    if "workspaces/staff" in address:
        assert "@jupyter/nbgrader:formgrader" not in disabled
        page = answer(address, "/formgrader/manage_assignments")
        assert "<title>nbgrader formgrade</title>" in page
        assert "exchange directory at" not in page  # where it is missing, nothing can be released
        listed = {assignment["name"] for assignment in json.loads(answer(address, "/formgrader/api/assignments"))}
        assert listed >= {source.parent.name for source in ROOT.glob("solutions/*/*.py")}
        tabs = json.loads(answer(address, "/lab/api/workspaces/staff"))["data"]["layout-restorer:data"]["main"]["dock"]
        assert tabs["widgets"] == ["notebook:course/start.ipynb", "nbgrader-formgrader:nbgrader-formgrader"]
    else:
        assert "@jupyter/nbgrader:formgrader" in disabled
        with pytest.raises(urllib.error.HTTPError, match="404"):
            answer(address, "/formgrader/manage_assignments")


def test_second_start_names_the_open_one(address, port):
    command = ["make", "lab", f"PORT={port}"]
    again = subprocess.run(command, cwd=ROOT, env=HEADLESS, capture_output=True, text=True, check=False)
    assert again.returncode != 0
    assert f"the course is open already: http://localhost:{port}/lab?token=" in again.stderr
