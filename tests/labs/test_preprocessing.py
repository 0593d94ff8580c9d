"""Lab 01: single leaks, each planted alone, cost marks and are named; what two mistakes share is told apart."""

import jax
import numpy as np
import pytest
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GroupShuffleSplit
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from gradlab import leaks, records
from gradlab.checks import preprocessing as checks
from gradlab.checks import questions
from gradlab.checks.draw import VISIBLE_SEED, Draw
from gradlab.checks.trial import NOTHING_LEARNT, Trial
from gradlab.mistakes import preprocessing as mistakes
from gradlab.seam.handle import local


def pipeline(*leaky):
    """scikit-learn's pipeline with the steps in `leaky` fitted on all rows."""

    def run(key, x, y, patient, after):
        x, y = np.asarray(x)[:, ~np.asarray(after)], np.asarray(y)
        seed = int(np.asarray(jax.random.key_data(key))[-1])
        train, test = next(GroupShuffleSplit(1, test_size=0.3, random_state=seed).split(x, y, np.asarray(patient)))
        steps = {
            "imputer": SimpleImputer(strategy="median"),
            "scaler": StandardScaler(),
            "columns": SelectKBest(f_classif, k=leaks.FEATURES),
        }
        for name, step in steps.items():
            rows = np.arange(len(y)) if name in leaky else train
            x = step.fit(x[rows], y[rows]).transform(x)
        return train, test, KNeighborsClassifier(leaks.NEIGHBORS).fit(x[train], y[train]).predict(x[test])

    return run


def test_a_pipeline_without_a_leak_has_none():
    assert checks.honest_pipeline(pipeline()).passed


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("leaky", ["imputer", "scaler", "columns"])
def test_one_step_fitted_on_all_rows_is_seen(leaky, seed):
    (handle,) = local(honest_pipeline=pipeline(leaky))
    trial = Trial(handle, leaks.cohort(seed, patients=40, assays=150), seed)
    assert trial.sees_other_test_rows() == "fitted on test rows too"
    assert (trial.sees_test_labels() == "columns chosen by test labels") == (leaky == "columns")
    assert trial.sees_the_future() == "the future is not used"


def test_one_leak_does_not_cost_all_points_and_is_named():
    for leaky, name in (
        ("imputer", "scaler_and_imputer_fitted_on_all_rows"),
        ("columns", "columns_chosen_on_all_rows"),
    ):
        report = checks.honest_pipeline(pipeline(leaky))
        assert 0 < report.score < report.points
        assert name in [known.name for known in report.mistakes]


def test_who_predicts_the_same_for_everybody_has_learnt_nothing():
    def constant(*cohort):
        train, test, predicted = pipeline()(*cohort)
        return train, test, 0 * predicted

    (handle,) = local(honest_pipeline=constant)
    trial = Trial(handle, leaks.cohort(0, patients=40, assays=20), 0)
    for question in (trial.sees_the_future, trial.sees_other_test_rows, trial.sees_test_labels):
        assert question() == NOTHING_LEARNT


def test_a_split_that_is_not_shuffled_is_told_from_one_that_ignores_the_key():
    labels = np.repeat([0, 1], [10, 20]).astype(np.int32)
    sorted_rows = (np.r_[0:7, 10:24], np.r_[7:10, 24:30])
    (in_order,) = local(split=lambda key, labels, fractions, groups: sorted_rows)
    mixed = np.random.default_rng(0).permutation(30)
    (fixed,) = local(split=lambda key, labels, fractions, groups: (mixed[:21], mixed[21:]))
    assert questions.same_split(in_order, 0, labels, None) == "nothing is shuffled"
    assert questions.same_split(fixed, 0, labels, None) == "another key, the same split"


def test_a_code_for_missing_comes_as_a_number_and_as_text():
    ages = [record["age"] for record in records.export("patients", 200, seed=0, faults=["sentinels"]).records]
    assert 99 in ages
    assert {"99", " 99 "} <= {age for age in ages if isinstance(age, str)}


def test_a_unit_that_is_read_wrongly_gives_a_wrong_number_and_no_gap():
    by_name = {case.name: case for case in checks.clean_records.cases(Draw(VISIBLE_SEED, "clean_records"))}
    case = by_name["values in another unit"]
    wrong = (mistakes.units_are_only_text, mistakes.units_converted_the_wrong_way)
    one, other = (case.ask(local(clean_records=clean)).got for clean in wrong)
    assert not case.same(one, other)
    right = case.ask(local(clean_records=mistakes.range_looked_at_before_the_unit))
    assert right.passed
