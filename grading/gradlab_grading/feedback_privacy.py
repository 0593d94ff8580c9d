"""Feedback without hidden tests: nbgrader's own shows their source and their tracebacks."""

import re
from typing import Any

from nbformat import NotebookNode
from nbgrader.preprocessors import ClearHiddenTests, NbGraderPreprocessor

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_ARROW = re.compile(r"^-+> *\d+ (.*)$", re.MULTILINE)


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
                    shown = output.evalue if _raised_in(output.traceback, cell.source) else "a hidden test failed"
                    output.evalue, output.traceback = shown, [f"{output.ename}: {shown}"]
        return nb, resources


def _raised_in(traceback: list[str], source: str) -> bool:
    """Whether the lines that a traceback points at stand in the visible source, or it points at none."""
    text = _COLOUR.sub("", "\n".join(traceback))
    arrows = _ARROW.findall(text)
    visible = {line.strip() for line in source.splitlines()}
    return not arrows or arrows[0].strip() in visible
