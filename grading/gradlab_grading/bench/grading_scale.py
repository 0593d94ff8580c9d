"""Time and memory of grading from ten submissions to three hundred."""

import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil

from gradlab_grading.bench import Table
from gradlab_grading.bench.grading import GRADE, LAB, hand_in, make_course, run

COUNTS = (10, 100, 300)


def tables() -> Iterator[Table]:
    """Grade batches of several sizes."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_course(root)
        yield Table(
            "From 10 to 300 submissions",
            "Lab 04 as it was released, without its pictures, in one batch. Memory is the peak of the grader and all"
            " its processes together; pages that they share count once.",
            ("submissions", "seconds", "seconds each", "memory, MiB"),
            tuple(_batch(root, count) for count in COUNTS),
        )


def _batch(root: Path, count: int) -> tuple[str | float, ...]:
    hand_in(root, count, solved=False)
    shutil.rmtree(root / "autograded", ignore_errors=True)
    with _Memory() as memory:
        seconds = run([*GRADE, LAB, "--course", str(root)], root)
    return str(count), seconds, seconds / count, memory.peak / 2**20


class _Memory:
    """The most memory that the children of this process have had together, in bytes; shared pages count once."""

    def __enter__(self) -> "_Memory":
        self.peak, self._stop = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            total = 0
            for process in psutil.Process().children(recursive=True):
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue
            self.peak = max(self.peak, total)
