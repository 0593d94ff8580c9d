"""What must be so whichever seed a batch has: a fault here shows in one batch of dozens or hundreds."""

import jax
import numpy as np
import pytest

from gradlab.checks import forward, optimizers, sharding, training
from gradlab.checks.draw import VISIBLE_SEED, Draw
from gradlab.checks.exercise import drawn
from gradlab.mistakes.forward import exponentials_overflow
from gradlab_grading.hidden import backward as hidden_backward

SEEDS = range(1, 41)


def cases(exercise, seed):
    """The cases of an exercise by name."""
    return {case.name: case for case in drawn(exercise.cases, seed, exercise.name)}


@pytest.mark.allow_rank_promotion("the banks hold what students write, and JAX lets students write it")
@pytest.mark.parametrize("seed", [VISIBLE_SEED, *SEEDS])
def test_scores_in_the_hundreds_overflow(seed):
    (outcome,) = forward.causal_attention.ask(
        (exponentials_overflow,), [cases(forward.causal_attention, seed)["scores in the hundreds"]]
    )
    assert not outcome.passed


def test_no_scaling_law_is_near_to_the_visible_one():
    names = [f"the {part} of an exact law" for part in ("floor", "factor", "exponent")]
    names.append("the middle of the interval, over 20 noisy experiments")
    visible = cases(sharding.fit_scaling_law, VISIBLE_SEED)
    for seed in SEEDS:
        found = cases(sharding.fit_scaling_law, seed)
        assert [name for name in names if found[name].problem(visible[name].want) is None] == []


def test_two_keys_are_never_the_same():
    # 79: the first seed under which two single draws from a thousand gave the same number twice.
    for seed in (79, *SEEDS):
        case = next(it for it in hidden_backward.deep_init.cases(Draw(seed, "deep_init")) if "another key" in it.name)
        assert case.ask((lambda key, depth, width, _: np.asarray(jax.random.normal(key, (depth, width))),)).passed


def test_a_target_that_was_reached_in_the_notebook_is_a_little_nearer_for_the_grader():
    assert "97% of other images" in cases(training.train_on_budget, VISIBLE_SEED)
    assert "96% of other images" in cases(training.train_on_budget, 1)
    assert "a loss of 0.16 within 60 steps" in cases(optimizers.digits_recipe, VISIBLE_SEED)
    assert "a loss of 0.18 within 60 steps" in cases(optimizers.digits_recipe, 1)
