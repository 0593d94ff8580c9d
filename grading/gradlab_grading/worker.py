"""Runs jobs: the same code in a thread of `gradlab grade` and in a Dask worker."""

import os
import platform
import threading
import time
from collections.abc import Callable

from gradlab_grading.checker import Checker, CheckerDied
from gradlab_grading.job import CHECKER, Cell, CellResult, Job, Result
from gradlab_grading.outputs import error
from gradlab_grading.prime import Course
from gradlab_grading.sandbox import Sandbox, SandboxSettings
from gradlab_grading.session import KernelDied, Session


class Worker:
    """The sandbox of this process, shared by its threads, and a checker for each thread."""

    def __init__(self, course: Course) -> None:
        self.course = course
        self.settings = course.sandbox
        self.sandbox = Sandbox(course.sandbox)
        self._local = threading.local()
        self._lock = threading.Lock()
        self._checkers: list[Checker] = []

    def start(self) -> None:
        """Start the warm server, or a new one where it has ended; the first kernel waits until it is warm.

        Raises:
            SandboxError: it cannot be started.
        """
        with self._lock:
            if not self.sandbox.alive:
                self.sandbox.close()
                self.settings = self.course.warm(_run_reference)
                self.sandbox = Sandbox(self.settings)
                self.sandbox.start()

    def close(self) -> None:
        """End every process."""
        self.sandbox.close()
        for checker in self._checkers:
            checker.close()

    @property
    def checker(self) -> Checker:
        """The checker of the calling thread."""
        if not hasattr(self._local, "checker"):
            self._local.checker = Checker(self.settings)
            self._checkers.append(self._local.checker)
        return self._local.checker

    def run(self, job: Job, progress: Callable[[Cell], None] = lambda cell: None) -> Result:
        """Run a job to its end. What submitted code does is part of the result.

        Raises:
            SandboxError: nothing can be run on this machine, or the assignment's own
                setup cells fail in the checker.
        """
        self.start()
        started = time.monotonic()
        result = Result(job.key, worker=f"{platform.node()} {os.getpid()}")
        checker = self.checker if job.mode == CHECKER else None
        if checker is not None:
            # Here, so that a new one imports its libraries while the server does.
            checker.start(job.setup)
        with Session(self.sandbox, job.limits) as session:
            try:
                self._begin(job, session, checker)
                self._run_cells(job, session, checker, result, progress)
            finally:
                if checker is not None:
                    checker.finish()
        ended = session.fork.close()
        result.seconds = time.monotonic() - started
        result.cpu_seconds = ended.get("cpu_seconds", 0.0)
        result.peak_bytes = ended.get("peak_bytes", 0)
        return result

    def _begin(self, job: Job, session: Session, checker: Checker | None) -> None:
        if checker is not None:
            checker.open(session, job.setup, job.seed)
        for path, data in job.files:
            try:
                session.put(path, data)
            except KernelDied:
                return

    def _run_cells(
        self, job: Job, session: Session, checker: Checker | None, result: Result, progress: Callable[[Cell], None]
    ) -> None:
        for number, cell in enumerate(job.cells, 1):
            progress(cell)
            if session.dead is not None:
                result.cells[cell.index] = _never_ran(session.dead)
            elif cell.grade and checker is not None:
                result.cells[cell.index] = self._check(job, session, checker, cell, result)
            else:
                result.cells[cell.index] = _run(session, cell, number, result)

    def _check(self, job: Job, session: Session, checker: Checker, cell: Cell, result: Result) -> CellResult:
        try:
            verdict = checker.run(session, cell.source)
        except CheckerDied:
            message = "what the submission sent could not be judged in time"
            result.notes.append(f"cell {cell.index}: {message}; the checker was started afresh")
            checker.open(session, job.setup, job.seed)
            return CellResult([error("CheckStopped", message)])
        if verdict.trouble:
            result.trouble.append(verdict.trouble)
            result.notes.append(f"cell {cell.index}: the check itself failed; see the record")
        memory = session.fork.usage()["memory_bytes"] if session.dead is None else 0
        return CellResult(verdict.outputs, None, verdict.seconds, memory)


def _run(session: Session, cell: Cell, number: int, result: Result) -> CellResult:
    try:
        run = session.run(cell.source, number)
    except KernelDied as death:
        result.notes.append(f"cell {cell.index}: {death}")
        return _never_ran(str(death))
    if session.dead is not None:
        result.notes.append(f"cell {cell.index}: {session.dead}")
    return CellResult(run.outputs, run.count, run.seconds, run.memory_bytes)


def _never_ran(reason: str) -> CellResult:
    """The mark of a cell that was not begun: an error, so that a test cell earns nothing."""
    return CellResult([error("NotRun", f"this cell was not run: {reason}")], ran=False)


def _run_reference(settings: SandboxSettings, job: Job) -> Result:
    worker = Worker(Course(settings))
    try:
        return worker.run(job)
    finally:
        worker.close()


_workers: dict[Course, Worker] = {}
_workers_lock = threading.Lock()


def worker_here(course: Course) -> Worker:
    """The worker of this process for an assignment, made at the first call."""
    with _workers_lock:
        if course not in _workers:
            _workers[course] = Worker(course)
        return _workers[course]
