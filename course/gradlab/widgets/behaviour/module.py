"""The behaviour widget on a Flax module, trained by the student's own step."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from gradlab.widgets.behaviour import Behaviour


def behaviour_of(model: nnx.Module, optimizer: nnx.Optimizer, train_step: Callable, **where: Any) -> Behaviour:
    """A model of two inputs and two classes over the plane, in evaluation mode.

    `train_step(model, optimizer, x, y)` trains model and optimizer in place; the learning rate can be moved where the
    optimizer was made with `optax.inject_hyperparams`. `where` is where `Behaviour` stands at first.
    """
    model.eval()
    graph, *parts = nnx.split(model, nnx.Param, ...)
    # What split gives are the model's own variables, which training changes.
    start, rest, untrained = jax.tree.map(jnp.copy, (*parts, nnx.state(optimizer)))

    def forward(params: Any, x: Any) -> Any:
        return nnx.merge(graph, params, rest, copy=True)(x)

    def teach(params: Any, x: Any, y: Any, steps: int, learning_rate: float) -> Any:
        nnx.update(model, params)
        if params is start:
            nnx.update(optimizer, untrained)
        hyper = getattr(optimizer.opt_state, "hyperparams", {})
        if "learning_rate" in hyper:
            hyper["learning_rate"][...] = jnp.asarray(learning_rate, jnp.float32)
        for _ in range(steps):
            train_step(model, optimizer, jnp.asarray(x), jnp.asarray(y))
        return jax.tree.map(jnp.copy, nnx.state(model, nnx.Param))

    return Behaviour(forward, start, teach=teach, **where)
