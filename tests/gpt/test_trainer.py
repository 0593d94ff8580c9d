"""The trainer: what it learns, and that no way of computing a step changes its result."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from gradlab.corpus import standard_library
from gradlab.gpt.batches import batch_at, place
from gradlab.gpt.config import PRESETS, Config, Recipe
from gradlab.gpt.model import GPT, next_token_loss
from gradlab.gpt.remat import POLICIES
from gradlab.gpt.trainer import Trainer

SMALL = Config(context=16, width=32, layers=2, heads=4, dtype="float32")
BRIEF = Recipe(steps=4, batch=8, warmup=1, rate=1e-2)
# Another order of float32 sums moves a loss of about 4.5 by some 1e-7 of itself; an update of Adam divides by
# the size of the gradient, and carries more of it into the next loss.
SAME_LOSS = {"rtol": 1e-4}


@pytest.fixture(scope="module")
def text():
    return standard_library(50_000).train


def losses(config, recipe, text):
    trainer = Trainer(config, recipe)
    state, found = trainer.init(), []
    for step in range(recipe.steps):
        batch = place(batch_at(text, step, config, recipe), trainer.batch_sharding)
        state, metrics = trainer.step(state, batch)
        found.append(float(metrics.loss))
    return found


@pytest.fixture(scope="module")
def plain(text):
    return losses(SMALL, BRIEF, text)


def test_the_loss_begins_at_ln_of_the_vocabulary_and_falls(text):
    config = SMALL.but(dtype="bfloat16")
    found = losses(config, Recipe(steps=60, batch=8, warmup=5, rate=1e-2), text)
    # Small weights make all tokens almost equally likely. Not quite: the embedding is tied, so a token's own logit is
    # up to 1 above the others, and how often a character of the library repeats differs by its version.
    assert found[0] == pytest.approx(np.log(config.vocabulary), abs=0.25)
    # The entropy of single characters of this text is about 3.3 nats.
    assert np.mean(found[-10:]) < 3.2


@pytest.mark.parametrize(
    "changes",
    [{"scan": False}, {"remat": "full"}, {"remat": "dots", "scan": False}, {"remat": "weights"}],
    ids=["unrolled", "full", "dots-unrolled", "weights"],
)
def test_loops_and_remat_change_no_loss(changes, plain, text):
    np.testing.assert_allclose(losses(SMALL.but(**changes), BRIEF, text), plain, **SAME_LOSS)


def test_remat_needs_less_memory_and_more_work():
    # Long enough for activations to outweigh the parameters.
    config, recipe = SMALL.but(context=64, layers=4), Recipe(batch=16)
    compiled = {name: Trainer(config.but(remat=name), recipe).compile_step() for name in ("none", "full")}
    memory = {name: it.memory_analysis().temp_size_in_bytes for name, it in compiled.items()}
    assert memory["full"] < 0.6 * memory["none"]


def test_an_unknown_policy_is_named():
    with pytest.raises(ValueError, match=f"'all'.*{', '.join(POLICIES)}"):
        Trainer(SMALL.but(remat="all"), BRIEF).compile_step()


def test_accumulation_equals_the_large_batch(plain, text):
    recipe = Recipe(steps=4, batch=8, accumulation=4, warmup=1, rate=1e-2)
    np.testing.assert_allclose(losses(SMALL, recipe, text), plain, **SAME_LOSS)


def test_accumulation_equals_the_large_batch_in_bfloat16(text):
    config = SMALL.but(dtype="bfloat16")
    parts = Recipe(steps=4, batch=8, accumulation=4, warmup=1, rate=1e-2)
    # Parts are added in float32. What is left is the rounding of each part's gradient to 8 bits, of which Adam's
    # first updates keep the sign more than the size.
    np.testing.assert_allclose(losses(config, parts, text), losses(config, BRIEF, text), rtol=3e-3)


def test_the_arithmetic_is_bfloat16_and_the_weights_are_float32(text):
    trainer = Trainer(SMALL.but(dtype="bfloat16"), BRIEF)
    state = trainer.init()
    state, _ = trainer.step(state, place(batch_at(text, 0, SMALL, BRIEF), trainer.batch_sharding))
    kept = jax.tree.leaves((state.parameters, state.optimizer))
    assert {leaf.dtype.name for leaf in kept} == {"float32", "int32"}
    assert {leaf.shape for leaf in kept if leaf.dtype == jnp.int32} == {()}
    tokens = jnp.zeros((1, 9), jnp.int32)
    gradient = jax.grad(lambda parameters: next_token_loss(nnx.merge(trainer.graph, parameters), tokens))
    found = list(operands(jax.make_jaxpr(gradient)(state.parameters).jaxpr))
    # Of a block: QKV, scores, mixture, out, up, down; then the output layer. Each has two products backward, and the
    # scores are computed a second time. Sums may be float32.
    assert found == [{"bfloat16"}] * (3 * 7 + 1)


def operands(jaxpr):
    """The dtypes that are multiplied in each matrix product, inner programs included."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            # An operand of another type is cast first where the algorithm of the product says so.
            cast = equation.params["precision"] is jax.lax.DotAlgorithmPreset.BF16_BF16_F32
            yield {"bfloat16"} if cast else {value.aval.dtype.name for value in equation.invars}
        for parameter in equation.params.values():
            inner = getattr(parameter, "jaxpr", parameter)
            if hasattr(inner, "eqns"):
                yield from operands(inner)


def test_the_gradient_of_a_frequent_token_is_summed_in_float32():
    config = SMALL.but(context=64, layers=1)
    # Tokens that come 2624, 896 and 640 times. A sum of bfloat16 stops to grow at some hundred equal terms.
    tokens = jnp.zeros((64, 65), jnp.int32).at[:, ::4].set(1).at[:, ::7].set(2)

    def gradient(dtype):
        model = GPT(config.but(dtype=dtype), nnx.Rngs(0))
        return nnx.grad(lambda model: next_token_loss(model, tokens))(model)["tokens"]["embedding"][:3]

    wanted = gradient("float32")
    error = jnp.linalg.norm(gradient("bfloat16") - wanted, axis=1) / jnp.linalg.norm(wanted, axis=1)
    # A term has 8 bits, 0.4 %, and errors of many terms cancel; a sum in bfloat16 is off by a fifth.
    assert float(error.max()) < 0.01


def test_a_step_takes_the_buffers_of_the_state(text):
    trainer = Trainer(SMALL, BRIEF)
    state = trainer.init()
    trainer.step(state, place(batch_at(text, 0, SMALL, BRIEF), trainer.batch_sharding))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(trainer.abstract))
    # Each output is where its input was: a step needs no second copy of the state.
    assert trainer.compile_step().memory_analysis().alias_size_in_bytes >= size


def test_padding_has_no_probability_and_changes_no_loss():
    config = SMALL.but(vocabulary=1025)
    assert config.padded_vocabulary == 1152
    model = GPT(config, nnx.Rngs(0))
    tokens = jax.random.randint(jax.random.key(1), (2, 17), 0, config.vocabulary)
    logits = model(tokens[:, :-1])
    assert float(jnp.max(jax.nn.softmax(logits)[..., config.vocabulary :])) == 0.0
    unpadded = optax.softmax_cross_entropy_with_integer_labels(logits[..., : config.vocabulary], tokens[:, 1:])
    np.testing.assert_allclose(next_token_loss(model, tokens), unpadded.mean(), rtol=1e-6)


def test_no_position_sees_a_later_one():
    model = GPT(SMALL, nnx.Rngs(0))
    tokens = jnp.zeros((1, 16), jnp.int32)
    before, after = model(tokens), model(tokens.at[0, 10].set(5))
    np.testing.assert_array_equal(before[:, :10], after[:, :10])
    assert float(jnp.max(jnp.abs(before[:, 10:] - after[:, 10:]))) > 0


def test_gpt2_has_the_parameters_that_were_published():
    # 124,439,808: https://huggingface.co/openai-community/gpt2, its safetensors header. Padding adds rows.
    config = PRESETS["gpt2-124m"]
    state = nnx.state(nnx.eval_shape(lambda: GPT(config, nnx.Rngs(0))), nnx.Param)
    padding = (config.padded_vocabulary - config.vocabulary) * config.width
    assert sum(leaf.size for leaf in jax.tree.leaves(state)) - padding == 124_439_808


def test_decay_is_for_matrices_alone():
    trainer = Trainer(SMALL, Recipe(steps=100, batch=8, rate=1e-2, warmup=0, decay=0.5))
    state = trainer.init()
    nothing = jax.tree.map(jnp.zeros_like, state.parameters)
    updates, _ = trainer.transform.update(nothing, state.optimizer, state.parameters)
    # Without a gradient an update is the decay alone: -rate * decay * weight.
    block = updates["blocks"]
    np.testing.assert_allclose(
        block["up"]["kernel"][...], -5e-3 * state.parameters["blocks"]["up"]["kernel"][...], rtol=1e-5
    )
    assert not jnp.any(block["mlp_norm"]["scale"][...])


def test_a_batch_depends_on_seed_and_step_alone(text):
    first = batch_at(text, 3, SMALL, BRIEF)
    batch_at(text, 4, SMALL, BRIEF)
    np.testing.assert_array_equal(first, batch_at(text, 3, SMALL, BRIEF))
    assert not np.array_equal(first, batch_at(text, 4, SMALL, BRIEF))
    assert not np.array_equal(first, batch_at(text, 3, SMALL, Recipe(batch=8, seed=1)))
    windows = np.lib.stride_tricks.sliding_window_view(text, 17)
    assert (windows == first[0, 0]).all(axis=1).any()
