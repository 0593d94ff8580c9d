"""Progress and summary of a grading run, for people."""

import threading
import time

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from gradlab_grading.engine import Outcome, Watcher
from gradlab_grading.job import CHECKER, KERNEL, Cell, Job


class LiveDisplay(Watcher):
    """A bar for the batch with the time left, and a line for each worker with the submission that it runs."""

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
        self.lines: dict[str, TaskID] = {}
        self.running: dict[str, tuple[str, str, str]] = {}
        self.lock = threading.Lock()

    def __enter__(self) -> "LiveDisplay":
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def begin(self, total: int, workers: int) -> None:
        """Show the bar of the batch, and until the first cell runs that it is being prepared."""
        self.batch = self.progress.add_task(f"submissions, {workers} at a time", total=total)
        self.warming = self.progress.add_task("  starting; the first time it compiles what the lab needs", total=None)

    def cell(self, worker: str, job: Job, cell: Cell) -> None:
        """Move the line of a worker."""
        _, student, notebook = job.key
        with self.lock:
            self._warm()
            if self.running.get(worker) != job.key:
                self._remove(worker)
                self.running[worker] = job.key
                description = f"  {escape(worker)}: {escape(f'{student}/{notebook}')}"
                self.lines[worker] = self.progress.add_task(description, total=len(job.cells))
            self.progress.update(self.lines[worker], completed=job.cells.index(cell))

    def done(self, outcome: Outcome) -> None:
        """Advance the bar, and print what became of the submission where no terminal shows it."""
        with self.lock:
            self._warm()
            for worker in [it for it, key in self.running.items() if key[1] == outcome.student]:
                self._remove(worker)
        self.progress.advance(self.batch)
        if not self.console.is_terminal:
            said = f"{time.strftime('%H:%M:%S')} {outcome.student}: {outcome.status}, {_score(outcome)}"
            self.console.print(said.removesuffix(", "), markup=False)

    def _warm(self) -> None:
        if self.warming in self.progress.task_ids:
            self.progress.remove_task(self.warming)

    def _remove(self, worker: str) -> None:
        if self.running.pop(worker, None) is not None:
            self.progress.remove_task(self.lines.pop(worker))


def summary(outcomes: list[Outcome], mode: str) -> Table:
    """The table at the end of a run in `mode`, or with none where nothing was run."""
    places = {CHECKER: "test cells ran in the checker", KERNEL: "test cells ran in the student kernel"}
    table = Table(title=places.get(mode, "nothing was run: saved outputs decided"))
    for name in ("student", "result", "score", "time", "notes"):
        table.add_column(name, justify="right" if name in ("score", "time") else "left")
    for outcome in sorted(outcomes, key=lambda it: it.student):
        style = {"failed": "red", "skipped": "dim"}.get(outcome.status, "")
        seconds = f"{outcome.seconds:.1f} s" if outcome.seconds else ""
        # Names and notes hold what students wrote: no markup.
        student, notes = escape(outcome.student), escape("\n".join(outcome.notes))
        table.add_row(student, outcome.status, _score(outcome), seconds, notes, style=style)
    return table


def _score(outcome: Outcome) -> str:
    if outcome.score is None:
        return ""
    rest = ", by hand the rest" if outcome.needs_manual_grade else ""
    return f"{outcome.score:g} of {outcome.max_score:g}{rest}"
