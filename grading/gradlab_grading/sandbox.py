"""The sandbox of a machine: one warm server under bubblewrap, kernels by fork.

`Sandbox` starts `sandboxed.zygote` with a read-only view of the interpreter, the
libraries and the student's half of the course, and nothing else: no network, no
home, no environment, no grading folder. `Sandbox.kernel` asks it for a kernel.
"""

import contextlib
import importlib.util
import itertools
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradlab_grading.limits import Limits
from gradlab_grading.sandboxed import wire

ENGINE_FOLDER, COURSE_FOLDER, CACHE_FOLDER = "/opt/engine", "/opt/course", "/opt/cache"
START_SECONDS = 120
_SYSTEM_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SYSTEM_FILES = (
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
    "/etc/localtime",
    "/etc/fonts",
)
_CONTROL_BYTES = 2**17


class SandboxError(Exception):
    """The sandbox could not be made; the message names what to do."""


@dataclass(frozen=True)
class SandboxSettings:
    """What the warm server imports and what it may see.

    Attributes:
        modules: imported once, before any kernel is forked.
        cache: folder of compiled programs, read-only to submissions.
        folders: further folders to show, read-only, at their own paths.
        environment: further variables of the kernels.
        private: False runs submissions as plain processes of this user.
        writable_cache: True only to prime the cache with the reference solution.
    """

    modules: tuple[str, ...] = ()
    cache: Path | None = None
    folders: tuple[Path, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    private: bool = True
    writable_cache: bool = False


def bubblewrap() -> str:
    """Path of `bwrap`.

    Raises:
        SandboxError: it is not installed.
    """
    found = shutil.which("bwrap")
    if found is None:
        raise SandboxError(
            "bubblewrap isolates submissions and is not installed. Install it with"
            " `apt-get install bubblewrap` (Debian, Ubuntu) or `dnf install bubblewrap`"
            " (Fedora). `--unsafe` grades without it: submitted code then runs as you,"
            " with your files, your network and the gradebook in reach."
        )
    return found


class _View:
    """Arguments of bwrap that say what can be seen."""

    def __init__(self) -> None:
        self.arguments: list[str] = []
        self._made = {Path("/")}

    def show(self, source: str | Path, target: str | Path | None = None, mode: str = "--ro-bind") -> None:
        """Show `source` at `target`, or at its own path."""
        # Folders that bwrap makes on the way to a target would be root's alone.
        for parent in reversed(Path(target or source).parents):
            if parent not in self._made and not parent.is_relative_to("/usr"):
                self.arguments += ["--perms", "0755", "--dir", str(parent)]
                self._made.add(parent)
        self.arguments += [mode, str(source), str(target or source)]

    def show_system(self) -> None:
        """Show the system's libraries and programs, and the few settings that these read."""
        for name in _SYSTEM_FOLDERS:
            path = Path(name)
            if path.is_symlink():
                self.arguments += ["--symlink", str(path.readlink()), name]
            elif path.is_dir():
                self.show(path)
        for name in _SYSTEM_FILES:
            self.show(name, mode="--ro-bind-try")


def _view(settings: SandboxSettings, extra: list[Path]) -> list[str]:
    """Arguments of bwrap: what can be seen, all of it read-only."""
    view = _View()
    view.show_system()
    for folder in dict.fromkeys((sys.base_prefix, sys.prefix)):
        if not Path(folder).is_relative_to("/usr"):
            view.show(folder)
    # An installed copy of the staff package holds the hidden checks: cover it.
    installed = Path(sysconfig.get_path("purelib")) / "gradlab_grading"
    if installed.is_dir():
        view.arguments += ["--tmpfs", str(installed)]
    here = Path(__file__).parent
    view.show(here / "__init__.py", f"{ENGINE_FOLDER}/gradlab_grading/__init__.py")
    view.show(here / "sandboxed", f"{ENGINE_FOLDER}/gradlab_grading/sandboxed")
    view.show(_course_package(), f"{COURSE_FOLDER}/gradlab")
    if settings.cache is not None:
        view.show(settings.cache, CACHE_FOLDER, "--bind" if settings.writable_cache else "--ro-bind")
    for folder in (*settings.folders, *extra):
        view.show(folder)
    return view.arguments


def _course_package() -> Path:
    spec = importlib.util.find_spec("gradlab")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _isolation(forks: bool) -> list[str]:
    """Arguments of bwrap: namespaces.

    Root needs no user namespace; the warm server gives up root inside (`sandboxed.zygote.main`).
    """
    common = ["--die-with-parent", "--new-session", "--dev", "/dev"]
    common += ["--perms", "1777", "--tmpfs", "/tmp"]
    common += ["--dir", "/run", "--hostname", "sandbox", "--unshare-uts"]
    if os.getuid() == 0:
        unshare = ["--unshare-net", "--unshare-pid", "--unshare-ipc", "--unshare-cgroup-try"]
        common += [*unshare, "--cap-drop", "ALL"]
        if not forks:
            return [*common, "--proc", "/proc"]
        capabilities = ["CAP_SETUID", "CAP_SETGID", "CAP_SYS_ADMIN"]
        keep = [word for name in capabilities for word in ("--cap-add", name)]
        return [*common, "--dir", "/proc", *keep]
    return [*common, "--unshare-all", "--proc", "/proc"]


def confined(settings: SandboxSettings, command: list[str], *, forks: bool, extra: list[Path]) -> list[str]:
    """The command under bubblewrap.

    Args:
        settings: what it may see.
        command: program and arguments.
        forks: whether it will make namespaces for children of its own.
        extra: further folders in view, at their own paths.
    """
    view = _view(settings, extra)
    return [bubblewrap(), *_isolation(forks), *view, "--chdir", "/tmp", "--", *command]


def environment(settings: SandboxSettings) -> dict[str, str]:
    """The variables that a kernel sees: these, and none of the grader's."""
    here = Path(__file__).parent.parent
    inside = [ENGINE_FOLDER, COURSE_FOLDER]
    outside = [str(here), str(_course_package().parent)]
    variables = {
        "PATH": f"{Path(sys.prefix) / 'bin'}:/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": ":".join(inside if settings.private else outside),
        "PYTHONSAFEPATH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "LANG": "C.UTF-8",
        "HOME": "/tmp/work",
        "IPYTHONDIR": "/tmp/ipython",
        "MPLCONFIGDIR": "/tmp/matplotlib",
        "JAX_PLATFORMS": "cpu",
        # Emulated devices deadlock when there are fewer threads than twice their number.
        "PJRT_NPROC": "16",
        # No compiled program depends on the lines it came from, and finding them takes a twentieth of the time.
        "JAX_TRACEBACK_IN_LOCATIONS_LIMIT": "0",
        "NBGRADER_EXECUTION": "autograde",
    }
    if settings.cache is not None:
        variables["JAX_COMPILATION_CACHE_DIR"] = CACHE_FOLDER if settings.private else str(settings.cache)
        variables["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
        # XLA's own caches would put the folder's name into the key of every program.
        variables["JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES"] = "none"
        # Reading has no threshold; a submission never writes.
        seconds = "0" if settings.writable_cache else "1e9"
        variables["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = seconds
    return variables | dict(settings.environment)


class Sandbox:
    """The warm server of this machine and the kernels that it has forked."""

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self._names = itertools.count(1)
        self._inboxes: dict[int, queue.Queue[dict[str, Any]]] = {0: queue.Queue()}
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._gone = threading.Event()
        self._starting = threading.Lock()
        self._ready = False

    def __enter__(self) -> "Sandbox":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the warm server, which imports everything before it forks the first kernel.

        Call it from a thread that outlives the sandbox: the server ends with the
        thread that started it.

        Raises:
            SandboxError: bubblewrap is missing.
        """
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        options = {
            "socket": theirs.fileno(),
            "private": self.settings.private,
            "modules": self.settings.modules,
        }
        command = [sys.executable, "-m", "gradlab_grading.sandboxed.zygote", json.dumps(options)]
        if self.settings.private:
            command = confined(self.settings, command, forks=True, extra=[])
        self._process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            env=environment(self.settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        theirs.close()
        threading.Thread(target=self._listen, daemon=True).start()
        self._errors: list[bytes] = []
        threading.Thread(target=self._keep_errors, daemon=True).start()

    def wait(self) -> None:
        """Wait until the server can fork.

        Raises:
            SandboxError: bubblewrap was refused, or an import hangs.
        """
        with self._starting:
            if self._ready:
                return
            answer = self._wait(0, START_SECONDS)
            if answer["op"] != "ready":
                self.close()
                said = b"".join(self._errors).decode(errors="replace").strip()
                raise SandboxError(f"the sandbox did not start. {_advice(said)}")
            self._ready = True

    def _keep_errors(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._errors = [*self._errors[-50:], line]

    def _listen(self) -> None:
        """Hand each answer of the server to the one who waits for it."""
        while True:
            try:
                data = self._control.recv(_CONTROL_BYTES)
            except OSError:
                data = b""
            if not data:
                break
            message = wire.unpack(data)
            inbox = self._inboxes.get(message["name"])
            if inbox is not None:
                inbox.put(message)
        self._gone.set()
        for inbox in list(self._inboxes.values()):
            inbox.put({"op": "gone"})

    def _wait(self, name: int, seconds: float) -> dict[str, Any]:
        try:
            # A server that has gone says so once a kernel; whoever asks again need not wait.
            return self._inboxes[name].get(timeout=0 if self._gone.is_set() else seconds)
        except queue.Empty:
            return {"op": "gone" if self._gone.is_set() else "silent"}

    @property
    def alive(self) -> bool:
        """Whether the warm server still runs."""
        return self._process is not None and self._process.poll() is None

    def fork(self, limits: Limits) -> "Fork":
        """Fork a kernel.

        Raises:
            SandboxError: the operating system refused the namespaces.
        """
        self.wait()
        name = next(self._names)
        self._inboxes[name] = queue.Queue()
        pairs = [socket.socketpair() for _ in range(3)]
        try:
            message = {"op": "start", "name": name, "limits": limits.as_dict()}
            theirs = [pair[1].fileno() for pair in pairs]
            with self._lock:
                socket.send_fds(self._control, [wire.pack(message)[4:]], theirs)
        except OSError as error:
            raise SandboxError(f"the warm server has ended ({error})") from None
        finally:
            for _, end in pairs:
                end.close()
        answer = self._wait(name, START_SECONDS)
        if answer["op"] != "started":
            raise SandboxError(_advice(str(answer.get("reason", answer["op"]))))
        return Fork(self, name, *(ours for ours, _ in pairs))

    def tell(self, name: int, op: str, **message: Any) -> None:
        """Send one message about the kernel `name`; a server that has ended hears nothing."""
        try:
            with self._lock:
                self._control.send(wire.pack({"op": op, "name": name, **message})[4:])
        except OSError:
            return

    def forget(self, name: int) -> None:
        """No further answers about the kernel `name` are wanted."""
        self._inboxes.pop(name, None)

    def close(self) -> None:
        """End the server and every kernel. Safe to call twice."""
        if self._process is None:
            return
        self._control.close()
        # Once it has been waited for, its number may be another process's.
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()
        self._process = None


class Fork:
    """A forked kernel as the engine holds it: three sockets and a way to end it.

    Attributes:
        commands: cells to run are sent here.
        events: outputs arrive here.
        objects: the checker's questions about objects go here.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        name: int,
        commands: socket.socket,
        events: socket.socket,
        objects: socket.socket,
    ) -> None:
        self.sandbox, self.name = sandbox, name
        self.commands, self.events, self.objects = commands, events, objects
        self.ended: dict[str, Any] | None = None

    def interrupt(self) -> None:
        """Send SIGINT to the kernel."""
        self.sandbox.tell(self.name, "interrupt")

    def kill(self, reason: str) -> None:
        """End all its processes; `reason` goes into the record."""
        self.sandbox.tell(self.name, "kill", reason=reason)

    def usage(self) -> dict[str, Any]:
        """Memory in bytes and processor time in seconds, measured from outside."""
        self.sandbox.tell(self.name, "measure")
        answer = self._answer(5)
        return answer if answer["op"] == "usage" else {"memory_bytes": 0, "cpu_seconds": 0.0}

    def exit(self, seconds: float = 10) -> dict[str, Any]:
        """Wait until every process has ended, and end what has not after `seconds`.

        Says why it ended, the peak memory and the time.
        """
        for _ in range(2):
            while self.ended is None:
                op = self._answer(seconds)["op"]
                if op in ("gone", "silent"):
                    break
            self.kill("it did not end by itself")
        return self.ended or {"op": "exit", "reason": "the sandbox ended", "code": -1}

    def _answer(self, seconds: float) -> dict[str, Any]:
        answer = self.sandbox._wait(self.name, seconds)
        if answer["op"] == "exit":
            self.ended = answer
        return answer

    def close(self) -> dict[str, Any]:
        """End the kernel if it still runs, and say how it ended."""
        if self.ended is None:
            self.kill("")
            self.ended = self.exit()
        for sock in (self.commands, self.events, self.objects):
            sock.close()
        self.sandbox.forget(self.name)
        return self.ended


def _advice(said: str) -> str:
    """Turn what bwrap or the kernel said into what to do about it."""
    if "Operation not permitted" in said or "setting up uid map" in said or "unshare" in said:
        return (
            "The operating system does not let this user make namespaces. On Ubuntu:"
            " `sysctl kernel.apparmor_restrict_unprivileged_userns=0`; in a container, allow"
            " user namespaces (for Docker: `--security-opt seccomp=unconfined"
            f" --security-opt systempaths=unconfined`). It said: {said}"
        )
    return f"It said: {said or 'nothing'}"
