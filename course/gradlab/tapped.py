"""Computations with named intermediates: a small network as the oracle of `first_divergence`, and a wrong one."""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gradlab.divergence import Tap, silent

Layers = list[dict[str, Float[Array, "..."]]]


def random_mlp(*, seed: int, sizes: tuple[int, ...]) -> Layers:
    """Parameters of an MLP with layers between neighbouring sizes, each `{"weight": (n, m), "bias": (m,)}`."""
    keys = jax.random.split(jax.random.key(seed), 2 * len(sizes))
    return [
        {
            "weight": jax.random.normal(keys[2 * i], (n, m)) / n**0.5,
            "bias": 0.1 * jax.random.normal(keys[2 * i + 1], (m,)),
        }
        for i, (n, m) in enumerate(itertools.pairwise(sizes))
    ]


def mlp_loss(tap: Tap, params: Layers, x: Float[Array, "b n"], labels: Int[Array, " b"]) -> Float[Array, ""]:
    """The mean cross-entropy of an MLP with rectifiers between its layers; every node is named.

    Layer i names `weight i`, `bias i`, the result `before i` and, but for the last, the rectified `after i`.
    """
    for i, layer in enumerate(params):
        weight, bias = tap(f"weight {i}", layer["weight"]), tap(f"bias {i}", layer["bias"])
        x = tap(f"before {i}", jnp.dot(x, weight) + jnp.broadcast_to(bias, (len(x), len(bias))))
        if i + 1 < len(params):
            x = tap(f"after {i}", jax.nn.relu(x))
    return jnp.mean(_surprise(x, labels))


def _surprise(logits: Float[Array, "b c"], labels: Int[Array, " b"]) -> Float[Array, " b"]:
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1)[:, 0]


def named(backward_pass: Callable[..., tuple[Any, Layers]]) -> Callable[..., None]:
    """A backward pass `(params, x, labels, tap) -> (loss, gradients)` for `first_divergence`, its gradients named.

    They are called `weight i` and `bias i`, as `mlp_loss` calls the parameters.
    """

    def run(tap: Tap, params: Layers, x: Float[Array, "b n"], labels: Int[Array, " b"]) -> None:
        _, gradients = backward_pass(params, x, labels, tap)
        for i, layer in enumerate(gradients):
            tap.cotangent(f"weight {i}", layer["weight"])
            tap.cotangent(f"bias {i}", layer["bias"])

    return run


def careless_mlp_backward(
    params: Layers, x: Float[Array, "b n"], labels: Int[Array, " b"], tap: Tap = silent
) -> tuple[Float[Array, ""], Layers]:
    """Loss and gradients with one thing wrong: find it with `first_divergence`."""
    pulls = []
    for i, layer in enumerate(params):
        x, pull_affine = jax.vjp(lambda h, p: jnp.dot(h, p["weight"]) + jnp.tile(p["bias"], (len(h), 1)), x, layer)
        tap(f"before {i}", x)
        last = i + 1 == len(params)
        x, pull_relu = jax.vjp((lambda z: z) if last else jax.nn.relu, x)
        pulls.append((pull_affine, pull_relu))
    loss, pull_loss = jax.vjp(lambda z: jnp.sum(_surprise(z, labels)), x)
    (back,), gradients = pull_loss(jnp.ones_like(loss)), []
    for i, (pull_affine, pull_relu) in reversed(list(enumerate(pulls))):
        back = tap.cotangent(f"before {i}", pull_relu(back)[0])
        back, gradient = pull_affine(back)
        gradients.append(gradient)
    return loss, gradients[::-1]
