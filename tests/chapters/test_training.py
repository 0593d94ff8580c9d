"""The numbers of chapter 5, each measured or computed here; a sentence that states one is asserted word for word."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from chapters.drawings import CHAPTERS, load
from gradlab import corpus

TEXT = re.sub(r"\s+", " ", (CHAPTERS / "05-training.md").read_text())


def says(sentence):
    assert sentence in TEXT, f"the chapter does not say: {sentence}"


@pytest.fixture(scope="module")
def figures():
    return load("training")


def test_how_much_of_an_average_has_arrived():
    """Flax's own batch norm, fed the same batch 60 times, against (5.1) summed up."""
    for momentum in (0.9, 0.99, 0.999):
        norm = nnx.BatchNorm(1, momentum=momentum, rngs=nnx.Rngs(0))
        x = jnp.asarray([[1.0], [3.0]], jnp.float32)
        for _ in range(60):
            norm(x)
        arrived = float(norm.mean[...][0]) / 2
        assert arrived == pytest.approx(1 - momentum**60, rel=1e-4)
        if momentum == 0.99:
            says(f"With 0.99 it is at {100 * arrived:.0f} percent after 60 steps")
            assert arrived < 0.5
            says(
                "After 60 steps with Flax's default of 0.99, more than half of the average is still the initial value."
            )
        if momentum == 0.999:
            says(f"and with 0.999 at {100 * arrived:.0f} percent")
    # The layer's own default, from the library.
    assert nnx.BatchNorm(1, rngs=nnx.Rngs(0)).momentum == 0.99


def test_mean_and_variance_behind_dropout():
    """(5.2), against Flax's dropout on 20,000 copies."""
    random = np.random.default_rng(0)
    features, weights, rate = random.standard_normal(12), random.standard_normal(12), 0.3
    drop = nnx.Dropout(rate, rngs=nnx.Rngs(0))
    sums = np.asarray(drop(jnp.tile(jnp.asarray(features), (20_000, 1)))) @ weights
    spread = np.sqrt(rate / (1 - rate) * np.sum((weights * features) ** 2))
    # Five standard errors of a mean and, for nearly normal sums, of a standard deviation.
    assert sums.mean() == pytest.approx(weights @ features, abs=5 * spread / np.sqrt(20_000))
    assert sums.std() == pytest.approx(spread, rel=5 / np.sqrt(2 * 20_000))


def test_dropout_is_a_penalty_for_squared_error():
    """Mean over all masks of a squared error: the error without dropout, plus the variance of (5.2)."""
    features, weights, target, rate = np.array([1.0, -2.0, 0.5]), np.array([0.3, 0.2, -1.0]), 0.7, 0.4
    masks = np.array(list(np.ndindex(2, 2, 2)))
    chance = np.prod(np.where(masks == 1, 1 - rate, rate), axis=1)
    errors = ((masks / (1 - rate) * features) @ weights - target) ** 2
    variance = rate / (1 - rate) * np.sum((weights * features) ** 2)
    np.testing.assert_allclose(chance @ errors, (features @ weights - target) ** 2 + variance, rtol=1e-12)


def test_a_lost_state_costs_what_the_figure_shows(figures):
    whole, forgot = (figures.adam_run(forget=forget) for forget in (False, True))
    np.testing.assert_array_equal(whole[: figures.KILLED + 1], forgot[: figures.KILLED + 1])
    jump = forgot[figures.KILLED :].max() / whole[figures.KILLED]
    words = {2: "twice", 3: "three times", 4: "four times", 5: "five times"}
    says(f"the loss jumps to {words[round(jump)]} its value and stays above for the rest")
    assert (forgot[figures.KILLED + 2 :] > whole[figures.KILLED + 2 :]).all()


def test_the_mean_of_batch_means():
    """Figure 5.3, from the examples themselves."""

    def both(rest):
        full = np.ones(64)
        full[0] = 0.98 * 64 - 63  # so that the mean of a batch is 0.98
        batches = [full] * 4 + [np.zeros(rest)]
        return np.concatenate(batches).mean(), np.mean([batch.mean() for batch in batches])

    true, naive = both(1)
    says("With a single example in it, the mean of the means is wrong by 20 points.")
    assert round(100 * (true - naive)) in (19, 20)
    true, naive = both(64)
    says(f"Over examples it falls from 98 to {100 * true:.0f} percent")
    says(f"The mean of batch means is {100 * naive:.0f} percent throughout.")


def test_the_winner_of_equal_settings(figures):
    """(5.5) with binomial counts in place of normal numbers."""
    says("On 300 examples, the best of 50 settings that do not differ looks 2.2 points better than it is.")
    says("for $a = 97\\,\\%$")
    formula = 100 * np.sqrt(0.97 * 0.03 / 300) * figures.best_of(50)
    assert round(formula, 1) == 2.2
    right = np.random.default_rng(0).binomial(300, 0.97, (4000, 50)).max(axis=1)
    # The counts are skewed: near 100 % the normal numbers of (5.5) say a fifth too much.
    assert 100 * (right.mean() / 300 - 0.97) == pytest.approx(formula, rel=0.25)


def test_the_parts_of_the_error_of_gradient_descent(figures):
    """(5.6), against gradient descent on noisy least squares, run 4000 times."""
    curvature, steps, noise = figures.CURVATURE[::6], 40, 0.2
    random = np.random.default_rng(0)
    # The minimum of the noisy loss in units where each direction has noise sigma^2 / lambda.
    found = 1 + np.sqrt(noise / curvature) * random.standard_normal((4000, len(curvature)))
    weight = np.zeros_like(found)
    for _ in range(steps):
        weight -= curvature * (weight - found)
    measured = np.mean(np.sum(curvature * (weight - 1) ** 2, axis=1))
    left = (1 - curvature) ** steps
    exact = np.sum(curvature * left**2 + noise * (1 - left) ** 2)
    assert measured == pytest.approx(exact, rel=0.05)


def test_more_noise_stops_earlier(figures):
    left = (1 - figures.CURVATURE[:, None]) ** np.geomspace(1, 1e5, 300)[None]
    best = [
        int((figures.CURVATURE[:, None] * left**2 + noise * (1 - left) ** 2).sum(0).argmin())
        for noise in (0.01, 0.05, 0.2)
    ]
    assert best == sorted(best, reverse=True)
    assert len(set(best)) == 3
    says("The best time to stop comes earlier when there is more noise.")


def test_guessing_a_character():
    assert len(corpus.ALPHABET) == 96
    says(f"A model that knows nothing has $\\ln V$ for $V$ characters, {np.log(96):.2f} for our 96.")


def test_names_are_text_and_steps_are_numbers():
    assert max(["9", "10"]) == "9"
    says('as text, "9" comes after "10"')


def test_a_function_applied_anew_is_traced_anew():
    traces = []

    def step(x):
        traces.append(x.shape)
        return x + 1

    compiled = nnx.jit(step)
    for _ in range(3):
        compiled(jnp.zeros(2))
    assert len(traces) == 1
    for _ in range(3):
        nnx.jit(lambda x: step(x))(jnp.zeros(2))
    assert len(traces) == 4
    compiled(jnp.zeros(3))
    assert len(traces) == 5
    says("Each application makes a new function, with an empty cache.")
    says("Each shape is compiled.")


def test_keys_of_the_epochs_differ():
    seed = jax.random.key(3)
    orders = [tuple(jax.random.permutation(jax.random.fold_in(seed, epoch), 20).tolist()) for epoch in range(5)]
    assert len(set(orders)) == 5
