"""The given training run is optax's, and a recipe that cannot be followed names its fix."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gradlab.landscapes import SoftmaxRegression, digits
from gradlab.optim import Signum, ZeroMoments, Zeros, train_on_digits

GOOD = {"optimizer": "adamw", "learning_rate": 0.1, "warmup_steps": 2, "max_norm": 0.5}


def test_a_run_agrees_with_optax_step_by_step():
    steps, batch = 4, 128
    images, labels = (jnp.asarray(part) for part in digits())
    key_params, key_order = jax.random.split(jax.random.key(3))
    params = {"weight": 0.1 * jax.random.normal(key_params, (64, 10)), "bias": jnp.zeros(10)}
    rows = jax.random.randint(key_order, (steps, batch), 0, len(images))
    schedule = optax.warmup_cosine_decay_schedule(0.0, 0.1, 2, steps)
    tx = optax.chain(optax.clip_by_global_norm(0.5), optax.adamw(schedule, weight_decay=1e-2))
    state, loss = tx.init(params), SoftmaxRegression()
    wanted = [loss(params, images, labels)]
    for chosen in rows:
        updates, state = tx.update(loss.gradient(params, images[chosen], labels[chosen]), state, params)
        params = optax.apply_updates(params, updates)
        wanted.append(loss(params, images, labels))
    # float32, in another order of operations
    np.testing.assert_allclose(train_on_digits(GOOD, steps=steps, seed=3), wanted, rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"optimizer": "lion"}, "must be one of sgd"),
        ({"warmup_steps": 60}, "from 0 to 59"),
        ({"warmup_steps": 1.5}, "whole number"),
        ({"learning_rate": -1}, "positive number"),
        ({"max_norm": 0}, "positive number or None"),
        ({"momentum": 0.9}, "keys optimizer, learning_rate"),
    ],
    ids=str,
)
def test_a_recipe_that_cannot_be_followed_names_the_fix(change, says):
    with pytest.raises(ValueError, match=says):
        train_on_digits(GOOD | change, steps=60)


def test_states_start_at_zero_and_signum_steps_by_the_sign():
    params = {"w": jnp.array([1.0, -2.0])}
    assert jax.tree.structure(ZeroMoments()(params)[1]) == jax.tree.structure(params)
    moved, mean = Signum()(params, {"w": jnp.array([3.0, -4.0])}, Zeros()(params), 0.1, decay=0.5)
    np.testing.assert_allclose(moved["w"], [0.9, -1.9], rtol=1e-6)
    np.testing.assert_allclose(mean["w"], [1.5, -2.0], rtol=1e-6)
