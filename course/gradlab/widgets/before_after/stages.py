"""What the student's functions make of the records, stage by stage, and how well a model does afterwards."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from gradlab import records
from gradlab.leaks import nearest_neighbors, select_features
from gradlab.widgets.base import explain

COUNT, ASSAYS, CHOSEN, SPLITS, SEED = 130, 150, 10, 12, 3
COLUMNS = tuple(column for column in records.PATIENTS if column.name != "progression")
FITS = ("train", "all")
# The order at the start; clean makes the table, so it can be left out, and not moved.
STEPS = ("clean", "impute", "choose", "scale")
FUNCTIONS = ("clean_records", "split_indices", "fit_imputer", "apply_imputer", "fit_scaler", "apply_scaler")


class Failed(Exception):
    """A step that did not work: `str` says what the student should read."""


@dataclass(frozen=True)
class Table:
    """The rows that the steps work on: the clinical columns, then the assays, shape (rows, columns)."""

    ids: Int[np.ndarray, " rows"]
    x: Float[np.ndarray, "rows d"]
    y: Int[np.ndarray, " rows"]


@dataclass(frozen=True)
class Stage:
    """The table after a step, fitted on the training rows and on all rows; `problem` where the step did not work.

    `kept` are the columns that are left, as numbers of the first table's columns.
    """

    step: str
    tables: dict[str, Float[np.ndarray, "rows d"]] = field(default_factory=dict)
    kept: dict[str, Int[np.ndarray, " d"]] = field(default_factory=dict)
    problem: str | None = None


@lru_cache(maxsize=1)
def material() -> tuple[records.Export, dict[int, int], dict[int, np.ndarray]]:
    """The raw records of patients whose outcome is known, and for each id the label and 150 columns of noise."""
    made = records.export("patients", COUNT, seed=SEED)
    outcome = made.truth["progression"]
    label = {int(i): int(p > np.nanmedian(outcome)) for i, p in zip(made.truth["id"], outcome, strict=True) if p == p}
    noise = np.random.default_rng(SEED).standard_normal((COUNT, ASSAYS))
    assays = dict(zip(map(int, made.truth["id"]), noise, strict=True))
    raw = [record for record in made.records if record["id"] in label]
    return records.Export(raw, made.columns, made.truth), label, assays


class Workbench:
    """The student's functions, and the tables that they make."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        self.functions = functions
        self.export, self.label, self.assays = material()

    def call(self, name: str, *args: Any) -> Any:
        """A student's function. Raises `Failed` with what they should read when it is missing or raises."""
        function = self.functions.get(name)
        if not callable(function):
            raise Failed(f"{name} is not a function yet.")
        try:
            return function(*args)
        except Exception as error:
            raise Failed(explain(name, error, function)) from error

    def fitted(self, thing: str, basis: Any, rows: Any) -> np.ndarray:
        """`rows` after `fit_<thing>` on `basis` and `apply_<thing>`. Raises `Failed` for a result of another shape."""
        parameters = self.call(f"fit_{thing}", basis)
        result = np.asarray(self.call(f"apply_{thing}", parameters, rows))
        if result.shape != rows.shape:
            raise Failed(f"apply_{thing} returned the shape {result.shape} for rows of shape {rows.shape}.")
        return result

    def table(self, *, clean: bool) -> Table:
        """The table that the steps start from: cleaned by the student, or read as it stands."""
        return self._cleaned() if clean else self._table(*self.as_it_stands())

    def as_it_stands(self) -> tuple[list[int], np.ndarray]:
        """Ids and numbers as somebody reads them who does not look: the first word of a cell, if it is a number."""
        raw = self.export.records
        return [r["id"] for r in raw], np.array([[_read(r[c.name]) for c in COLUMNS] for r in raw])

    def _cleaned(self) -> Table:
        found = self.call("clean_records", self.export.records, self.export.columns)
        wanted = ("id", *(column.name for column in COLUMNS))
        if not isinstance(found, dict) or not set(wanted) <= set(found):
            raise Failed("clean_records must return a dictionary with an array for the id and for each column.")
        sizes = {len(np.asarray(found[name])) for name in wanted}
        ids = [int(number) for number in np.asarray(found["id"])]
        if len(sizes) != 1 or not set(ids) <= set(self.label):
            raise Failed("clean_records returned columns of different lengths, or ids that there are not.")
        return self._table(ids, np.stack([np.asarray(found[c.name], np.float64) for c in COLUMNS], axis=1))

    def _table(self, ids: list[int], clinical: np.ndarray) -> Table:
        noise = np.stack([self.assays[i] for i in ids])
        x = np.concatenate([clinical, noise], axis=1).astype(np.float32)
        return Table(np.array(ids), x, np.array([self.label[i] for i in ids], np.int32))

    def split(self, table: Table, number: int) -> Bool[np.ndarray, " rows"]:
        """Which rows are for training in the split of that number. Raises `Failed` for what is no split."""
        parts = self.call("split_indices", jax.random.key(number), jnp.asarray(table.y), (0.5, 0.5))
        chosen = np.zeros(len(table.y), bool)
        try:
            train, valid = (np.asarray(part, int) for part in parts)
            chosen[train] = True
            good = len(train) and len(valid) and not chosen[valid].any()
        except (TypeError, ValueError, IndexError) as error:
            raise Failed(f"split_indices did not return two vectors of row numbers: {error}") from error
        if not good:
            raise Failed("split_indices returned parts that are empty, or share rows.")
        return chosen

    def step(self, step: str, x: np.ndarray, y: np.ndarray, basis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The table after a step that is fitted on the rows of `basis`, and which of its columns are left."""
        everything = np.arange(x.shape[1])
        if step == "choose":
            if np.isnan(x[basis]).any():
                raise Failed("Columns cannot be compared with the label while there are gaps: impute first.")
            kept = np.sort(select_features(x[basis], y[basis], min(CHOSEN, x.shape[1])))
            return x[:, kept], kept
        thing = {"impute": "imputer", "scale": "scaler"}[step]
        return self.fitted(thing, jnp.asarray(x[basis]), jnp.asarray(x)), everything

    def stages(self, order: Sequence[str], table: Table, train: Bool[np.ndarray, " rows"]) -> list[Stage]:
        """The table after each step in order, up to the first that does not work."""
        found = []
        now = {fit: (table.x, np.arange(table.x.shape[1])) for fit in FITS}
        for name in order:
            try:
                for fit, (x, kept) in now.items():
                    basis = np.flatnonzero(train) if fit == "train" else np.arange(len(x))
                    moved, left = self.step(name, x, table.y, basis)
                    now[fit] = moved, kept[left]
            except Failed as problem:
                return [*found, Stage(name, problem=str(problem))]
            found.append(Stage(name, {f: x for f, (x, _) in now.items()}, {f: kept for f, (_, kept) in now.items()}))
        return found

    def accuracies(self, order: Sequence[str], *, clean: bool) -> dict[str, list[float]]:
        """The validation accuracy of three nearest neighbours in each split, for each way to fit."""
        table = self.table(clean=clean)
        found: dict[str, list[float]] = {fit: [] for fit in FITS}
        for number in range(SPLITS):
            train = self.split(table, number)
            stages = self.stages(order, table, train)
            if stages and stages[-1].problem:
                raise Failed(stages[-1].problem)
            tables = stages[-1].tables if stages else dict.fromkeys(FITS, table.x)
            for fit, x in tables.items():
                if not np.isfinite(x).all():
                    raise Failed("The model cannot work with gaps: some values are not numbers after the last step.")
                found[fit].append(_accuracy(x, table.y, train))
        return found


def _accuracy(x: np.ndarray, y: np.ndarray, train: np.ndarray) -> float:
    return float(np.mean(nearest_neighbors(x[train], y[train], x[~train]) == y[~train]))


def _read(cell: Any) -> float:
    try:
        return float(str(cell).split()[0])
    except (ValueError, IndexError):
        return float("nan")
