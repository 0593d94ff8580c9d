"""Start a few processes of one run on this machine, show what they print, and end all of them whatever happens.

    run_processes([sys.executable, "-m", "gradlab.gpt", "--steps", "100"], 2)

Each process finds in its environment where the others meet (see `gradlab.distributed`). None outlives the call:
each is the head of a process group of its own, the groups are killed when the call ends, on an interrupt, and on
an error; and a guard kills them when the process that made the call is itself killed.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Thread
from typing import IO

from gradlab.distributed import HEARTBEAT_SECONDS

# After one has failed, the others notice within a heartbeat; JAX then needs a while to say so. Then they are killed.
GRACE_SECONDS = 2 * HEARTBEAT_SECONDS
# After SIGTERM, before SIGKILL.
TERM_SECONDS = 3
LAST_LINES = 8
_POLL_SECONDS = 0.05
# It was compiling, say, and not in a collective, which would have failed and let it end by itself.
_ABORTED = " (so JAX ends a process when it has not heard from another for some seconds)"

# Kills the groups that it was told of when its input ends, which it does however the writer died. A process that
# has been waited for is taken off: its number may be another's by then.
_GUARD = """
import os, signal, sys
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass
"""


@dataclass(frozen=True)
class Ended:
    """How one process ended.

    Attributes:
        number: of the process, from 0.
        status: its exit status; minus the number of the signal that killed it.
        seconds: from the start of all to its end.
        last_lines: the end of what it printed.
        was_stopped: whether it was this helper that ended it.
    """

    number: int
    status: int
    seconds: float
    last_lines: tuple[str, ...]
    was_stopped: bool

    def __str__(self) -> str:
        how = f"ended with status {self.status}" if self.status >= 0 else f"was killed by {_signal_name(-self.status)}"
        if self.was_stopped:
            how = "was still running, and was stopped here"
        return f"process {self.number} {how} after {self.seconds:.1f} s"


class ProcessesFailed(RuntimeError):
    """Some process failed. `ended` has all of them, in the order in which they ended: the cause comes first."""

    def __init__(self, ended: Sequence[Ended]) -> None:
        self.ended = tuple(ended)
        cause = self.ended[0]
        lines = "".join(f"\n  [{cause.number}] {line}" for line in cause.last_lines)
        rest = "".join(f"\nThen {it}{_ABORTED if it.status == -signal.SIGABRT else ''}." for it in self.ended[1:])
        super().__init__(f"{cause} of {len(self.ended)} processes. Its last lines:{lines or ' none'}{rest}")


def show(number: int, line: str) -> None:
    """Print a line of a process behind its number."""
    # The end of a line with the line: a thread for each process prints, and another's must not come between.
    print(f"[{number}] {line}\n", end="", flush=True)


class Processes:
    """The processes of one run, while they run. `run_processes` is made of it; use it to signal one of them.

    Attributes:
        running: the `Popen` of each process, by number.
    """

    def __init__(
        self,
        command: Sequence[str],
        count: int,
        environment: Mapping[str, str] | None = None,
        on_line: Callable[[int, str], None] | None = None,
    ) -> None:
        self._on_line = on_line or show
        self._lines: list[deque[str]] = [deque(maxlen=LAST_LINES) for _ in range(count)]
        self._threads: list[Thread] = []
        self._ended: list[Ended] = []
        self._unshown: list[Exception] = []
        self.running: dict[int, subprocess.Popen] = {}
        self._began = time.monotonic()
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _GUARD], stdin=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            address = f"127.0.0.1:{_free_port()}"
            for number in range(count):
                shared = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": str(count), "PYTHONUNBUFFERED": "1"}
                self._start(number, command, os.environ | shared | dict(environment or {}))
        except BaseException:
            self.close()
            raise

    def _start(self, number: int, command: Sequence[str], environment: Mapping[str, str]) -> None:
        process = subprocess.Popen(
            command,
            env={**environment, "JAX_PROCESS_ID": str(number)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self.running[number] = process
        self._tell_guard(f"+{process.pid}")
        assert process.stdout is not None
        self._threads.append(Thread(target=self._read, args=(number, process.stdout), daemon=True))

    def _read(self, number: int, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._lines[number].append(line.rstrip("\n"))
                try:
                    self._on_line(number, line.rstrip("\n"))
                except Exception as error:  # noqa: BLE001 - nobody would read on, and the process would wait for ever
                    self._unshown.append(error)

    def _tell_guard(self, line: str) -> None:
        assert self._guard.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            print(line, file=self._guard.stdin, flush=True)

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait(self, grace: float = GRACE_SECONDS) -> list[Ended]:
        """Show what they print and wait for all; to be called once.

        When one fails, the others have `grace` seconds to notice; then they are killed. Raises what `on_line` raises.
        """
        # Not before all have been started: what hears the first line may want to signal any of them.
        for thread in self._threads:
            thread.start()
        deadline = None
        while self.running:
            self._collect()
            if self._unshown:
                break
            if deadline is None and any(it.status for it in self._ended):
                deadline = time.monotonic() + grace
            if deadline is not None and time.monotonic() > deadline:
                self._stop()
            time.sleep(_POLL_SECONDS)
        if not self._unshown:
            self._read_rest()
        if self._unshown:
            raise self._unshown[0]
        return [self._with_lines(it) for it in self._ended]

    def _read_rest(self) -> None:
        """What ended processes have printed is still on its way through the threads that read it."""
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=TERM_SECONDS)

    def _with_lines(self, it: Ended) -> Ended:
        return Ended(it.number, it.status, it.seconds, tuple(self._lines[it.number]), it.was_stopped)

    def _collect(self, *, was_stopped: bool = False) -> None:
        found: list[Ended] = []
        for number, process in list(self.running.items()):
            # Until it is waited for, its number cannot become another's: first its group, then itself.
            if not _has_ended(process):
                continue
            _kill_group(process.pid, signal.SIGKILL)
            status = process.wait()
            self._tell_guard(f"-{process.pid}")
            del self.running[number]
            found.append(Ended(number, status, time.monotonic() - self._began, (), was_stopped))
        # Of those found at the same look: who was killed (below 0) before who noticed it. JAX may notice by an abort.
        self._ended += sorted(found, key=lambda it: (it.status == -signal.SIGABRT, it.status))

    def _stop(self) -> None:
        """End what is running: ask, wait a little, kill."""
        for process in self.running.values():
            _kill_group(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + TERM_SECONDS
        while self.running and time.monotonic() < deadline:
            self._collect(was_stopped=True)
            time.sleep(_POLL_SECONDS)
        for process in self.running.values():
            _kill_group(process.pid, signal.SIGKILL)
        while self.running:
            self._collect(was_stopped=True)
            time.sleep(_POLL_SECONDS)

    def close(self) -> None:
        """End all that is still running. A second interrupt does not stop it from doing so: the guard does it then."""
        try:
            self._stop()
            self._read_rest()
        finally:
            assert self._guard.stdin is not None
            self._guard.stdin.close()
            self._guard.wait()


def run_processes(
    command: Sequence[str],
    count: int,
    environment: Mapping[str, str] | None = None,
    on_line: Callable[[int, str], None] | None = None,
) -> list[Ended]:
    """Run `command` in `count` processes that find each other, and wait for all of them.

    Args:
        command: the program and its arguments, the same for each.
        count: from 2 to 4 is sensible on one machine.
        environment: variables on top of those that this process has.
        on_line: called with number and text of each line printed; by default it is shown behind `[number]`.

    Raises ProcessesFailed, which says what failed first and in which process. On KeyboardInterrupt all are ended
    before it goes on.
    """
    with Processes(command, count, environment, on_line) as processes:
        ended = processes.wait()
    if any(it.status for it in ended):
        # A process that ended well before another failed is no cause.
        raise ProcessesFailed(sorted(ended, key=lambda it: it.status == 0))
    return ended


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _has_ended(process: subprocess.Popen) -> bool:
    """Whether the process has ended, without waiting for it: its number stays taken."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill_group(group: int, number: int) -> None:
    # macOS refuses to signal a group of which only the ended head is left.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
