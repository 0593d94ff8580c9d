"""Feedback without hidden tests: nbgrader's own shows their source and their tracebacks."""

from typing import Any

from nbformat import NotebookNode
from nbgrader.preprocessors import ClearHiddenTests, NbGraderPreprocessor


class HideHiddenTests(NbGraderPreprocessor):
    """Takes hidden tests out of a graded notebook, on its way to the student."""

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        """Cut hidden regions, and of tracebacks that quote them all but the last line."""
        hide = ClearHiddenTests(parent=self)
        for cell in nb.cells:
            if cell.cell_type != "code" or not hide._remove_hidden_test_region(cell):
                continue
            for output in cell.outputs:
                if output.output_type == "error":
                    output.traceback = [f"{output.ename}: {output.evalue}"]
        return nb, resources
