"""Inputs of a check, drawn afresh from a seed."""

import zlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Draw:
    """The source of a check's inputs: the same seed and exercise give the same inputs, another seed gives others."""

    seed: int
    exercise: str

    @cached_property
    def rng(self) -> np.random.Generator:
        """The generator; advance it only through one `Draw`, in the order of the cases."""
        return np.random.default_rng([self.seed, zlib.crc32(self.exercise.encode())])

    def size(self, low: int = 2, high: int = 7) -> int:
        """A size from `low` to `high`, both included."""
        return int(self.rng.integers(low, high + 1))

    def normal(self, *shape: int, scale: float = 1.0) -> Float[np.ndarray, "..."]:
        """Normal numbers in float32."""
        return (scale * self.rng.standard_normal(shape)).astype(np.float32)

    def uniform(self, low: float, high: float) -> float:
        """One number, rounded to three decimals so that a report can show it whole."""
        return round(float(self.rng.uniform(low, high)), 3)
