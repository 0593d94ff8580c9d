"""Grades as CSV that a spreadsheet shows and does not run."""

import csv
from pathlib import Path

from nbgrader.api import Gradebook
from nbgrader.plugins import CsvExportPlugin

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class NeutralCsv(CsvExportPlugin):
    """`nbgrader export` with an apostrophe before whatever a spreadsheet takes for a formula.

    Names and ids come from students: `=HYPERLINK(...)` is a valid one. Set
    `c.ExportApp.plugin_class` to it.
    """

    def export(self, gradebook: Gradebook) -> None:
        """Export as nbgrader does, then rewrite the file."""
        super().export(gradebook)
        path = Path(self.to or "grades.csv")
        with path.open(newline="") as file:
            rows = [[neutral(entry) for entry in row] for row in csv.reader(file)]
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(rows)


def neutral(entry: str) -> str:
    """The entry, marked as text if it begins like a formula and is no number."""
    try:
        float(entry)
    except ValueError:
        return f"'{entry}" if entry.startswith(_FORMULA) else entry
    return entry
