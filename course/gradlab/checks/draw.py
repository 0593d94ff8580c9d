"""Inputs of a check, drawn afresh from a seed."""

import zlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

VISIBLE_SEED = 0
SIZES_SEED = 1


@dataclass(frozen=True)
class Draw:
    """The source of a check's inputs: the same seed and exercise give the same inputs, another seed gives others.

    Sizes are the exception: they are the same in all exercises, and there are two sets of them, one for visible and one
    for hidden cases. Shapes that a student has seen do not come again, and what JAX compiled for the hidden cases of
    one batch serves all batches.
    """

    seed: int
    exercise: str

    @property
    def visible(self) -> bool:
        """Whether these are the inputs that a student's own check has."""
        return self.seed == VISIBLE_SEED

    @cached_property
    def rng(self) -> np.random.Generator:
        """The generator; advance it only through one `Draw`, in the order of the cases."""
        return np.random.default_rng([self.seed, zlib.crc32(self.exercise.encode())])

    @cached_property
    def _sizes(self) -> np.random.Generator:
        return np.random.default_rng(SIZES_SEED)

    def size(self, low: int = 2, high: int = 7) -> int:
        """A size from `low` to `high`, both included: for hidden cases another than for visible ones."""
        count = high - low + 1
        visible, shift = self._sizes.integers(count), self._sizes.integers(1, max(count, 2))
        return int(low + (visible if self.visible else (visible + shift) % count))

    def integer(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included, where no program's shapes depend on it."""
        return int(self.rng.integers(low, high + 1))

    def normal(self, *shape: int, scale: float = 1.0) -> Float[np.ndarray, "..."]:
        """Normal numbers in float32."""
        return (scale * self.rng.standard_normal(shape)).astype(np.float32)

    def uniform(self, low: float, high: float) -> float:
        """One number, rounded to three decimals so that a report can show it whole."""
        return round(float(self.rng.uniform(low, high)), 3)
