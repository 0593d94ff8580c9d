"""The warm server: imports the libraries once, then forks a kernel a submission.

It runs inside the sandbox and is told what to do over one socket.
It never runs submitted code, touches no array (a backend that has started does
not survive a fork) and keeps nothing of a submission. For each kernel it makes

    zygote -> first process of new namespaces -> kernel (submitted code)

and from outside those namespaces watches memory, processor time and number of
processes. Ending the first process ends all that the submission has started.
"""

import contextlib
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from dataclasses import dataclass, field
from typing import Any

from gradlab_grading.sandboxed import kernel, namespaces, seccomp, thrift, watch, wire

TICK_SECONDS = 0.1
PRIVATE_FOLDERS = ["/tmp", "/dev/shm"]
_CONTROL_BYTES = 2**17
_DESCRIPTORS = 3


@dataclass
class Child:
    """One kernel: `pid` is the first process of its namespaces."""

    name: int
    pid: int
    limits: dict[str, int]
    usage: watch.Usage = field(default_factory=watch.Usage)
    reason: str = ""


class Zygote:
    """Answers the control socket until its other end is closed.

    Args:
        control: datagram socket to the engine.
        private: whether submissions get namespaces of their own; without them
            (`--unsafe`) they run as plain children.
    """

    def __init__(self, control: socket.socket, private: bool) -> None:
        self.control = control
        self.private = private
        self.shell = kernel.build_shell()
        self.children: dict[int, Child] = {}
        self.next_watch = 0.0
        # A byte arrives here whenever a child has ended.
        self.bell, ring = socket.socketpair()
        for end in (self.bell, ring):
            end.setblocking(False)
        self.ring = ring
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(ring.fileno(), warn_on_full_buffer=False)

    def run(self) -> None:
        """Serve until the engine has gone."""
        while True:
            timeout = TICK_SECONDS if self.children else None
            ready = select.select([self.control, self.bell], [], [], timeout)[0]
            if self.control in ready and not self._answer():
                return
            if self.bell in ready:
                self.bell.recv(4096)
            self._reap()
            self._watch()

    def _answer(self) -> bool:
        """Obey one message; False when the engine has gone."""
        data, descriptors, _, _ = socket.recv_fds(self.control, _CONTROL_BYTES, _DESCRIPTORS)
        if not data:
            return False
        message = wire.unpack(data)
        if message["op"] == "start":
            self._start(message["name"], message["limits"], descriptors)
            return True
        child = self.children.get(message["name"])
        if child is None:
            return True
        if message["op"] == "measure":
            self._measure(child)
        elif message["op"] == "interrupt":
            self._signal(child, signal.SIGINT)
        else:
            child.reason = child.reason or message["reason"]
            self._signal(child, signal.SIGKILL)
        return True

    def _start(self, name: int, limits: dict[str, int], descriptors: list[int]) -> None:
        sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        reader, writer = os.pipe()
        middle = os.fork()
        if middle == 0:
            os.close(reader)
            self._forget_server()
            self._become_first_process(writer, limits, sockets)
        os.close(writer)
        for sock in sockets:
            sock.close()
        with os.fdopen(reader, "rb") as pipe:
            lines = pipe.read().decode(errors="replace").splitlines()
        os.waitpid(middle, 0)
        pid = next((int(line[4:]) for line in lines if line.startswith("pid ")), None)
        if pid is None or "ready" not in lines:
            self._say(op="exit", name=name, reason="no sandbox: " + "\n".join(lines), code=1)
            return
        self.children[name] = Child(name, pid, limits)
        self._say(op="started", name=name)

    def _forget_server(self) -> None:
        """In a fork: close what belongs to the server."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for sock in (self.control, self.bell, self.ring):
            sock.close()

    def _become_first_process(self, writer: int, limits: dict[str, int], sockets: list[socket.socket]) -> None:
        """In a fork: make the namespaces, fork into them, and end."""
        try:
            if self.private:
                namespaces.enter_private_namespaces()
            first = os.fork()
            if first:
                os.write(writer, f"pid {first}\n".encode())
                os._exit(0)
            os.setsid()
            whole_proc = True
            if self.private:
                namespaces.mount_private_folders(PRIVATE_FOLDERS, limits["disk_bytes"])
                whole_proc = namespaces.mount_own_proc()
                namespaces.set_dumpable(False)
            os.write(writer, b"ready\n")
            os.close(writer)
            self._keep_house(limits, sockets, whole_proc)
        except BaseException:  # noqa: BLE001 the engine is told, whatever it was
            os.write(writer, traceback.format_exc().encode())
        finally:
            os._exit(1)

    def _keep_house(self, limits: dict[str, int], sockets: list[socket.socket], whole_proc: bool) -> None:
        """As the first process: start the kernel, bury what dies, end with it."""
        submission = os.fork()
        if submission == 0:
            try:
                namespaces.set_dumpable(True)
                if self.private:
                    if not whole_proc:
                        namespaces.assemble_proc()
                    namespaces.drop_capabilities()
                    seccomp.refuse_rare_calls()
                namespaces.limit(limits, shared_user=not self.private)
                kernel.serve(self.shell, sockets, limits)
            except BaseException:  # noqa: BLE001 no fork may return into the server
                traceback.print_exc()
            finally:
                os._exit(70)
        for sock in sockets:
            sock.close()
        signal.signal(signal.SIGINT, lambda *_: os.kill(submission, signal.SIGINT))
        while True:
            pid, status = os.wait()
            if pid == submission:
                code = os.waitstatus_to_exitcode(status)
                os._exit(128 - code if code < 0 else code)

    def _reap(self) -> None:
        by_pid = {child.pid: child for child in self.children.values()}
        while by_pid:
            pid, status, spent = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            child = by_pid.pop(pid, None)
            if child is None:
                continue
            del self.children[child.name]
            if not self.private:
                self._signal(child, signal.SIGKILL)
            self._say(
                op="exit",
                name=child.name,
                reason=child.reason,
                code=os.waitstatus_to_exitcode(status),
                peak_bytes=child.usage.peak_bytes,
                # A kill leaves nobody to add up the times of the children.
                cpu_seconds=max(spent.ru_utime + spent.ru_stime, child.usage.cpu_seconds),
            )

    def _watch(self) -> None:
        now = time.monotonic()
        if not self.children or now < self.next_watch:
            return
        self.next_watch = now + TICK_SECONDS
        table = watch.processes()
        for child in self.children.values():
            watch.measure(table, child.pid, child.usage)
            reason = watch.excess(child.usage, child.limits)
            if reason and not child.reason:
                child.reason = reason
                self._signal(child, signal.SIGKILL)

    def _measure(self, child: Child) -> None:
        watch.measure(watch.processes(), child.pid, child.usage)
        self._say(
            op="usage",
            name=child.name,
            memory_bytes=child.usage.memory_bytes,
            cpu_seconds=child.usage.cpu_seconds,
        )

    def _signal(self, child: Child, number: int) -> None:
        try:
            if self.private or number == signal.SIGINT:
                os.kill(child.pid, number)
            else:
                os.killpg(child.pid, number)
        except ProcessLookupError:
            pass

    def _say(self, **message: Any) -> None:
        self.control.send(wire.pack(message)[4:])


def warm(modules: list[str]) -> None:
    """Import what submissions will need, and leave out what cannot be imported."""
    for module in modules:
        with contextlib.suppress(Exception):  # a notebook that needs it will say so
            importlib.import_module(module)


def main() -> None:
    """Run as `python -m gradlab_grading.sandboxed.zygote SETTINGS`, a JSON object."""
    settings = json.loads(sys.argv[1])
    control = socket.socket(fileno=settings["socket"])
    if settings["private"]:
        if os.getuid() == 0:
            # Without the covers that bwrap puts on /proc for root: the operating
            # system lets a submission mount a /proc of its own only beside a bare one.
            namespaces.mount("proc", "/proc")
            namespaces.become_nobody()
        # Submissions run as the same user; this keeps them from looking in here.
        namespaces.set_dumpable(False)
    # A kernel's first process loses its parent at once; the server must hear when it ends.
    namespaces.adopt_orphans()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warm(settings["modules"])
    zygote = Zygote(control, settings["private"])
    thrift.save_work()
    zygote._say(op="ready", name=0)
    zygote.run()


if __name__ == "__main__":
    main()
