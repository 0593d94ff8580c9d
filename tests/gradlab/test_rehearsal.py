"""Two processes with a student's functions: they agree with one, an error is shown, one is lost."""

import re
import sys

import numpy as np
import pytest

# The names that the functions below use: those of the lab's first cell.
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from gradlab import rehearsal
from gradlab.processes import ProcessesFailed

# Two JAX processes start, and a loaded machine may need a while for that.
pytestmark = pytest.mark.timeout(600)


def process_rows(rows: int, process: int, processes: int) -> tuple[int, int]:
    share = rows // processes
    return process * share, (process + 1) * share


def global_batch(local: Float[np.ndarray, "rows width"], mesh: Mesh) -> Float[Array, "all_rows width"]:
    import jax

    return jax.make_array_from_process_local_data(NamedSharding(mesh, P("data")), local)


def elsewhere(rows):
    return rows


def with_a_helper(local: Float[np.ndarray, "rows width"], mesh: Mesh) -> Float[Array, "all_rows width"]:
    return elsewhere(local)


def losses(text, who):
    """The losses that `who` printed."""
    (found,) = re.findall(rf"^{re.escape(who)}.*: \[(.*)\]$", text, re.MULTILINE)
    return [float(number) for number in found.split(", ")]


def test_two_processes_find_the_losses_of_one(capsys, monkeypatch):
    # As on a machine with accelerators; this process has started already, and does not see it.
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    rehearsal.train_in_two(process_rows, global_batch)
    text = capsys.readouterr().out
    alone = losses(text, "alone")
    assert len(alone) == 5
    assert alone[-1] < alone[0]
    for process in ("[0]", "[1]"):
        # Printed with five digits, and summed in another order.
        assert losses(text, process) == pytest.approx(alone, abs=2e-5)


def test_a_helper_that_stands_elsewhere_is_named():
    with pytest.raises(ProcessesFailed, match="NameError: name 'elsewhere' is not defined"):
        rehearsal.train_in_two(process_rows, with_a_helper)


# In place of a training: process 0 reports the step, and both would then go on for long.
STAND_IN = f"""
import os, time
if os.environ["JAX_PROCESS_ID"] == "0":
    print("step {rehearsal.LOST_AT} of 40", flush=True)
    time.sleep(2)
    raise SystemExit(3)
time.sleep(600)
"""


def test_process_1_is_killed_when_the_step_is_reported(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(rehearsal, "_gpt", lambda folder: [sys.executable, "-c", STAND_IN])
    rehearsal.lose_one(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"[0] step {rehearsal.LOST_AT} of 40"
    assert [line[: line.index(" after")] for line in lines[1:]] == [
        "process 1 was killed by SIGKILL",
        "process 0 ended with status 3",
    ]


def test_where_programs_cannot_reach_each_other_nothing_is_started(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(rehearsal, "can_connect", lambda: False)
    rehearsal.lose_one(tmp_path)
    rehearsal.go_on(tmp_path)
    assert capsys.readouterr().out.splitlines() == 2 * [
        "programs cannot reach each other here: no second process is started"
    ]
