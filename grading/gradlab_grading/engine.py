"""The engine: prepare, execute, record, for a batch of submissions.

One coordinator prepares and records, so that nbgrader's gradebook has one
writer. Only as many submissions as keep the workers busy are in memory.
"""

import fcntl
import secrets
import traceback
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import nbformat
import psutil
from nbformat import NotebookNode
from nbgrader.api import Gradebook
from nbgrader.coursedir import CourseDirectory
from traitlets import Bool, Dict, Enum, Instance, Integer, List, Unicode
from traitlets.config import LoggingConfigurable

from gradlab_grading.grader import Grader, Prepared
from gradlab_grading.job import CHECKER, KERNEL, Cell, Job, Result
from gradlab_grading.limits import Limits
from gradlab_grading.pool import DaskPool, LocalPool
from gradlab_grading.prime import Course
from gradlab_grading.record import write_record
from gradlab_grading.sandbox import SandboxError, SandboxSettings
from gradlab_grading.worker import worker_here

PRIMING_SEED = 271828
"""What the reference is asked while the cache is filled; any other seed needs nearly the same programs."""


@dataclass
class Outcome:
    """What became of one submission.

    Attributes:
        status: graded, failed or skipped; with `dry_run` new, forced or newer.
        score: points that nbgrader gives, the late penalty not taken off.
        notes: one line each, for the instructor.
    """

    student: str
    status: str
    score: float | None = None
    max_score: float | None = None
    seconds: float = 0.0
    needs_manual_grade: bool = False
    notes: list[str] = field(default_factory=list)


class Watcher:
    """What a display is told; this one shows nothing."""

    def begin(self, total: int, workers: int) -> None:
        """`total` submissions will be graded."""

    def cell(self, worker: str, job: Job, cell: Cell) -> None:
        """A worker, by name, begins a cell. Called from a thread of its own."""

    def done(self, outcome: Outcome) -> None:
        """A submission is finished."""


class Busy(Exception):
    """Another run grades the same course."""


class Engine(LoggingConfigurable):
    """Grades submissions of an assignment; settings come from `nbgrader_config.py`."""

    mode = Enum(
        (KERNEL, CHECKER),
        KERNEL,
        help="Where test cells run: in the student's kernel, as nbgrader does, or in the checker.",
    ).tag(config=True)
    limits = Dict(help="Limits of a submission, by name (see gradlab_grading.limits).").tag(config=True)
    assignments = Dict(
        help="Settings of single assignments: a pattern of names to a dict with `mode` and `limits`."
    ).tag(config=True)
    folders = List(Unicode(), help="Further folders that submissions may read.").tag(config=True)
    environment = Dict(help="Further environment variables of submissions.").tag(config=True)
    unsafe = Bool(False, help="Run submissions without a sandbox.").tag(config=True)
    workers = Integer(0, help="Submissions at a time; 0 for as many as cores.").tag(config=True)
    scheduler = Unicode("", help="Address of a Dask scheduler, to use its workers.").tag(config=True)
    coursedir = Instance(CourseDirectory)

    def __init__(self, **kwargs: Any) -> None:
        coursedir = kwargs.pop("coursedir", None)
        super().__init__(**kwargs)
        self.coursedir = coursedir or CourseDirectory(parent=self)

    def settings_of(self, assignment: str) -> tuple[str, Limits]:
        """Mode and limits of an assignment; nbgrader's own `Execute.timeout` is the time of a cell.

        Raises:
            ValueError: a setting that does not exist.
        """
        mode, limits = self.mode, dict(self.limits)
        timeout = self.config.Execute.get("timeout")
        if isinstance(timeout, int) and timeout > 0:
            whole = max(Limits.wall_seconds, 5 * timeout)
            limits = {"cell_seconds": timeout, "wall_seconds": whole, "cpu_seconds": whole} | limits
        for pattern, own in self.assignments.items():
            if fnmatch(assignment, pattern):
                mode = own.get("mode", mode)
                limits |= own.get("limits", {})
        if mode not in (KERNEL, CHECKER):
            raise ValueError(f"mode is {KERNEL!r} or {CHECKER!r}, not {mode!r}")
        return mode, Limits.of(limits)

    def grade(
        self, assignment: str, watcher: Watcher, *, dry_run: bool = False, seed: int | None = None
    ) -> list[Outcome]:
        """Grade what is to be graded.

        Args:
            assignment: its name.
            watcher: is told how it goes.
            dry_run: only say what would be done.
            seed: what hidden checks draw from, to repeat a run; drawn afresh if None.

        Raises:
            MissingEntry: the gradebook does not know the assignment.
            SandboxError: this machine cannot isolate submissions.
            Busy: another run grades this course.
        """
        self.coursedir.assignment_id = assignment
        with self._alone():
            grader = self._grader(assignment)
            students = self._students(assignment)
            wanted = {student: grader.wanted(student) for student in students}
            skipped = [Outcome(student, "skipped") for student in students if not wanted[student]]
            chosen = [student for student in students if wanted[student]]
            if dry_run:
                return [*skipped, *(Outcome(student, wanted[student]) for student in chosen)]
            watcher.begin(len(chosen), self._size())
            return skipped + (self._run(grader, chosen, watcher, seed) if chosen else [])

    def run_one(self, nb: NotebookNode, assignment: str, student: str, name: str, folder: Path) -> Result:
        """Run one sanitized notebook, for nbgrader's own doors."""
        grader = self._grader(assignment, wipe=False)
        job = grader.job(nb, student, name, folder, _fresh_seed())
        worker = worker_here(self._course(grader))
        try:
            return worker.run(job)
        finally:
            worker.close()

    def rehearse(self, assignment: str, seed: int) -> tuple[list[Job], SandboxSettings]:
        """The jobs of all that is handed in, and what a worker would warm up; runs none of them."""
        self.coursedir.assignment_id = assignment
        with self._alone():
            grader = self._grader(assignment)
            try:
                jobs = [job for name in self._students(assignment) for job in grader.prepare(name, seed).jobs]
                worker = worker_here(self._course(grader))
                worker.start()
                worker.close()
            finally:
                grader.wipe()
        return jobs, worker.settings

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the course: two runs would empty each other's staging folder."""
        folder = Path(self.coursedir.root, self.coursedir.autograded_directory)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy(f"another run is grading {self.coursedir.root}; wait for it to end") from None
            yield

    def _grader(self, assignment: str, *, wipe: bool = True) -> Grader:
        mode, limits = self.settings_of(assignment)
        grader = Grader(coursedir=self.coursedir, parent=self)
        grader.setup(assignment, limits, mode)
        if wipe:
            grader.wipe()
        for template in grader.templates.values():
            if template.language.lower() not in ("python", "ipython"):
                raise SandboxError(
                    f"{template.notebook} is written in {template.language}; the engine runs Python."
                    " Grade it with `nbgrader autograde`."
                )
        return grader

    def _students(self, assignment: str) -> list[str]:
        """Who has handed in, among those that `--student` selects."""
        step = self.coursedir.submitted_directory
        pattern = self.coursedir.format_path(step, self.coursedir.student_id, assignment)
        parts = Path(self.coursedir.format_path(step, "{student}", assignment)).parts
        place = parts.index("{student}")
        return sorted(path.parts[place] for path in Path("/").glob(pattern.lstrip("/")) if path.is_dir())

    def _size(self) -> int:
        return self.workers or len(psutil.Process().cpu_affinity()) or 1

    def _course(self, grader: Grader) -> Course:
        """What workers need to be warm for an assignment."""
        sandbox = SandboxSettings(
            folders=tuple(Path(folder) for folder in self.folders),
            environment=tuple(sorted(self.environment.items())),
            private=not self.unsafe,
        )
        step = self.coursedir.source_directory
        folder = Path(self.coursedir.format_path(step, ".", grader.assignment))
        reference = []
        for name in grader.templates:
            path = folder / f"{name}.ipynb"
            if path.exists():
                notebook = nbformat.read(path, as_version=4)
                reference.append(grader.job(notebook, "reference", name, folder, PRIMING_SEED))
        # Its limits are not a student's: the first run compiles everything.
        slow = replace(grader.limits, cell_seconds=1800, wall_seconds=3600, cpu_seconds=7200)
        return Course(sandbox, tuple(replace(job, limits=slow) for job in reference))

    def _pool(self, grader: Grader, watcher: Watcher) -> LocalPool | DaskPool:
        course = self._course(grader)
        if self.scheduler:
            return DaskPool(course, self.scheduler, watcher.cell)
        return LocalPool(course, self._size(), watcher.cell)

    def _run(self, grader: Grader, students: list[str], watcher: Watcher, seed: int | None) -> list[Outcome]:
        outcomes: list[Outcome] = []
        if seed is None:
            # All of a batch get the same questions, and no batch the same as another.
            seed = _fresh_seed()
        pool = self._pool(grader, watcher)
        try:
            pool.start()
            for outcome in self._outcomes(grader, pool, students, seed):
                outcomes.append(outcome)
                watcher.done(outcome)
        finally:
            pool.close()
            grader.wipe()
        return outcomes

    def _outcomes(
        self, grader: Grader, pool: LocalPool | DaskPool, students: list[str], seed: int
    ) -> Iterator[Outcome]:
        """Keep the workers busy, and record whatever is complete."""
        waiting = list(reversed(students))
        running: dict[Future, tuple[Prepared, str]] = {}
        results: dict[str, dict[str, Result]] = {}
        while waiting or running:
            # Two more than the workers: the next job is ready when one ends.
            while waiting and len(running) < pool.size + 2:
                student = waiting.pop()
                try:
                    prepared = grader.prepare(student, seed)
                except Exception as error:  # noqa: BLE001 one submission never stops the batch
                    yield self._failure(student, error)
                    continue
                jobs = prepared.jobs if grader.executes else []
                results[student] = {}
                running |= {pool.submit(job): (prepared, job.key[2]) for job in jobs}
                if not jobs:
                    yield self._record(grader, prepared, results.pop(student))
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield from self._take_in(grader, future, *running.pop(future), results)

    def _take_in(
        self, grader: Grader, future: Future, prepared: Prepared, notebook: str, results: dict[str, dict[str, Result]]
    ) -> Iterator[Outcome]:
        """Take a finished job; record the submission if it was the last of its jobs."""
        student = prepared.student
        try:
            result = future.result()
        except SandboxError:
            raise
        except Exception as error:  # noqa: BLE001 one submission never stops the batch
            if results.pop(student, None) is not None:
                yield self._failure(student, error)
            return
        if student not in results:
            return
        results[student][notebook] = result
        if len(results[student]) == len(prepared.jobs):
            yield self._record(grader, prepared, results.pop(student))

    def _record(self, grader: Grader, prepared: Prepared, results: dict[str, Result]) -> Outcome:
        try:
            grader.record(prepared, results)
            outcome = self._outcome(grader, prepared, results)
            write_record(self.coursedir, grader, prepared, results, outcome.score)
        except Exception as error:  # noqa: BLE001 one submission never stops the batch
            return self._failure(prepared.student, error)
        return outcome

    def _outcome(self, grader: Grader, prepared: Prepared, results: dict[str, Result]) -> Outcome:
        notes = prepared.notes + [f"{name}: {note}" for name, result in results.items() for note in result.notes]
        outcome = Outcome(prepared.student, "graded", notes=notes)
        outcome.seconds = sum(result.seconds for result in results.values())
        with Gradebook(self.coursedir.db_url, self.coursedir.course_id) as gradebook:
            submission = gradebook.find_submission(grader.assignment, prepared.student)
            outcome.score, outcome.max_score = submission.score, submission.max_score
            outcome.needs_manual_grade = bool(submission.needs_manual_grade)
        return outcome

    def _failure(self, student: str, error: Exception) -> Outcome:
        """A submission that could not be graded; the others go on."""
        self.log.error("%s: %s", student, "".join(traceback.format_exception(error)))
        return Outcome(student, "failed", notes=[f"{type(error).__name__}: {error}"])


def _fresh_seed() -> int:
    """A seed that nobody can know beforehand."""
    return secrets.randbelow(2**62)
