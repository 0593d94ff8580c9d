"""Grading lab 04: side by side with nbgrader, against the floor, and how many workers a class needs."""

import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

import nbformat
from nbgrader.utils import is_solution

from gradlab_grading import build
from gradlab_grading.bench import Table
from gradlab_grading.job import Job
from gradlab_grading.layout import repository
from gradlab_grading.sandbox import environment
from gradlab_grading.sizing import batch_seconds, rush, workers_needed

LAB, NOTEBOOK = "04-optimizers", "optimizers"
SUBMISSIONS, MORE = 10, 30
GRADE = [sys.executable, "-c", "import typer; from gradlab_grading.engine_cli import grade; typer.run(grade)"]
_NBGRADER = [sys.executable, "-m", "nbgrader"]


def tables() -> Iterator[Table]:
    """Measure throughput, and size a class from it."""
    with tempfile.TemporaryDirectory() as folder:
        course = Path(folder)
        make_course(course)
        yield _throughput(course, SUBMISSIONS, MORE)
        yield _sizes(_worker_seconds(course))


def make_course(root: Path) -> None:
    """A course of lab 04 with nbgrader's stock settings and, beside them, the engine's."""
    layout = repository()
    for source in layout.sources(LAB):
        build.build(source, layout)
    shutil.copytree(layout.source / LAB, root / "source" / LAB)
    stock = "c = get_config()\nc.CourseDirectory.course_id = 'bench'\nc.Execute.timeout = 300\n"
    stock += "c.ClearSolutions.code_stub = {'python': 'raise NotImplementedError'}\n"
    (root / "nbgrader_config.py").write_text(stock)
    run([*_NBGRADER, "generate_assignment", LAB], root)
    # One folder, two graders: an environment variable says which.
    isolated = "import os\nif 'STOCK' not in os.environ:\n"
    isolated += "    from gradlab_grading.isolate import isolate\n    isolate(c)\n"
    (root / "nbgrader_config.py").write_text(stock + isolated)


def hand_in(root: Path, count: int, *, solved: bool) -> None:
    """Put `count` copies of a notebook under submitted/: solved, or as it was released but for its pictures."""
    shutil.rmtree(root / "submitted", ignore_errors=True)
    notebook = nbformat.read(root / "release" / LAB / f"{NOTEBOOK}.ipynb", 4)
    source = nbformat.read(root / "source" / LAB / f"{NOTEBOOK}.ipynb", 4)
    answers = {cell.metadata.nbgrader.grade_id: cell.source for cell in source.cells if is_solution(cell)}
    for cell in notebook.cells:
        if solved and is_solution(cell):
            cell.source = answers[cell.metadata.nbgrader.grade_id]
    if not solved:
        notebook.cells = [cell for cell in notebook.cells if cell.cell_type != "code" or "nbgrader" in cell.metadata]
    for number in range(count):
        folder = root / "submitted" / f"student{number:03}" / LAB
        folder.mkdir(parents=True)
        nbformat.write(notebook, folder / f"{NOTEBOOK}.ipynb")


def run(command: list[str], root: Path, **environment: str) -> float:
    """Run to the end; gives the seconds. The output is shown only when it fails."""
    started = time.perf_counter()
    done = subprocess.run(command, cwd=root, env=os.environ | environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return time.perf_counter() - started


def _throughput(root: Path, count: int, more: int) -> Table:
    """nbgrader, the engine and the floor on the same submissions, one after the other; then more with the engine."""
    hand_in(root, count, solved=True)
    grade = [*GRADE, LAB, "--course", str(root), "--force"]
    # Once, so that the machine's cache has what does not depend on the batch.
    run([*grade, "--student", "student000"], root)
    engine = run(grade, root)
    floor = _floor(root)
    shutil.rmtree(root / "autograded")
    stock = run([*_NBGRADER, "autograde", LAB, "--force"], root, STOCK="1")
    hand_in(root, more, solved=True)
    rows = []
    for name, seconds, number in (
        ("nbgrader autograde", stock, count),
        ("gradlab grade", engine, count),
        ("gradlab grade", run(grade, root), more),
        ("floor: no isolation, no checker", floor, count),
    ):
        each = seconds / number
        rows.append((name, str(number), seconds, each, stock / count / each, each / (floor / count)))
    return Table(
        "Throughput on lab 04",
        f"Solved submissions of lab 04, with all its pictures; {os.cpu_count()} cores, wall time from start to end."
        " The engine's time has in it the start of its processes, which weighs less the more submissions there are, but"
        " not the filling of its cache by the reference solution, once a machine and version of the lab. Its hidden"
        " questions are new in every run. nbgrader takes one submission after the other. The floor forks a process a"
        " submission from one that is warm in the same way, with the same cache, and runs all cells in it, on every"
        " core; its start is not in its time.",
        ("grader", "submissions", "seconds", "seconds each", "times nbgrader's throughput", "times the floor"),
        tuple(rows),
    )


def _worker_seconds(root: Path) -> float:
    """What a solved submission took of a worker, the median of the last batch."""
    records = [max(folder.glob("*.json")) for folder in (root / "records" / LAB).iterdir()]
    return median(json.loads(record.read_text())["notebooks"][NOTEBOOK]["seconds"] for record in records)


def _floor(root: Path) -> float:
    """Seconds that the same cells take with nothing around them."""
    from nbgrader.apps import AutogradeApp

    from gradlab_grading.engine import Engine

    app = AutogradeApp()
    app.initialize([f"--CourseDirectory.root={root}", "--log-level=ERROR"], root=str(root))
    engine = Engine(parent=app, coursedir=app.coursedir)
    jobs, settings = engine.rehearse(LAB, seed=1)
    plan = root / "floor.pickle"
    plan.write_bytes(pickle.dumps((jobs, settings.modules, os.cpu_count())))
    # What makes a kernel's programs, without the sandbox's paths.
    names = environment(replace(settings, private=False))
    cache = {name: value for name, value in names.items() if name.startswith(("JAX_", "PJRT_"))}
    script = "from gradlab_grading.bench.grading import run_floor; run_floor()"
    done = subprocess.run(
        [sys.executable, "-c", script, str(plan)], env=os.environ | cache, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def run_floor() -> None:
    """In a process of its own: fork a submission at a time for each core, and print the seconds."""
    jobs, modules, cores = pickle.loads(Path(sys.argv[1]).read_bytes())
    from gradlab_grading.sandboxed import thrift, zygote

    zygote.warm(list(modules))
    thrift.save_work()
    started = time.perf_counter()
    running = 0
    for job in jobs:
        if running == cores:
            os.wait()
            running -= 1
        if os.fork() == 0:
            _run_cells(job)
        running += 1
    for _ in range(running):
        os.wait()
    print(json.dumps(time.perf_counter() - started))


def _run_cells(job: Job) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    namespace: dict = {"__name__": "__main__"}
    from gradlab_grading import hidden

    hidden.seed.set(job.seed)
    for cell in job.cells:
        try:
            exec(compile(cell.source, "cell", "exec"), namespace)
        except Exception:  # noqa: BLE001 as in a kernel, the next cell is run
            continue
    os._exit(0)


def _sizes(seconds: float) -> Table:
    rows = []
    for students in (30, 300, 10_000):
        workers = workers_needed(students, seconds, within=600)
        found = rush(students, workers, seconds)
        hours = batch_seconds(students, workers, seconds) / 3600
        rows.append((str(students), str(workers), found.median_wait, found.longest_wait, found.after_deadline, hours))
    return Table(
        "Workers for a class",
        f"Simulated from {seconds:.3g} s of a worker for each submission. A third of the class hands in during the last"
        " hour, each is graded as it arrives, and nobody is to wait longer than ten minutes.",
        (
            "students",
            "workers",
            "median wait, s",
            "longest wait, s",
            "last grade after the deadline, s",
            "all at once, h",
        ),
        tuple(rows),
    )
