"""Make the student's copy of the course, and prove that no solution and no hidden check is in it."""

import ast
import io
import json
import shutil
import tempfile
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode
from nbgrader.utils import is_grade, is_solution

from gradlab_grading.build import read
from gradlab_grading.layout import Layout
from gradlab_grading.publish import generate
from gradlab_grading.source import MARKERS, regions

#: What is copied from the root. The notebooks under labs/ are generated afresh.
COPIED = ("course", "bootstrap.py", "environment.yml", "requirements.lock", "Makefile", "README.md", "LICENSE")
NOT_COPIED = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "*.egg-info", ".DS_Store")
#: Staff packages whose modules are secret; in their `__init__.py` is machinery.
SECRET_PACKAGES = ("hidden", "alternatives")
#: Shorter lines (`return params`) are anybody's.
SHORTEST = 25


class CopyError(Exception):
    """No copy was made; the message says why and what to do."""


@dataclass(frozen=True)
class Leak:
    """A secret line found where a student can read it."""

    path: Path
    secret: str
    origin: str

    def __str__(self) -> str:
        return f"{self.path} holds a line of {self.origin}: {self.secret}"


def student_copy(destination: Path, layout: Layout) -> list[Path]:
    """Copy to `destination` what a student needs and nothing else; return the files.

    Raises:
        CopyError: the destination is in use, or a secret was found. Nothing is left behind then.
    """
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise CopyError(f"{destination} is in use. Name a folder that is empty or not there.")
    with tempfile.TemporaryDirectory() as folder:
        # Made and searched here first, so that no secret ever lies in the destination.
        staged = Path(folder) / "copy"
        _stage(staged, layout)
        found = leaks(staged, secrets(layout))
        if found:
            lines = "\n".join(f"  {leak}" for leak in found)
            raise CopyError(f"No copy was made, for it would tell secrets. Reword or remove:\n{lines}")
        shutil.copytree(staged, destination, dirs_exist_ok=True)
    return sorted(path for path in destination.rglob("*") if path.is_file())


def secrets(layout: Layout) -> dict[str, str]:
    """Every line that a student may not see, with where it comes from.

    Lines of solutions, of hidden tests and of the staff's modules, stripped, of at least `SHORTEST`
    characters; without comments, docstrings, imports and signatures, which are public or say nothing.
    """
    found: dict[str, str] = {}
    for source in layout.sources():
        for cell in read(source).cells:
            for line in _cell_secrets(cell):
                found.setdefault(line, str(source.relative_to(layout.root)))
    for package in SECRET_PACKAGES:
        for module in sorted((layout.grading / "gradlab_grading" / package).glob("[!_]*.py")):
            for line in _code_lines(module.read_text(encoding="utf-8")).values():
                found.setdefault(line, str(module.relative_to(layout.root)))
    return {line: origin for line, origin in found.items() if len(line) >= SHORTEST}


def leaks(folder: Path, secret: dict[str, str]) -> list[Leak]:
    """The secret lines and nbgrader markers in the files under `folder`, whatever their kind."""
    markers = {marker: "a source notebook" for pair in MARKERS.values() for marker in pair}
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        texts = list(_texts(path))
        wanted = secret | markers if path.suffix == ".ipynb" else secret
        found += [
            Leak(path.relative_to(folder), line, origin)
            for line, origin in wanted.items()
            if any(line in text for text in texts)
        ]
    return found


def _stage(destination: Path, layout: Layout) -> None:
    for name in COPIED:
        original = layout.root / name
        if original.is_dir():
            shutil.copytree(original, destination / name, ignore=NOT_COPIED)
        elif original.exists():
            destination.mkdir(exist_ok=True)
            shutil.copyfile(original, destination / name)
    with tempfile.TemporaryDirectory() as folder:
        for source in layout.sources():
            notebook = generate(source, Layout(Path(folder)), gradebook=False)
            lab = destination / "labs" / source.parent.name
            lab.mkdir(parents=True)
            shutil.copyfile(notebook, lab / notebook.name)


def _texts(path: Path) -> Iterator[str]:
    """What a file says: its text, and every string of a notebook without JSON's escapes."""
    text = path.read_bytes().decode("utf-8", errors="ignore")
    yield text
    if path.suffix == ".ipynb":
        yield "\n".join(_strings(json.loads(text)))


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)


def _cell_secrets(cell: NotebookNode) -> Iterator[str]:
    kind = "solution" if is_solution(cell) else "hidden" if is_grade(cell) else None
    if kind is None:
        return
    inside = {number for first, last in regions(cell.source, kind) for number in range(first + 1, last)}
    if cell.cell_type == "code":
        lines = _code_lines(cell.source)
    else:
        lines = {number: line.strip() for number, line in enumerate(cell.source.split("\n"))}
    yield from (line for number, line in lines.items() if number in inside)


def _code_lines(source: str) -> dict[int, str]:
    """The lines that hold code, stripped, by number from 0; not comments, docstrings, imports, signatures."""
    lines = source.split("\n")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    public: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            public.update(range(node.lineno - 1, node.end_lineno or node.lineno))
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            public.update(range(node.lineno - 1, node.body[0].lineno - 1))
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and ast.get_docstring(node) is not None:
            docstring = node.body[0]
            public.update(range(docstring.lineno - 1, docstring.end_lineno or docstring.lineno))
    return {number: line.strip() for number, line in enumerate(lines) if number not in public}
