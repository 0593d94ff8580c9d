"""What a lab's source must be before anything is made of it.

nbgrader finds some of these faults late, names no file, or releases the notebook all the same.
Here every fault is found at once, each with the file, the line, the cell and the way to mend it.
"""

import ast
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbgrader.nbgraderformat import MetadataValidator, ValidationError
from nbgrader.utils import is_grade, is_solution

SCHEMA_VERSION = MetadataValidator.schema_version
MARKERS = {"solution": ("BEGIN SOLUTION", "END SOLUTION"), "hidden": ("BEGIN HIDDEN TESTS", "END HIDDEN TESTS")}


@dataclass(frozen=True)
class Problem:
    """One fault of a source: where it is, what it is, and what to do."""

    path: Path
    line: int | None
    cell: str
    fault: str
    fix: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else f"{self.path}"
        return f"{place}: {self.cell}: {self.fault} {self.fix}"


class SourceError(Exception):
    """A source cannot be built; `problems` says why."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass(frozen=True)
class Fault:
    """A fault before its place is known: what it is and what to do."""

    fault: str
    fix: str


def problems(notebook: NotebookNode, path: Path) -> list[Problem]:
    """Every fault of `notebook`, which was read from `path`, in the order of its cells."""
    lines = _cell_lines(path, len(notebook.cells))
    checks = checks_module(notebook)
    seen: dict[str, int] = {}
    found = []
    for index, cell in enumerate(notebook.cells):
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
        label = f"cell {grade_id!r}" if grade_id else f"cell {index + 1}"
        faults = [*_metadata_faults(cell), *_marker_faults(cell), *_grade_faults(cell, checks)]
        if grade_id and grade_id in seen:
            faults.append(
                Fault(
                    f"its grade_id is that of cell {seen[grade_id] + 1} too.", "Give each cell a grade_id of its own."
                )
            )
        seen.setdefault(grade_id, index)
        found += [Problem(path, lines[index], label, fault.fault, fault.fix) for fault in faults]
    return found


def regions(source: str, kind: str) -> list[tuple[int, int]]:
    """The regions that nbgrader cuts out, as (first, last) line numbers from 0, markers included.

    Raises:
        ValueError: the markers are not balanced; the message says how.
    """
    begin, end = MARKERS[kind]
    found, start = [], None
    for number, line in enumerate(source.split("\n")):
        if begin in line:
            if start is not None:
                raise ValueError(f"it has two {begin} without an {end} between them.")
            start = number
        elif end in line:
            if start is None:
                raise ValueError(f"it has an {end} without a {begin} before it.")
            found.append((start, number))
            start = None
    if start is not None:
        raise ValueError(f"it has a {begin} without an {end}.")
    return found


def _metadata_faults(cell: NotebookNode) -> Iterator[Fault]:
    metadata = cell.metadata.get("nbgrader")
    if metadata is None:
        return
    if metadata.get("schema_version") != SCHEMA_VERSION:
        yield Fault(
            f"its nbgrader metadata has schema_version {metadata.get('schema_version', 'missing')}.",
            f'Write "schema_version": {SCHEMA_VERSION}.',
        )
        return
    if metadata.get("grade") and "points" not in metadata:
        yield Fault("it is graded and has no points.", 'Write "points": N.')
        return
    try:
        MetadataValidator().validate_cell(cell)
    except ValidationError as error:
        yield Fault(f"nbgrader refuses its metadata: {error.message}.", "Mend the cell's nbgrader={...}.")


def _marker_faults(cell: NotebookNode) -> Iterator[Fault]:
    for kind, belongs, where in (
        ("solution", is_solution(cell), '"solution": true'),
        ("hidden", is_grade(cell) and not is_solution(cell), '"grade": true and "solution": false'),
    ):
        begin, end = MARKERS[kind]
        try:
            found = regions(cell.source, kind)
        except ValueError as error:
            yield Fault(str(error), f"Balance ### {begin} and ### {end}.")
            continue
        if found and not belongs:
            yield Fault(f"it has a {begin} and is not such a cell.", f"Give it {where}, or take the markers out.")
        if kind == "solution" and belongs and not found:
            yield Fault(
                "it is a solution cell without markers, so its signature and docstring would go with the answer.",
                f"Put the answer between ### {begin} and ### {end}.",
            )


def _grade_faults(cell: NotebookNode, checks: Any) -> Iterator[Fault]:
    """A test cell checks one exercise, has that exercise's points, and hides the same exercise."""
    if not is_test(cell):
        return
    try:
        tree = ast.parse(cell.source)
    except SyntaxError as error:
        yield Fault(f"it is not Python: {error.msg}.", "Mend its syntax.")
        return
    visible, hidden = called(tree, "checks"), called(tree, "hidden")
    if checks is None:
        yield Fault("it calls checks, which no cell imports.", "Write: from gradlab.checks import NAME as checks.")
    elif len(visible) != 1:
        yield Fault(f"it calls {len(visible)} exercises of checks.", "Call one: its report is the cell's score.")
    elif not hasattr(checks, visible[0]):
        yield Fault(f"{checks.__name__} has no exercise {visible[0]}.", "Name one that it has.")
    elif getattr(checks, visible[0]).points != cell.metadata.nbgrader.get("points"):
        points = f"{getattr(checks, visible[0]).points:g}"
        given = cell.metadata.nbgrader.get("points")
        yield Fault(f"it has {given} points, and checks.{visible[0]} {points}.", f'Write "points": {points}.')
    if "BEGIN HIDDEN TESTS" in cell.source and hidden != visible:
        yield Fault(
            f"it checks {', '.join(visible) or 'nothing'} and hides {', '.join(hidden) or 'nothing'}.",
            "Call the same exercise in both halves.",
        )


def is_test(cell: NotebookNode) -> bool:
    """Whether the cell holds a check: graded, by a computer."""
    return cell.cell_type == "code" and is_grade(cell) and not is_solution(cell)


def called(tree: ast.AST, module: str) -> list[str]:
    """The names called as `module.name(...)`, each once, in order."""
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    names = [
        call.attr
        for call in calls
        if isinstance(call, ast.Attribute) and isinstance(call.value, ast.Name) and call.value.id == module
    ]
    return list(dict.fromkeys(names))


def checks_module(notebook: NotebookNode) -> Any:
    """The module that the notebook imports as `checks`; None where it imports none."""
    for cell in notebook.cells:
        if cell.cell_type != "code" or "as checks" not in cell.source:
            continue
        for node in ast.walk(ast.parse(cell.source)):
            for name in node.names if isinstance(node, ast.ImportFrom | ast.Import) else ():
                if name.asname == "checks":
                    package = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
                    return importlib.import_module(package + name.name)
    return None


def _cell_lines(path: Path, count: int) -> list[int | None]:
    """The line of each cell's `# %%`, from 1; None for all where they cannot be told apart."""
    found = [
        number
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if line.startswith("# %%")
    ]
    return list(found) if len(found) == count else [None] * count
