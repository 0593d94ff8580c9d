"""The calculators against what XLA plans and counts."""

import jax
import pytest

from gradlab.costs import flops_per_token, parameter_count, training_memory
from gradlab.gpt.config import Config, Recipe
from gradlab.gpt.trainer import Trainer

CONFIG = Config(context=64, width=64, layers=4, heads=4, dtype="float32")
RECIPE = Recipe(batch=8)


@pytest.mark.parametrize("config", [CONFIG, CONFIG.but(vocabulary=1025, layers=3)], ids=["plain", "padded"])
def test_parameters_are_those_of_the_trainer(config):
    held = sum(leaf.size for leaf in jax.tree.leaves(Trainer(config, RECIPE).abstract.parameters))
    assert parameter_count(config, padded=True) == held


def test_states_are_the_arguments_of_the_compiled_step():
    arguments = Trainer(CONFIG, RECIPE).compile_step().memory_analysis().argument_size_in_bytes
    predicted = training_memory(CONFIG, RECIPE.batch)
    batch = RECIPE.batch * (CONFIG.context + 1) * 4
    # Gradients are made inside of the step. Beside the states there are the counts of steps and padding of buffers.
    assert arguments == pytest.approx(predicted.parameters + predicted.optimizer + batch, rel=0.005)


@pytest.mark.parametrize("remat", ["none", "full"])
def test_activations_grow_by_layer_as_predicted(remat):
    """Between 4 and 8 layers: what does not depend on the depth is the same in both."""
    four, eight = (CONFIG.but(layers=layers, remat=remat) for layers in (4, 8))
    planned = [Trainer(it, RECIPE).compile_step().memory_analysis().temp_size_in_bytes for it in (four, eight)]
    memory = [training_memory(it, RECIPE.batch, remat=remat) for it in (four, eight)]
    small, large = (it.activations + it.gradients for it in memory)
    # The plan has the predicted bytes, and beside them little more than padding of buffers.
    assert planned[1] - planned[0] == pytest.approx(large - small, rel=0.05)


def test_work_is_what_xla_counts():
    config = CONFIG.but(scan=False)  # the body of a loop is counted once
    step = Trainer(config, RECIPE).compile_step()
    tokens = RECIPE.batch * config.context
    # XLA counts element-wise work too, and the optimizer: more than the matrix products, by less than a fifth.
    ratio = step.cost_analysis()["flops"] / (tokens * flops_per_token(config))
    assert 1.0 < ratio < 1.2
