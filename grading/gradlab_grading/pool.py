"""Where jobs run: threads of this process, or a Dask cluster. The rest is the same.

Both give `concurrent.futures` futures. A thread only waits for its kernel and
its checker, which are processes of their own.
"""

import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from gradlab_grading.job import Cell, Job, Result
from gradlab_grading.prime import Course
from gradlab_grading.worker import worker_here

Progress = Callable[[str, Job, Cell], None]
"""Told which worker begins which cell."""
LOST_WORKERS = 3


class LocalPool:
    """As many jobs at a time as `size`, on this machine."""

    def __init__(self, course: Course, size: int, progress: Progress) -> None:
        self.size, self.progress = size, progress
        self.worker = worker_here(course)
        self.executor = ThreadPoolExecutor(size, thread_name_prefix="worker")

    def start(self) -> None:
        """Start the warm server, from the thread that lives as long as the pool.

        Raises:
            SandboxError: this machine cannot isolate submissions.
        """
        self.worker.start()

    def submit(self, job: Job) -> "Future[Result]":
        """Queue a job."""
        return self.executor.submit(self._run, job)

    def _run(self, job: Job) -> Result:
        worker = threading.current_thread().name.replace("_", " ")
        return self.worker.run(job, lambda cell: self.progress(worker, job, cell))

    def close(self) -> None:
        """End every process at once; jobs that still run fail."""
        self.executor.shutdown(wait=False, cancel_futures=True)
        self.worker.close()


class DaskPool:
    """The workers of the Dask cluster at `address`.

    A job of a worker that is lost goes to another one; only a job that has cost
    `LOST_WORKERS` workers is given up.
    """

    def __init__(self, course: Course, address: str, progress: Progress) -> None:
        from distributed import Client

        self.course, self.progress = course, progress
        self.client: Any = Client(address, set_as_default=False, timeout="30s")
        self.jobs: dict[tuple[str, str, str], Job] = {}
        # Where workers say what they do; another run on the same cluster has another place.
        self.topic = f"gradlab-{secrets.token_hex(8)}"
        self.client.subscribe_topic(self.topic, self._hear)

    def start(self) -> None:
        """Check that somebody is there.

        Raises:
            ConnectionError: the scheduler has no workers.
        """
        if not self.client.ncores():
            raise ConnectionError("the scheduler has no workers; start some with `dask worker`")

    @property
    def size(self) -> int:
        """Threads of all workers."""
        return sum(self.client.ncores().values()) or 1

    def submit(self, job: Job) -> "Future[Result]":
        """Queue a job."""
        self.jobs[job.key] = job
        remote = self.client.submit(run_here, self.course, job, self.topic, pure=False, retries=LOST_WORKERS)
        future: Future[Result] = Future()
        future.set_running_or_notify_cancel()
        future.add_done_callback(lambda _: self.jobs.pop(job.key, None))
        remote.add_done_callback(lambda done: _copy(done, future))
        return future

    def _hear(self, event: tuple[float, Any]) -> None:
        worker, key, number = event[1]
        # What is said of a job may come after its result.
        if job := self.jobs.get(tuple(key)):
            self.progress(worker, job, job.cells[number])

    def close(self) -> None:
        """Let go of the cluster; its workers stay."""
        self.client.close(timeout=5)


def run_here(course: Course, job: Job, topic: str) -> Result:
    """Run a job in the process of this Dask worker, and say under `topic` where it is."""
    from distributed import get_worker

    here = get_worker()
    # Dask ends the names of a worker's threads with their numbers.
    name = f"{here.name} {threading.current_thread().name.rpartition('-')[2]}"
    return worker_here(course).run(job, lambda cell: here.log_event(topic, (name, job.key, job.cells.index(cell))))


def _copy(remote: Any, future: "Future[Result]") -> None:
    """Hand a Dask future's end to a standard one."""
    try:
        future.set_result(remote.result())
    except BaseException as error:  # noqa: BLE001 the one who waits raises it
        future.set_exception(error)
