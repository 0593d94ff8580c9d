"""Given pieces around an optimizer: how its state starts, an update rule that no exercise asks for, and a training run.

All are portable, so that a check can hand them to a student's function.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree

from gradlab.landscapes import DIGIT_CLASSES, PIXELS, SoftmaxRegression, digits
from gradlab.seam.portable import portable

Params = PyTree[Float[Array, "..."]]


@portable
@dataclass(frozen=True)
class Zeros:
    """`params -> zeros` of the same shapes: how a velocity or a mean square starts."""

    def __call__(self, params: Params) -> Params:
        return jax.tree.map(jnp.zeros_like, params)


@portable
@dataclass(frozen=True)
class ZeroMoments:
    """`params -> (0, zeros, zeros)`: the count, mean and mean square with which Adam starts."""

    def __call__(self, params: Params) -> tuple[int, Params, Params]:
        return 0, Zeros()(params), Zeros()(params)


@portable
@dataclass(frozen=True)
class Signum:
    """The sign of a running mean (Bernstein et al. 2018), a step function of the form used in the lab.

    `state` is the running mean, shaped like `params`.
    """

    def __call__(
        self, params: Params, gradients: Params, state: Params, learning_rate: float, decay: float = 0.9
    ) -> tuple[Params, Params]:
        mean = jax.tree.map(lambda m, g: decay * m + (1 - decay) * g, state, gradients)
        return jax.tree.map(lambda p, m: p - learning_rate * jnp.sign(m), params, mean), mean


_RULES = {
    "sgd": optax.identity(),
    "momentum": optax.trace(decay=0.9),
    "nesterov": optax.trace(decay=0.9, nesterov=True),
    "rmsprop": optax.scale_by_rms(decay=0.9),
    "adam": optax.scale_by_adam(),
    "adamw": optax.chain(optax.scale_by_adam(), optax.add_decayed_weights(1e-2)),
}


def train_on_digits(
    recipe: dict[str, Any], *, steps: int, batch_size: int = 128, seed: int = 0
) -> Float[np.ndarray, " steps+1"]:
    """Trains a linear classifier of digits by a recipe, with optax's optimizers.

    Args:
        recipe: `optimizer` (sgd, momentum, nesterov, rmsprop, adam, adamw), `learning_rate` (the peak of a warm-up and
            cosine schedule), `warmup_steps` (from 0 to steps - 1) and `max_norm` (a limit for clipping, or None).
        steps: how many batches to train on.
        batch_size: examples a step, drawn with replacement.
        seed: decides where the weights start and which examples come.

    Returns:
        The loss over all of digits before the first step and after each. Raises ValueError with the fix where the
        recipe cannot be followed.
    """
    name, peak, warmup, norm = _followable(recipe, steps)
    schedule = optax.warmup_cosine_decay_schedule(0.0 if warmup else peak, peak, warmup, steps)
    rates = jnp.asarray(schedule(np.arange(steps)), jnp.float32)
    return np.asarray(_losses(name, rates, jnp.inf if norm is None else norm, jax.random.key(seed), batch_size))


def _followable(recipe: dict[str, Any], steps: int) -> tuple[str, float, int, float | None]:
    wanted = ("optimizer", "learning_rate", "warmup_steps", "max_norm")
    if not isinstance(recipe, dict) or set(recipe) != set(wanted):
        has = sorted(map(str, recipe)) if isinstance(recipe, dict) else type(recipe).__name__
        raise ValueError(f"a recipe is a dict with the keys {', '.join(wanted)}; this one has {has}")
    name, peak, warmup, norm = (recipe[key] for key in wanted)
    if name not in _RULES:
        raise ValueError(f"optimizer must be one of {', '.join(_RULES)}, got {name!r}")
    if not isinstance(warmup, int) or not 0 <= warmup < steps:
        raise ValueError(f"warmup_steps must be a whole number from 0 to {steps - 1}, got {warmup!r}")
    if not isinstance(peak, (int, float)) or not peak > 0:
        raise ValueError(f"learning_rate must be a positive number, got {peak!r}")
    if norm is not None and not (isinstance(norm, (int, float)) and norm > 0):
        raise ValueError(f"max_norm must be a positive number or None, got {norm!r}")
    return name, float(peak), warmup, norm


@partial(jax.jit, static_argnames=("name", "batch_size"))
def _losses(name: str, rates: Array, max_norm: Array, key: Array, batch_size: int) -> Float[Array, " steps+1"]:
    images, labels = (jnp.asarray(part) for part in digits())
    loss, rule = SoftmaxRegression(), optax.chain(optax.clip_by_global_norm(max_norm), _RULES[name])
    key_params, key_order = jax.random.split(key)
    weight = 0.1 * jax.random.normal(key_params, (PIXELS, DIGIT_CLASSES))
    params = {"weight": weight, "bias": jnp.zeros(DIGIT_CLASSES)}
    batches = jax.random.randint(key_order, (len(rates), batch_size), 0, len(images))

    def step(carry: tuple, inputs: tuple) -> tuple:
        (params, state), (batch, rate) = carry, inputs
        updates, state = rule.update(loss.gradient(params, images[batch], labels[batch]), state, params)
        params = jax.tree.map(lambda param, update: param - rate * update, params, updates)
        return (params, state), loss(params, images, labels)

    _, losses = jax.lax.scan(step, (params, rule.init(params)), (batches, rates))
    return jnp.concatenate([loss(params, images, labels)[None], losses])
