"""Stopped at any moment and started again: nothing finished is lost or repeated, and nothing is left behind."""

import fcntl
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from engine.test_doors import FULL, GRADE, toy
from gradlab_grading.engine import Watcher

pytestmark = [pytest.mark.needs("bubblewrap"), pytest.mark.filterwarnings("ignore")]
SLOW = """
import time
time.sleep(1.5)

def double(array):
    return 2 * array
"""
STUDENTS = 3


def finished(course) -> dict[str, int]:
    """Students whose graded folder is in place, with the time at which it came there."""
    return {
        p.parents[1].name: p.stat().st_mtime_ns for p in (course.root / "autograded").glob("student*/toy/toy.ipynb")
    }


def alive(family: list[psutil.Process]) -> list[str]:
    """Those of these processes that still run, once they have had time to end."""
    _, left = psutil.wait_procs(family, timeout=30)
    return [str(process) for process in left if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def _listen_to_the_keyboard() -> None:
    """As a terminal starts a program: a background job, such as one of CI, inherits that SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stop_and_start_again(tmp_path, how):
    course = toy(tmp_path / "course", students=STUDENTS, double=SLOW)
    command = [*GRADE, "toy", "--course", str(course.root), "--jobs", "1"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    run = subprocess.Popen(command, preexec_fn=_listen_to_the_keyboard, **quiet)
    while not finished(course):
        assert run.poll() is None, "it ended before anything was graded"
        time.sleep(0.05)
    family = psutil.Process(run.pid).children(recursive=True)
    assert family
    run.send_signal(how)
    assert run.wait(timeout=60) == (-signal.SIGKILL if how == signal.SIGKILL else 130)
    done = finished(course)
    assert 0 < len(done) < STUDENTS
    assert alive(family) == []
    outcomes = course.grade("toy")
    assert {name for name, outcome in outcomes.items() if outcome.status == "skipped"} == set(done)
    assert done.items() <= finished(course).items()
    assert all(course.scores(f"student{number}", "toy") == FULL for number in range(STUDENTS))
    assert not (course.root / "autograded" / ".grading").exists()
    assert str(course.root) not in Path("/proc/self/mounts").read_text()


def test_two_runs_do_not_meet(tmp_path):
    """A second run of the same course says that the first one is at work, and touches nothing of it."""
    course = toy(tmp_path / "course")
    (course.root / "autograded" / ".grading").mkdir(parents=True)
    with (course.root / "autograded" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = subprocess.run([*GRADE, "toy", "--course", str(course.root)], capture_output=True, text=True)
    assert second.returncode == 2
    assert "another run is grading" in second.stderr
    assert (course.root / "autograded" / ".grading").exists()


def test_dask_with_a_worker_killed_half_way(tmp_path):
    """Scheduler and workers are processes that speak TCP; a lost worker costs a retry and no grade."""
    course = toy(tmp_path / "course", students=4, double=SLOW)
    with cluster(tmp_path, 2) as (address, workers):
        command = [*GRADE, "toy", "--course", str(course.root), "--scheduler", address, "--json"]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while not finished(course):
            assert run.poll() is None, run.stderr.read()
            time.sleep(0.05)
        workers[0].kill()
        output, errors = run.communicate(timeout=120)
        assert run.returncode == 0, errors + output
        assert all(course.scores(f"student{number}", "toy") == FULL for number in range(4))


def test_dask_workers_say_what_they_run(tmp_path):
    course = toy(tmp_path / "course", students=2)
    heard = Heard()
    with cluster(tmp_path, 1) as (address, _):
        course.engine(scheduler=address).grade("toy", heard)
    assert {student for _, student in heard.cells} == {"student0", "student1"}
    assert len({worker for worker, _ in heard.cells}) == 1


class Heard(Watcher):
    """Keeps which worker ran whose cells."""

    def __init__(self):
        self.cells = []

    def cell(self, worker, job, cell):
        self.cells.append((worker, job.key[1]))


@contextmanager
def cluster(folder: Path, count: int) -> Iterator[tuple[str, list[subprocess.Popen]]]:
    """A Dask scheduler's address, and its workers, of one thread each."""
    dask = [str(Path(GRADE[0]).with_name("dask"))]
    place = folder / "scheduler.json"
    quiet: dict = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True, "cwd": folder}
    scheduler = subprocess.Popen(
        [*dask, "scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(place)], **quiet
    )
    workers = []
    try:
        while not place.exists():
            assert scheduler.poll() is None
            time.sleep(0.1)
        start = [*dask, "worker", "--scheduler-file", str(place), "--nthreads", "1", "--no-nanny", "--no-dashboard"]
        workers += [subprocess.Popen(start, **quiet) for _ in range(count)]
        yield _address(place, workers=count), workers
    finally:
        for process in (scheduler, *workers):
            process.kill()
            process.wait()


def _address(place: Path, workers: int) -> str:
    """The scheduler's address, once its workers are there."""
    from distributed import Client

    with Client(scheduler_file=str(place), set_as_default=False) as client:
        client.wait_for_workers(workers, timeout=60)
        return client.scheduler.address
