"""The sandbox as the engine holds it."""

import os

import pytest

from gradlab_grading.limits import Limits
from gradlab_grading.sandbox import Sandbox, SandboxSettings
from gradlab_grading.session import Session

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
