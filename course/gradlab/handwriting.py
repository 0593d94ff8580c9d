"""scikit-learn's handwritten digits as images, cut into three parts: to train on, to choose by, and to report."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from gradlab.landscapes import digits

SIDE = 8
VALIDATION, TEST = 300, 300


class Part(NamedTuple):
    """Examples: `images` of shape (n, 8, 8, 1) with pixels in [0, 1], and integer `labels` of shape (n,)."""

    images: Float[np.ndarray, "n 8 8 1"]
    labels: Int[np.ndarray, " n"]


class Digits(NamedTuple):
    """The three parts of the digits. No example is in two of them."""

    train: Part
    validation: Part
    test: Part


def digit_images(seed: int = 0) -> Digits:
    """The digits, shuffled by `seed` and cut: 1197 to train on, 300 to choose by, 300 to report on at the end."""
    pixels, labels = digits()
    order = np.random.default_rng(seed).permutation(len(labels))
    images = pixels.reshape(-1, SIDE, SIDE, 1)
    test, validation, train = np.split(order, [TEST, TEST + VALIDATION])
    return Digits(*(Part(images[rows], labels[rows]) for rows in (train, validation, test)))
