"""What a worker is given and what it gives back: plain data, for any machine."""

from dataclasses import dataclass, field
from typing import Any

from gradlab_grading.limits import Limits
from gradlab_grading.outputs import Output

KERNEL, CHECKER = "kernel", "checker"
"""Modes: grade cells run in the student's kernel, or in the checker."""


@dataclass(frozen=True)
class Cell:
    """A code cell of a prepared notebook. `grade` says that its output is worth points."""

    index: int
    source: str
    grade: bool


@dataclass(frozen=True)
class Job:
    """One submitted notebook, ready to run.

    Attributes:
        key: (assignment, student, notebook).
        cells: its code cells that are not empty, in order.
        files: files beside the notebook: path relative to it, content.
        setup: sources of the locked cells that the checker runs as well.
        mode: `KERNEL` or `CHECKER`.
        limits: what it may use.
        seed: what the hidden checks draw from.
    """

    key: tuple[str, str, str]
    cells: tuple[Cell, ...]
    files: tuple[tuple[str, bytes], ...]
    setup: tuple[str, ...]
    mode: str
    limits: Limits
    seed: int


@dataclass
class CellResult:
    """What running one cell gave; `ran` is False where it was never begun."""

    outputs: list[Output]
    count: int | None = None
    seconds: float = 0.0
    memory_bytes: int = 0
    ran: bool = True


@dataclass
class Result:
    """What became of a job.

    Attributes:
        cells: by index in the prepared notebook.
        notes: one line each, for the instructor.
        trouble: tracebacks of checks that failed by themselves, for staff.
        seconds: wall time; `cpu_seconds` and `peak_bytes` are the submission's own.
        worker: where it ran.
    """

    key: tuple[str, str, str]
    cells: dict[int, CellResult] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    worker: str = ""

    def as_dict(self) -> dict[str, Any]:
        """What the record keeps of it: not the outputs, which are in the notebook."""
        cells = {
            str(index): {
                "seconds": round(cell.seconds, 4),
                "memory_bytes": cell.memory_bytes,
                "ran": cell.ran,
            }
            for index, cell in self.cells.items()
        }
        return {
            "cells": cells,
            "notes": self.notes,
            "trouble": self.trouble,
            "seconds": round(self.seconds, 3),
            "cpu_seconds": round(self.cpu_seconds, 3),
            "peak_bytes": self.peak_bytes,
            "worker": self.worker,
        }
