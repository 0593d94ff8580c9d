"""The oracle of lab 03: forward passes in NumPy, differentiated by the complex step.

`Im f(x + ih) / h` (Squire and Trapp 1998). Nothing is subtracted, so it is exact to rounding in float64, and it knows
no backward rule. The forward passes must be analytic: comparisons look at real parts.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Complex, Float, Int

STEP = 1e-30  # so small that its square vanishes beside any number

Numbers = Complex[np.ndarray, "..."]


def pullback(function: Callable, arguments: tuple, cotangent: Any) -> tuple[Float[np.ndarray, "..."], ...]:
    """The cotangents of all arguments of a NumPy function, one number at a time, by the complex step."""
    wide = [np.asarray(argument, np.complex128) for argument in arguments]
    found = []
    for position, argument in enumerate(wide):
        slope = np.zeros(argument.shape)
        for place in np.ndindex(argument.shape):
            moved = argument.copy()
            moved[place] += 1j * STEP
            result = function(*wide[:position], moved, *wide[position + 1 :])
            slope[place] = np.sum(np.imag(result) * cotangent) / STEP
        found.append(slope)
    return tuple(found)


def relu(x: Numbers) -> Numbers:
    """`max(x, 0)`, by the real part."""
    return np.where(np.real(x) > 0, x, 0)


ACTIVATIONS: dict[str, Callable[[Numbers], Numbers]] = {"tanh": np.tanh, "relu": relu}


def affine(x: Numbers, weight: Numbers, bias: Numbers) -> Numbers:
    """`x @ weight + bias`."""
    return x @ weight + bias


def cross_entropy(labels: Int[np.ndarray, " b"], logits: Complex[np.ndarray, "b c"]) -> Complex[np.ndarray, ""]:
    """The mean over the batch of minus the log of the softmax at the labels."""
    shifted = logits - np.max(np.real(logits), axis=1, keepdims=True)
    log_total = np.log(np.sum(np.exp(shifted), axis=1))
    return np.mean(log_total - shifted[np.arange(len(labels)), labels])


def layer_norm(eps: float, x: Numbers, scale: Numbers, shift: Numbers) -> Numbers:
    """Layer normalisation of each row (Ba et al. 2016)."""
    centered = x - np.mean(x, axis=-1, keepdims=True)
    return centered / np.sqrt(np.mean(centered**2, axis=-1, keepdims=True) + eps) * scale + shift


def attention(query: Numbers, key: Numbers, value: Numbers) -> Numbers:
    """One head of causal attention (Vaswani et al. 2017)."""
    length = len(query)
    scores = np.where(np.tri(length, dtype=bool), query @ key.T / np.sqrt(query.shape[1]), -1e9)
    weights = np.exp(scores - np.max(np.real(scores), axis=1, keepdims=True))
    return weights / np.sum(weights, axis=1, keepdims=True) @ value


def mlp_loss(labels: Int[np.ndarray, " b"], x: np.ndarray, *leaves: Numbers) -> Numbers:
    """The mean cross-entropy of an MLP; `leaves` are weight and bias of each layer in turn."""
    hidden = x
    for weight, bias in zip(leaves[0::2], leaves[1::2], strict=True):
        before = hidden @ weight + bias
        hidden = relu(before)
    return cross_entropy(labels, before)
