"""The trainer's benchmark, as far as it goes without PyTorch: the twin's weights, and what it refuses to report."""

import jax
import numpy as np
import pytest
from flax import nnx

from gradlab.gpt.config import Config, Recipe
from gradlab.gpt.trainer import Trainer
from gradlab_grading.bench import gpt
from gradlab_grading.bench.gpt import Measured, compare
from gradlab_grading.torch_gpt import weights

CONFIG = Config(context=8, width=16, layers=2, heads=4, dtype="float32")


@pytest.fixture(scope="module")
def model():
    """The trainer's, with biases that are not zero."""
    trainer = Trainer(CONFIG, Recipe())
    keys = iter(jax.random.split(jax.random.key(1), 100))
    parameters = jax.tree.map(lambda leaf: jax.random.normal(next(keys), leaf.shape), trainer.init().parameters)
    return nnx.merge(trainer.graph, parameters)


def test_a_linear_layer_of_the_twin_computes_the_trainers(model):
    found = weights(nnx.state(model, nnx.Param))
    block, stacked = nnx.split(model.blocks)
    layer = nnx.merge(block, jax.tree.map(lambda leaf: leaf[1], stacked))
    draw = np.random.default_rng(0)
    for name, inputs in {"qkv": (16,), "out": (4, 4), "up": (16,), "down": (64,)}.items():
        x = draw.standard_normal((3, *inputs), np.float32)
        wanted = getattr(layer, name)(x).reshape(3, -1)
        # As torch.nn.Linear: y = x W' + b.
        y = x.reshape(3, -1) @ found[f"blocks.1.{name}.weight"].T + found[f"blocks.1.{name}.bias"][None]
        np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-4)  # sums in float32, in another order


def test_the_twin_gets_every_parameter(model):
    state = nnx.state(model, nnx.Param)
    found = weights(state)
    assert sum(array.size for array in found.values()) == sum(leaf.size for leaf in jax.tree.leaves(state))
    np.testing.assert_array_equal(found["blocks.0.mlp_norm.weight"], state["blocks"]["mlp_norm"]["scale"][0])
    np.testing.assert_array_equal(found["tokens.weight"], state["tokens"]["embedding"][...])


@pytest.mark.parametrize(
    ("twin", "complaint"),
    [
        (Measured(1.0, [4.0, 3.0], 11, 0), "11 parameters"),
        (Measured(1.0, [4.0, 3.1], 10, 0), "step 2.*3.1"),
    ],
    ids=["parameters", "losses"],
)
def test_a_twin_that_is_not_equal_is_refused(twin, complaint):
    compare(Measured(2.0, [4.0, 3.0], 10, 0), Measured(1.0, [4.0001, 3.0], 10, 0), rtol=1e-3)
    with pytest.raises(RuntimeError, match=complaint):
        compare(Measured(2.0, [4.0, 3.0], 10, 0), twin, rtol=1e-3)


@pytest.mark.parametrize("has_torch", [True, False], ids=["with", "without"])
def test_the_table_beside_pytorch(has_torch, monkeypatch):
    def measured(what, *_):
        seconds = 0.5 if what == gpt.TORCH else 0.25
        return {"seconds": seconds, "losses": [4.0, 3.0], "parameters": 10, "memory": 0}

    monkeypatch.setattr(gpt, "_in_a_process", measured)
    monkeypatch.setattr(gpt, "_torch_version", lambda: "9.9" if has_torch else "")
    text = gpt._beside_on_cpu().markdown()
    assert "utilisation |" not in text
    assert "| GradLab, JAX, float32 | 4096 |" in text
    assert ("4096 | 2 | 4.0000 | 3.0000 |" in text) is has_torch
    assert ("pip install torch" in text) is not has_torch
