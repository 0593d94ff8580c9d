"""The staff's commands, which join the one `gradlab` command line."""

from pathlib import Path
from typing import Annotated

import typer

from gradlab.cli import AsJson, fail
from gradlab_grading import engine_cli

SourceName = Annotated[str | None, typer.Argument(metavar="[LAB]", help="A lab, as 4 or 04-optimizers. Default: all.")]


def register(app: typer.Typer) -> None:
    """Add the staff's commands to `app`."""
    app.command()(build)
    app.command()(student_copy)
    app.command()(matrix)
    app.command()(margins)
    app.command()(bench)
    engine_cli.register(app)


def build(
    lab: SourceName = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail where labs/ is stale.")] = False,
) -> None:
    """Make the students' notebooks under labs/ from solutions/."""
    from gradlab_grading import startpage
    from gradlab_grading.layout import UnknownSource, repository
    from gradlab_grading.publish import PublishError, publish, stale
    from gradlab_grading.source import SourceError

    engine_cli.find_programs()
    layout = repository()
    try:
        sources = layout.sources(lab)
        if check:
            found = stale(sources, layout) | startpage.stale(layout)
            for name, difference in found.items():
                print(f"{name} is stale: run `gradlab build` and commit what it writes.\n{difference}\n")
            raise typer.Exit(1 if found else 0)
        for source in sources:
            notebook, kept = publish(source, layout)
            print(notebook.relative_to(layout.root))
            if kept:
                print(f"  Answers or outputs lay there: they are kept as {kept.relative_to(layout.root)}")
        startpage.write(layout)
    except (UnknownSource, SourceError, PublishError) as error:
        raise fail(str(error)) from error


def student_copy(
    destination: Annotated[Path, typer.Argument(metavar="DEST", help="A folder that is empty or not there.")],
) -> None:
    """Copy to DEST what a student needs, and prove that no secret is in it."""
    from gradlab_grading.layout import repository
    from gradlab_grading.publish import PublishError
    from gradlab_grading.source import SourceError
    from gradlab_grading.studentcopy import CopyError
    from gradlab_grading.studentcopy import student_copy as copy

    try:
        files = copy(destination, repository())
    except (CopyError, SourceError, PublishError) as error:
        raise fail(str(error), code=1) from error
    print(f"{destination}: {len(files)} files, and no line of a solution or of a hidden check in any of them.")


def _folder(lab: str | None) -> str | None:
    """The name of a lab's folder, or None for all labs; ends the command where there is no such lab."""
    from gradlab_grading.layout import UnknownSource, repository

    try:
        return repository().sources(lab)[0].parent.name if lab else None
    except UnknownSource as error:
        raise fail(str(error)) from error


def matrix(lab: SourceName = None, as_json: AsJson = False) -> None:
    """Try every known mistake and every alternative on every check, and show the gaps."""
    from gradlab_grading import matrix as module

    raise typer.Exit(0 if module.run(_folder(lab), as_json=as_json) else 1)


def margins(
    lab: SourceName = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many hidden seeds: each is drawn as a batch's is.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Ask every right answer under many hidden seeds, and show how near each check comes to refusing one."""
    from gradlab_grading import margins as module

    raise typer.Exit(0 if module.run(_folder(lab), seeds, as_json=as_json) else 1)


def bench(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One benchmark. Default: all.")] = None,
) -> None:
    """Measure, write the tables into BENCHMARKS.md and the figures into build/bench.json."""
    from gradlab_grading import bench as module
    from gradlab_grading.layout import repository

    engine_cli.find_programs()
    if name and name not in module.names():
        raise fail(f"There is no benchmark {name!r}. There are: {', '.join(module.names())}.")
    for each in [name] if name else module.names():
        print(module.run(each, repository().root))
