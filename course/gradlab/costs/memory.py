"""Bytes on one device: parameters, gradients, optimizer state, activations."""

from dataclasses import dataclass

from gradlab.gpt.config import Config


@dataclass(frozen=True)
class BytesPerParameter:
    """What training keeps of each parameter, in bytes."""

    parameters: int
    gradients: int
    optimizer: int


# Rajbhandari et al. (2020), section 3.1: weights and gradients of 2 bytes; a float32 copy and both moments of Adam.
MIXED_ADAM = BytesPerParameter(2, 2, 12)
# `gradlab.gpt`: weights, gradients and both moments in float32; what enters a product is cast when it does.
FLOAT32_ADAM = BytesPerParameter(4, 4, 8)


@dataclass(frozen=True)
class Memory:
    """Bytes on one device, by part."""

    parameters: float
    gradients: float
    optimizer: float
    activations: float = 0.0

    @property
    def total(self) -> float:
        """All parts together."""
        return self.parameters + self.gradients + self.optimizer + self.activations


def at_least_one(name: str, count: int) -> int:
    """`count`, of devices. Raises ValueError, with the argument's name, where there is none."""
    if count < 1:
        raise ValueError(f"{name} must be at least 1, not {count}")
    return count


def parameter_count(config: Config, *, padded: bool = False) -> int:
    """Parameters of a GPT with tied embedding, all biases and two norms a block; `padded` as the trainer has it."""
    d, f = config.width, config.hidden
    vocabulary = config.padded_vocabulary if padded else config.vocabulary
    attention = d * 3 * d + 3 * d + d * d + d
    mlp = d * f + f + f * d + d
    norm = 2 * d
    return (vocabulary + config.context) * d + config.layers * (attention + mlp + 2 * norm) + norm


def state_memory(
    parameters: float, *, devices: int = 1, stage: int = 0, bytes_per: BytesPerParameter = MIXED_ADAM
) -> Memory:
    """Model states on each of `devices` that train the same model on different data.

    Args:
        parameters: how many there are.
        devices: among which states are divided.
        stage: of ZeRO (Rajbhandari et al. 2020): 0 divides nothing, 1 the optimizer's state, 2 gradients too, 3 (as
            fully sharded data parallelism does) parameters too.
        bytes_per: see `MIXED_ADAM` and `FLOAT32_ADAM`.

    Raises ValueError for another stage, and for less than one device.
    """
    at_least_one("devices", devices)
    if stage not in (0, 1, 2, 3):
        raise ValueError(f"ZeRO has the stages 0, 1, 2 and 3, not {stage}")
    share = [devices if stage >= first else 1 for first in (3, 2, 1)]
    return Memory(
        parameters * bytes_per.parameters / share[0],
        parameters * bytes_per.gradients / share[1],
        parameters * bytes_per.optimizer / share[2],
    )


def activation_bytes(
    config: Config,
    sequences: int,
    *,
    remat: str = "none",
    fused_attention: bool = False,
    dropout: bool = False,
    itemsize: int = 2,
    tensor: int = 1,
) -> float:
    """What the blocks keep for their backward pass, on one device.

    Korthikanti et al. (2022), equation 2: a block that is cut over n devices keeps `t b d (10 + 24 / n + 5 h t / d n)`
    bytes of 16-bit activations with dropout; `dropout=False` takes off its masks and its copy of the attention matrix.
    A fused attention keeps no `t x t` matrix. Their "selective" recomputation is `remat="weights"`, whose memory is
    that of a fused attention.

    Args:
        config: sizes; the sequences are as long as its context.
        sequences: on this device, in one part of a batch.
        remat: "none", "weights" or "full": with the last only the input of each block is kept.
        fused_attention: whether the attention matrix is never in memory.
        dropout: whether there is any.
        itemsize: bytes of a number.
        tensor: devices that each matrix of a block is cut over.

    Raises ValueError for another name of a policy, and for less than one device.
    """
    at_least_one("tensor", tensor)
    c = config
    if remat not in ("none", "weights", "full"):
        raise ValueError(f"no formula for remat {remat!r}: there are none, weights and full")
    stream = sequences * c.context * c.width
    if remat == "full":
        return c.layers * stream * itemsize
    # In numbers of the stream's size. Whole on each device: the inputs of both norms, of attention and of the MLP.
    # Cut: q, k, v and the input of `out`; the inputs of gelu and of `down`.
    kept = (2 + 1 + 1) + ((3 + 1) + (4 + 4)) / tensor
    square = sequences * c.heads * c.context**2 / tensor
    inner = 0.0 if fused_attention or remat == "weights" else square * (2 * itemsize if dropout else itemsize)
    # Masks have a byte an element: after attention, after the MLP, and on the attention matrix.
    masks = 2 * stream + (square if inner else 0) if dropout else 0
    return c.layers * (kept * stream * itemsize + inner + masks)


def logit_bytes(config: Config, sequences: int, *, itemsize: int = 2, tensor: int = 1) -> float:
    """The output layer's logits for its backward pass, on one of `tensor` devices that divide the vocabulary.

    `itemsize` is of the product's result: what the loss makes of it in float32 is never in memory as a whole.
    """
    return sequences * config.context * config.vocabulary * itemsize / at_least_one("tensor", tensor)


def training_memory(config: Config, sequences: int, *, devices: int = 1, stage: int = 0, remat: str = "none") -> Memory:
    """All four parts for the trainer of this course: float32 states, activations in the config's dtype.

    Its attention keeps no `t x t` matrix on any platform: it is fused, or computed a second time. Without the loop over
    layers (`scan=False`) XLA plans more on a processor: it finds the second computation, and keeps the first.
    """
    states = state_memory(parameter_count(config, padded=True), devices=devices, stage=stage, bytes_per=FLOAT32_ADAM)
    itemsize = 2 if config.dtype == "bfloat16" else 4
    kept = activation_bytes(config, sequences, remat=remat, fused_attention=True, itemsize=itemsize)
    return Memory(states.parameters, states.gradients, states.optimizer, kept)
