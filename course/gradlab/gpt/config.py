"""The sizes of a GPT, and the recipe by which it is trained."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from gradlab.corpus import ALPHABET

# A matrix unit works on tiles of 128: a large vocabulary is rounded up, with columns that are masked.
TILE = 128
# Below this many words the output layer is no large part of the work, and is left as it is.
LARGE_VOCABULARY = 1024
# float16 has too small a range to be used without scaling the loss.
DTYPES = ("bfloat16", "float32")


@dataclass(frozen=True)
class Config:
    """A decoder of `layers` pre-norm blocks, as GPT-2 (Radford et al. 2019): learnt positions, tied embedding.

    Attributes:
        vocabulary: number of tokens there are.
        context: the longest sequence, in tokens.
        width: size of the residual stream; the MLP inside a block is four times as wide.
        layers: number of blocks.
        heads: attention heads of a block; they divide the width.
        dtype: of activations and of the copies of weights that enter a product. Weights themselves are float32.
        remat: a name of `gradlab.gpt.remat.POLICIES`.
        scan: one compiled block in a loop, or as many copies of it as there are layers.

    Raises ValueError, with the field's name, for a size below 1, heads that do not divide the width, another dtype.
    """

    vocabulary: int = len(ALPHABET)
    context: int = 64
    width: int = 64
    layers: int = 2
    heads: int = 4
    dtype: str = "bfloat16"
    remat: str = "none"
    scan: bool = True

    def __post_init__(self) -> None:
        _at_least(1, self, _SIZES)
        if self.dtype not in DTYPES:
            raise ValueError(f"there is no dtype {self.dtype!r}: choose one of {', '.join(DTYPES)}")
        if self.width % self.heads:
            raise ValueError(f"heads must divide width: {self.width} / {self.heads} is not whole")

    @property
    def hidden(self) -> int:
        """Width of the MLP inside a block."""
        return 4 * self.width

    @property
    def head_width(self) -> int:
        """Size of one head's queries, keys and values."""
        return self.width // self.heads

    @property
    def padded_vocabulary(self) -> int:
        """Rows of the embedding: the vocabulary, a large one rounded up to a multiple of `TILE`."""
        return self.vocabulary if self.vocabulary < LARGE_VOCABULARY else -(-self.vocabulary // TILE) * TILE

    def sizes(self) -> dict[str, int]:
        """What a checkpoint must agree with; the other fields may change when a run is resumed."""
        return {name: value for name, value in asdict(self).items() if name in _SIZES}

    def but(self, **changes: Any) -> "Config":
        """The same with some fields changed."""
        return replace(self, **changes)


_SIZES = ("vocabulary", "context", "width", "layers", "heads")


def _at_least(least: int, it: Any, names: tuple[str, ...]) -> None:
    for name in names:
        if getattr(it, name) < least:
            raise ValueError(f"{name} must be at least {least}, not {getattr(it, name)}")


PRESETS = {
    # Seconds and minutes on two cores.
    "tiny": Config(),
    "small": Config(context=128, width=128, layers=4),
    # Radford et al. (2019), Table 2 and the released weights.
    "gpt2-124m": Config(50257, 1024, 768, 12, 12),
    "gpt2-355m": Config(50257, 1024, 1024, 24, 16),
    "gpt2-774m": Config(50257, 1024, 1280, 36, 20),
    "gpt2-1.5b": Config(50257, 1024, 1600, 48, 25),
}


@dataclass(frozen=True)
class Recipe:
    """How a model is trained: AdamW under a cosine with warm-up, as Brown et al. (2020), appendix B.

    Attributes:
        steps: updates of the weights until the learning rate has come down to a tenth.
        batch: sequences of one update, over all devices.
        accumulation: parts in which a batch is computed, one after the other.
        rate: the highest learning rate.
        warmup: updates until it is reached.
        decay: weight decay of matrices; biases and norms have none.
        clip: largest norm of the gradient.
        seed: of the initial weights and of the order of the data.

    Raises ValueError, with the name of the field, for a number that is too small; accumulation must divide batch.
    """

    steps: int = 200
    batch: int = 16
    accumulation: int = 1
    rate: float = 1e-3
    warmup: int = 20
    decay: float = 0.1
    clip: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        _at_least(1, self, ("steps", "batch", "accumulation"))
        _at_least(0, self, ("warmup", "seed", "decay"))
        for name in ("rate", "clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a positive number, not {getattr(self, name)}")
        if self.batch % self.accumulation:
            raise ValueError(f"accumulation must divide batch: {self.batch} / {self.accumulation} is not whole")
