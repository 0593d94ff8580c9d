"""Make the notebook that a student would hand in."""

import copy
from collections.abc import Mapping

from nbformat import NotebookNode
from nbgrader.utils import is_solution


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


def reference(source: NotebookNode) -> dict[str, str]:
    """The answers of nbgrader's source notebook, by grade_id: the perfect student's."""
    return {cell.metadata.nbgrader.grade_id: cell.source for cell in source.cells if is_solution(cell)}


def mistaken(module: str, mistakes: Mapping[str, str]) -> dict[str, str]:
    """Answers that are known mistakes: `{"adam": "bias_never_corrected"}` from `gradlab.mistakes.<module>`."""
    return {
        grade_id: f"from gradlab.mistakes.{module} import {name}\n\n{grade_id} = {name}"
        for grade_id, name in mistakes.items()
    }
