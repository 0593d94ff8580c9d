"""Floating-point operations: of a token, of a whole training, and how many of a chip's are used."""

from gradlab.costs.memory import parameter_count
from gradlab.gpt.config import Config

# Dense bfloat16 of an H100 SXM or H200, operations a second: NVIDIA's data sheet, without sparsity.
H100_BFLOAT16 = 989e12


def flops_per_token(config: Config, *, training: bool = True, padded: bool = False) -> float:
    """`6 N + 12 L T d` (Chowdhery et al. 2022, appendix B); a third of it for the forward pass alone.

    A weight is a multiplication and an addition forward, and twice that backward: 6. N leaves out the positions, which
    multiply nothing; the tied embedding counts once, as the output layer. Attention counts the whole T x T matrix,
    masked half included, as PaLM and nanoGPT do; llm.c leaves that half out. Repeated work (remat) does not count.
    """
    weights = parameter_count(config, padded=padded) - config.context * config.width
    attention = 2 * config.layers * config.context * config.width
    return (6 if training else 2) * (weights + attention)


def training_flops(parameters: float, tokens: float) -> float:
    """`6 N D`, the compute of a training run (Kaplan et al. 2020, section 2.1)."""
    return 6.0 * parameters * tokens


def mfu(tokens_per_second: float, flops_a_token: float, peak: float) -> float:
    """Model FLOPs utilisation, from 0 to 1: operations that the model needs, over those that the chips could do.

    `peak` is of all chips together, in operations a second. Raises ValueError where it is not positive.
    """
    if not peak > 0:
        raise ValueError(f"peak must be a positive number of operations a second, not {peak}")
    return tokens_per_second * flops_a_token / peak
