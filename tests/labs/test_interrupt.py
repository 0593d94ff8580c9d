"""A training that is stopped in a real kernel as the stop button stops it, and goes on when its cell is run again."""

import re
import time

import pytest
from jupyter_client.manager import start_new_kernel

SETUP = """
from pathlib import Path

import optax
from flax import nnx

from gradlab.bar import Bar
from gradlab.handwriting import digit_images
from gradlab.trials import arrays, same_bits
from gradlab_grading.reference import lab_folders, reference

names = reference(lab_folders()["05-training"])
data = digit_images().train


def cell(folder, steps):
    model = names["CNN"](nnx.Rngs(0), channels=2, dropout=0.5)
    optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)
    with Bar("digits", steps) as bar:
        tell = lambda step, loss, *_: bar.show(step, loss=loss)
        settings = {"seed": 3, "batch_size": 32, "steps": steps, "folder": Path(folder), "every": 4}
        names["fit"](names["train_step"], model, optimizer, *data, **settings, on_step=tell)
    return arrays(nnx.state(model)) | {f"optimizer/{name}": part for name, part in arrays(nnx.state(optimizer)).items()}
"""


class Kernel:
    """A kernel of its own, and what its cells have shown."""

    def __init__(self, folder):
        self.manager, self.client = start_new_kernel(kernel_name="python3", cwd=str(folder))
        self.shown = ""

    def run(self, code, stop_at=None):
        """Runs a cell to its end; interrupts it once its bar is at step `stop_at`. Gives the name of its error."""
        asked = self.client.execute(code)
        error = None
        while True:
            message = self.client.get_iopub_msg(timeout=300)
            if message["parent_header"].get("msg_id") != asked:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind in ("display_data", "update_display_data", "execute_result"):
                self.shown = content["data"]["text/plain"]
                step = re.search(r"step (\d+) of", self.shown)
                if stop_at is not None and step and int(step[1]) >= stop_at:
                    self.manager.interrupt_kernel()
                    stop_at = None
            elif kind == "error":
                error = content["ename"]
            elif kind == "status" and content["execution_state"] == "idle":
                return error

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel(tmp_path):
    kernel = Kernel(tmp_path)
    yield kernel
    kernel.close()


def test_a_run_is_interrupted_and_goes_on_where_it_was(kernel, tmp_path):
    assert kernel.run(SETUP) is None
    began = time.monotonic()
    assert kernel.run("cell('stopped', 100_000)", stop_at=6) == "KeyboardInterrupt"
    assert re.fullmatch(r"digits: step \d+ of 100000, loss [\d.]+, interrupted after \d+ s", kernel.shown)
    assert time.monotonic() - began < 240  # it has not trained to the end
    saved = max(int(path.name) for path in (tmp_path / "stopped").iterdir() if path.name.isdigit())
    assert saved >= 4
    assert kernel.run(f"parted = cell('stopped', {saved + 6})") is None
    assert re.match(rf"digits: step {saved + 6} of {saved + 6}, loss [\d.]+, done in", kernel.shown)
    assert kernel.run(f"whole = cell('whole', {saved + 6})") is None
    assert kernel.run("same_bits(whole, parted)") is None
    assert kernel.shown == "True"
