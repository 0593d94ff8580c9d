"""The behaviour widget on a Flax module."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from gradlab.widgets.behaviour.module import behaviour_of


def margin(answer):
    return np.frombuffer(answer[1][0], np.float32)


def test_a_module_is_trained_by_the_students_step():
    model = nnx.Sequential(nnx.Linear(2, 2, rngs=nnx.Rngs(0)), nnx.Dropout(0.9, rngs=nnx.Rngs(1)))
    optimizer = nnx.Optimizer(model, optax.inject_hyperparams(optax.sgd)(0.5, momentum=0.9), wrt=nnx.Param)
    rates = []

    def step(model, optimizer, x, y):
        rates.append(float(optimizer.opt_state.hyperparams["learning_rate"][...]))
        optimizer.update(model, jax.tree.map(jnp.ones_like, nnx.state(model, nnx.Param)))

    widget = behaviour_of(model, optimizer, step)
    # In evaluation mode: dropout would make two looks differ.
    before = margin(widget.answer_look({}))
    np.testing.assert_array_equal(margin(widget.answer_look({})), before)
    kernel = np.asarray(model.layers[0].kernel[...])
    for _ in range(2):
        answer, _ = widget.answer_train({"steps": 2, "learning_rate": 0.125})
        assert answer["problem"] is None
        assert answer["step"] == 2
        # Two steps of SGD with momentum on a slope of one: 1, then 1.9 times the rate.
        moved = kernel - np.asarray(widget.network.params["layers"][0]["kernel"][...])
        np.testing.assert_allclose(moved, 0.125 * 2.9, rtol=1e-5)
        np.testing.assert_array_equal(margin(widget.answer_begin({})), before)
    assert rates == [0.125] * 4
