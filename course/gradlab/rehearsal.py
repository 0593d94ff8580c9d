"""Two processes of this machine train together, as two hosts would: what lab 07 runs with a student's functions.

They run on the processor, also where there are accelerators.

Where a lab is graded, programs cannot reach each other. There these functions say so and start nothing.
"""

import inspect
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from gradlab.processes import Processes, run_processes, show
from gradlab.shards import can_connect, train_together

LOST_AT = 25
# Where there are accelerators, the notebook's own process has them.
ON_CPU = {"JAX_PLATFORMS": "cpu"}
# The names that a function written in the lab may use: those of the lab's first cell.
_IMPORTS = """
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, PyTree
"""
_TRAIN = """
from gradlab import distributed, shards
distributed.join()
losses = shards.train_together({rows}, {batch})
print(jax.device_count(), "devices:", [round(loss, 5) for loss in losses])
"""


def train_in_two(process_rows: Callable, global_batch: Callable) -> None:
    """Trains a small network in two processes, then in this one alone, and prints the losses of both.

    The text of the two functions goes into a program. A helper that they call, and that stands elsewhere, is not in it.

    Args:
        process_rows: `(rows, process, processes) -> (start, stop)`.
        global_batch: `(rows of this process, mesh) -> global array`.

    Raises ProcessesFailed, with the traceback of the process that failed first.
    """
    if _can_rehearse():
        run = _TRAIN.format(rows=process_rows.__name__, batch=global_batch.__name__)
        parts = (_IMPORTS, inspect.getsource(process_rows), inspect.getsource(global_batch), run)
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder) / "worker.py"
            program.write_text("\n".join(parts), encoding="utf-8")
            run_processes([sys.executable, str(program)], 2, ON_CPU)
    print("alone:", [round(loss, 5) for loss in train_together(process_rows, global_batch)])


def lose_one(folder: str | Path) -> None:
    """Trains the small GPT in two processes, with checkpoints in `folder`, and kills one of them at step `LOST_AT`.

    Prints what the processes print, and how each of them ended.
    """
    if not _can_rehearse():
        return

    def kill(number: int, line: str) -> None:
        show(number, line)
        if line.startswith(f"step {LOST_AT} ") and 1 in both.running:
            os.kill(both.running[1].pid, signal.SIGKILL)

    with Processes(_gpt(folder), 2, ON_CPU, kill) as both:
        for ended in both.wait():
            print(ended)


def go_on(folder: str | Path) -> None:
    """Starts both processes of `lose_one` again: they go on from the last checkpoint in `folder`.

    Raises ProcessesFailed if one of them fails.
    """
    if _can_rehearse():
        run_processes(_gpt(folder), 2, ON_CPU)


def _gpt(folder: str | Path) -> list[str]:
    options = {"--steps": 40, "--report": 5, "--characters": 100_000, "--every": 10, "--checkpoints": folder}
    words = ["-m", "gradlab.gpt", *(str(part) for option in options.items() for part in option)]
    print("python", *words)
    return [sys.executable, *words]


def _can_rehearse() -> bool:
    able = can_connect()
    if not able:
        print("programs cannot reach each other here: no second process is started")
    return able
