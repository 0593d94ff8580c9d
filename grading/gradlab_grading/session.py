"""One submission's kernel, driven cell by cell.

Nothing that the kernel sends is believed beyond its being an output. Time is
kept here, and memory is measured by the warm server.
"""

import select
import time
from dataclasses import dataclass, field
from typing import Any

from gradlab_grading.limits import Limits
from gradlab_grading.outputs import Output, Outputs, error
from gradlab_grading.sandbox import Fork, Sandbox
from gradlab_grading.sandboxed import wire

INTERRUPT_SECONDS = 5
_FRAME_SLACK = 2**20


class KernelDied(Exception):
    """The kernel has ended; the message says why, in words for the student."""


@dataclass
class CellRun:
    """What running one cell gave.

    Attributes:
        outputs: nbformat outputs.
        count: the execution count that the kernel gave, None if it never said.
        seconds: wall time, measured outside the kernel.
        memory_bytes: memory of the whole submission after the cell.
    """

    outputs: list[Output] = field(default_factory=list)
    count: int | None = None
    seconds: float = 0.0
    memory_bytes: int = 0


class Session:
    """A kernel of its own for one submission. Use it as a context manager.

    Raises:
        SandboxError: no kernel could be made.
    """

    def __init__(self, sandbox: Sandbox, limits: Limits) -> None:
        self.limits = limits
        self.fork: Fork = sandbox.fork(limits)
        self.deadline = time.monotonic() + limits.wall_seconds
        self.output_left = limits.total_output_bytes
        self.dead: str | None = None

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.fork.close()

    def put(self, path: str, data: bytes) -> None:
        """Write a file of the submission into its working folder."""
        self._command({"op": "file", "path": path, "data": data})

    def run(self, source: str, number: int | None = None) -> CellRun:
        """Run one cell; tracebacks call it by its `number`, or by the next one.

        Raises:
            KernelDied: before the cell began.
        """
        self._command({"op": "run", "source": source, "number": number})
        run, outputs = CellRun(), self.outputs()
        started = time.monotonic()
        deadline = min(started + self.limits.cell_seconds, self.deadline)
        try:
            finished = self._collect(outputs, run, deadline)
            if not finished:
                self._stop(outputs, run)
        except KernelDied as death:
            outputs.items.append(error("DeadKernelError", str(death)))
        run.outputs = outputs.items
        self.output_left = max(0, self.output_left - sum(len(str(item)) for item in run.outputs))
        run.seconds = time.monotonic() - started
        if self.dead is None:
            run.memory_bytes = self.fork.usage()["memory_bytes"]
        return run

    def outputs(self) -> Outputs:
        """An empty collection within what is left of the submission's budget."""
        return Outputs(min(self.limits.output_bytes, self.output_left))

    def drain(self, outputs: Outputs) -> None:
        """Take the outputs that have arrived, without waiting.

        Raises:
            KernelDied: the kernel has ended.
        """
        while select.select([self.fork.events], [], [], 0)[0]:
            message = self._event()
            outputs.add(message.get("kind"), message.get("content"))

    def interrupt(self) -> None:
        """Stop what the kernel is doing, as the stop button does."""
        self.fork.interrupt()

    def die(self, reason: str) -> KernelDied:
        """End the kernel, and give the exception that says so.

        Without a reason the kernel has closed its sockets, and is given time to end by itself.
        """
        if self.dead is None:
            if reason:
                self.fork.kill(reason)
            self.dead = _why(self.fork.exit(INTERRUPT_SECONDS))
        return KernelDied(self.dead)

    def _command(self, message: dict[str, Any]) -> None:
        if self.dead is not None:
            raise KernelDied(self.dead)
        if time.monotonic() > self.deadline:
            raise self.die(f"the notebook ran longer than {self.limits.wall_seconds} s")
        self.fork.commands.settimeout(INTERRUPT_SECONDS)
        try:
            wire.send(self.fork.commands, message)
        except OSError:
            raise self.die("") from None

    def _collect(self, outputs: Outputs, run: CellRun, deadline: float) -> bool:
        """Take outputs until the cell is done; False when the deadline came first."""
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.fork.events], [], [], left)[0]:
                return False
            message = self._event()
            if message.get("kind") == "done":
                content = message.get("content")
                count = content.get("execution_count") if isinstance(content, dict) else None
                run.count = count if type(count) is int else None
                return True
            outputs.add(message.get("kind"), message.get("content"))

    def _stop(self, outputs: Outputs, run: CellRun) -> None:
        """Interrupt a cell that is over its time, and end the kernel if it does not stop."""
        if time.monotonic() >= self.deadline:
            reason = f"the notebook ran longer than {self.limits.wall_seconds} s"
        else:
            reason = f"the cell ran longer than {self.limits.cell_seconds} s"
            self.interrupt()
            if self._collect(outputs, run, time.monotonic() + INTERRUPT_SECONDS):
                message = f"{reason} and was interrupted"
                outputs.items.append(error("CellTimeoutError", message))
                return
            reason += " and could not be interrupted"
        raise self.die(reason)

    def _event(self) -> dict[str, Any]:
        try:
            # A frame that has begun must also end: half a frame is no way to hang the engine.
            self.fork.events.settimeout(INTERRUPT_SECONDS)
            message = wire.receive(self.fork.events, self.limits.output_bytes * 2 + _FRAME_SLACK)
        except (wire.WireError, OSError) as problem:
            garbled = not isinstance(problem, wire.WireError) or "closed" not in str(problem)
            raise self.die("it sent what no kernel sends" if garbled else "") from None
        return message if isinstance(message, dict) else {}


def _why(ended: dict[str, Any]) -> str:
    """Why a kernel ended, in words."""
    if ended.get("reason"):
        return f"the kernel was stopped: {ended['reason']}"
    code = ended.get("code", 0)
    number = code - 128 if code > 128 else -code
    if number == 9:
        return "the kernel was killed (usually for want of memory)"
    names = {11: "a segmentation fault", 6: "abort()", 24: "its limit of processor time"}
    if number in names or number > 0:
        return f"the kernel died of {names.get(number, f'signal {number}')}"
    return f"the kernel ended by itself with status {code}"
