"""The same losses on every mesh, and no device holds more than its share."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from jax.sharding import PartitionSpec as P

from gradlab.costs import all_gather, reduce_scatter, ring_all_reduce, tensor_parallel
from gradlab.gpt.config import Config
from gradlab.gpt.sharding import spec_of


@pytest.fixture(scope="module")
def measured():
    """What `eight_devices.py` prints: eight devices are for a process of their own."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("eight_devices.py"))],
        capture_output=True,
        text=True,
        env=os.environ | {"JAX_NUM_CPU_DEVICES": "8", "PJRT_NPROC": "32", "JAX_PLATFORMS": "cpu"},
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


MESHES = ("8x1", "2x4", "4x2")


@pytest.mark.parametrize("mesh", MESHES)
def test_eight_devices_find_the_losses_of_one(measured, mesh):
    # The same sums in another order: float32 to about 1e-6, carried through four updates of Adam.
    assert measured[mesh]["losses"] == pytest.approx(measured["1x1"]["losses"], rel=1e-4)


@pytest.mark.parametrize("mesh", MESHES)
def test_optimizer_state_lies_where_its_parameter_does(measured, mesh):
    assert measured[mesh]["optimizer_like_parameters"]


@pytest.mark.parametrize("mesh", MESHES)
def test_a_device_holds_an_eighth_of_the_matrices(measured, mesh):
    found = measured[mesh]
    assert found["largest_matrix_share"] == pytest.approx(1 / 8)
    # Norms, biases and positions are whole or in fewer parts.
    assert 1 / 8 < found["state_share"] < 0.2


def test_a_checkpoint_of_one_mesh_is_restored_on_another(measured):
    assert measured["restored_on_another_mesh"]


def test_tensor_parallelism_divides_the_work_of_matrices_alone(measured):
    assert measured["2x4"]["model_axis_reduces"] > 0
    assert measured["8x1"]["gathers"] > 0


@pytest.mark.parametrize(
    ("kind", "predicted"),
    [("all-reduce", ring_all_reduce), ("all-gather", all_gather), ("reduce-scatter", reduce_scatter)],
)
def test_the_calculator_counts_the_bytes_of_the_compiled_collective(measured, kind, predicted):
    # XLA makes one collective of the whole array; a device never sends its own part to itself.
    assert measured["traffic"][kind] == predicted(64 * 32 * 4, 8).sent


def test_the_calculator_counts_the_bytes_of_tensor_parallel_blocks(measured):
    # Between two and four layers; 8 sequences of 16 tokens in float32. Nothing else of a block is sent but the
    # gradient's norm, which has 4 bytes.
    config = Config(context=16, width=32, layers=2)
    assert measured["tensor_traffic"] == pytest.approx(tensor_parallel(config, 8, 4, itemsize=4).sent, rel=0.01)


def test_a_mesh_that_does_not_divide_a_parameter_is_refused_by_name(measured):
    assert "blocks.out.kernel" in measured["refused"]
    assert "'model'" in measured["refused"]


def test_a_parameter_without_a_rule_is_refused():
    with pytest.raises(KeyError, match=r"rotary\.kernel"):
        spec_of("blocks.rotary.kernel")
    assert spec_of("blocks.up.kernel") == P(None, "data", "model")
