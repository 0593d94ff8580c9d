"""What a lab's source must be before anything is made of it.

nbgrader finds some of these faults late, names no file, or releases the notebook all the same.
Here every fault is found at once, each with the file, the line, the cell and the way to mend it.
"""

import ast
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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
    checks = _checks_module(notebook)
    seen: dict[str, int] = {}
    found = []
    for index, cell in enumerate(notebook.cells):
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
        label = f"cell {grade_id!r}" if grade_id else f"cell {index + 1}"
        faults = [*_metadata_faults(cell), *_marker_faults(cell), *_grade_faults(cell, checks)]
        if grade_id and grade_id in seen:
            faults.append(
                Fault(f"its grade_id is that of cell {seen[grade_id] + 1} too.", "Give each cell a grade_id of its own.")
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


def _grade_faults(cell: NotebookNode, checks: object | Fault) -> Iterator[Fault]:
    """A test cell's points are those of the exercises that it calls, and it hides the same exercises."""
    if not is_grade(cell) or is_solution(cell) or cell.cell_type != "code":
        return
    try:
        hidden_lines = {number for first, last in regions(cell.source, "hidden") for number in range(first, last + 1)}
        tree = ast.parse(cell.source)
    except SyntaxError as error:
        yield Fault(f"it is not Python: {error.msg}.", "Mend its syntax.")
        return
    except ValueError:
        return  # the markers' own fault is told already
    visible, hidden = _called(tree, "checks"), _called(tree, "hidden")
    if not visible:
        return
    if isinstance(checks, Fault):
        yield checks
        return
    unknown = [name for name in visible if not hasattr(checks, name)]
    if unknown:
        yield Fault(f"{checks.__name__} has no exercise {', '.join(unknown)}.", "Name one that it has.")
        return
    points = sum(getattr(checks, name).points for name in visible)
    if points != cell.metadata.nbgrader.get("points", points):
        yield Fault(
            f"it has {cell.metadata.nbgrader['points']} points; {', '.join(visible)} is worth {points}.",
            f'Write "points": {points}, or change the exercise.',
        )
    if hidden_lines and sorted(visible) != sorted(hidden):
        yield Fault(
            f"it checks {', '.join(visible)} and hides {', '.join(hidden) or 'nothing'}.",
            "Call the same exercises in both halves.",
        )


def _called(tree: ast.Module, module: str) -> list[str]:
    """The names called as `module.name(...)`, each once, in order."""
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    names = [
        call.attr
        for call in calls
        if isinstance(call, ast.Attribute) and isinstance(call.value, ast.Name) and call.value.id == module
    ]
    return list(dict.fromkeys(names))


def _checks_module(notebook: NotebookNode) -> object | Fault:
    """The module that the notebook imports as `checks`."""
    for cell in notebook.cells:
        if cell.cell_type != "code" or "as checks" not in cell.source:
            continue
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.ImportFrom | ast.Import):
                for name in node.names:
                    if name.asname == "checks":
                        module = f"{node.module}.{name.name}" if isinstance(node, ast.ImportFrom) else name.name
                        return importlib.import_module(module)
    return Fault("it calls checks, which no cell imports.", "Import it: from gradlab.checks import NAME as checks.")


def _cell_lines(path: Path, count: int) -> list[int | None]:
    """The line of each cell's `# %%`, from 1; None for all where they cannot be told apart."""
    found = [
        number
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if line.startswith("# %%")
    ]
    return list(found) if len(found) == count else [None] * count
