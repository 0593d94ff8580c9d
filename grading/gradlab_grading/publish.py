"""Make the students' notebooks with nbgrader's own `generate_assignment`."""

import difflib
import shutil
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader.converters import GenerateAssignment
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import capture_log, compute_checksum
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

from gradlab_grading.build import CELL_METADATA, NOTEBOOK_METADATA, build, keep
from gradlab_grading.layout import Layout, repository


class PublishError(Exception):
    """nbgrader would not generate the assignment; the message is nbgrader's."""


class StudentNotebook(NbGraderPreprocessor):
    """The one step added to nbgrader's own: what only concerns authors stays behind.

    A notebook that kept `jupytext.formats` would open the paired source, solution included.
    """

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        nb.metadata = keep(nb.metadata, frozenset(NOTEBOOK_METADATA))
        for cell in nb.cells:
            cell.metadata = keep(cell.metadata, CELL_METADATA)
        return nb, resources


def nbgrader_config(layout: Layout) -> Config:
    """What `grading/nbgrader_config.py` says, for the course in `layout`."""
    config = PyFileConfigLoader("nbgrader_config.py", path=str(repository().grading)).load_config()
    config.CourseDirectory.root = str(layout.grading)
    if layout != repository():
        config.CourseDirectory.db_url = f"sqlite:///{layout.grading / 'gradebook.db'}"
    return config


def generate(source: Path, layout: Layout, *, gradebook: bool) -> Path:
    """Build `source` and let nbgrader generate the student's version; return its path.

    With `gradebook` the assignment's cells and points are recorded too, as grading needs.

    Raises:
        SourceError: the source has faults.
        PublishError: nbgrader refused, for example because submissions were graded on other cells.
    """
    build(source, layout)
    config = nbgrader_config(layout)
    del config.GenerateAssignment["pre_convert_hook"]  # it would build a second time
    if not gradebook:
        config.SaveCells.enabled = False
        config.GenerateAssignment.no_database = True
    assignment = source.parent.name
    course = CourseDirectory(config=config, assignment_id=assignment)
    converter = GenerateAssignment(coursedir=course, config=config, force=True)
    result = capture_log(converter)
    if not result["success"]:
        raise PublishError(f"nbgrader could not generate {assignment}:\n{result.get('log', result['error'])}")
    return layout.release / assignment / f"{source.stem}.ipynb"


def publish(source: Path, layout: Layout) -> tuple[Path, Path | None]:
    """Generate the lab and put it under `labs/`.

    Returns the student's notebook and, where somebody's work lay there, the copy that was kept of it.
    """
    released = generate(source, layout, gradebook=True)
    target = layout.labs / source.parent.name / released.name
    target.parent.mkdir(parents=True, exist_ok=True)
    kept = None
    if target.exists() and holds_work(target):
        kept = target.with_name(f"{target.stem}-{datetime.now():%Y-%m-%dT%H-%M-%S}.ipynb")
        target.rename(kept)
    shutil.copyfile(released, target)
    return target, kept


def stale(sources: list[Path], layout: Layout) -> dict[str, str]:
    """The labs whose committed notebook is not what their source gives, each with the difference."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        fresh = Layout(Path(folder))
        for source in sources:
            wanted = generate(source, fresh, gradebook=False)
            committed = layout.labs / source.parent.name / wanted.name
            have = committed.read_text(encoding="utf-8") if committed.exists() else ""
            want = wanted.read_text(encoding="utf-8")
            if have != want:
                lines = difflib.unified_diff(have.splitlines(), want.splitlines(), str(committed), "fresh", lineterm="")
                found[source.parent.name] = "\n".join(lines)
    return found


def holds_work(path: Path) -> bool:
    """Whether a released notebook was worked on: it has outputs, or an answer that is not the stub."""
    try:
        cells = nbformat.read(path, as_version=4).cells
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, UnicodeDecodeError):
        return True
    for cell in cells:
        checksum = cell.metadata.get("nbgrader", {}).get("checksum")
        if cell.get("outputs") or (checksum and checksum != compute_checksum(cell)):
            return True
    return False
