"""Raw records with known faults: scikit-learn's tables, written out the way a tired office would export them.

The clean table is known, so cleaning can be scored against the truth. The faults, each on its own and from a seed:

types       numbers as int, float or padded text; categories in any spelling and case.
units       about a third of the values of a column that has a second unit are written in it, with the unit behind.
sentinels   about a tenth of the values are replaced by a word for missing, or by the column's own code for it, as a
            number or as text.
impossible  about a twentieth are typed wrongly (a sign, a lost decimal point) and fall outside of the column's range.
duplicates  about a sixth of the records are entered twice, the second time further down, and mostly in other types.
shifts      about a tenth have one delimiter too many behind the id: every value stands one column to the right, the
            first column is empty, and the last value is under the key `extra`.

What a sentinel or an impossible value has destroyed is missing in the truth too: no cleaning can bring it back.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradlab.seam.portable import portable

FAULTS = ("types", "units", "sentinels", "impossible", "duplicates", "shifts")
MISSING_WORDS = ("", "NA", "n/a", "?", "unknown")
EXTRA = "extra"
UNKNOWN_CODE = -1
# Shares of values (or of records) that a fault hits.
UNITS, SENTINELS, IMPOSSIBLE, DUPLICATES, SHIFTS = 0.35, 0.1, 0.05, 0.17, 0.1

Record = dict[str, Any]


@portable
@dataclass(frozen=True)
class Column:
    """What is known of a column before its values are seen.

    A number is in `unit` unless `other_unit` is written behind it, which is worth `factor` units. It is possible from
    `low` to `high`, both included. `missing_code` is a number that means "not known" in this column, or None. A
    category has `words` in place of a range: for each code, from 0 on, the words that mean it, in lower case.
    """

    name: str
    unit: str = ""
    low: float = 0.0
    high: float = 0.0
    other_unit: str = ""
    factor: float = 1.0
    missing_code: float | None = None
    words: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Export:
    """Raw `records`, the `columns` that describe them, in order, and the `truth`: a clean array for each column."""

    records: list[Record]
    columns: list[Column]
    truth: dict[str, np.ndarray]


PATIENTS = [
    Column("age", "years", 18, 110, missing_code=99),
    Column("sex", words=(("female", "f"), ("male", "m"))),
    Column("bmi", "kg/m2", 12, 70),
    Column("pressure", "mmHg", 40, 200, "kPa", 7.50062),
    Column("cholesterol", "mg/dL", 60, 500, "mmol/L", 38.67),
    Column("hdl", "mg/dL", 10, 150, "mmol/L", 38.67),
    Column("glucose", "mg/dL", 40, 400, "mmol/L", 18.016),
    Column("progression", "points", 1, 400),
]
BOTTLES = [
    Column("alcohol", "%", 5, 20),
    Column("magnesium", "mg/L", 40, 250, "mmol/L", 24.305),
    Column("proline", "mg/L", 100, 2500, "g/L", 1000.0),
    Column("hue", "", 0.2, 3, missing_code=1.0),
    Column("cultivar", words=(("barolo", "b"), ("grignolino", "g"), ("barbera", "bb"))),
]


def patients() -> dict[str, np.ndarray]:
    """442 people with diabetes, 8 of the columns, in their own units (Efron et al. 2004, through scikit-learn).

    The source does not say which of its two codes for sex is which: the words here are the course's.
    """
    from sklearn.datasets import load_diabetes

    bunch: Any = load_diabetes(scaled=False)
    names = ("age", "sex", "bmi", "pressure", "cholesterol", "hdl", "glucose")
    found = {name: bunch.data[:, column] for name, column in zip(names, (0, 1, 2, 3, 4, 6, 9), strict=True)}
    return found | {"sex": found["sex"].astype(int) - 1, "progression": bunch.target}


def bottles() -> dict[str, np.ndarray]:
    """178 wines, 5 of the columns (Forina et al. 1988, through scikit-learn)."""
    from sklearn.datasets import load_wine

    bunch: Any = load_wine()
    names, places = ("alcohol", "magnesium", "proline", "hue"), (0, 4, 12, 10)
    found = {name: bunch.data[:, column] for name, column in zip(names, places, strict=True)}
    # A true 1.0 could not be told from the code for missing.
    return found | {"hue": np.where(found["hue"] == 1.0, 1.01, found["hue"]), "cultivar": bunch.target}


_TABLES: dict[str, tuple[Callable[[], dict[str, np.ndarray]], list[Column]]] = {
    "patients": (patients, PATIENTS),
    "bottles": (bottles, BOTTLES),
}


def export(table: str, count: int, *, seed: int, faults: Collection[str] = FAULTS) -> Export:
    """The first records of a table after a shuffle, with faults.

    Args:
        table: "patients" or "bottles".
        count: how many records there are in truth; duplicates come on top.
        seed: decides which records, and where the faults are.
        faults: names out of `FAULTS`.

    Raises ValueError for a table or a fault that there is not, or more records than the table has.
    """
    if table not in _TABLES:
        raise ValueError(f"there is no table {table!r}: choose one of {', '.join(_TABLES)}")
    if unknown := set(faults) - set(FAULTS):
        raise ValueError(f"there is no fault {sorted(unknown)}: choose from {', '.join(FAULTS)}")
    load, columns = _TABLES[table]
    whole = load()
    rows = len(whole[columns[0].name])
    if not 1 <= count <= rows:
        raise ValueError(f"{table} has {rows} records, so count must be from 1 to {rows}, got {count}")
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(rows)[:count]
    truth = {column.name: _as_column(whole[column.name][chosen], column) for column in columns}
    ids = 1000 + rng.permutation(count)
    corruption = _Corruption(rng, frozenset(faults))
    records = corruption.records(ids, truth, columns)
    return Export(records, list(columns), {"id": ids.astype(np.int64)} | truth)


def accuracy(cleaned: dict[str, Any], truth: dict[str, np.ndarray], *, rtol: float = 1e-3) -> dict[str, float]:
    """For each column, the part of the cells that agree with the truth; 0 where the number of rows is another.

    `rtol` allows for the rounding of values that were written in another unit.
    """
    found = {}
    for name, right in truth.items():
        given = np.asarray(cleaned.get(name, ()))
        same = given.shape == right.shape
        agrees = np.isclose(given.astype(float), right.astype(float), rtol=rtol, equal_nan=True) if same else False
        found[name] = float(np.mean(agrees))
    return found


def _as_column(values: np.ndarray, column: Column) -> np.ndarray:
    return values.astype(np.int64) if column.words else values.astype(np.float64)


class _Corruption:
    """Writes a true table as records with faults; what is destroyed on the way is marked as missing in the table."""

    def __init__(self, rng: np.random.Generator, faults: frozenset[str]) -> None:
        self.rng, self.faults = rng, faults

    def records(self, ids: np.ndarray, truth: dict[str, np.ndarray], columns: list[Column]) -> list[Record]:
        """One record a row of the truth, and the duplicates further down."""
        written = []
        for row, number in enumerate(ids):
            cells = [self.cell(column, truth[column.name], row) for column in columns]
            written.append(dict(zip(("id", *(column.name for column in columns)), (int(number), *cells), strict=True)))
        return [self.shifted(record) for record in self.with_duplicates(written)]

    def hits(self, fault: str, share: float) -> bool:
        """Whether the next value has the fault. Draws a number either way, so that faults do not move each other."""
        return bool(self.rng.random() < share) and fault in self.faults

    def cell(self, column: Column, values: np.ndarray, row: int) -> Any:
        """The raw value of one cell."""
        lost, wrong = self.hits("sentinels", SENTINELS), self.hits("impossible", IMPOSSIBLE)
        if lost:
            values[row] = UNKNOWN_CODE if column.words else np.nan
            code = column.missing_code
            codes = [] if code is None else [code, f"{code:g}", code, f" {code} ", f"{code:g}"]
            return self.choice([*MISSING_WORDS, None, *codes])
        if column.words:
            words = column.words[int(values[row])]
            return self.spelled(self.choice(words) if "types" in self.faults else words[0])
        if wrong:
            value, values[row] = float(values[row]), np.nan
            return self.typed(self.choice([-value, round(10 * column.high + value, 4)]))
        return self.measured(column, float(values[row]))

    def measured(self, column: Column, value: float) -> Any:
        """A number, in the column's other unit now and then."""
        if self.hits("units", UNITS) and column.other_unit:
            return f"{value / column.factor:.5g} {column.other_unit}"
        return self.typed(value)

    def typed(self, value: float) -> Any:
        """A number in one of the types that it may come in."""
        if "types" not in self.faults:
            return value
        whole = [int(value)] if value == int(value) else []
        return self.choice([value, f"{value:g}" if abs(value) < 1e5 else str(value), f"  {value!r} ", *whole])

    def spelled(self, word: str) -> str:
        """A word in one of its spellings."""
        return self.choice([word, word.upper(), word.title(), f" {word} "]) if "types" in self.faults else word

    def choice(self, options: Collection[Any]) -> Any:
        return list(options)[self.rng.integers(len(options))]

    def with_duplicates(self, records: list[Record]) -> list[Record]:
        """Some records a second time, the copy somewhere behind the original."""
        found = list(records)
        for record in records:
            if self.hits("duplicates", DUPLICATES):
                place = next(i for i, other in enumerate(found) if other is record)
                found.insert(int(self.rng.integers(place + 1, len(found) + 1)), self.again(record))
        return found

    def again(self, record: Record) -> Record:
        """The same record once more: as it is, or as typed in by somebody else, with plain numbers as text."""
        if record["id"] % 3 == 0:
            return dict(record)
        return {name: f"{cell!r}" if isinstance(cell, float) else cell for name, cell in record.items()}

    def shifted(self, record: Record) -> Record:
        """Now and then, every value behind the id one column to the right."""
        if not self.hits("shifts", SHIFTS):
            return record
        first, *rest = record
        moved = dict(zip(rest, ["", *(record[name] for name in rest[:-1])], strict=True))
        return {first: record[first]} | moved | {EXTRA: record[rest[-1]]}
