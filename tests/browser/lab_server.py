"""A real JupyterLab server, started with the flags of `make lab`, and a real Chromium in front of it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from system_packages import locate

START_SECONDS = 60


@contextmanager
def lab_server(root: Path, **variables: str) -> Iterator[str]:
    """Serve `root` with more environment variables; give the address, without a slash at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--log-level=WARN"]
    command += [f"--ServerApp.root_dir={root}", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    command += ["--IdentityProvider.token=", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    # The settings and tabs of whoever runs the tests stay out, and a question about news too.
    settings = root / "jupyter-config"
    page_config = settings / "labconfig" / "page_config.json"
    page_config.parent.mkdir(parents=True)
    page_config.write_text('{"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": true}}')
    log = (root / "server.log").open("w")
    process = subprocess.Popen(
        command,
        stdout=log,
        stderr=log,
        cwd=root,
        env={**os.environ, "JUPYTER_CONFIG_DIR": str(settings), **variables},
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(process, f"{address}/api/status", Path(log.name))
        yield address
    finally:
        # Its kernels are children of its session: they go with it.
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)
        log.close()


def _wait(process: subprocess.Popen, address: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(address, timeout=2).close()
            return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()}")


def set_theme(root: Path, name: str) -> None:
    """Choose the theme, "JupyterLab Dark" for one, of pages that are opened from now on."""
    folder = root / "jupyter-config" / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "themes.jupyterlab-settings").write_text(json.dumps({"theme": name}))


@contextmanager
def chromium_page(**options: object) -> Iterator[Page]:
    """A page of a headless Chromium; `options` are those of playwright's `new_page`."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(locate("chromium")),
            args=["--no-sandbox", "--disable-gpu", "--disable-features=DeferRendererTasksAfterInput"],
        )
        yield browser.new_page(viewport={"width": 1280, "height": 900}, **options)
        browser.close()
