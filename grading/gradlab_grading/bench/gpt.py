"""The GPT trainer: tokens a second beside an equal PyTorch model in the same run; on a GPU utilisation and memory too.

Each model is measured in a process of its own, one after the other, so that neither has the other's memory. Both start
from the same weights and train on the same batch, and their losses are compared: a twin that is not equal is an error.
PyTorch is no dependency of the course: without it, the table says what to install.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import jax
import numpy as np

from gradlab.costs import H100_BFLOAT16, flops_per_token, mfu
from gradlab.gpt.batches import place
from gradlab.gpt.config import PRESETS, Config, Recipe
from gradlab.gpt.trainer import Trainer
from gradlab_grading.bench import Table

COMMAND = "gradlab bench gpt"
# As PyTorch compiles its model: layer by layer. A loop over layers compiles faster, and copies what it keeps.
OURS = {"GradLab, JAX": {"scan": False}, "GradLab, JAX, scan over layers": {"scan": True}}
TORCH = "PyTorch, torch.compile, flash attention"
WITHOUT_TORCH = f"not measured: .venv/bin/pip install torch, then .venv/bin/{COMMAND}"
WARM_UP, BLOCKS, STEPS = 3, 5, 4
TIMED = f"the median of {BLOCKS} times {STEPS} steps, after {WARM_UP}"
SETTINGS = {
    "gpu": (PRESETS["gpt2-124m"], Recipe(batch=32)),
    "cpu": (PRESETS["small"], Recipe(batch=8)),
}
# Of the loss, in any step: sums are taken in another order. On two cores the largest difference of 23 steps was 4e-7
# in float32, and 2e-3 in bfloat16, which has 8 bits.
EQUAL = {"bfloat16": 1e-2, "float32": 1e-4}
VARIANTS = {
    "scan over layers": {},
    "layer by layer": {"scan": False},
    "scan, remat: dots": {"remat": "dots"},
    "scan, remat: full": {"remat": "full"},
    "scan, float32": {"dtype": "float32"},
}


@dataclass(frozen=True)
class Measured:
    """Of one model.

    Attributes:
        seconds: of a step.
        losses: of each step, those before the measured ones too.
        parameters: how many, padding included.
        memory: the most bytes that were in use on the device; 0 where it does not say.
    """

    seconds: float
    losses: list[float]
    parameters: int
    memory: int


def tables() -> Iterator[Table]:
    """The trainer beside PyTorch; on a CPU the trainer's own variants as well."""
    # Asked in a process that ends: JAX keeps most of a GPU's memory from the first look at it.
    backend, device = _in_a_process("where")
    if backend == "gpu":
        yield _on_gpu(device)
    else:
        yield _beside_on_cpu()
        yield _variants()


def _on_gpu(device: str) -> Table:
    config, recipe = SETTINGS["gpu"]
    rows, together = [], _side_by_side("gpu", "bfloat16")
    for name, found in together.items():
        if found is None:
            rows.append((name, WITHOUT_TORCH, "", "", "", "", ""))
            continue
        rate = recipe.batch * config.context / found.seconds
        used = mfu(rate, flops_per_token(config, padded=True), H100_BFLOAT16)
        rows.append((name, rate, _times_torch(found, together), used, found.memory / 2**30, *_ends(found)))
    return Table(
        "GPT of 124M parameters, one GPU",
        f"{device}. bfloat16 with float32 weights, {recipe.batch} sequences of {config.context} tokens, AdamW, "
        f"clipping; {TIMED}. PyTorch {_torch_version() or 'is not installed'}. Utilisation is of 989 TFLOP/s, an "
        f"H100's or H200's. {_EQUALLY}",
        (
            "trainer",
            "tokens a second",
            "times PyTorch's",
            "utilisation (MFU)",
            "peak memory, GiB",
            "first loss",
            "last loss",
        ),
        tuple(rows),
    )


_EQUALLY = "All begin with the same weights and learn the same batch: the losses show that they compute the same."


def _times_torch(found: Measured, together: dict[str, Measured | None]) -> float | str:
    other = together[TORCH]
    return other.seconds / found.seconds if other else ""


def _ends(found: Measured) -> tuple[str, str]:
    return f"{found.losses[0]:.4f}", f"{found.losses[-1]:.4f}"


def _beside_on_cpu() -> Table:
    config, recipe = SETTINGS["cpu"]
    tokens, rows, count = recipe.batch * config.context, [], 0
    for dtype in ("float32", "bfloat16"):
        together = _side_by_side("cpu", dtype)
        for name, found in together.items():
            if found is None:
                rows.append((f"{name}, {dtype}", WITHOUT_TORCH, "", "", ""))
                continue
            ratio = _times_torch(found, together)
            rows.append((f"{name}, {dtype}", tokens / found.seconds, ratio, *_ends(found)))
            count = found.parameters
    return Table(
        "The trainer beside PyTorch, on this processor",
        f"{count:,} parameters: {config.layers} layers of width {config.width}; {recipe.batch} sequences of "
        f"{config.context} tokens, AdamW, clipping; {TIMED}. PyTorch "
        f"{_torch_version() or 'is not installed'}. {_EQUALLY} A processor has no peak that a utilisation could be "
        "taken of: that is measured on a GPU, by the same command.",
        ("trainer", "tokens a second", "times PyTorch's", "first loss", "last loss"),
        tuple(rows),
    )


def _torch_version() -> str:
    """PyTorch's, or an empty text where it is not installed."""
    try:
        return version("torch")
    except PackageNotFoundError:
        return ""


def _side_by_side(setting: str, dtype: str) -> dict[str, Measured | None]:
    """The trainer, in both ways, and its twin; None for the twin where PyTorch is not installed.

    Raises RuntimeError where they do not compute the same.
    """
    ours = {name: Measured(**_in_a_process(name, setting, dtype)) for name in OURS}
    theirs = Measured(**_in_a_process(TORCH, setting, dtype)) if _torch_version() else None
    if theirs:
        for found in ours.values():
            compare(found, theirs, EQUAL[dtype])
    return ours | {TORCH: theirs}


def compare(ours: Measured, theirs: Measured, rtol: float) -> None:
    """Raises RuntimeError where the two have other parameters, or other losses in any step."""
    if ours.parameters != theirs.parameters:
        raise RuntimeError(f"the twin has {theirs.parameters:,} parameters, the trainer {ours.parameters:,}")
    for step, (wanted, found) in enumerate(zip(ours.losses, theirs.losses, strict=True), 1):
        if abs(found - wanted) > rtol * wanted:
            raise RuntimeError(f"in step {step} the twin's loss is {found:.6f}, the trainer's {wanted:.6f}")


def _variants() -> Table:
    rows, first = [], 0.0
    base, recipe = SETTINGS["cpu"]
    tokens = recipe.batch * base.context
    for name, changes in VARIANTS.items():
        config = base.but(**changes)
        planned = Trainer(config, recipe).compile_step().memory_analysis()
        assert planned is not None, "every processor's backend of XLA plans its memory"
        found = measure(config, recipe)
        first = first or found.seconds
        rows.append((name, tokens / found.seconds, first / found.seconds, planned.temp_size_in_bytes / 2**20))
    return Table(
        "Variants of the trainer, on this processor",
        f"{base.layers} layers of width {base.width}, {recipe.batch} sequences of {base.context} tokens; "
        f"{TIMED}. Memory is what the compiler plans beside the state.",
        ("variant", "tokens a second", "of the first", "planned memory, MiB"),
        tuple(rows),
    )


def measure(config: Config, recipe: Recipe) -> Measured:
    """The trainer's step on random tokens; compilation and the first steps are left out."""
    trainer = Trainer(config, recipe)
    state, batch = trainer.init(), place(_tokens(config, recipe), trainer.batch_sharding)
    count = sum(leaf.size for leaf in jax.tree.leaves(state.parameters))

    def step() -> Any:
        nonlocal state
        state, metrics = trainer.step(state, batch)
        return metrics.loss

    seconds, losses = _time(step, jax.block_until_ready)
    memory = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)
    return Measured(seconds, [float(loss) for loss in losses], count, memory)


def _tokens(config: Config, recipe: Recipe) -> np.ndarray:
    shape = (recipe.accumulation, recipe.batch // recipe.accumulation, config.context + 1)
    return np.random.default_rng(0).integers(config.vocabulary, size=shape, dtype=np.int32)


def _time(step: Callable[[], Any], wait: Callable[[Any], Any]) -> tuple[float, list[Any]]:
    """Seconds of a step after the first ones, and what each step gave."""
    given, blocks = [], []
    for _ in range(WARM_UP):
        given.append(step())
        wait(given[-1])
    for _ in range(BLOCKS):
        began = time.perf_counter()
        given += [step() for _ in range(STEPS)]
        wait(given[-1])
        blocks.append((time.perf_counter() - began) / STEPS)
    # What else the machine does, it does in some of the blocks.
    return statistics.median(blocks), given


def _in_a_process(*asked: str) -> Any:
    """What `show(*asked)` prints."""
    script = f"from gradlab_grading.bench.gpt import show; show{asked!r}"
    # Else the first process would keep most of the memory, and the peak would not be the program's.
    environment = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    if asked[0] == TORCH:
        environment["JAX_PLATFORMS"] = "cpu"  # only for the first weights: the GPU is PyTorch's
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the measurement of {asked[0]} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def show(what: str, setting: str = "cpu", dtype: str = "float32") -> None:
    """In a process of its own: print as JSON what is asked for."""
    config, recipe = SETTINGS[setting]
    config = config.but(dtype=dtype)
    if what == "where":
        found: Any = jax.default_backend(), jax.devices()[0].device_kind
    elif what in OURS:
        found = asdict(measure(config.but(**OURS[what]), recipe))
    else:
        from gradlab_grading.torch_gpt import measure_torch

        found = asdict(Measured(*measure_torch(config, recipe, _tokens(config, recipe)[0], _time)))
    print(json.dumps(found))
