"""The raw records: every fault is there, on its own, from a seed; and the truth is the table that they were made of."""

import numpy as np
import pytest

from gradlab import records


def test_without_faults_the_records_are_the_table():
    made = records.export("patients", 30, seed=4, faults=())
    assert [record["id"] for record in made.records] == made.truth["id"].tolist()
    for column in made.columns:
        cells = [record[column.name] for record in made.records]
        if column.words:
            cells = [next(i for i, words in enumerate(column.words) if cell in words) for cell in cells]
        np.testing.assert_array_equal(cells, made.truth[column.name])


def test_the_truth_is_what_scikit_learn_has():
    made = records.export("patients", 442, seed=0, faults=())
    own = records.patients()
    for name, values in own.items():
        np.testing.assert_array_equal(np.sort(made.truth[name]), np.sort(values))


@pytest.mark.parametrize("table", ["patients", "bottles"])
@pytest.mark.parametrize("fault", records.FAULTS)
def test_a_fault_is_there_when_asked_for_and_only_then(table, fault):
    count = 100
    made, clean = (records.export(table, count, seed=7, faults=faults) for faults in ((fault,), ()))
    text = [str(record) for record in made.records]
    signs = {
        "types": any("'  " in line for line in text),
        "units": any("mmol/L" in line for line in text),
        "sentinels": any(word in line for line in text for word in ("'NA'", "None", "'?'")),
        "impossible": any(": -" in line for line in text),
        "duplicates": len(made.records) > count,
        "shifts": any(records.EXTRA in record for record in made.records),
    }
    assert [name for name, seen in signs.items() if seen] == [fault]
    destroys = fault in ("sentinels", "impossible")
    assert any(np.isnan(values).any() for values in made.truth.values() if values.dtype.kind == "f") == destroys
    assert not any(np.isnan(values).any() for values in clean.truth.values() if values.dtype.kind == "f")


def test_no_true_value_looks_like_a_fault():
    for table in ("patients", "bottles"):
        made = records.export(table, 150, seed=0, faults=())
        for column in made.columns:
            values = made.truth[column.name]
            if not column.words:
                assert ((values >= column.low) & (values <= column.high)).all()
                assert column.missing_code not in values


def test_the_seed_decides():
    first, again, other = (records.export("patients", 40, seed=seed) for seed in (1, 1, 2))
    assert first.records == again.records
    assert first.records != other.records


def test_what_there_is_not_is_refused_with_what_there_is():
    with pytest.raises(ValueError, match="patients, bottles"):
        records.export("cars", 3, seed=0)
    with pytest.raises(ValueError, match="choose from types"):
        records.export("patients", 3, seed=0, faults=("typos",))
    with pytest.raises(ValueError, match="from 1 to 442"):
        records.export("patients", 443, seed=0)


def test_accuracy_counts_cells():
    truth = {"id": np.array([1, 2]), "age": np.array([50.0, np.nan])}
    assert records.accuracy(truth, truth) == {"id": 1.0, "age": 1.0}
    assert records.accuracy({"id": [1, 3], "age": [50.0, 0.0]}, truth) == {"id": 0.5, "age": 0.5}
    assert records.accuracy({"id": [1, 2, 2]}, truth) == {"id": 0.0, "age": 0.0}
