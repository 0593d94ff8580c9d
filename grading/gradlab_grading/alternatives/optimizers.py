"""Correct but different implementations of lab 04, optimizers."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from gradlab_grading.alternatives import alternative


@alternative(of="gradient_descent")
def with_fori_loop(gradient, start, learning_rate, steps):
    """Writes into a table with `lax.fori_loop`."""
    table = jnp.zeros((steps + 1, *start.shape), start.dtype).at[0].set(start)
    body = lambda t, table: table.at[t + 1].set(table[t] - learning_rate * gradient(table[t]))  # noqa: E731
    return jax.lax.fori_loop(0, steps, body, table)


@alternative(of="gradient_descent")
def scan_that_collects_the_carry_before_the_step(gradient, start, learning_rate, steps):
    """Collects each point before it moves, and appends the last carry."""
    last, before = jax.lax.scan(lambda x, _: (x - learning_rate * gradient(x), x), start, length=steps)
    return jnp.vstack([before, last])


@alternative(of="sgd")
def split_by_numpy(gradient, params, x, y, order, batch_size, learning_rate):
    """Cuts the order with `np.split` and steps through `optax.apply_updates`."""
    for rows in np.split(np.asarray(order), range(batch_size, len(order), batch_size)):
        slopes = gradient(params, x[rows], y[rows])
        params = optax.apply_updates(params, jax.tree.map(lambda g: -learning_rate * g, slopes))
    return params


@alternative(of="sgd")
def on_one_flat_vector(gradient, params, x, y, order, batch_size, learning_rate):
    """Ravels the parameters, and gathers the examples before cutting."""
    flat, unravel = ravel_pytree(params)
    x, y = jnp.take(x, order, axis=0), jnp.take(y, order)
    for k in range(math.ceil(len(order) / batch_size)):
        part = slice(k * batch_size, (k + 1) * batch_size)
        flat = flat - learning_rate * ravel_pytree(gradient(unravel(flat), x[part], y[part]))[0]
    return unravel(flat)


def _through_optax(tx, params, gradients, state):
    updates, state = tx.update(gradients, state, params)
    return optax.apply_updates(params, updates=updates), state


@alternative(of="momentum")
def momentum_by_optax(params, gradients, velocity, learning_rate, decay=0.9):
    """The library's trace."""
    tx = optax.chain(optax.trace(decay), optax.scale(-learning_rate))
    state = (optax.TraceState(velocity), optax.ScaleState())
    moved, (trace, _) = _through_optax(tx, params, gradients, state)
    return moved, trace.trace


@alternative(of="momentum")
@jax.jit
def momentum_leaf_by_leaf(params, gradients, velocity, learning_rate, decay=0.9):
    """Flattens the trees and loops over leaves."""
    leaves, tree = jax.tree.flatten(params)
    pairs = zip(jax.tree.leaves(gradients), jax.tree.leaves(velocity), strict=True)
    new = [g + decay * v for g, v in pairs]
    moved = [p - learning_rate * v for p, v in zip(leaves, new, strict=True)]
    return jax.tree.unflatten(tree, moved), jax.tree.unflatten(tree, new)


@alternative(of="nesterov")
def nesterov_by_optax(params, gradients, velocity, learning_rate, decay=0.9):
    """The library's trace, with its look-ahead."""
    tx = optax.chain(optax.trace(decay, nesterov=True), optax.scale(-learning_rate))
    moved, (trace, _) = _through_optax(tx, params, gradients, (optax.TraceState(velocity), optax.ScaleState()))
    return moved, trace.trace


@alternative(of="nesterov")
def nesterov_multiplied_out(params, gradients, velocity, learning_rate, decay=0.9):
    """Multiplied out: g + b (b v + g) = (1 + b) g + b^2 v."""
    move = jax.tree.map(lambda g, v: (1 + decay) * g + decay**2 * v, gradients, velocity)
    new = jax.tree.map(lambda g, v: g + decay * v, gradients, velocity)
    return jax.tree.map(lambda p, m: p - learning_rate * m, params, move), new


@alternative(of="rmsprop")
def rmsprop_by_optax(params, gradients, square, learning_rate, decay=0.9, eps=1e-8):
    """The library's, with eps outside of the root."""
    tx = optax.scale_by_rms(decay, eps, eps_in_sqrt=False)
    updates, state = tx.update(gradients, optax.ScaleByRmsState(nu=square), params)
    return jax.tree.map(lambda p, u: p - learning_rate * u, params, updates), state.nu


@alternative(of="rmsprop")
def rmsprop_by_increments(params, gradients, square, learning_rate, decay=0.9, eps=1e-8):
    """By increments, s + (1 - b)(g^2 - s), and with a power in place of the root."""
    new = jax.tree.map(lambda s, g: s + (1 - decay) * (g * g - s), square, gradients)
    return jax.tree.map(lambda p, g, s: p - learning_rate * g / (s**0.5 + eps), params, gradients, new), new


@alternative(of="adam")
def adam_by_optax(params, gradients, state, learning_rate, b1=0.9, b2=0.999, eps=1e-8):
    """The library's."""
    tx = optax.scale_by_adam(b1, b2, eps)
    updates, new = tx.update(gradients, optax.ScaleByAdamState(jnp.asarray(state[0]), state[1], state[2]), params)
    return jax.tree.map(lambda p, u: p - learning_rate * u, params, updates), (new.count, new.mu, new.nu)


@alternative(of="adam")
def adam_with_a_corrected_learning_rate(params, gradients, state, learning_rate, b1=0.9, b2=0.999, eps=1e-8):
    """The paper's other form (section 2): both corrections in the rate, and eps scaled to match."""
    t = state[0] + 1
    m = jax.tree.map(lambda m, g: m + (1 - b1) * (g - m), state[1], gradients)
    s = jax.tree.map(lambda s, g: s + (1 - b2) * (jnp.square(g) - s), state[2], gradients)
    root = (1 - b2**t) ** 0.5
    rate = learning_rate * root / (1 - b1**t)
    return jax.tree.map(lambda p, m, s: p - rate * m / (jnp.sqrt(s) + eps * root), params, m, s), (t, m, s)


@alternative(of="adamw")
def adamw_by_shrinking_first(params, gradients, state, learning_rate, b1=0.9, b2=0.999, eps=1e-8, weight_decay=1e-2):
    """Shrinks the parameters by a factor, then adds Adam's change."""
    updates, new = _adam_updates(gradients, state, b1, b2, eps)
    shrink = 1 - learning_rate * weight_decay
    return jax.tree.map(lambda p, u: shrink * p - learning_rate * u, params, updates), new


@alternative(of="adamw")
def adamw_in_one_bracket(params, gradients, state, learning_rate, b1=0.9, b2=0.999, eps=1e-8, weight_decay=1e-2):
    """The formula as it stands."""
    updates, new = _adam_updates(gradients, state, b1, b2, eps)
    return jax.tree.map(lambda p, u: p - learning_rate * (u + weight_decay * p), params, updates), new


def _adam_updates(gradients, state, b1, b2, eps):
    updates, new = optax.scale_by_adam(b1, b2, eps).update(
        gradients, optax.ScaleByAdamState(jnp.asarray(state[0]), state[1], state[2])
    )
    return updates, (new.count, new.mu, new.nu)


@alternative(of="clip_by_global_norm")
def clip_by_optax(gradients, max_norm):
    """The library's."""
    return optax.clip_by_global_norm(max_norm).update(gradients, optax.EmptyState())[0]


@alternative(of="clip_by_global_norm")
def clip_with_where(gradients, max_norm):
    """The norm of the norms, and a choice."""
    norm = jnp.linalg.norm(jnp.stack([jnp.linalg.norm(leaf) for leaf in jax.tree.leaves(gradients)]))
    return jax.tree.map(lambda g: jnp.where(norm > max_norm, g * max_norm / (norm + 1e-30), g), gradients)


@alternative(of="warmup_cosine")
def warmup_cosine_by_joined_schedules(step, peak, warmup_steps, total_steps, floor=0.0):
    """Optax's parts."""
    fall = optax.cosine_decay_schedule(peak, total_steps - warmup_steps, alpha=floor / peak)
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup_steps), fall], [warmup_steps])(step)


@alternative(of="warmup_cosine")
def warmup_cosine_with_cond(step, peak, warmup_steps, total_steps, floor=0.0):
    """`lax.cond`, and the squared cosine of half the angle."""
    step = jnp.asarray(step, jnp.float32)
    angle = jnp.minimum(step - warmup_steps, total_steps - warmup_steps) * jnp.pi / 2 / (total_steps - warmup_steps)
    down = lambda: floor + (peak - floor) * jnp.cos(angle) ** 2  # noqa: E731
    return jax.lax.cond(step < warmup_steps, lambda: step * (peak / max(1, warmup_steps)), down)


@alternative(of="as_transformation")
def with_a_partial():
    """Binds the settings beforehand; returns what the check takes: the adapter and an Adam."""

    def adapt(step, initial_state, **settings):
        bound = partial(step, **settings)

        def update(gradients, state, params=None):
            new, state = bound(params, gradients, state)
            return optax.tree.sub(new, params), state

        return optax.GradientTransformation(lambda params: initial_state(params), update)

    return adapt, adam_by_optax


@alternative(of="as_transformation")
def with_a_wrapped_state():
    """Keeps the step's state inside a state of its own."""

    def adapt(step, initial_state, **settings):
        def update(gradients, wrapped, params=None):
            new, state = step(params, gradients, wrapped["inner"], **settings)
            return jax.tree.map(lambda p, n: -(p - n), params, new), {"inner": state}

        return optax.GradientTransformation(lambda params: {"inner": initial_state(params)}, update)

    return adapt, adam_with_a_corrected_learning_rate


@alternative(of="digits_recipe")
def momentum_with_a_large_rate():
    """Momentum reaches it too."""
    return {"optimizer": "nesterov", "learning_rate": 1.5, "warmup_steps": 3, "max_norm": None}


@alternative(of="digits_recipe")
def rmsprop_recipe():
    """RMSProp, clipped above the usual norm."""
    return {"optimizer": "rmsprop", "learning_rate": 0.3, "warmup_steps": 5, "max_norm": 5.0}
