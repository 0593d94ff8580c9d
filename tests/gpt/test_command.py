"""The command line refuses in one line what cannot be done, and an interrupt loses nothing that was saved."""

import shutil
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest
from typer.testing import CliRunner

from gradlab.gpt.checkpoints import Checkpoints
from gradlab.gpt.cli import INTERRUPTED, app
from gradlab.gpt.config import Config, Recipe
from gradlab.gpt.sharding import make_mesh
from gradlab.gpt.trainer import Trainer

BRIEF = ("--characters", "20000", "--batch", "8", "--report", "1")


def said(*options):
    """The exit status, and all that the command prints; an error that it does not catch is raised here."""
    result = CliRunner().invoke(app, [*BRIEF, *map(str, options)])
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--steps", 0), "steps must be at least 1, not 0"),
        (("--batch", 0), "batch must be at least 1, not 0"),
        (("--batch", -4), "batch must be at least 1, not -4"),
        (("--accumulation", 0), "accumulation must be at least 1, not 0"),
        (("--accumulation", 3), "accumulation must divide batch: 8 / 3 is not whole"),
        (("--rate", "nan"), "rate must be a positive number, not nan"),
        (("--rate", -1), "rate must be a positive number, not -1.0"),
        (("--warmup", -1), "warmup must be at least 0, not -1"),
        (("--seed", -1), "seed must be at least 0, not -1"),
        (("--data", 0), "a mesh has at least 1 device along 'data', not 0"),
        (("--model", 0), "a mesh has at least 1 device along 'model', not 0"),
        (("--model", 1000), "a mesh of 1 x 1000 needs 1000 devices, there are"),
        (("--preset", "huge"), "there is no preset 'huge': choose one of tiny,"),
        (("--dtype", "float16"), "there is no dtype 'float16': choose one of bfloat16, float32"),
        (("--remat", "all"), "there is no remat policy 'all': choose one of none, dots, weights, full"),
        (("--characters", 0), "characters must be at least 1, not 0"),
        (("--report", 0), "'--report'"),
    ],
    ids=lambda it: "-".join(map(str, it)).strip("-") if isinstance(it, tuple) else "",
)
def test_a_bad_value_is_refused_in_one_line(options, words):
    status, text = said("--data", 1, *options)
    assert status in (1, 2)
    assert words in text.splitlines()[-1]


def test_no_checkpoint_every_zero_steps(tmp_path):
    status, text = said("--checkpoints", tmp_path, "--every", 0)
    assert status == 1
    assert text.splitlines()[-1] == "gradlab.gpt: every must be at least 1 step, not 0"


@pytest.mark.parametrize("place", ["notes.txt", "notes.txt/run"])
def test_a_folder_that_cannot_be_one_is_refused_before_the_first_step(tmp_path, place):
    (tmp_path / "notes.txt").write_text("mine")
    status, text = said("--data", 1, "--checkpoints", tmp_path / place)
    assert status == 1
    assert str(tmp_path / place) in text.splitlines()[-1]
    assert "step 1 " not in text


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder with the checkpoints of the steps 2 and 4 of the smallest preset."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    trainer = Trainer(Config(), Recipe(batch=8))
    with Checkpoints(folder, every=2) as checkpoints:
        for step in (2, 4):
            state = trainer.init()
            checkpoints.save(step, state._replace(step=state.step + step), trainer.config)
    return folder


def test_a_run_that_is_done_says_so(run):
    status, text = said("--data", 1, "--checkpoints", run, "--steps", 3)
    assert status == 0
    assert "3 steps are done already: give more --steps to train on" in text


@pytest.mark.parametrize("lost", ["sizes", "state", "state/_METADATA", "sizes/metadata"])
def test_a_torn_checkpoint_is_named_and_the_one_before_still_counts(run, tmp_path, lost):
    torn = tmp_path / "run"
    shutil.copytree(run, torn)
    path = torn / "4" / lost
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.write_bytes(b"x")
    trainer = Trainer(Config(), Recipe(batch=8))
    refused = pytest.raises(ValueError, match=rf"{torn / '4'} cannot be read: move it away to go on")
    with Checkpoints(torn, every=2) as checkpoints, refused:
        checkpoints.restore(trainer)
    shutil.move(torn / "4", tmp_path / "torn")
    with Checkpoints(torn, every=2) as checkpoints:
        assert int(checkpoints.restore(trainer).step) == 2


# A shell starts what it puts in the background with Ctrl-C ignored; this test may run there.
COMMAND = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from gradlab.gpt.cli import app
app()
"""


def test_an_interrupt_says_how_to_go_on_and_leaves_a_whole_checkpoint(tmp_path):
    folder = tmp_path / "run"
    options = ["--steps", "100000", "--data", "1", "--every", "5", "--checkpoints", str(folder)]
    command = [sys.executable, "-c", COMMAND, *BRIEF, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        for line in running.stdout:
            if line.startswith("step 7 "):
                running.send_signal(signal.SIGINT)
        words = running.stderr.read()
    assert running.returncode == INTERRUPTED
    wanted = f"gradlab.gpt: interrupted; the same command goes on from the last checkpoint in {folder}."
    assert words.strip().splitlines() == [wanted]
    trainer = Trainer(Config(), Recipe(batch=8), make_mesh(1, 1))
    with Checkpoints(folder, every=5) as checkpoints:
        state = checkpoints.restore(trainer)
    assert int(state.step) >= 5
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))
