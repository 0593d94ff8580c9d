"""Benchmarks: each module here has `tables()`, which measures in one run what it compares.

Ratios are the results. Seconds depend on the machine, which each section names.
"""

import importlib
import json
import os
import pkgutil
import platform
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path


@dataclass(frozen=True)
class Table:
    """What one benchmark found. `note` says how it was taken and how to read it."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float, ...], ...]

    def markdown(self) -> str:
        """The table as Markdown, figures to three digits."""
        lines = [self.columns, ("---",) * len(self.columns), *self.rows]
        body = "\n".join("| " + " | ".join(_cell(entry) for entry in line) + " |" for line in lines)
        return f"### {self.title}\n\n{self.note}\n\n{body}\n"


def _cell(entry: str | float) -> str:
    if isinstance(entry, str):
        return entry
    return f"{entry:.0f}" if abs(entry) >= 100 else f"{entry:.3g}"


def names() -> list[str]:
    """The benchmarks that there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def machine() -> str:
    """The machine in words, without its name or its paths."""
    cores = os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{platform.system()} {platform.machine()}, {cores} cores, {memory:.0f} GiB; "
        f"Python {platform.python_version()}, JAX {version('jax')}"
    )


def run(name: str, root: Path) -> str:
    """Takes one benchmark, writes its section of BENCHMARKS.md and its figures to build/bench.json."""
    tables: Iterable[Table] = importlib.import_module(f"{__name__}.{name}").tables()
    found = list(tables)
    head = f"## {name}\n\n{date.today().isoformat()}, {machine()}.\n\n"
    section = head + "\n".join(table.markdown() for table in found)
    _replace_section(root / "BENCHMARKS.md", name, section)
    figures = root / "build" / "bench.json"
    figures.parent.mkdir(exist_ok=True)
    data = json.loads(figures.read_text()) if figures.exists() else {}
    data[name] = {"machine": machine(), "date": date.today().isoformat(), "tables": [asdict(t) for t in found]}
    figures.write_text(json.dumps(data, indent=2) + "\n")
    return section


def _replace_section(page: Path, name: str, section: str) -> None:
    """A benchmark that is not run now keeps its section, with the machine and the day on which it was taken."""
    head = "# Benchmarks\n\nWritten by `make bench`. Ratios within a table were taken side by side in one run.\n"
    text = page.read_text() if page.exists() else head
    sections = {found.split("\n", 1)[0]: found for found in re.split(r"^## ", text, flags=re.MULTILINE)[1:]}
    sections[name] = section.removeprefix("## ")
    page.write_text(head + "".join(f"\n## {sections[key].rstrip()}\n" for key in sorted(sections)))
