"""Progress and summary of a grading run, for people."""

import threading
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from gradlab_grading.engine import Outcome, Watcher
from gradlab_grading.job import Cell, Job


class LiveDisplay(Watcher):
    """A bar for the batch with the time left, and a line for each submission that is running."""

    def __init__(self, console: Console) -> None:
        self.console = console
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self.progress = Progress(*columns, console=console, transient=True)
        self.lines = {}
        self.lock = threading.Lock()

    def __enter__(self) -> "LiveDisplay":
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def begin(self, total: int, workers: int) -> None:
        """Show the bar of the batch."""
        self.batch = self.progress.add_task(f"submissions, {workers} at a time", total=total)

    def cell(self, job: Job, cell: Cell) -> None:
        """Move the line of a running submission."""
        _, student, notebook = job.key
        with self.lock:
            if job.key not in self.lines:
                self.lines[job.key] = self.progress.add_task(f"  {student}/{notebook}", total=len(job.cells))
            self.progress.update(self.lines[job.key], completed=job.cells.index(cell))

    def done(self, outcome: Outcome) -> None:
        """Advance the bar, and print what became of the submission where no terminal shows it."""
        with self.lock:
            for key in [key for key in self.lines if key[1] == outcome.student]:
                self.progress.remove_task(self.lines.pop(key))
        self.progress.advance(self.batch)
        if not self.console.is_terminal:
            self.console.print(f"{time.strftime('%H:%M:%S')} {outcome.student}: {outcome.status}, {_score(outcome)}")


def summary(outcomes: list[Outcome], mode: str) -> Table:
    """The table at the end of a run; notes stand below their submission."""
    table = Table(title=f"test cells ran in the {'checker' if mode == 'checker' else 'student kernel'}")
    for name in ("student", "result", "score", "time", "notes"):
        table.add_column(name, justify="right" if name in ("score", "time") else "left")
    for outcome in sorted(outcomes, key=lambda it: it.student):
        style = {"failed": "red", "skipped": "dim"}.get(outcome.status, "")
        seconds = f"{outcome.seconds:.1f} s" if outcome.seconds else ""
        table.add_row(outcome.student, outcome.status, _score(outcome), seconds, "\n".join(outcome.notes), style=style)
    return table


def _score(outcome: Outcome) -> str:
    if outcome.score is None:
        return ""
    rest = ", by hand the rest" if outcome.needs_manual_grade else ""
    return f"{outcome.score:g} of {outcome.max_score:g}{rest}"
