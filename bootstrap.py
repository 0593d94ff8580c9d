"""Make .venv from the lock and open the course: what `make lab` and `make test` run first.

Standard library only. The syntax stays that of Python 3.6, so that an old Python gets as far as the
message that names the fix. Every foreseen failure is a `SetupError`: one line, exit status 1.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import webbrowser
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
VENV_PYTHON = ENVIRONMENT / "bin" / "python"
STAMP = ENVIRONMENT / "gradlab-stamp"
LOCK = ROOT / "requirements.lock"
# Its own, so that the tabs of other courses stay out of this one.
WORKSPACES = ENVIRONMENT / "workspaces"
# What a student's nbgrader is told; outside of etc/jupyter, where staff's would hear it too.
STUDENT_SETTINGS = ENVIRONMENT / "etc" / "student"
START_PAGE = "course/start.ipynb"

OLDEST, NEWEST = (3, 11), (3, 13)
# The environment takes 1.8 GB; the wheels lie beside it while pip unpacks them.
NEEDED_GB = 3
# Each is missing from some build of Python (Debian without python3-venv, a Python compiled without
# the headers), and pip or Jupyter would fail on it later with a traceback.
NEEDED_MODULES = ("venv", "ensurepip", "ssl", "sqlite3", "ctypes", "bz2", "lzma")
STAFF_PLUGINS = ("formgrader", "course-list", "create-assignment")

AGAIN = "then run the same command again"
DISK_FULL = f"the disk is full: free {NEEDED_GB} GB where {ROOT} is, {AGAIN}"
# What pip says, and what the user reads. The order matters: a lost connection also ends in "no matching
# distribution", so the network comes before it.
PIP_FAILURES = {
    "No space left on device|Disk quota exceeded": DISK_FULL,
    "Permission denied|Read-only file system": (
        f"{ROOT} cannot be written: change its owner to yourself, or copy it to a folder of yours, {AGAIN}"
    ),
    "DO NOT MATCH THE HASHES": (
        "a downloaded file does not have the hash that requirements.lock records, so it was not installed: "
        "a proxy may have changed it, or pip is set to use another index; mend that, " + AGAIN
    ),
    "Failed to establish a new connection|[Nn]ame.?[Rr]esolution|Timeout|timed out"
    "|Connection (broken|refused|reset|aborted)|Network is unreachable|ProxyError|SSLError|ProtocolError": (
        "the package index cannot be reached: connect to the network (or set HTTPS_PROXY), " + AGAIN
    ),
    "No matching distribution found": (
        "the package index that pip uses has no build of a package in the lock for this machine: "
        "the course runs on Linux (x86-64, arm64) and on macOS (Apple silicon)"
    ),
}


class SetupError(Exception):
    """A foreseen failure; its text is the one line that the user reads, and names the fix."""


def version_of(info) -> str:
    """`3.11` for a version tuple."""
    return "{}.{}".format(*info[:2])


def environment_key() -> str:
    """A hash of all that decides what is in .venv, but for the Python: lock, packages, place.

    The place is in it because the scripts of a virtual environment hold its absolute path.
    """
    digest = hashlib.sha256(str(ROOT).encode())
    for path in [LOCK] + [package / "pyproject.toml" for package in packages()]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def packages() -> list:
    """Folders of this repository's own packages; a student's copy has no grading/."""
    return [ROOT / name for name in ("course", "grading") if (ROOT / name / "pyproject.toml").exists()]


def is_ready() -> bool:
    """Whether .venv is whole, up to date, and of the Python that was asked for by PYTHON=, if any was."""
    try:
        key, version = STAMP.read_text().split()
        running = subprocess.check_output(
            [str(VENV_PYTHON), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            stderr=subprocess.DEVNULL,
        )
    except (OSError, ValueError, subprocess.CalledProcessError):
        return False
    wanted = version_of(sys.version_info) if "PYTHON" in os.environ else version
    return key == environment_key() and running.decode().strip() == version == wanted


def require_python() -> None:
    """Raise `SetupError` where this Python cannot make the environment."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        supported = ["3.{}".format(minor) for minor in range(NEWEST[1], OLDEST[1] - 1, -1)]
        names = ["python" + version for version in supported if runs("python" + version)]
        fix = (
            "run the same command with PYTHON={} after it".format(names[0])
            if names
            else "install Python {0} (python.org, or: brew install python@{0}), then run the same command with "
            "PYTHON=python{0} after it".format(supported[0])
        )
        raise SetupError(
            "{} is Python {}, and the course needs {}: {}".format(
                os.environ.get("PYTHON", "python3"), sys.version.split()[0], " or ".join(supported), fix
            )
        )
    missing = [name for name in NEEDED_MODULES if not importable(name)]
    if missing:
        fix = "reinstall Python from python.org, or: brew install python@3.13"
        if shutil.which("apt-get"):
            fix = "sudo apt-get install python{}-venv".format(version_of(sys.version_info))
        raise SetupError("this Python lacks {}: {}, {}".format(", ".join(missing), fix, AGAIN))


def runs(python: str) -> bool:
    """Whether a command of this name is a working Python; a pyenv shim exists without one."""
    found = shutil.which(python)
    return bool(found) and subprocess.call([found, "-c", ""], stderr=subprocess.DEVNULL) == 0


def importable(module: str) -> bool:
    """Whether a module of the standard library imports; its C half may be missing."""
    try:
        __import__(module)
    except ImportError:
        return False
    return True


def make_environment() -> None:
    """Make .venv anew: from nothing, so that what an interrupted run left behind cannot matter."""
    require_python()
    if ENVIRONMENT.is_symlink():
        raise SetupError(f"{ENVIRONMENT} is a link to an environment made elsewhere: remove the link, {AGAIN}")
    if ENVIRONMENT.exists():
        shutil.rmtree(str(ENVIRONMENT))
    if shutil.disk_usage(str(ROOT)).free < NEEDED_GB * 1e9:
        raise SetupError(DISK_FULL)
    print(f"GradLab: setting up {ENVIRONMENT} from the lock; this takes a minute or two, once.", flush=True)
    # The base interpreter, in case this is the Python of the very .venv that was just removed.
    base = getattr(sys, "_base_executable", sys.executable)
    run_logged([base, "-m", "venv", "--prompt", "gradlab", str(ENVIRONMENT)])
    pip_install("--require-hashes", "--requirement", str(LOCK))
    editable = [word for package in packages() for word in ("--editable", str(package))]
    pip_install("--no-deps", "--no-build-isolation", *editable)
    STAMP.write_text("{} {}\n".format(environment_key(), version_of(sys.version_info)))


def pip_install(*arguments: str) -> None:
    """Run pip in .venv; its temporary files stay there too, for /tmp may be a small memory disk."""
    temporary = ENVIRONMENT / "tmp"
    temporary.mkdir(exist_ok=True)
    # -I: a PYTHONPATH set for other work (ROS sets one) must not count as installed.
    command = [str(VENV_PYTHON), "-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    run_logged(command + ["--progress-bar=off"] + list(arguments), TMPDIR=str(temporary))
    shutil.rmtree(str(temporary))


def run_logged(command: list, **variables: str) -> None:
    """Run a step of the set-up, showing how far it is; raise `SetupError` with the cause where it fails."""
    log = []
    total = sum("==" in line for line in LOCK.read_text().splitlines())
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=dict(os.environ, **variables)
    )
    for raw in process.stdout or ():
        line = raw.decode(errors="replace").rstrip()
        log.append(line)
        if sys.stdout.isatty() and line.startswith(("Collecting ", "Installing ")):
            fetched = sum(entry.startswith("Collecting ") for entry in log)
            step = f"fetching {fetched} of {total}" if line.startswith("Collecting") else "installing"
            print(f"\r\033[KGradLab: {step}", end="", flush=True)
    if sys.stdout.isatty():
        print("\r\033[K", end="", flush=True)
    if process.wait() != 0:
        raise SetupError(explain("\n".join(log)))


def explain(log: str) -> str:
    """The one line for a failed step; the whole log is kept beside it where there is room."""
    # The step that makes the virtual environment hides the cause from its log.
    if shutil.disk_usage(str(ROOT)).free < 100e6:
        log = os.strerror(errno.ENOSPC)
    for pattern, message in PIP_FAILURES.items():
        if re.search(pattern, log):
            if message is DISK_FULL:
                shutil.rmtree(str(ENVIRONMENT), ignore_errors=True)
            return message
    log_path = ROOT / "build" / "setup.log"
    log_path.parent.mkdir(exist_ok=True)
    log_path.write_text(log)
    last = [line for line in log.splitlines() if line.strip()][-1:] or ["no message"]
    return f"the set-up failed ({last[0].strip()}); the whole log is {log_path}"


def require_free_port(port: str) -> None:
    """Raise `SetupError` where JupyterLab could not listen on `port`, with its address if it is ours already."""
    if not (port.isdigit() and 1024 <= int(port) <= 65535):
        raise SetupError(f"PORT={port} is not a port: choose a number from 1024 to 65535, such as PORT=8889")
    with socket.socket() as probe:
        # As the server does: a port whose last connection is still closing counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(port)))
            return
        except OSError:
            pass
    listing = subprocess.run(
        [str(VENV_PYTHON), "-m", "jupyter_server", "list", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    servers = [json.loads(line) for line in listing.stdout.decode().splitlines() if line.startswith("{")]
    for server in servers:
        if str(server["port"]) == port and server["root_dir"] == str(ROOT):
            raise SetupError("the course is open already: {url}lab?token={token}".format(**server))
    raise SetupError(f"port {port} is in use by another program: stop that, or choose another: PORT={int(port) + 1}")


def has_browser() -> bool:
    """Whether a browser can open here: a screen, not seen through ssh, and a graphical browser."""
    if "SSH_CONNECTION" in os.environ:
        return False
    if sys.platform != "darwin" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    try:
        return bool(webbrowser.get())
    except webbrowser.Error:
        return False


def open_lab(port: str, staff: bool) -> None:
    """Replace this process by JupyterLab on the start page; for staff with the formgrader beside it."""
    require_free_port(port)
    configure_lab(staff)
    command = [str(VENV_PYTHON), "-m", "jupyterlab", "--ServerApp.log_level=WARN", "--LabApp.log_level=WARN"]
    command += [f"--ServerApp.root_dir={ROOT}", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    if staff:
        # Formgrader lists source notebooks and releases into a folder, both of which a fresh clone has not.
        run_logged([str(VENV_PYTHON), "-m", "gradlab_grading.build"])
        command += ["--LabApp.default_url=/lab/workspaces/staff/tree/" + START_PAGE]
    else:
        command += ["--LabApp.default_url=/lab/tree/" + START_PAGE]
        command += ["--ServerApp.jpserver_extensions=nbgrader.server_extensions.formgrader=False"]
    if os.geteuid() == 0:
        command += ["--allow-root"]
    if has_browser():
        print("GradLab: opening JupyterLab in your browser; Ctrl-C here, twice, ends it.", flush=True)
    else:
        command += ["--no-browser"]
        print("GradLab: no browser here: open the http address below in one; Ctrl-C here, twice, ends it.", flush=True)
    os.execve(command[0], command, lab_variables(staff))


def lab_variables(staff: bool) -> dict:
    """The environment variables of JupyterLab, and so of its kernels and terminals."""
    variables = dict(os.environ, VIRTUAL_ENV=str(ENVIRONMENT), JUPYTERLAB_WORKSPACES_DIR=str(WORKSPACES))
    # So that a terminal in JupyterLab finds `gradlab`.
    variables["PATH"] = "{}:{}".format(VENV_PYTHON.parent, variables["PATH"])
    # Emulated devices deadlock with fewer (jax 0.10 and 0.11); it counts only before JAX starts.
    variables.setdefault("PJRT_NPROC", "32")
    settings = str(ROOT / "grading" if staff else STUDENT_SETTINGS)
    variables["JUPYTER_CONFIG_PATH"] = ":".join(filter(None, [settings, variables.get("JUPYTER_CONFIG_PATH", "")]))
    return variables


def configure_lab(staff: bool) -> None:
    """Tell JupyterLab, by files in .venv alone, what to show: to a student, the formgrader is a dead end."""
    disabled = {f"@jupyter/nbgrader:{plugin}": not staff for plugin in STAFF_PLUGINS}
    # It asks at the first start whether to fetch news from the network.
    disabled["@jupyterlab/apputils-extension:announcements"] = True
    page_config = ENVIRONMENT / "etc" / "jupyter" / "labconfig" / "page_config.json"
    page_config.parent.mkdir(parents=True, exist_ok=True)
    page_config.write_text(json.dumps({"disabledExtensions": disabled}))
    # nbgrader's list of assignments, and `nbgrader submit`, hand in what lies under labs/.
    hand_in = {"CourseDirectory": {"course_id": "gradlab"}, "Exchange": {"assignment_dir": str(ROOT / "labs")}}
    STUDENT_SETTINGS.mkdir(parents=True, exist_ok=True)
    (STUDENT_SETTINGS / "nbgrader_config.json").write_text(json.dumps(hand_in))
    tabs = {
        "notebook:" + START_PAGE: {"data": {"path": START_PAGE, "factory": "Notebook"}},
        "nbgrader-formgrader:nbgrader-formgrader": {"data": {}},
    }
    layout = {
        "main": {"dock": {"type": "tab-area", "currentIndex": 0, "widgets": list(tabs)}},
        "left": {"visible": True, "current": "filebrowser", "widgets": ["filebrowser"]},
    }
    workspace = {"data": dict(tabs, **{"layout-restorer:data": layout}), "metadata": {"id": "staff"}}
    WORKSPACES.mkdir(exist_ok=True)
    # JupyterLab finds a workspace by its name and the start of the name's hash.
    name = "staff-{}.jupyterlab-workspace".format(hashlib.sha256(b"staff").hexdigest()[:4])
    (WORKSPACES / name).write_text(json.dumps(workspace))


def main(command: str, port: str = "8888") -> None:
    """Run `setup`, `lab` or `staff`."""
    if not is_ready():
        make_environment()
        print("GradLab: ready.", flush=True)
    if command == "staff" and not (ROOT / "grading").exists():
        raise SetupError("this is a student's copy, without grading/: use `make lab`")
    if command in ("lab", "staff"):
        open_lab(port, staff=command == "staff")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except SetupError as failure:
        sys.exit(f"GradLab: {failure}")
    except OSError as failure:
        sys.exit(f"GradLab: {explain(str(failure))}")
    except KeyboardInterrupt:
        sys.exit("\nGradLab: interrupted; nothing is lost, run the same command again to finish")
