"""What the tests of chapter 4 share: its text, and a run of an optimizer."""

import re
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import optax

PAGE = Path(__file__).parents[2] / "course" / "chapters" / "04-optimizers.md"
TEXT = re.sub(r"\s+", " ", PAGE.read_text())


def says(sentence: str) -> None:
    assert sentence in TEXT, f"{PAGE.name} does not say: {sentence}"


def run(optimizer: optax.GradientTransformation, gradient: Callable, start: np.ndarray, steps: int) -> np.ndarray:
    """Return the positions, shape (steps + 1, *start.shape)."""
    update = jax.jit(optimizer.update)
    params, path = jax.numpy.asarray(start, dtype=float), [np.asarray(start, dtype=float)]
    state = optimizer.init(params)
    for _ in range(steps):
        changes, state = update(jax.numpy.asarray(gradient(np.asarray(params))), state, params)
        params = optax.apply_updates(params, changes)
        path.append(np.asarray(params))
    return np.stack(path)
