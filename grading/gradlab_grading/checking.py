"""The trusted side of a check: runs grade cells where submitted code never comes.

Runs as `python -m gradlab_grading.checking SOCKET`. For each submission the
engine hands over the socket that leads to the objects of the student's kernel.
Grade cells run here, in a namespace that the source notebook's own setup cells
made; any other name in them is looked up in the student's notebook and is a
`gradlab.seam.handle.Handle` here, or plain data.
"""

import ast
import builtins
import contextlib
import io
import select
import socket
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from IPython.core.formatters import DisplayFormatter

from gradlab.seam import plain
from gradlab.seam.handle import StudentError, by_name
from gradlab_grading import hidden
from gradlab_grading.outputs import Output, error, stream
from gradlab_grading.sandboxed import thrift, wire

MAX_ANSWER = 256 * 2**20
GRACE_SECONDS = 5

_MISSING = "KeyError"


class Objects:
    """The way to a student's objects: a `gradlab.seam.handle.Transport` with a clock.

    Args:
        sock: leads to the student's kernel.
        interrupt: asks the engine to interrupt that kernel.
    """

    def __init__(self, sock: socket.socket, interrupt: Callable[[], None]) -> None:
        self.sock, self.interrupt = sock, interrupt
        self.deadline = 0.0
        self.broken = ""

    def perform(self, request: bytes) -> bytes:
        """Send a request and wait for its answer.

        Raises:
            StudentError: no time is left, the kernel is dead, or it answered nonsense.
        """
        if self.broken:
            raise StudentError("DeadKernelError", self.broken)
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise StudentError("TimeoutError", "no time was left for this check")
        try:
            self.sock.settimeout(left + GRACE_SECONDS)
            self.sock.sendall(len(request).to_bytes(4, "little") + request)
            if not select.select([self.sock], [], [], left)[0]:
                self.interrupt()
                if not select.select([self.sock], [], [], GRACE_SECONDS)[0]:
                    raise TimeoutError
                wire.receive_body(self.sock, MAX_ANSWER)
                raise StudentError("TimeoutError", "the call did not end in time and was interrupted")
            return wire.receive_body(self.sock, MAX_ANSWER)
        except TimeoutError:
            self.broken = "the kernel did not answer any more"
        except (OSError, wire.WireError) as problem:
            self.broken = f"the kernel ended during the check ({problem})"
        raise StudentError("DeadKernelError", self.broken)


class CheckFailed(Exception):
    """A check raised by itself, which is not the student's doing."""


class Desk:
    """Grades the grade cells of one notebook after the other."""

    def __init__(self) -> None:
        self.formatter = DisplayFormatter()
        self.setups: dict[tuple[str, ...], dict[str, Any]] = {}
        self.objects: Objects | None = None
        self.namespace: dict[str, Any] = {}

    def open(self, setup: tuple[str, ...], objects: Objects | None, seed: int) -> None:
        """Begin a submission.

        Args:
            setup: sources of the setup cells; they run once for all submissions.
            objects: the way to the student's objects.
            seed: decides what the hidden checks draw.
        """
        if setup not in self.setups:
            namespace: dict[str, Any] = {"__name__": "__main__"}
            for source in setup:
                exec(compile(_plain_python(source), "<setup>", "exec"), namespace)
            self.setups[setup] = namespace
        self.namespace = dict(self.setups[setup])
        self.objects = objects
        hidden.seed.set(seed)

    def run(self, source: str, seconds: float) -> tuple[list[Output], str]:
        """Run one grade cell.

        Returns:
            Its outputs, and what went wrong in the check itself (for staff, empty if nothing).
        """
        assert self.objects is not None
        self.objects.deadline = time.monotonic() + seconds
        printed = io.StringIO()
        outputs: list[Output] = []
        trouble = ""
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                value = self._execute(_plain_python(source))
                if value is not None:
                    outputs.append(self._show(value))
        except StudentError as problem:
            outputs.append(error(problem.kind, problem.message, [problem.where, str(problem)]))
        except AssertionError as problem:
            message = "a hidden test failed" if _in_hidden_test(problem, source) else str(problem)
            outputs.append(error("AssertionError", message))
        except NameError as problem:
            outputs.append(error("NameError", str(problem)))
        except plain.NotPlain as problem:
            outputs.append(error("NotPlain", str(problem)))
        except Exception as problem:  # noqa: BLE001 a check that fails by itself must not end the checker
            trouble = traceback.format_exc()
            message = "the check could not be carried out on this answer; your instructor has been told"
            outputs.append(error(type(problem).__name__, message))
        if printed.getvalue():
            outputs.insert(0, stream("stdout", printed.getvalue()))
        return outputs, trouble

    def _execute(self, source: str) -> Any:
        """Run the statements, and give the value of a last expression."""
        tree = ast.parse(source)
        tree.body = _unrepeated(tree.body)
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        scope = dict(self.namespace)
        borrowed = {}
        # Trusted names and builtins come first: no notebook can put its own `len` here.
        for name in sorted(names - scope.keys() - set(dir(builtins))):
            assert self.objects is not None
            try:
                borrowed[name] = by_name(self.objects, name)
            except StudentError as problem:
                if problem.kind != _MISSING:
                    raise
        scope |= borrowed
        last = tree.body[-1] if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        body = tree.body[:-1] if last else tree.body
        exec(compile(ast.Module(body, []), "<check>", "exec"), scope)
        value = None
        if last is not None:
            value = eval(compile(ast.Expression(last.value), "<check>", "eval"), scope)
        self.namespace |= {name: item for name, item in scope.items() if item is not borrowed.get(name, scope)}
        return value

    def _show(self, value: Any) -> Output:
        data, metadata = self.formatter.format(value)
        return {
            "output_type": "execute_result",
            "execution_count": None,
            "data": data,
            "metadata": metadata,
        }


def _unrepeated(statements: list[ast.stmt]) -> list[ast.stmt]:
    """Leave out `checks.adam(adam)` where `hidden.adam(adam)` stands too, whose report has the visible cases in it."""
    calls = [_call(statement) for statement in statements]
    repeated = [call is not None and call[0] == "checks" and ("hidden", *call[1:]) in calls for call in calls]
    return [statement for statement, again in zip(statements, repeated, strict=True) if not again]


def _call(statement: ast.stmt) -> tuple[str, str, str] | None:
    """Module, function and arguments of a statement `module.function(a, b)`."""
    match statement:
        case ast.Expr(ast.Call(ast.Attribute(ast.Name(module), function), arguments, [])):
            return module, function, ", ".join(map(ast.unparse, arguments))
    return None


def _in_hidden_test(problem: Exception, source: str) -> bool:
    """Whether an exception left the cell in a region that the student's copy does not have."""
    places = [frame.lineno for frame in traceback.extract_tb(problem.__traceback__) if frame.filename == "<check>"]
    hidden_lines, inside = set(), False
    for number, line in enumerate(source.splitlines(), 1):
        inside = (inside or "BEGIN HIDDEN TESTS" in line) and "END HIDDEN TESTS" not in line
        if inside:
            hidden_lines.add(number)
    return any(place in hidden_lines for place in places)


def _plain_python(source: str) -> str:
    """A cell without IPython's own lines (`%matplotlib inline`), which mean nothing here."""
    kept = ["" if line.lstrip().startswith(("%", "!", "?")) else line for line in source.splitlines()]
    return "\n".join(kept)


def serve(control: socket.socket) -> None:
    """Answer the engine until it closes the socket."""
    thrift.save_work()
    desk = Desk()
    while True:
        try:
            message = wire.receive(control)
        except wire.WireError:
            return
        if message["op"] == "warm":
            # What is wrong with a setup cell is said when a submission is opened.
            with contextlib.suppress(Exception):
                desk.open(tuple(message["setup"]), None, 0)
        elif message["op"] == "open":
            objects = None
            if message["objects"]:
                _, (descriptor,), _, _ = socket.recv_fds(control, 1, 1)
                objects = Objects(
                    socket.socket(fileno=descriptor),
                    lambda: wire.send(control, {"op": "interrupt"}),
                )
            try:
                desk.open(tuple(message["setup"]), objects, message["seed"])
                wire.send(control, {"op": "opened", "trouble": ""})
            except Exception:  # noqa: BLE001 the engine is told
                wire.send(control, {"op": "opened", "trouble": traceback.format_exc()})
        elif message["op"] == "close":
            if desk.objects is not None:
                desk.objects.sock.close()
            desk.objects, desk.namespace = None, {}
        else:
            outputs, trouble = desk.run(message["source"], message["seconds"])
            wire.send(control, {"op": "checked", "outputs": outputs, "trouble": trouble})


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
