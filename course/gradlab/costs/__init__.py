"""What a model costs before it is trained: memory by part, work a token, bytes and time of collectives.

Everything is counted in bytes, floating-point operations and seconds, for a `gradlab.gpt.config.Config` or for
plain numbers. `tests/costs` holds each against what XLA plans, and against numbers that others have published.
"""

from gradlab.costs.communication import (
    Link,
    all_gather,
    data_parallel,
    fully_sharded,
    reduce_scatter,
    ring_all_reduce,
    tensor_parallel,
    tree_all_reduce,
)
from gradlab.costs.memory import (
    FLOAT32_ADAM,
    MIXED_ADAM,
    BytesPerParameter,
    Memory,
    activation_bytes,
    logit_bytes,
    parameter_count,
    state_memory,
    training_memory,
)
from gradlab.costs.work import H100_BFLOAT16, flops_per_token, mfu, training_flops

__all__ = [
    "FLOAT32_ADAM",
    "H100_BFLOAT16",
    "MIXED_ADAM",
    "BytesPerParameter",
    "Link",
    "Memory",
    "activation_bytes",
    "all_gather",
    "data_parallel",
    "flops_per_token",
    "fully_sharded",
    "logit_bytes",
    "mfu",
    "parameter_count",
    "reduce_scatter",
    "ring_all_reduce",
    "state_memory",
    "tensor_parallel",
    "training_flops",
    "training_memory",
    "tree_all_reduce",
]
