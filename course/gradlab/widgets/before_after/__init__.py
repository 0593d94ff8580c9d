"""The before/after explorer of lab 01: the records after each of the student's steps, and what a leak adds."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gradlab.widgets.base import Answer, Widget, bundle
from gradlab.widgets.before_after import picture
from gradlab.widgets.before_after.stages import ASSAYS, CHOSEN, COLUMNS, FITS, FUNCTIONS, STEPS, Failed, Workbench

HERE = Path(__file__).parent
TITLES = {
    "raw": "Raw",
    "clean": "Clean",
    "impute": "Impute",
    "choose": f"Choose {CHOSEN} columns",
    "scale": "Scale",
}


class BeforeAfter(Widget):
    """Raw, cleaned, filled and scaled values side by side, made by the student's own functions.

    `functions` maps the names clean_records, split_indices, fit_imputer, apply_imputer, fit_scaler and apply_scaler to
    functions as lab 01 defines them. One that is missing, not written yet, or raises says so in its own panel.

    The keywords are where the explorer stands at first, as "copy state" writes them: the `column` that is shown, the
    `steps` in their order (clean comes first wherever it is written), and what they are `fit_on` (train or all).

    Raises ValueError for a column, a step or a way to fit that there is not.
    """

    _esm = bundle(HERE / "view.js")
    _css = bundle(HERE / "view.css")

    def __init__(
        self,
        functions: Mapping[str, Callable[..., Any]],
        *,
        column: str = "pressure",
        steps: tuple[str, ...] = STEPS,
        fit_on: str = "train",
    ) -> None:
        names = [found.name for found in COLUMNS]
        given = [("column", [column], names), ("step", list(steps), list(STEPS)), ("fit_on", [fit_on], list(FITS))]
        for what, values, known in (*given, ("function", list(functions), list(FUNCTIONS))):
            if wrong := [value for value in values if value not in known]:
                raise ValueError(f"there is no {what} {wrong[0]!r}: choose from {', '.join(known)}")
        self.bench = Workbench(functions)
        self.setting = {"column": column, "steps": list(dict.fromkeys(steps)), "fit_on": fit_on}
        super().__init__(label="Records of patients, before and after each step.", config=self._configuration())

    def _configuration(self) -> dict[str, Any]:
        raw = self.bench.export.records
        return {
            "columns": [{"name": c.name, "unit": c.unit} for c in COLUMNS],
            "steps": list(STEPS),
            "titles": TITLES,
            "assays": ASSAYS,
            "rawIds": [record["id"] for record in raw],
            "rawCells": [[_cell(record[c.name]) for record in raw] for c in COLUMNS],
            "setting": self.setting,
        }

    def answer_stages(self, question: dict[str, Any]) -> Answer:
        """The clinical columns after each step, in the first split.

        The buffers are float32 for each stage that worked: raw of shape (columns, raw rows), every other of shape
        (2, columns, rows), fitted on the training rows and on all; what was not chosen is nan there, and `kept` says
        so. The last buffer is a byte for each row, 1 for training.
        """
        order = [step for step in question["steps"] if step != "clean"]
        _, as_it_stands = self.bench.as_it_stands()
        buffers, shown = [_bytes(as_it_stands.T)], [{"step": "raw", "problem": None}]
        try:
            table = self.bench.table(clean="clean" in question["steps"])
        except Failed as problem:
            return {"stages": [*shown, {"step": "clean", "problem": str(problem)}], "ids": []}, buffers
        if "clean" in question["steps"]:
            shown.append(
                {"step": "clean", "problem": None, "kept": [list(range(len(COLUMNS)))] * 2, "assays": [ASSAYS] * 2}
            )
            buffers.append(_bytes(np.stack([table.x[:, : len(COLUMNS)].T] * 2)))
        try:
            train = self.bench.split(table, 0)
        except Failed as problem:
            return {"stages": [*shown, {"step": "split", "problem": str(problem)}], "ids": table.ids.tolist()}, buffers
        for stage in self.bench.stages(order, table, train):
            shown.append({"step": stage.step, "problem": stage.problem, **_kept(stage)})
            if stage.problem is None:
                buffers.append(_bytes(np.stack([_clinical(stage.tables[f], stage.kept[f]) for f in FITS])))
        return {"stages": shown, "ids": table.ids.tolist()}, [*buffers, train.astype(np.uint8).tobytes()]

    def answer_accuracy(self, question: dict[str, Any]) -> Answer:
        """The validation accuracy in each split, under "train" and "all", or the `problem` that forbids it."""
        order = [step for step in question["steps"] if step != "clean"]
        try:
            return {"problem": None, **self.bench.accuracies(order, clean="clean" in question["steps"])}, []
        except Failed as problem:
            return {"problem": str(problem)}, []

    def picture(self) -> tuple[str, str]:
        answer, buffers = self.answer_stages(self.setting)
        number = [column.name for column in COLUMNS].index(self.setting["column"])
        shown = []
        for stage, buffer in zip([s for s in answer["stages"] if s["problem"] is None], buffers, strict=False):
            values = np.frombuffer(buffer, np.float32)
            rows = len(self.bench.export.records) if stage["step"] == "raw" else len(answer["ids"])
            table = values.reshape(-1, len(COLUMNS), rows)
            shown.append(
                (TITLES[stage["step"]], table[FITS.index(self.setting["fit_on"]) if len(table) > 1 else 0, number])
            )
        problem = next((stage["problem"] for stage in answer["stages"] if stage["problem"]), None)
        return picture.still(shown, self.setting["column"], problem)


def _cell(value: Any) -> str:
    """A raw cell as it is shown; the quotes tell text from a number."""
    return repr(value)


def _bytes(values: np.ndarray) -> bytes:
    return np.ascontiguousarray(values, np.float32).tobytes()


def _clinical(x: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The clinical columns of a table, shape (columns, rows); nan for those that were not kept."""
    found = np.full((len(COLUMNS), len(x)), np.nan, np.float32)
    for place, column in enumerate(kept):
        if column < len(COLUMNS):
            found[column] = x[:, place]
    return found


def _kept(stage: Any) -> dict[str, Any]:
    if stage.problem is not None:
        return {}
    kept = [[int(k) for k in stage.kept[fit] if k < len(COLUMNS)] for fit in FITS]
    return {"kept": kept, "assays": [len(stage.kept[fit]) - len(few) for fit, few in zip(FITS, kept, strict=True)]}
