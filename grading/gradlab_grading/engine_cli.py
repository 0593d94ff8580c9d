"""The commands `gradlab grade` and `gradlab size`."""

import json
import os
import signal
import sys
import warnings
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.console import Console

from gradlab.cli import AsJson, fail

if TYPE_CHECKING:
    from gradlab_grading.engine import Engine


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(grade)
    app.command()(size)


def grade(
    lab: Annotated[
        str | None, typer.Argument(help="An assignment, as 4 or 04-optimizers. Default: all that are handed in.")
    ] = None,
    student: Annotated[str | None, typer.Option(help="Only this student; a pattern such as 'a*' is allowed.")] = None,
    notebook: Annotated[str | None, typer.Option(help="Only this notebook of the assignment.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Grade again what is graded.")] = False,
    no_execute: Annotated[
        bool, typer.Option("--no-execute", help="Grade the outputs that were handed in; run nothing.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be graded, and do nothing.")] = False,
    jobs: Annotated[int, typer.Option(min=0, help="Submissions at a time. Default: one a core.")] = 0,
    scheduler: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Use the workers of a Dask cluster: tcp://HOST:PORT.")
    ] = "",
    seed: Annotated[int | None, typer.Option(help="Draw the hidden checks' inputs as an earlier run did.")] = None,
    unsafe: Annotated[
        bool,
        typer.Option("--unsafe", help="Without bubblewrap: submitted code runs as you, with your files in reach."),
    ] = False,
    course: Annotated[
        Path | None, typer.Option(help="The folder of nbgrader_config.py. Default: the course's grading folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Grade what was handed in, isolated from this machine and from each other."""
    argv = [f"--CourseDirectory.{key}={value}" for key, value in _chosen(student, notebook).items()]
    argv += ["--force"] * force + ["--no-execute"] * no_execute + ["--log-level=ERROR"]
    engine = _engine(course, argv)
    engine.workers, engine.scheduler = jobs or engine.workers, scheduler or engine.scheduler
    engine.unsafe = unsafe
    console = Console(stderr=as_json)
    if unsafe:
        console.print(
            "[red]--unsafe[/]: submitted code runs as you. It can read the gradebook, the hidden checks, the other"
            " submissions and your files, change them, and use the network."
        )
    found = {}
    for assignment in _assignments(engine, lab):
        if not dry_run:
            _introduce(engine, assignment, console)
        found[assignment] = _grade(engine, assignment, console, dry_run=dry_run, seed=seed)
    if as_json:
        print(json.dumps({name: [asdict(it) for it in outcomes] for name, outcomes in found.items()}, indent=2))
    raise typer.Exit(1 if any(it.status == "failed" for outcomes in found.values() for it in outcomes) else 0)


def size(
    students: Annotated[int, typer.Option(min=1, help="How many hand in.")],
    seconds: Annotated[float, typer.Option(min=0.01, help="What one submission takes a worker.")],
    within: Annotated[float, typer.Option(help="The longest that anybody may wait for a grade, in seconds.")] = 600,
) -> None:
    """Say how many workers a class needs, from a simulated rush before the deadline."""
    from gradlab_grading.sizing import batch_seconds, rush, workers_needed

    try:
        workers = workers_needed(students, seconds, within)
    except ValueError as error:
        raise fail(str(error)) from error
    found = rush(students, workers, seconds)
    many = f"{workers} worker{'s' * (workers > 1)}"
    print(f"{many}: half of the class waits at most {found.median_wait:.0f} s, nobody longer than")
    print(f"{found.longest_wait:.0f} s, and the last grade is there {found.after_deadline:.0f} s after the deadline.")
    minutes = batch_seconds(students, workers, seconds) / 60
    print(f"All at once, after the deadline, the same workers need {minutes:.0f} minutes.")


def find_programs() -> None:
    """Put the programs of this environment on PATH: nbgrader calls some by name, and it need not be activated."""
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


def _chosen(student: str | None, notebook: str | None) -> dict[str, str]:
    return {key: value for key, value in (("student_id", student), ("notebook_id", notebook)) if value}


def _engine(course: Path | None, argv: list[str]) -> "Engine":
    """The engine with the settings of the course, read as `nbgrader autograde` reads them."""
    # For a format that no notebook's schema asks for, jsonschema would build a grammar: a second at each start.
    sys.modules.setdefault("rfc3987_syntax", cast(ModuleType, None))
    # Imports of nbgrader cost a second, which `gradlab --help` need not wait for.
    from nbgrader.apps import AutogradeApp

    from gradlab_grading.engine import Engine
    from gradlab_grading.layout import repository

    root = (course or repository().grading).resolve()
    if not (root / "nbgrader_config.py").exists():
        raise fail(f"{root} has no nbgrader_config.py: name the folder of a course with --course")
    # nbgrader looks for its settings in the current folder.
    os.chdir(root)
    find_programs()
    warnings.filterwarnings("ignore", message=".*not in session, add operation", module="nbgrader")
    app = AutogradeApp()
    app.initialize([*argv, f"--CourseDirectory.root={root}"], root=str(root))
    return Engine(parent=app, coursedir=app.coursedir)


def _assignments(engine: "Engine", lab: str | None) -> list[str]:
    """The assignments meant by `lab` among those handed in."""
    coursedir = engine.coursedir
    pattern = coursedir.format_path(coursedir.submitted_directory, "*", "*")
    handed_in = sorted({path.name for path in Path("/").glob(pattern.lstrip("/")) if path.is_dir()})
    if lab is None:
        if not handed_in:
            raise fail(f"nothing is handed in: there is no folder that matches {pattern}")
        return handed_in
    chosen = [name for name in handed_in if lab in _names(name)]
    if not chosen:
        raise fail(f"nobody handed in {lab!r}. Handed in: {', '.join(handed_in) or 'nothing'}")
    return chosen


def _names(assignment: str) -> set[str]:
    number, _, slug = assignment.partition("-")
    return {assignment, number, number.lstrip("0"), slug}


def _introduce(engine: "Engine", assignment: str, console: Console) -> None:
    """Generate a lab of this repository that the gradebook does not know, as in a fresh clone it knows none."""
    from nbgrader.api import Gradebook

    from gradlab_grading.layout import UnknownSource, repository
    from gradlab_grading.publish import PublishError, generate
    from gradlab_grading.source import SourceError

    layout = repository()
    if Path(engine.coursedir.root) != layout.grading:
        return
    with Gradebook(engine.coursedir.db_url, engine.coursedir.course_id) as gradebook:
        if assignment in [known.name for known in gradebook.assignments]:
            return
    try:
        (source,) = layout.sources(assignment)
        console.print(f"The gradebook does not know {assignment} yet: generating it from {source.name}.")
        generate(source, layout, gradebook=True)
    except UnknownSource:
        return
    except (SourceError, PublishError) as error:
        raise fail(str(error)) from error


def _grade(engine: "Engine", assignment: str, console: Console, *, dry_run: bool, seed: int | None) -> list:
    """Grade one assignment, with a display; an interruption keeps what is finished."""
    from nbgrader.api import MissingEntry
    from nbgrader.preprocessors import Execute

    from gradlab_grading.display import LiveDisplay, summary
    from gradlab_grading.engine import Busy
    from gradlab_grading.sandbox import SandboxError

    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        with LiveDisplay(console) as display:
            outcomes = engine.grade(assignment, display, dry_run=dry_run, seed=seed)
        mode, _ = engine.settings_of(assignment)
        mode = mode if Execute(parent=engine).enabled else ""
    except KeyboardInterrupt:
        console.print("Stopped. What is finished is kept; the same command goes on with the rest.")
        raise typer.Exit(130) from None
    except MissingEntry:
        message = (
            f"the gradebook does not know {assignment!r}: run `gradlab build {assignment}` first,"
            f" or for what is no lab of this repository `nbgrader generate_assignment {assignment}`"
        )
        raise fail(message) from None
    except (Busy, SandboxError, ValueError, ConnectionError, OSError) as error:
        raise fail(str(error)) from error
    console.print(summary(outcomes, mode))
    return outcomes
