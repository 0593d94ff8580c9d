"""The checker as the engine holds it: a trusted process beside the kernels.

One process serves many submissions, so that its own libraries and compiled
programs stay warm. It is started in a sandbox too, as a second wall: what it
reads was made by submitted code.
"""

import select
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from gradlab_grading.outputs import Output, Outputs, error
from gradlab_grading.sandbox import SandboxError, SandboxSettings, confined, environment
from gradlab_grading.sandboxed import wire
from gradlab_grading.session import KernelDied, Session

START_SECONDS = 120
# To compare a wrong answer with every known mistake takes no time of the student's, and minutes on a busy machine.
OVERTIME_SECONDS = 120
RECYCLE_BYTES = 2 * 2**30


class CheckerDied(Exception):
    """The checker ended or hung while it judged what a submission had sent."""


@dataclass
class Verdict:
    """What a grade cell gave, and for staff what was wrong with the check itself."""

    outputs: list[Output]
    seconds: float
    trouble: str = ""


class Checker:
    """A checker process. It is started when it is first needed."""

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, setup: tuple[str, ...] = ()) -> None:
        """Start the process, unless it runs and is in good health; it runs the setup cells without being waited for.

        Raises:
            SandboxError: it does not start.
        """
        if self._process is not None and self._process.poll() is None and _memory(self._process.pid) < RECYCLE_BYTES:
            return
        self.close()
        self._control, theirs = socket.socketpair()
        command = [sys.executable, "-m", "gradlab_grading.checking", str(theirs.fileno())]
        variables = environment(self.settings)
        if self.settings.private:
            staff = Path(__file__).parent
            command = confined(self.settings, command, forks=False, extra=[staff])
            variables["PYTHONPATH"] = f"{staff.parent}:{variables['PYTHONPATH']}"
        self._process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            env=variables,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        wire.send(self._control, {"op": "warm", "setup": list(setup)})

    def open(self, session: Session | None, setup: tuple[str, ...], seed: int) -> None:
        """Begin a submission; without a session, only run the setup cells.

        Raises:
            SandboxError: the setup cells of the source notebook do not run here.
        """
        self.start(setup)
        message = {"op": "open", "setup": list(setup), "seed": seed, "objects": session is not None}
        wire.send(self._control, message)
        if session is not None:
            socket.send_fds(self._control, [b"\0"], [session.fork.objects.fileno()])
        self._control.settimeout(START_SECONDS)
        try:
            answer = wire.receive(self._control)
        except (wire.WireError, OSError) as problem:
            self.close()
            raise SandboxError(f"the checker did not start: {problem}") from None
        if answer["trouble"]:
            raise SandboxError(f"a setup cell does not run in the checker:\n{answer['trouble']}")

    def run(self, session: Session, source: str) -> Verdict:
        """Run one grade cell against the session's kernel.

        Raises:
            CheckerDied: it ended, or went on long after the cell's time; start afresh.
        """
        started = time.monotonic()
        seconds = session.limits.cell_seconds
        wire.send(self._control, {"op": "run", "source": source, "seconds": seconds})
        printed = session.outputs()
        answer = self._await(session, printed, started + seconds + OVERTIME_SECONDS)
        outputs = printed.items + answer["outputs"]
        return Verdict(outputs, time.monotonic() - started, answer["trouble"])

    def _await(self, session: Session, printed: Outputs, deadline: float) -> dict:
        """Wait for the verdict; meanwhile take what the student's code prints."""
        sources = [self._control, session.fork.events]
        while (left := deadline - time.monotonic()) > 0:
            ready = select.select(sources, [], [], left)[0]
            if session.fork.events in ready:
                try:
                    session.drain(printed)
                except KernelDied as death:
                    printed.items.append(error("DeadKernelError", str(death)))
                    sources.remove(session.fork.events)
            if self._control in ready:
                try:
                    answer = wire.receive(self._control)
                except (wire.WireError, OSError):
                    break
                if answer["op"] == "checked":
                    return answer
                session.interrupt()
        self.close()
        raise CheckerDied

    def finish(self) -> None:
        """Forget the submission."""
        if self._process is not None and self._process.poll() is None:
            wire.send(self._control, {"op": "close"})

    def close(self) -> None:
        """End the process. Safe to call twice."""
        if self._process is None:
            return
        self._control.close()
        self._process.kill()
        self._process.wait()
        self._process = None


def _memory(pid: int) -> int:
    """Memory of a process and its children, in bytes."""
    try:
        process = psutil.Process(pid)
        return sum(p.memory_info().rss for p in [process, *process.children(recursive=True)])
    except psutil.Error:
        return 0
