"""The `gradlab` command. Where the staff package is installed, its commands join."""

import json
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from gradlab.labs import LABS, Lab, UnknownLab, available_labs, find_lab
from gradlab.standing import Standing, standings

app = typer.Typer(
    name="gradlab",
    help="GradLab from the terminal.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
LabName = Annotated[str | None, typer.Argument(help="A lab, as 4, 04-optimizers, or the path of its notebook.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for other programs.")]
VERDICTS = {
    "passed": "[green]visible checks passed[/]",
    "failed": "[red]failed[/]",
    "not written": "[yellow]not written yet[/]",
    "not run": "[yellow]not run[/]",
}


def main() -> None:
    """Run the command line, with the staff's commands where their package is installed."""
    for entry in entry_points(group="gradlab.commands"):
        entry.load()(app)
    app()


def fail(message: str, code: int = 2) -> typer.Exit:
    """Print why a command cannot go on, and return the exit to raise."""
    Console(stderr=True, highlight=False).print(f"gradlab: {message}", markup=False, soft_wrap=True)
    return typer.Exit(code)


@app.command()
def check(lab: LabName = None, as_json: AsJson = False) -> None:
    """Run a lab's visible checks, without JupyterLab. Without LAB, those of all labs.

    The notebook is run from top to bottom in a fresh kernel; its file is not changed. The exit
    status is 0 where all visible checks passed, and 1 where not.
    """
    found = {path: _run(path) for path in _notebooks(lab)}
    if as_json:
        print(json.dumps({str(path): [vars(it) for it in exercises] for path, exercises in found.items()}, indent=2))
    else:
        for path, exercises in found.items():
            _print_standings(path, exercises)
    raise typer.Exit(0 if all(it.passed for exercises in found.values() for it in exercises) else 1)


@app.command()
def progress(as_json: AsJson = False) -> None:
    """Show your progress by lab, role and skill, from the saved notebooks."""
    from gradlab.progress import progress as read_progress

    found = read_progress()
    if as_json:
        print(json.dumps(found.as_dict(), indent=2))
        return
    table = Table("lab", "exercises passed", "visible points", "written answers", "state")
    for it in found.labs:
        table.add_row(
            it.lab.name,
            f"{it.passed} of {len(it.exercises)}",
            f"{it.score:g} of {it.points:g}",
            f"{it.answered} of {it.questions}",
            it.state,
        )
    console = Console()
    console.print(table)
    for heading, counts in (("role", found.by_role()), ("skill", found.by_skill())):
        table = Table(heading, "exercises passed")
        for name, (passed, total) in counts.items():
            table.add_row(name, f"{passed} of {total}" if total else "no lab here yet")
        console.print(table)


@app.command()
def labs(as_json: AsJson = False) -> None:
    """List the labs of the course and which of them are here."""
    if as_json:
        rows = [{"lab": lab.name, "title": lab.title, "roles": lab.roles, "here": lab.available} for lab in LABS]
        print(json.dumps(rows, indent=2))
        return
    table = Table("lab", "title", "roles", "here")
    for lab in LABS:
        here = "[green]yes[/]" if lab.available else "not yet"
        table.add_row(lab.name, lab.title, ", ".join(lab.roles), here)
    Console().print(table)


def _notebooks(name: str | None) -> list[Path]:
    """The notebooks that a person means."""
    if name is None:
        found = [lab.notebook for lab in available_labs()]
        if not found:
            raise fail("there is no lab here. Run this in the folder of the course.")
        return found
    if name.endswith(".ipynb"):
        if not Path(name).is_file():
            raise fail(f"there is no notebook {name}.")
        return [Path(name)]
    try:
        lab: Lab = find_lab(name)
    except UnknownLab as error:
        raise fail(str(error)) from error
    if not lab.available:
        here = ", ".join(it.name for it in available_labs()) or "none"
        raise fail(f"lab {lab.name} is not in this copy of the course (here: {here}).")
    return [lab.notebook]


def _run(path: Path) -> list[Standing]:
    from gradlab.execute import ExecutionError, execute

    console = Console(stderr=True)
    with console.status(f"Running {path.name}") as status:
        try:
            notebook = execute(path, lambda i, n: status.update(f"Running {path.name}: cell {i} of {n}"))
        except ExecutionError as error:
            raise fail(str(error), code=1) from error
    return standings(notebook)


def _print_standings(path: Path, exercises: list[Standing]) -> None:
    table = Table("exercise", "visible points", "verdict", "looks like", title=str(path))
    for it in exercises:
        table.add_row(it.exercise, f"{it.score:g} of {it.points:g}", VERDICTS[it.state], it.remark)
    table.add_section()
    score, points = sum(it.score for it in exercises), sum(it.points for it in exercises)
    passed = sum(it.passed for it in exercises)
    table.add_row("together", f"{score:g} of {points:g}", f"{passed} of {len(exercises)} passed", "")
    Console().print(table)
