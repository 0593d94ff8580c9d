"""From the bytes of a submitted notebook to one that nbgrader can grade.

Nothing that was submitted is trusted but the text of its cells and their
`grade_id`. Every repair follows a rule, and leaves a line that the instructor
sees in the report and the student in the feedback.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, cast

import nbformat
from nbformat import NotebookNode

from gradlab_grading.limits import MIB, Limits
from gradlab_grading.outputs import Outputs
from gradlab_grading.template import SourceCell, Template

_KEPT_METADATA = ("deletable", "editable")
_KEPT_NOTEBOOK_METADATA = ("kernelspec", "language_info")
_CELL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MAX_SOURCE = MIB


class Unreadable(Exception):
    """A submitted file is no notebook; the message says why, in words for the student."""


def mend(
    data: bytes | Unreadable,
    template: Template,
    limits: Limits,
    *,
    keep_outputs: bool = False,
    said: Sequence[str] = (),
) -> tuple[NotebookNode, list[str]]:
    """Make a submission gradable.

    Args:
        data: the file's bytes, or why there are none.
        template: the tracked cells of the released notebook.
        limits: `cells` and `submission_bytes` are used.
        keep_outputs: keep the outputs that the student saved (`--no-execute`).
        said: notes on the submission as a whole, for the first cell.

    Returns:
        A valid notebook that holds every graded, locked and task cell of the
        template exactly once, and the notes, which also stand in its first cell.
    """
    notes: list[str] = []
    try:
        if isinstance(data, Unreadable):
            raise data
        raw = _read(data, limits, notes)
    except Unreadable as problem:
        notes.append(f"The notebook could not be read: {problem}. Its test cells earn nothing.")
        raw = {"cells": [], "nbformat": 4, "nbformat_minor": 5}
    minor = raw.get("nbformat_minor")
    notebook = nbformat.v4.new_notebook(nbformat_minor=minor if type(minor) is int and 0 <= minor <= 5 else 5)
    metadata = raw.get("metadata")
    for key in _KEPT_NOTEBOOK_METADATA:
        if isinstance(metadata, dict) and isinstance(metadata.get(key), dict):
            notebook.metadata[key] = nbformat.from_dict(metadata[key])
    _note_language(notebook, template, notes)
    notebook.cells = _cells(raw["cells"], template, limits, notes, keep_outputs)
    _restore(notebook, template, notes)
    _set_ids(notebook)
    if said or notes:
        _tell(notebook, [*said, *notes])
    return notebook, notes


def _read(data: bytes, limits: Limits, notes: list[str]) -> dict[str, Any]:
    if len(data) > limits.submission_bytes:
        raise Unreadable(f"it has {len(data) / MIB:.0f} MiB, and the limit is {limits.submission_bytes / MIB:.0f} MiB")
    try:
        raw = json.loads(_decode(data, notes))
    except json.JSONDecodeError as problem:
        where = f"line {problem.lineno}, column {problem.colno}"
        raise Unreadable(f"it is not valid JSON ({problem.msg} at {where})") from None
    except (RecursionError, ValueError) as problem:
        raise Unreadable(f"it is not valid JSON ({type(problem).__name__})") from None
    if not isinstance(raw, dict):
        raise Unreadable("it is JSON, but no notebook")
    if isinstance(raw.get("worksheets"), list):
        raw = _convert_old(raw, notes)
    if not isinstance(raw.get("cells"), list):
        raise Unreadable("it has no list of cells")
    return raw


def _decode(data: bytes, notes: list[str]) -> str:
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            notes.append(f"The file was saved as {encoding}, not UTF-8; it was read all the same.")
            return data.decode(encoding, errors="replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        notes.append("The file is not UTF-8; it was read as Western European text.")
        return data.decode("cp1252", errors="replace")


def _convert_old(raw: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    try:
        converted = nbformat.convert(nbformat.from_dict(raw), 4)
    except Exception as problem:  # noqa: BLE001 nbformat raises many kinds for broken notebooks
        raise Unreadable(f"its format is old and cannot be converted ({problem})") from None
    notes.append("The notebook was in an old format and was converted.")
    return converted


def _note_language(notebook: NotebookNode, template: Template, notes: list[str]) -> None:
    language = notebook.metadata.get("kernelspec", {}).get("language")
    if isinstance(language, str) and language.lower() != template.language.lower():
        notes.append(f"The notebook asked for a kernel for {language[:40]}; it was run with the course's own.")


def _cells(
    raw_cells: list[Any], template: Template, limits: Limits, notes: list[str], keep_outputs: bool
) -> list[NotebookNode]:
    """The submitted cells, each rebuilt; tracked ones with their rightful metadata."""
    cells: list[NotebookNode] = []
    last_place: dict[str, int] = {}
    untracked = 0
    for raw in raw_cells:
        if not isinstance(raw, dict):
            notes.append("Something that is no cell stood among the cells; it was left out.")
            continue
        source_cell = _identify(raw, template, notes)
        untracked += source_cell is None
        if source_cell is None and untracked > limits.cells:
            continue
        cell = _rebuild(raw, source_cell, notes, keep_outputs)
        if source_cell is not None:
            earlier = last_place.get(source_cell.name)
            if earlier is not None:
                # nbgrader's own rule: the last one counts.
                cells[earlier].metadata.pop("nbgrader")
                notes.append(f"The cell '{source_cell.name}' was there more than once; the last one counts.")
            last_place[source_cell.name] = len(cells)
        cells.append(cell)
    if untracked > limits.cells:
        notes.append(f"The notebook has {len(raw_cells)} cells; those past {limits.cells} were left out.")
    return cells


def _identify(raw: dict[str, Any], template: Template, notes: list[str]) -> SourceCell | None:
    metadata = raw.get("metadata")
    tracked = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    if not isinstance(tracked, dict) or not tracked:
        return None
    name = tracked.get("grade_id")
    if isinstance(name, str) and name in template.by_name:
        return template.by_name[name]
    if any(tracked.get(flag) for flag in ("grade", "solution", "locked", "task")):
        notes.append(f"A cell with the unknown id {str(name)[:60]!r} was treated as an ordinary cell.")
    return None


def _rebuild(raw: dict[str, Any], source_cell: SourceCell | None, notes: list[str], keep_outputs: bool) -> NotebookNode:
    kind = raw.get("cell_type")
    if source_cell is not None and kind != source_cell.kind:
        notes.append(f"The cell '{source_cell.name}' had become a {str(kind)[:20]} cell; it was changed back.")
        kind = source_cell.kind
    source = _source(raw, notes)
    if kind == "code":
        cell = nbformat.v4.new_code_cell(source)
        if keep_outputs:
            cell.outputs = _saved_outputs(raw.get("outputs"))
            count = raw.get("execution_count")
            cell.execution_count = count if type(count) is int else None
    elif kind == "markdown":
        cell = nbformat.v4.new_markdown_cell(source)
    else:
        cell = nbformat.v4.new_raw_cell(source)
    cell.id = raw.get("id")
    _keep_attachments(raw, cell)
    found = raw.get("metadata")
    metadata: dict[str, Any] = found if isinstance(found, dict) else {}
    for key in _KEPT_METADATA:
        if isinstance(metadata.get(key), bool):
            cell.metadata[key] = metadata[key]
    tags = metadata.get("tags")
    if isinstance(tags, list) and "skip-execution" in tags:
        notes.append("A cell was tagged 'skip-execution'; tags are not obeyed when grading.")
    if source_cell is not None:
        cell.metadata["nbgrader"] = _metadata(metadata["nbgrader"], cell, source_cell, notes)
    return cell


def _metadata(claimed: dict[str, Any], cell: NotebookNode, source_cell: SourceCell, notes: list[str]) -> NotebookNode:
    """nbgrader's metadata as it ought to be; what was changed is said."""
    right = source_cell.metadata
    for key in ("grade", "solution", "task", "points", "schema_version"):
        want = right.get(key, False)
        if key in claimed and claimed[key] != want and not (key == "task" and not claimed[key]):
            notes.append(f"The cell '{source_cell.name}' had a changed '{key}'; it was put right.")
    if source_cell.locked and cell.source not in (source_cell.source, source_cell.released):
        notes.append(f"The cell '{source_cell.name}' is read-only; the change to it was undone.")
    if "points" in right and claimed.get("points") == right["points"]:
        right["points"] = claimed["points"]
    # For these nbgrader ignores `locked`, and so releases have it either way.
    if (source_cell.grade or source_cell.solution) and isinstance(claimed.get("locked"), bool):
        right["locked"] = claimed["locked"]
    if "task" not in claimed and not source_cell.task:
        del right["task"]
    if isinstance(claimed.get("cell_type"), str):
        right["cell_type"] = source_cell.kind
    return NotebookNode(right)


def _source(raw: dict[str, Any], notes: list[str]) -> str:
    source = raw.get("source")
    if isinstance(source, list):
        source = "".join(part for part in source if isinstance(part, str))
    if not isinstance(source, str):
        return ""
    if len(source) > _MAX_SOURCE:
        notes.append(f"A cell of {len(source)} characters was cut at {_MAX_SOURCE}.")
        source = source[:_MAX_SOURCE]
    return source.encode("utf-8", "replace").decode("utf-8")


def _keep_attachments(raw: dict[str, Any], cell: NotebookNode) -> None:
    attachments = raw.get("attachments")
    if cell.cell_type == "code" or not isinstance(attachments, dict):
        return
    kept = {
        name: {kind: text for kind, text in bundle.items() if isinstance(text, str)}
        for name, bundle in attachments.items()
        if isinstance(bundle, dict)
    }
    if kept:
        cell.attachments = nbformat.from_dict(kept)


def _saved_outputs(outputs: Any) -> list[NotebookNode]:
    """The outputs that a student saved, as far as they are valid."""
    kept = Outputs(MIB)
    for output in outputs if isinstance(outputs, list) else []:
        if isinstance(output, dict):
            joined = dict(output)
            if isinstance(output.get("text"), list):
                joined["text"] = "".join(map(str, output["text"]))
            if isinstance(output.get("data"), dict):
                joined["data"] = {
                    key: "".join(map(str, value)) if isinstance(value, list) else value
                    for key, value in output["data"].items()
                }
            kept.add(output.get("output_type"), joined)
    return [cast(NotebookNode, nbformat.from_dict(item)) for item in kept.items]


def _restore(notebook: NotebookNode, template: Template, notes: list[str]) -> None:
    """Put back missing cells, each behind the nearest tracked cell that precedes it."""
    present = {_name(cell) for cell in notebook.cells}
    previous: str | None = None
    restored = []
    for source_cell in template.cells:
        wanted = source_cell.locked or source_cell.grade or source_cell.task
        if wanted and source_cell.name not in present:
            place = 0
            if previous is not None:
                place = next(i for i, c in enumerate(notebook.cells) if _name(c) == previous) + 1
            notebook.cells.insert(place, _original(source_cell))
            restored.append(source_cell.name)
            present.add(source_cell.name)
        if source_cell.name in present:
            previous = source_cell.name
    if restored and len(restored) < 8:
        names = ", ".join(f"'{name}'" for name in restored)
        notes.append(f"Missing from the submission, and put back as released: {names}.")
    elif restored:
        notes.append(f"Missing from the submission, and put back as released: {len(restored)} cells.")


def _name(cell: NotebookNode) -> str | None:
    return cell.metadata.get("nbgrader", {}).get("grade_id")


def _original(source_cell: SourceCell) -> NotebookNode:
    make = nbformat.v4.new_code_cell if source_cell.kind == "code" else nbformat.v4.new_markdown_cell
    cell = make(source_cell.source)
    cell.metadata["nbgrader"] = nbformat.from_dict(source_cell.metadata)
    cell.id = None
    return cell


def _set_ids(notebook: NotebookNode) -> None:
    """Cell ids exist from format 4.5 on, are unique there, and do not before."""
    seen: set[str] = set()
    for place, cell in enumerate(notebook.cells):
        identity = cell.pop("id", None)
        if notebook.nbformat_minor < 5:
            continue
        if not isinstance(identity, str) or not _CELL_ID.fullmatch(identity) or identity in seen:
            identity = f"cell-{place}"
            while identity in seen:
                identity += "x"
        seen.add(identity)
        cell.id = identity


def _tell(notebook: NotebookNode, notes: list[str]) -> None:
    """Say in the notebook, and so in the feedback, what was done to it."""
    lines = [f"- {re.sub(r'[<>`$*_]', ' ', note)}" for note in dict.fromkeys(notes)]
    text = "\n".join(["**Notes from grading**", "", *lines[:40]])
    cell = nbformat.v4.new_markdown_cell(text)
    cell.pop("id", None)
    if notebook.nbformat_minor >= 5:
        cell.id = "notes-from-grading"
    notebook.cells.insert(0, cell)
