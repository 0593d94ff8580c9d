"""What students write for the optimizer race: right, and wrong in each way that the race must survive.

Copied beside the notebooks of the browser tests too, so it imports nothing of the tests.
"""

import jax
import jax.numpy as jnp


def descent(params, gradients, state, learning_rate):
    return jax.tree.map(lambda p, g: p - learning_rate * g, params, gradients), state


def momentum(params, gradients, velocity, learning_rate, decay=0.9):
    velocity = jax.tree.map(lambda v, g: decay * v + g, velocity, gradients)
    return jax.tree.map(lambda p, v: p - learning_rate * v, params, velocity), velocity


def nesterov(params, gradients, velocity, learning_rate, decay=0.9):
    velocity = jax.tree.map(lambda v, g: decay * v + g, velocity, gradients)
    return jax.tree.map(lambda p, v, g: p - learning_rate * (g + decay * v), params, velocity, gradients), velocity


def rmsprop(params, gradients, square, learning_rate, decay=0.9, eps=1e-8):
    square = jax.tree.map(lambda s, g: decay * s + (1 - decay) * g**2, square, gradients)
    return jax.tree.map(lambda p, s, g: p - learning_rate * g / (jnp.sqrt(s) + eps), params, square, gradients), square


def adam(params, gradients, state, learning_rate, b1=0.9, b2=0.999, eps=1e-8):
    count, mean, square = state
    count = count + 1
    mean = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, mean, gradients)
    square = jax.tree.map(lambda s, g: b2 * s + (1 - b2) * g**2, square, gradients)
    rate = learning_rate * jnp.sqrt(1 - b2**count) / (1 - b1**count)  # Kingma and Ba's efficient order
    root = jnp.sqrt(1 - b2**count)
    params = jax.tree.map(lambda p, m, s: p - rate * m / (jnp.sqrt(s) + eps * root), params, mean, square)
    return params, (count, mean, square)


def adamw(params, gradients, state, learning_rate, b1=0.9, b2=0.999, eps=1e-8, weight_decay=1e-2):
    stepped, state = adam(params, gradients, state, learning_rate, b1, b2, eps)
    return jax.tree.map(lambda new, old: new - learning_rate * weight_decay * old, stepped, params), state


RIGHT = {
    "gradient descent": descent,
    "momentum": momentum,
    "nesterov": nesterov,
    "rmsprop": rmsprop,
    "adam": adam,
    "adamw": adamw,
}


def biased_adam(params, gradients, state, learning_rate, b1=0.9, b2=0.999, eps=1e-8):
    """No bias correction."""
    count, mean, square = state
    mean = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, mean, gradients)
    square = jax.tree.map(lambda s, g: b2 * s + (1 - b2) * g**2, square, gradients)
    params = jax.tree.map(lambda p, m, s: p - learning_rate * m / (jnp.sqrt(s) + eps), params, mean, square)
    return params, (count + 1, mean, square)


def shared_rmsprop(params, gradients, square, learning_rate, decay=0.9, eps=1e-8):
    """One running mean for all leaves."""
    total = sum(jnp.sum(g**2) for g in jax.tree.leaves(gradients)) / 2
    square = jax.tree.map(lambda s: decay * s + (1 - decay) * total, square)
    return jax.tree.map(lambda p, s, g: p - learning_rate * g / (jnp.sqrt(s) + eps), params, square, gradients), square


def untraceable(params, gradients, velocity, learning_rate, decay=0.9):
    """Right, but it looks at a number."""
    if float(learning_rate) < 0:
        raise ValueError("the learning rate is negative")
    return momentum(params, gradients, velocity, learning_rate, decay)


def raising(params, gradients, velocity, learning_rate, decay=0.9):
    return params - learning_rate * gradients, velocity


def unwritten(params, gradients, state, learning_rate, b1=0.9, b2=0.999, eps=1e-8, weight_decay=1e-2):
    raise NotImplementedError


WRONG = {
    "gradient descent": lambda params, gradients, state, learning_rate: params,
    "momentum": untraceable,
    "nesterov": raising,
    "rmsprop": shared_rmsprop,
    "adam": biased_adam,
    "adamw": unwritten,
    "lion": descent,
}
