"""The kernel of one submission: IPython without ZeroMQ, over plain sockets.

It is what a student's notebook runs in: ipykernel's own shell class, display
hooks and tracebacks, so that outputs look as they do in JupyterLab. Cells come
in on one socket, outputs go out on a second, and on a third the checker asks
for objects (`gradlab.seam`). Nothing here decides about marks.
"""

import asyncio
import builtins
import contextlib
import ctypes
import os
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from ipykernel.zmqshell import ZMQInteractiveShell
from IPython.core.error import StdinNotImplementedError
from jupyter_client.session import Session
from traitlets.config import Config

from gradlab_grading.sandboxed import wire

FLUSH_BYTES = 2**15
CLIP_CHARACTERS = 20_000
WORK_FOLDER = "/tmp/work"


class Outlet(Session):
    """Where IPython sends its messages: frames on a socket, within a budget a cell."""

    def attach(self, sock: socket.socket, output_bytes: int) -> None:
        """Send to `sock`, at most `output_bytes` a cell."""
        self.sock, self.output_bytes, self.left = sock, output_bytes, output_bytes
        self.lock = threading.RLock()

    def send(self, stream: Any, msg_or_type: Any, content: Any = None, *args: Any, **kwargs: Any) -> None:
        """Send an IOPub message; the interface is jupyter_client's, most of it unused."""
        if isinstance(msg_or_type, str):
            kind = msg_or_type
        else:
            kind, content = msg_or_type["header"]["msg_type"], msg_or_type["content"]
        self.emit(kind, content or {})

    def emit(self, kind: str, content: dict[str, Any]) -> None:
        """Send one output, or say once that the cell has used up its budget."""
        if kind == "error":
            content = _clip_error(content)
        frame = wire.pack({"kind": kind, "content": content})
        with self.lock:
            if kind not in ("error", "done") and len(frame) > self.left:
                if self.left > 0:
                    notice = f"\n... output cut: more than {self.output_bytes} bytes ...\n"
                    self.sock.sendall(wire.pack({"kind": "stream", "content": {"name": "stdout", "text": notice}}))
                self.left = 0
                return
            self.left -= len(frame)
            self.sock.sendall(frame)


def _clip_error(content: dict[str, Any]) -> dict[str, Any]:
    lines = [line[:CLIP_CHARACTERS] for line in content["traceback"][:200]]
    return {
        "ename": content["ename"][:200],
        "evalue": content["evalue"][:CLIP_CHARACTERS],
        "traceback": lines,
    }


class Stream:
    """`sys.stdout` or `sys.stderr`: text goes out when there is much of it or at a flush."""

    encoding, errors, closed = "utf-8", "replace", False

    def __init__(self, name: str, outlet: Outlet, descriptor: int) -> None:
        self.name, self.outlet, self.descriptor = f"<{name}>", outlet, descriptor
        self.kind, self.parts, self.size = name, [], 0
        self.lock = threading.RLock()

    def write(self, text: str) -> int:
        """Add text. Raises TypeError for what is no string, as every text file does."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        with self.lock:
            if self.outlet.left > 0:
                self.parts.append(text)
                self.size += len(text)
            if self.size >= FLUSH_BYTES:
                self.flush()
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of `lines`."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Send what has been written."""
        with self.lock:
            text, self.parts, self.size = "".join(self.parts), [], 0
        if text:
            self.outlet.emit("stream", {"name": self.kind, "text": text})

    def fileno(self) -> int:
        """The descriptor that subprocesses inherit."""
        return self.descriptor

    def isatty(self) -> bool:
        """Never a terminal."""
        return False

    readable = seekable = isatty

    def writable(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """Do nothing: a notebook that closes its own output still has one."""


class Descriptors:
    """What subprocesses and libraries write to descriptors 1 and 2, kept per cell."""

    def __init__(self, outlet: Outlet) -> None:
        self.outlet = outlet
        self.files = {}
        for name, number in (("stdout", 1), ("stderr", 2)):
            kept = os.memfd_create(name)
            os.dup2(kept, number)
            self.files[name] = kept
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)

    def flush(self) -> None:
        """Send what has been written since the last call."""
        ctypes.CDLL(None).fflush(None)
        for name, kept in self.files.items():
            text = os.pread(kept, self.outlet.output_bytes, 0)
            if text:
                os.ftruncate(kept, 0)
                os.lseek(kept, 0, os.SEEK_SET)
                self.outlet.emit("stream", {"name": name, "text": text.decode(errors="replace")})


class Shell(ZMQInteractiveShell):
    """ipykernel's shell; `exit()` in a notebook does not throw away the cells after it."""

    outlet: Outlet

    @contextlib.contextmanager
    def _tee(self, channel: Literal["stdout", "stderr"]) -> Generator[None]:
        """IPython keeps all that is printed in its history as well, without a limit."""
        yield

    def ask_exit(self) -> None:
        print("exit() is ignored while a notebook is graded", file=sys.stderr)


def build_shell() -> Shell:
    """Make the shell once, before any fork. It holds no thread and no open file."""
    config = Config()
    config.HistoryManager.enabled = False
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    shell = Shell.instance(config=config, ipython_dir="/tmp/ipython")
    shell.outlet = Outlet()
    hooks: list[Any] = [shell.displayhook, shell.display_pub]
    for hook in hooks:
        hook.session, hook.pub_socket = shell.outlet, object()
    hooks[0].topic = b"execute_result"
    return shell


def serve(shell: Shell, sockets: list[socket.socket], limits: dict[str, int]) -> None:
    """Run the cells that arrive until the engine closes the socket."""
    commands, events, objects = sockets
    outlet = shell.outlet
    outlet.attach(events, limits["output_bytes"])
    descriptors = Descriptors(outlet)
    sys.stdout, sys.stderr = Stream("stdout", outlet, 1), Stream("stderr", outlet, 2)
    builtins.input = _no_input
    _fresh_random_state()
    Path(WORK_FOLDER).mkdir(exist_ok=True)
    os.chdir(WORK_FOLDER)
    os.environ["HOME"] = WORK_FOLDER
    sys.path.insert(0, "")
    asyncio.run(Kernel(shell, outlet, descriptors, commands, objects).run())


def _no_input(prompt: str = "") -> str:
    raise StdinNotImplementedError("raw_input was called, but this frontend does not support input requests.")


def _fresh_random_state() -> None:
    """A fork inherits its parent's generators; no two kernels may draw alike."""
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt inside the block, and do nothing outside it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


async def _body(reader: asyncio.StreamReader) -> bytes:
    length = int.from_bytes(await reader.readexactly(4), "little")
    return await reader.readexactly(length)


class Kernel:
    """Reads commands in an event loop, so that a notebook's own tasks go on between cells."""

    def __init__(
        self,
        shell: Shell,
        outlet: Outlet,
        descriptors: Descriptors,
        commands: socket.socket,
        objects: socket.socket,
    ) -> None:
        self.shell, self.outlet, self.descriptors = shell, outlet, descriptors
        self.commands, self.objects = commands, objects
        self.store = None

    async def run(self) -> None:
        """Obey until the engine closes the socket of commands."""
        # asyncio would end the whole kernel at an interrupt; `interruptible` says what it ends.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        commands, _ = await asyncio.open_connection(sock=self.commands)
        serving = asyncio.create_task(self.serve_objects())
        while True:
            try:
                message = wire.unpack(await _body(commands))
            except asyncio.IncompleteReadError:
                serving.cancel()
                return
            await self.obey(message)

    async def serve_objects(self) -> None:
        """Answer the checker's requests. The event loop is free only between cells."""
        reader, writer = await asyncio.open_connection(sock=self.objects)
        while True:
            try:
                request = await _body(reader)
            except asyncio.IncompleteReadError:
                return
            answer = self.perform(request)
            self.flush()
            writer.write(len(answer).to_bytes(4, "little") + answer)
            await writer.drain()

    def perform(self, request: bytes) -> bytes:
        """Perform one operation on the notebook's objects."""
        from gradlab.seam import plain, store

        if self.store is None:
            self.store = store.ObjectStore(self.shell.user_ns)
        try:
            with interruptible():
                return self.store.perform(request)
        except BaseException as error:  # noqa: BLE001 an interrupt too is an answer
            return plain.encode(("error", type(error).__name__, str(error), ""), self.store.refer)

    async def obey(self, message: dict[str, Any]) -> None:
        """Carry out one command of the engine."""
        if message["op"] == "file":
            path = Path(WORK_FOLDER, message["path"])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(message["data"])
        else:
            # Cells that the checker ran have a number too.
            self.shell.execution_count = message["number"] or self.shell.execution_count
            await self.run_cell(message["source"])

    async def run_cell(self, source: str) -> None:
        """Run one cell as ipykernel does, then report how it ended."""
        self.outlet.left = self.outlet.output_bytes
        started = time.perf_counter()
        status = "error"
        try:
            status = await self._execute(source)
        except BaseException as error:  # noqa: BLE001 nothing that a cell raises may end the kernel
            content = {"ename": type(error).__name__, "evalue": str(error), "traceback": []}
            self.outlet.emit("error", content)
        self.flush()
        self.outlet.emit(
            "done",
            {
                "status": status,
                "execution_count": self.shell.execution_count - 1,
                "seconds": time.perf_counter() - started,
            },
        )

    def flush(self) -> None:
        """Send all that has been written; a notebook may have replaced the streams."""
        for stream in (sys.stdout, sys.stderr, self.descriptors):
            try:
                stream.flush()
            except Exception:  # noqa: BLE001 whatever a notebook has put in their place
                continue

    async def _execute(self, source: str) -> str:
        shell = self.shell
        problem = None
        try:
            transformed = shell.transform_cell(source)
        except Exception:  # noqa: BLE001 ipykernel does the same: the shell reports it
            transformed, problem = source, sys.exc_info()
        if shell.should_run_async(source, transformed_cell=transformed, preprocessing_exc_tuple=problem):
            result = None
            cell = asyncio.ensure_future(
                shell.run_cell_async(
                    source,
                    store_history=True,
                    transformed_cell=transformed,
                    preprocessing_exc_tuple=problem,
                )
            )
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGINT, cell.cancel)
            try:
                result = await cell
            finally:
                loop.remove_signal_handler(signal.SIGINT)
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                shell.events.trigger("post_execute")
                shell.events.trigger("post_run_cell", result)
        else:
            with interruptible():
                result = shell.run_cell(source, store_history=True)
        if shell.payload_manager is not None:
            shell.payload_manager.clear_payload()
        return "ok" if result is not None and result.success else "error"
