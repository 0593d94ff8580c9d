"""The sandbox as the engine holds it."""

import os

import pytest

from gradlab_grading.limits import Limits
from gradlab_grading.sandbox import Sandbox, SandboxSettings
from gradlab_grading.session import KernelDied, Session

pytestmark = pytest.mark.needs("bubblewrap")


def test_closing_twice_signals_nobody_else(monkeypatch):
    """A process number is given again once its process is buried: a second close must not use it."""
    signalled = []
    real = os.killpg
    monkeypatch.setattr(os, "killpg", lambda group, number: (signalled.append(group), real(group, number)))
    sandbox = Sandbox(SandboxSettings())
    sandbox.start()
    sandbox.close()
    sandbox.close()
    assert len(signalled) == 1
    assert not sandbox.alive


def test_a_session_runs_cells_and_ends_with_its_sandbox():
    with Sandbox(SandboxSettings()) as sandbox, Session(sandbox, Limits()) as session:
        assert session.run("x = 6 * 7").outputs == []
        (output,) = session.run("x").outputs
        assert output["data"] == {"text/plain": "42"}
        assert session.fork.usage()["memory_bytes"] > 2**20


def test_processor_time_of_all_processes_together_is_limited():
    """Two processes that spin reach the limit in half the time, long before the cell's own."""
    spin = "import os\nos.fork()\nwhile True: pass"
    with Sandbox(SandboxSettings()) as sandbox, Session(sandbox, Limits(cpu_seconds=3, cell_seconds=120)) as session:
        assert session.run("1").outputs
        (output,) = session.run(spin).outputs
        assert output["ename"] == "DeadKernelError"
        assert "processor time" in output["evalue"]
        with pytest.raises(KernelDied, match="processor time"):
            session.run("1")


def test_one_file_and_the_disk_have_limits_of_their_own():
    write = "with open('/tmp/{}', 'wb') as file: file.write(bytes({} * 2**20))"
    limits = Limits(file_bytes=4 * 2**20, disk_bytes=10 * 2**20)
    with Sandbox(SandboxSettings()) as sandbox, Session(sandbox, limits) as session:
        assert session.run(write.format("a", 3)).outputs == []
        (output,) = session.run(write.format("b", 6)).outputs
        assert "File too large" in output["evalue"]
        assert session.run(write.format("c", 3)).outputs == []
        (output,) = session.run(write.format("d", 4)).outputs
        assert "No space left on device" in output["evalue"]


def test_open_files_are_limited():
    with Sandbox(SandboxSettings()) as sandbox, Session(sandbox, Limits(open_files=64)) as session:
        (output,) = session.run("files = [open('/dev/null') for _ in range(64)]").outputs
        assert "Too many open files" in output["evalue"]
        assert session.run("files = [open('/dev/null') for _ in range(9)]").outputs == []
