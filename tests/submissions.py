"""Make the notebook that a student would hand in."""

import contextlib
import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nbformat import NotebookNode
from nbgrader.utils import is_solution

from gradlab.checks.exercise import Exercise
from gradlab.checks.mistake import Mistake
from gradlab.seam import plain


def fill(released: NotebookNode, answers: Mapping[str, str]) -> NotebookNode:
    """A copy of a released notebook with the cells named in `answers` (by grade_id) holding those texts.

    Raises:
        KeyError: an answer is for no solution cell of the notebook.
    """
    notebook = copy.deepcopy(released)
    cells = {cell.metadata.nbgrader.grade_id: cell for cell in notebook.cells if is_solution(cell)}
    for grade_id, text in answers.items():
        cells[grade_id].source = text
    return notebook


def without_pictures(notebook: NotebookNode) -> NotebookNode:
    """A copy without the code cells that a student may delete: less to run, and every check still there."""
    notebook = copy.deepcopy(notebook)
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type != "code" or "nbgrader" in cell.metadata]
    return notebook


def reference(source: NotebookNode) -> dict[str, str]:
    """The answers of nbgrader's source notebook, by grade_id: the perfect student's."""
    return {cell.metadata.nbgrader.grade_id: cell.source for cell in source.cells if is_solution(cell)}


def mistaken(mistakes: Iterable[Mistake]) -> dict[str, str]:
    """Answers that are known mistakes, by grade_id."""
    answers = {}
    for mistake in mistakes:
        module, name = mistake.implementation.__module__, mistake.name
        answers[_grade_id(mistake.exercise)] = f"from {module} import {name}\n\n{mistake.exercise} = {name}"
    return answers


def hard_coded(exercise: Exercise, implementation: Callable[..., Any]) -> dict[str, str]:
    """The answer of somebody who wrote down what the visible check wants, by grade_id.

    Empty where there is nothing to write down.
    """
    table: dict[bytes, bytes] = {}

    def recorded(*args: Any, **kwargs: Any) -> Any:
        answer = implementation(*args, **kwargs)
        with contextlib.suppress(plain.NotPlain):
            table[plain.encode((args, kwargs), _refuse)] = plain.encode(answer, _refuse)
        return answer

    exercise(recorded)
    # Where a function takes no input, its answer is data, and writing it down is the solution.
    if not table or set(table) == {plain.encode(((), {}), _refuse)}:
        return {}
    lines = (
        "from gradlab.seam import plain",
        "",
        f"_{exercise.name} = {table!r}",
        "",
        f"def {exercise.name}(*args, **kwargs):",
        "    asked = plain.encode((args, kwargs), lambda _: 0)",
        f"    return plain.decode(_{exercise.name}[asked], None)",
    )
    return {_grade_id(exercise.name): "\n".join(lines)}


def _grade_id(exercise: str) -> str:
    return exercise.replace("_", "-")


def _refuse(_: Any) -> int:
    raise plain.NotPlain
