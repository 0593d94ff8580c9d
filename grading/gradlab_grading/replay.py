"""nbgrader preprocessors that take the place of `Execute`.

`Replay` puts outputs that a worker produced into a prepared notebook: by cell
index, and never a source or metadata. `IsolatedExecute` is for nbgrader's own
doors, `nbgrader autograde` and formgrader's button, which run one notebook at a
time in the process of the grader: it runs the cells in the sandbox first.
"""

import math
from pathlib import Path
from typing import Any

import nbformat
from ipykernel.ipkernel import IPythonKernel
from nbformat import NotebookNode
from nbgrader import utils
from nbgrader.api import Gradebook
from nbgrader.preprocessors import Execute, NbGraderPreprocessor

from gradlab_grading.job import CellResult, Result
from gradlab_grading.outputs import Output, error

Resources = dict[str, Any]


class Replay(NbGraderPreprocessor):
    """Merges the outputs of a finished job. `result` is set before each notebook."""

    result: Result | None = None

    def preprocess(self, nb: NotebookNode, resources: Resources) -> tuple[NotebookNode, Resources]:
        """Write outputs and execution counts into the code cells."""
        assert self.result is not None
        nb.metadata["language_info"] = nbformat.from_dict(IPythonKernel.language_info)
        merge(nb, self.result)
        return nb, resources


def merge(nb: NotebookNode, result: Result) -> None:
    """Put a result's outputs into the notebook that its job was made from."""
    count = 0
    for index, cell in enumerate(nb.cells):
        if cell.cell_type != "code":
            continue
        found = result.cells.get(index)
        if found is None and not cell.source.strip():
            continue
        found = found or CellResult([error("NotRun", "this cell was not run")], ran=False)
        count += found.ran
        cell.execution_count = count if found.ran else None
        outputs = _for_grading(cell, found.outputs) if autograded(cell) else found.outputs
        for output in outputs:
            if output["output_type"] == "execute_result":
                output["execution_count"] = count
        cell.outputs = [nbformat.from_dict(output) for output in outputs]


def judge_saved(nb: NotebookNode) -> None:
    """Make the outputs that were handed in earn what a run's would; only `--no-execute` looks at them.

    To nbgrader a test cell without outputs is one that passed, so one that was never run gets an error.
    """
    for cell in nb.cells:
        if not autograded(cell):
            continue
        if cell.execution_count is None and not cell.outputs:
            cell.outputs = [error("NotRun", "this cell was not run before it was handed in")]
        cell.outputs = [nbformat.from_dict(output) for output in _for_grading(cell, cell.outputs)]


def autograded(cell: NotebookNode) -> bool:
    """Whether nbgrader reads points from the outputs of this cell."""
    return cell.cell_type == "code" and utils.is_grade(cell) and not utils.is_solution(cell)


def _for_grading(cell: NotebookNode, outputs: list[Output]) -> list[Output]:
    """The outputs of a test cell, so that nbgrader's rule gives the marks that are due.

    To nbgrader any text on stderr is a failed test, and a score that is negative or
    not a number a perfect one.
    """
    points = float(cell.metadata.nbgrader.points)
    graded = []
    for output in outputs:
        if output["output_type"] == "stream" and output["name"] == "stderr":
            output = output | {"name": "stdout"}
        elif output["output_type"] == "execute_result":
            score = _number(output["data"].get("text/plain"))
            if "text/plain" not in output["data"] or not (score is None or 0 <= score <= points):
                output = error("ScoreError", f"the cell's value is no score between 0 and {points:g}")
        graded.append(output)
    return graded


def _number(text: Any) -> float | None:
    """The number that nbgrader would read as a partial score; nan stays nan."""
    try:
        return float(text)
    except (TypeError, ValueError):
        return None if isinstance(text, str) and text else math.nan


class IsolatedExecute(NbGraderPreprocessor):
    """Runs a notebook in the sandbox, inside `nbgrader autograde` and formgrader.

    Raises:
        SandboxError: the sandbox cannot be made; nothing is run without it.
    """

    def preprocess(self, nb: NotebookNode, resources: Resources) -> tuple[NotebookNode, Resources]:
        """Run the code cells and write their outputs; with `--no-execute`, do nothing."""
        from gradlab_grading.engine import Engine

        if not Execute(parent=self.parent).enabled:
            return nb, resources
        engine = Engine(parent=self)
        names = resources["nbgrader"]
        folder = Path(resources["metadata"]["path"])
        result = engine.run_one(nb, names["assignment"], names["student"], names["notebook"], folder)
        nb.metadata["language_info"] = nbformat.from_dict(IPythonKernel.language_info)
        merge(nb, result)
        for note in result.notes:
            self.log.warning("%s/%s: %s", names["student"], names["notebook"], note)
        return nb, resources


class MendNotebook(NbGraderPreprocessor):
    """`gradlab_grading.mend` for nbgrader's own doors, where a notebook has been read already."""

    def preprocess(self, nb: NotebookNode, resources: Resources) -> tuple[NotebookNode, Resources]:
        """Mend the notebook by the template in the gradebook."""
        from gradlab_grading.engine import Engine
        from gradlab_grading.mend import mend
        from gradlab_grading.template import templates

        names = resources["nbgrader"]
        _, limits = Engine(parent=self).settings_of(names["assignment"])
        with Gradebook(names["db_url"]) as gradebook:
            template = templates(gradebook, names["assignment"], self)[names["notebook"]]
        keep = not Execute(parent=self.parent).enabled
        mended, notes = mend(nbformat.writes(nb).encode(), template, limits, keep_outputs=keep)
        if keep:
            judge_saved(mended)
        for note in notes:
            self.log.warning("%s/%s: %s", names["student"], names["notebook"], note)
        return mended, resources
