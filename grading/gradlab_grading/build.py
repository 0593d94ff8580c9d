"""Turn a lab's one source, `solutions/NN-name/name.py`, into nbgrader's source notebook."""

import ast
import re
import shutil
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbformat import NotebookNode

from gradlab_grading.layout import Layout, repository
from gradlab_grading.source import Problem, SourceError, called, checks_module, is_test, problems

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
NOTEBOOK_METADATA = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
#: What a cell may keep. jupytext's own notes about blank lines, and a front end's, stay out.
CELL_METADATA = frozenset({"nbgrader", "gradlab", "tags", "jupyter", "editable", "deletable"})


def build(source: Path, layout: Layout) -> Path:
    """Write nbgrader's source notebook of the lab whose source is `source`, and return its path.

    The notebook's folder is emptied first: nbgrader releases whatever lies beside a source
    notebook, so nothing else may lie there, least of all the source itself.

    Raises:
        SourceError: the source has faults; every one is named.
    """
    notebook = read(source)
    folder = layout.source / source.parent.name
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    path = folder / f"{source.stem}.ipynb"
    nbformat.write(notebook, path)
    return path


def furnish(layout: Layout) -> None:
    """Give a fresh clone what formgrader looks for: source notebooks, else it lists no lab, and the exchange's folder.

    What is there is left as it is.

    Raises:
        SourceError: a source has faults; every one is named.
    """
    for source in layout.sources():
        if not (layout.source / source.parent.name).exists():
            build(source, layout)
    if not layout.exchange.exists():
        layout.exchange.mkdir()
        # As nbgrader itself makes it, whatever the umask is: students write there.
        layout.exchange.chmod(0o777)


def read(source: Path) -> NotebookNode:
    """The source as a valid notebook, the same at each call: no output, no random id, no pairing.

    Raises:
        SourceError: the source has faults; every one is named.
    """
    try:
        notebook = jupytext.read(source, fmt="py:percent")
    except Exception as error:  # jupytext raises what its YAML and JSON readers raise
        raise SourceError(
            [Problem(source, None, "header", f"jupytext cannot read it: {error}.", "Mend it.")]
        ) from error
    found = problems(notebook, source)
    if found:
        raise SourceError(found)
    notebook.metadata = nbformat.from_dict(NOTEBOOK_METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    checks = checks_module(notebook)
    for cell, identity in zip(notebook.cells, _identities(notebook), strict=True):
        cell.id = identity
        cell.metadata = keep(cell.metadata, CELL_METADATA)
        if is_test(cell):
            cell.metadata.gradlab = _exercise(cell, checks)
    nbformat.validate(notebook)
    return notebook


def keep(metadata: NotebookNode, names: frozenset[str]) -> NotebookNode:
    """`metadata` with only the keys in `names`."""
    return NotebookNode({key: value for key, value in metadata.items() if key in names})


def refresh(notebooks: list[str], **_: Any) -> None:
    """Build the source notebook again: nbgrader's hook before it generates an assignment.

    With it the formgrader's Generate button and `nbgrader generate_assignment` see what was
    just saved in `solutions/`.
    """
    for notebook in notebooks:
        folder = Path(notebook).resolve().parent
        layout = Layout(folder.parents[3])
        try:
            for source in layout.sources(folder.name):
                build(source, layout)
        except SourceError:
            # nbgrader logs what a hook raises and goes on: without this it would release the old notebook.
            shutil.rmtree(folder)
            raise


def _exercise(cell: NotebookNode, checks: Any) -> NotebookNode:
    """What a test cell is about, for progress pages, which would else have to import the checks."""
    (name,) = called(ast.parse(cell.source), "checks")
    exercise = getattr(checks, name)
    return NotebookNode(exercise=name, skill=exercise.skill, visible=exercise.visible)


def _identities(notebook: NotebookNode) -> list[str]:
    """An id for each cell: its grade_id, else its place after the last cell that has one.

    Counting from the last grade_id keeps the ids of the other exercises when a cell is added.
    """
    anchor, count, found = "start", 0, []
    for cell in notebook.cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
        if grade_id:
            anchor, count = re.sub(r"[^a-zA-Z0-9_-]", "-", grade_id), 0
            found.append(anchor)
        else:
            count += 1
            found.append(f"{anchor}--{count}")
    return found


if __name__ == "__main__":
    furnish(repository())
