"""What nbgrader's gradebook knows of a notebook: its own cells, in order."""

import json
from dataclasses import dataclass
from functools import cached_property

import nbformat
from nbgrader.api import Gradebook
from nbgrader.preprocessors import ClearHiddenTests
from traitlets.config import LoggingConfigurable

SCHEMA_VERSION = 3


@dataclass(frozen=True)
class SourceCell:
    """A cell that nbgrader tracks: `source` is the instructor's, `released` the student's text."""

    name: str
    kind: str
    source: str
    released: str
    checksum: str
    locked: bool
    grade: bool
    solution: bool
    task: bool
    points: float | None

    @property
    def metadata(self) -> dict:
        """The cell's `metadata.nbgrader`."""
        found = {
            "grade": self.grade,
            "grade_id": self.name,
            "locked": self.locked,
            "schema_version": SCHEMA_VERSION,
            "solution": self.solution,
            "task": self.task,
            "checksum": self.checksum,
        }
        return found if self.points is None else found | {"points": self.points}


@dataclass(frozen=True)
class Template:
    """The tracked cells of one notebook of an assignment."""

    notebook: str
    language: str
    cells: tuple[SourceCell, ...]

    @cached_property
    def by_name(self) -> dict[str, SourceCell]:
        """The cells by grade_id."""
        return {cell.name: cell for cell in self.cells}

    @property
    def setup(self) -> tuple[str, ...]:
        """Sources of the locked code cells that give no marks: imports and data."""
        return tuple(cell.source for cell in self.cells if cell.kind == "code" and cell.locked and not cell.grade)


def templates(gradebook: Gradebook, assignment: str, parent: LoggingConfigurable | None = None) -> dict[str, Template]:
    """The templates of an assignment's notebooks, by notebook; `parent` configures nbgrader."""
    hide = ClearHiddenTests(parent=parent)
    found = {}
    for notebook in gradebook.find_assignment(assignment).notebooks:
        points = {cell.name: cell.max_score for cell in (*notebook.grade_cells, *notebook.task_cells)}
        graded = {cell.name for cell in notebook.grade_cells}
        solutions = {cell.name for cell in notebook.solution_cells}
        tasks = {cell.name for cell in notebook.task_cells}
        kernelspec = json.loads(notebook.kernelspec or "{}") or {}
        cells = tuple(
            SourceCell(
                name=cell.name,
                kind=cell.cell_type,
                source=cell.source or "",
                released=_without_hidden_tests(hide, cell.source or ""),
                checksum=cell.checksum,
                locked=bool(cell.locked),
                grade=cell.name in graded,
                solution=cell.name in solutions,
                task=cell.name in tasks,
                points=points.get(cell.name),
            )
            for cell in notebook.source_cells
        )
        found[notebook.name] = Template(notebook.name, kernelspec.get("language", "python"), cells)
    return found


def _without_hidden_tests(hide: ClearHiddenTests, source: str) -> str:
    cell = nbformat.v4.new_code_cell(source)
    hide._remove_hidden_test_region(cell)
    return cell.source
