"""Two processes with a student's functions: they agree with one, an error is shown, a lost one is replaced."""

import re

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


def test_two_processes_find_the_losses_of_one(capsys):
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


@pytest.mark.long
def test_one_is_lost_and_both_go_on_from_the_checkpoint(capsys, tmp_path):
    rehearsal.lose_one(tmp_path)
    text = capsys.readouterr().out
    assert "process 1 was killed by SIGKILL" in text
    assert "process 0 of 2 stops, because another one is gone" in text
    assert "step 40 of 40" not in text
    rehearsal.go_on(tmp_path)
    text = capsys.readouterr().out
    assert "goes on from the checkpoint of step 20" in text
    assert "step 40 of 40" in text


def test_where_programs_cannot_reach_each_other_nothing_is_started(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(rehearsal, "can_connect", lambda: False)
    rehearsal.lose_one(tmp_path)
    rehearsal.go_on(tmp_path)
    assert capsys.readouterr().out.splitlines() == 2 * [
        "programs cannot reach each other here: no second process is started"
    ]
