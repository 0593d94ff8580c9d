"""Hidden checks of lab 07, sharding large models."""

from collections.abc import Iterator

from gradlab.checks import sharding as checks
from gradlab.checks.case import Case
from gradlab.checks.draw import Draw
from gradlab_grading.hidden import hidden


def _on_one_row(draw: Draw) -> Iterator[Case]:
    yield from checks.mlp_cases(draw, 1, 8, ", eight devices along model")


def _many_heads(draw: Draw) -> Iterator[Case]:
    yield from checks.attention_cases(draw, 4, 2, ", two devices along model")


def _replicated_twice(draw: Draw) -> Iterator[Case]:
    yield from checks.fsdp_cases(draw, 4, 2, ", on four devices, each twice")


memory_per_device = hidden(checks.memory_per_device)
flops_per_token = hidden(checks.flops_per_token)
tensor_parallel_mlp = hidden(checks.tensor_parallel_mlp, _on_one_row)
tensor_parallel_attention = hidden(checks.tensor_parallel_attention, _many_heads)
fsdp_gradients = hidden(checks.fsdp_gradients, _replicated_twice)
start_training = hidden(checks.start_training)
partition = hidden(checks.partition)
deep_loss = hidden(checks.deep_loss)
mixed_precision_step = hidden(checks.mixed_precision_step)
process_rows = hidden(checks.process_rows)
fit_scaling_law = hidden(checks.fit_scaling_law)
