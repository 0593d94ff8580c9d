"""Real JupyterLab in a real Chromium, for the tests of the widgets and for `make bench`."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import nbformat
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, ViewportSize, sync_playwright

# Without the last flag Chromium holds back the frame after an input, and latencies read 54 ms too long.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-features=DeferRendererTasksAfterInput"]
START_SECONDS = 60
VIEWPORT = ViewportSize(width=1280, height=1120)
QUIET = {
    "@jupyterlab/apputils-extension": {"notification": {"fetchNews": "false", "checkForUpdates": False}},
    "@jupyterlab/notebook-extension": {"tracker": {"windowingMode": "none"}},
}
# The notebook is there, with its cells, and its kernel is free.
READY = """
path => {
  const {context, sessionContext, content} = globalThis.jupyterapp?.shell?.currentWidget ?? {};
  return context?.path === path && context.isReady && sessionContext.isReady && content.widgets.length > 0
    && sessionContext.session?.kernel?.status === 'idle';
}
"""


def chromium_path() -> str | None:
    """Where the system's Chromium is, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@dataclass(frozen=True)
class Server:
    """A running JupyterLab."""

    url: str
    root: Path
    log: Path


@contextmanager
def jupyterlab(root: Path, state: Path) -> Iterator[Server]:
    """JupyterLab serving `root`, with everything that it and its kernels write kept under `state`.

    Raises RuntimeError, with the log, if it does not come up.
    """
    for extension, files in QUIET.items():
        for name, settings in files.items():
            path = state / "settings" / extension / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(settings))
    homes = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "JUPYTERLAB_WORKSPACES_DIR")
    environment = os.environ | {name: str(state / name.lower()) for name in homes}
    environment["JUPYTERLAB_SETTINGS_DIR"] = str(state / "settings")
    log, port = state / "server.log", _free_port()
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={port}", "--ServerApp.port_retries=0"]
    command += [f"--ServerApp.root_dir={root}", "--IdentityProvider.token=", "--ServerApp.allow_root=True"]
    command += ["--LabApp.expose_app_in_browser=True"]
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
    try:
        server = Server(f"http://localhost:{port}", root, log)
        _wait_until_up(server, process)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)  # which also ends the kernels, each in a session of its own
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def _wait_until_up(server: Server, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urlopen(f"{server.url}/api/status", timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not come up:\n{server.log.read_text()}")


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Notebook:
    """A notebook open in JupyterLab, and all that has gone wrong in it so far (`faults`)."""

    page: Page
    server: Server
    path: str
    faults: list[str] = field(default_factory=list)

    def open(self) -> None:
        """Open the notebook, or open it again, and wait for its kernel."""
        self.page.goto(f"{self.server.url}/lab/tree/{self.path}?reset")
        self.page.wait_for_function(READY, arg=self.path, timeout=START_SECONDS * 1000)
        # What a handler of a message raises in the kernel is printed to no cell; here is where it can be heard.
        self.page.evaluate(
            """() => {
              window.gradlabFaults = [];
              jupyterapp.shell.currentWidget.sessionContext.iopubMessage.connect((_, {header, content}) => {
                const text = content.traceback?.join('\\n') ?? content.text ?? '';
                if (header.msg_type === 'error' || text.includes('Traceback')) window.gradlabFaults.push(text);
              });
            }"""
        )

    def run(self) -> None:
        """Run all cells and wait for the last.

        Raises:
            RuntimeError: not all were run, or one raised; the message says what.
        """
        self.page.evaluate("() => jupyterapp.commands.execute('notebook:run-all-cells')")
        wrong = [output["evalue"] for output in self.outputs() if output["output_type"] == "error"]
        wrong += [f"not run: {cell['source']}" for cell in self._code() if cell["execution_count"] is None]
        if wrong:
            raise RuntimeError("\n".join(wrong))

    def theme(self, name: str) -> None:
        """`Light` or `Dark`, as from the menu Settings / Theme."""
        self.page.evaluate(
            "name => jupyterapp.commands.execute('apputils:change-theme', {theme: name})", f"JupyterLab {name}"
        )
        light = "true" if name == "Light" else "false"
        self.page.wait_for_selector(f'body[data-jp-theme-light="{light}"]', state="attached")
        # JupyterLab covers the page while a theme loads, and its cover fades out after that.
        self.page.wait_for_selector("#jupyterlab-splash", state="detached")

    def outputs(self) -> list[dict[str, Any]]:
        """The outputs of all cells, in order."""
        return [output for cell in self._code() for output in cell["outputs"]]

    def _code(self) -> list[dict[str, Any]]:
        cells = self.page.evaluate("() => jupyterapp.shell.currentWidget.content.model.toJSON().cells")
        return [cell for cell in cells if cell["cell_type"] == "code" and cell["source"].strip()]

    def widget(self) -> Locator:
        """The widget of the course that the notebook shows."""
        return self.page.locator(".gl-view")

    def save(self) -> None:
        self.page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")

    def stop_kernel(self) -> None:
        """End the kernel; what went wrong in it is added to `faults`."""
        self.faults += [f"kernel: {text}" for text in self.page.evaluate("() => window.gradlabFaults.splice(0)")]
        self.page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.shutdown()")

    def close(self) -> None:
        """Close the page and end the kernel."""
        self.stop_kernel()
        self.page.context.close()


def write_notebook(path: Path, *cells: str) -> None:
    """A notebook of code cells."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)


def open_notebook(browser: Browser, server: Server, path: str, **context: Any) -> Notebook:
    """Open a notebook of the server's root and wait for its kernel; `context` as for a Playwright context."""
    page = browser.new_context(viewport=VIEWPORT, **context).new_page()
    notebook = Notebook(page, server, path)
    page.on("pageerror", lambda error: notebook.faults.append(f"page error: {error}"))
    page.on("console", lambda message: _on_console(notebook, message))
    notebook.open()
    return notebook


def _on_console(notebook: Notebook, message: ConsoleMessage) -> None:
    """Keep errors of our views: they come from a blob, or through the kit's own report."""
    if message.type != "error":
        return
    if message.location.get("url", "").startswith("blob:") or "[gradlab]" in message.text:
        notebook.faults.append(f"console: {message.text}")
