"""Batches that depend on the seed and the step alone, so that a resumed run sees what it would have seen."""

import jax
import numpy as np
from jax.sharding import Sharding
from jaxtyping import Array, Int

from gradlab.gpt.config import Config, Recipe


def batch_at(
    tokens: Int[np.ndarray, " n"], step: int, config: Config, recipe: Recipe
) -> Int[np.ndarray, "accumulation b t1"]:
    """Windows of `context + 1` tokens at random places of the text.

    Raises ValueError for a text that is shorter than a window.
    """
    length = config.context + 1
    if len(tokens) < length:
        raise ValueError(f"a text of {len(tokens)} tokens has no window of {length}")
    places = np.random.default_rng((recipe.seed, step)).integers(len(tokens) - length + 1, size=recipe.batch)
    windows = np.lib.stride_tricks.sliding_window_view(tokens, length)[places]
    return windows.astype(np.int32).reshape(recipe.accumulation, -1, length)


def place(batch: Int[np.ndarray, "a b t1"], sharding: Sharding) -> Int[Array, "a b t1"]:
    """The batch on its devices. Every process has the whole of it and takes the rows of its own."""
    return jax.make_array_from_callback(batch.shape, sharding, lambda index: batch[index])
