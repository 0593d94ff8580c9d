"""Networks as students write them, for the tests of the behaviour widget."""

import jax
import jax.numpy as jnp

KEYS = jax.random.split(jax.random.key(2), 3)
PARAMS = [
    {"weight": jax.random.normal(key, (n, m)) * (2 / n) ** 0.5, "bias": jnp.zeros(m)}
    for key, n, m in zip(KEYS, (2, 4, 3), (4, 3, 2), strict=True)
]


def right(params, x):
    for layer in params[:-1]:
        x = jax.nn.relu(x @ layer["weight"] + layer["bias"])
    return x @ params[-1]["weight"] + params[-1]["bias"]


def linear(params, x):
    """No activation: the boundary can only be a line."""
    for layer in params:
        x = x @ layer["weight"] + layer["bias"]
    return x


def column(params, x):
    return right(params, x)[:, :1]


def unwritten(params, x):
    raise NotImplementedError


def not_a_number(params, x):
    return right(params, x) / 0
