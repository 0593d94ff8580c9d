"""The before/after explorer's kernel side: right functions, missing ones and wrong ones."""

import numpy as np
import pytest

from gradlab.mistakes import preprocessing as mistakes
from gradlab.widgets import BeforeAfter
from gradlab.widgets.before_after.stages import COLUMNS, FUNCTIONS
from gradlab_grading.reference import lab_folders, reference


@pytest.fixture(scope="module")
def functions():
    names = reference(lab_folders()["01-preprocessing"])
    return {name: names[name] for name in FUNCTIONS}


@pytest.fixture(scope="module")
def explorer(functions):
    return BeforeAfter(functions)


def stages(explorer, *steps):
    """The names of the stages, their problems, and their values by stage, shape (fits, columns, rows)."""
    answer, buffers = explorer.answer_stages({"steps": list(steps)})
    good = [stage for stage in answer["stages"] if stage["problem"] is None]
    rows = [len(explorer.bench.export.records)] + [len(answer["ids"])] * (len(good) - 1)
    values = [np.frombuffer(b, np.float32).reshape(-1, len(COLUMNS), n) for b, n in zip(buffers, rows, strict=False)]
    return answer["stages"], dict(zip([stage["step"] for stage in good], values, strict=True)), buffers


def test_each_stage_does_what_it_says(explorer):
    found, values, buffers = stages(explorer, "clean", "impute", "scale")
    assert [stage["step"] for stage in found] == ["raw", "clean", "impute", "scale"]
    truth, ids = explorer.bench.export.truth, explorer.bench.table(clean=True).ids
    place = {int(number): row for row, number in enumerate(truth["id"])}
    for number, column in enumerate(COLUMNS):
        wanted = truth[column.name][[place[i] for i in ids]]
        np.testing.assert_allclose(values["clean"][0, number], wanted, rtol=1e-3)
    assert np.isnan(values["clean"]).any()
    assert not np.isnan(values["impute"]).any()
    train = np.frombuffer(buffers[-1], np.uint8).astype(bool)
    np.testing.assert_allclose(values["scale"][0][:, train].mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(values["scale"][1].mean(axis=1), 0, atol=1e-5)


def test_choosing_on_all_rows_inflates_and_scaling_does_not(explorer):
    chosen = explorer.answer_accuracy({"steps": ["clean", "impute", "choose", "scale"]})[0]
    scaled = explorer.answer_accuracy({"steps": ["clean", "impute", "scale"]})[0]
    gains = [np.mean(found["all"]) - np.mean(found["train"]) for found in (chosen, scaled)]
    assert gains[0] > 0.05
    assert abs(gains[1]) < 0.03


def test_a_step_in_the_wrong_place_says_why(explorer):
    found, _, _ = stages(explorer, "clean", "choose", "impute")
    assert found[-1]["step"] == "choose"
    assert "impute first" in found[-1]["problem"]
    assert "gaps" in explorer.answer_accuracy({"steps": ["clean", "scale"]})[0]["problem"]


def test_what_is_not_written_yet_says_so():
    def fit_imputer(x):
        raise NotImplementedError

    found, _, _ = stages(BeforeAfter({}), "clean")
    assert found[-1]["problem"] == "clean_records is not a function yet."
    names = reference(lab_folders()["01-preprocessing"])
    given = {name: names[name] for name in FUNCTIONS} | {"fit_imputer": fit_imputer}
    explorer = BeforeAfter(given)
    found, _, _ = stages(explorer, "clean", "impute")
    assert found[-1]["problem"] == "fit_imputer is not written yet."
    assert "fit_imputer is not written yet." in explorer.picture()[1]


def test_wrong_functions_are_shown_and_not_raised(functions):
    wrong = {
        "apply_imputer": mistakes.rows_with_gaps_left_out,
        "clean_records": lambda records, columns: {"id": [1]},
        "split_indices": lambda key, labels, fractions: None,
        "fit_scaler": lambda x: 1 / 0,
    }
    words = ["returned the shape", "must return a dictionary", "did not return two vectors", "ZeroDivisionError"]
    for (name, function), word in zip(wrong.items(), words, strict=True):
        explorer = BeforeAfter(functions | {name: function})
        found, _, _ = stages(explorer, "clean", "impute", "scale")
        assert word in found[-1]["problem"]
        assert word in explorer.answer_accuracy({"steps": ["clean", "impute", "scale"]})[0]["problem"]


def test_what_there_is_not_is_refused(functions):
    with pytest.raises(ValueError, match="choose from age"):
        BeforeAfter(functions, column="height")
    with pytest.raises(ValueError, match="clean, impute, choose, scale"):
        BeforeAfter(functions, steps=("clean", "dry"))
    with pytest.raises(ValueError, match="there is no function 'fit'"):
        BeforeAfter({"fit": None})


def test_the_picture_stands_for_it_where_there_is_no_kernel(explorer):
    html, text = explorer.picture()
    assert 'aria-label="Histograms of pressure after each step"' in html
    assert "Scale: 106 rows, 0 gaps" in text
