"""The GPT trainer: tokens a second, utilisation and peak memory, beside an equal PyTorch model in the same run.

`gradlab bench gpt` on a machine with a GPU. Each model is measured in a process of its own, one after the other, so
that neither has the other's memory. PyTorch is no dependency of the course: without it, the table says what to install.
"""

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from gradlab.costs import H100_BFLOAT16, flops_per_token, mfu
from gradlab.gpt.batches import place
from gradlab.gpt.config import PRESETS, Config, Recipe
from gradlab.gpt.trainer import Trainer
from gradlab_grading.bench import Table

COMMAND = "gradlab bench gpt"
WARM_UP, MEASURED = 3, 20
GPU_CONFIG, GPU_RECIPE = PRESETS["gpt2-124m"], Recipe(batch=32)
CPU_CONFIG, CPU_RECIPE = PRESETS["small"], Recipe(batch=8)
VARIANTS = {
    "as it is": {},
    "unrolled": {"scan": False},
    "remat: dots": {"remat": "dots"},
    "remat: full": {"remat": "full"},
    "float32": {"dtype": "float32"},
}


@dataclass(frozen=True)
class Measured:
    """Of one model: seconds of a step, peak memory of the device in bytes (0 where it does not say)."""

    seconds: float
    memory: float


def tables() -> Iterator[Table]:
    """On a GPU the trainer beside PyTorch; on a CPU the trainer's own variants."""
    # Asked in a process that ends: JAX keeps most of a GPU's memory from the first look at it.
    backend, device = _in_a_process("where")
    yield _on_gpu(device) if backend == "gpu" else _on_cpu()


def _on_gpu(device: str) -> Table:
    tokens = GPU_RECIPE.batch * GPU_CONFIG.context
    rows = []
    for name, kind in (("GradLab, JAX", "jax"), ("PyTorch, torch.compile, flash attention", "torch")):
        if kind == "torch" and importlib.util.find_spec("torch") is None:
            rows.append((name, f"not measured: pip install torch, then {COMMAND}", "", ""))
            continue
        found = Measured(*_in_a_process(kind))
        used = mfu(tokens / found.seconds, flops_per_token(GPU_CONFIG, padded=True), H100_BFLOAT16)
        rows.append((name, tokens / found.seconds, used, found.memory / 2**30))
    return Table(
        "GPT of 124M parameters, one GPU",
        f"{device}. bfloat16 with float32 weights, {GPU_RECIPE.batch} sequences of {GPU_CONFIG.context} tokens, AdamW, "
        f"clipping; the mean of {MEASURED} steps after {WARM_UP}. Utilisation is of 989 TFLOP/s, an H100's or H200's.",
        ("trainer", "tokens a second", "utilisation (MFU)", "peak memory, GiB"),
        tuple(rows),
    )


def _on_cpu() -> Table:
    rows, first = [], 0.0
    tokens = CPU_RECIPE.batch * CPU_CONFIG.context
    for name, changes in VARIANTS.items():
        config = CPU_CONFIG.but(**changes)
        planned = Trainer(config, CPU_RECIPE).compile_step().memory_analysis()
        assert planned is not None, "every processor's backend of XLA plans its memory"
        found = measure(config, CPU_RECIPE)
        first = first or found.seconds
        rows.append((name, tokens / found.seconds, first / found.seconds, planned.temp_size_in_bytes / 2**20))
    return Table(
        "Variants of the trainer, on this processor",
        f"{CPU_CONFIG.layers} layers of width {CPU_CONFIG.width}, {CPU_RECIPE.batch} sequences of {CPU_CONFIG.context} "
        f"tokens, {MEASURED} steps each. Memory is what the compiler plans beside the state. There is no GPU here: the "
        f"comparison with PyTorch is `{COMMAND}` on a machine that has one, after `pip install torch`.",
        ("variant", "tokens a second", "of the first", "planned memory, MiB"),
        tuple(rows),
    )


def measure(config: Config, recipe: Recipe) -> Measured:
    """The trainer's step on random tokens; compilation and the first steps are left out."""
    trainer = Trainer(config, recipe)
    state, batch = trainer.init(), place(_tokens(config, recipe), trainer.batch_sharding)

    def step() -> Any:
        nonlocal state
        state, metrics = trainer.step(state, batch)
        return metrics.loss

    seconds = _time(step, jax.block_until_ready)
    return Measured(seconds, (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0))


def _tokens(config: Config, recipe: Recipe) -> np.ndarray:
    shape = (recipe.accumulation, recipe.batch // recipe.accumulation, config.context + 1)
    return np.random.default_rng(0).integers(config.vocabulary, size=shape, dtype=np.int32)


def _time(step: Callable[[], Any], wait: Callable[[Any], Any]) -> float:
    for _ in range(WARM_UP):
        wait(step())
    began = time.perf_counter()
    for _ in range(MEASURED):
        last = step()
    wait(last)
    return (time.perf_counter() - began) / MEASURED


def _in_a_process(kind: str) -> list[Any]:
    """What `show(kind)` prints."""
    script = f"from gradlab_grading.bench.gpt import show; show({kind!r})"
    # Else the first process would keep most of the memory, and the peak would not be the program's.
    environment = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the measurement of {kind} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def show(kind: str) -> None:
    """In a process of its own: print as JSON what is asked for."""
    found: tuple[Any, ...]
    if kind == "where":
        found = jax.default_backend(), jax.devices()[0].device_kind
    elif kind == "jax":
        measured = measure(GPU_CONFIG, GPU_RECIPE)
        found = measured.seconds, measured.memory
    else:
        from gradlab_grading.torch_gpt import measure_torch

        found = measure_torch(GPU_CONFIG, GPU_RECIPE, _tokens(GPU_CONFIG, GPU_RECIPE)[0], _time)
    print(json.dumps(found))
