"""The cohort, the leaks that are planted in it, and their measurement."""

import numpy as np
import pytest
from sklearn.feature_selection import f_classif
from sklearn.neighbors import KNeighborsClassifier

from gradlab import gallery, leaks


def blind(key, x, y, patient, after):
    """Says 1 to everybody, whatever is planted."""
    rows = np.arange(len(y))
    return rows[40:], rows[:40], np.ones(40, int)


def test_a_cohort_is_what_it_says():
    case = leaks.cohort(3)
    assert case.x.shape == (120, 311)
    assert np.bincount(case.patient).tolist() == [2] * 60
    for patient in range(60):
        assert len(set(case.y[case.patient == patient])) == 1
    known = np.isfinite(case.x[:, -1])
    assert np.corrcoef(case.x[known, -1], case.y[known])[0, 1] > 0.4, "the future predicts"
    assert np.flatnonzero(case.after).tolist() == [310]


def test_select_features_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 30)), rng.integers(0, 2, 40)
    strongest = np.argsort(-f_classif(x, y)[0])[:8]
    assert leaks.select_features(x, y, 8).tolist() == strongest.tolist()


def test_nearest_neighbors_agrees_with_scikit_learn():
    rng = np.random.default_rng(1)
    x, y, new = rng.standard_normal((50, 4)), rng.integers(0, 2, 50), rng.standard_normal((30, 4))
    wanted = KNeighborsClassifier(3).fit(x, y).predict(new)
    np.testing.assert_array_equal(leaks.nearest_neighbors(x, y, new), wanted)


def test_each_leak_changes_only_what_it_says():
    case = leaks.cohort(0)
    future, fitted, torn = (leaks.planted(leak, case) for leak in leaks.LEAKS)
    assert not future.after.any()
    assert future.x is case.x
    assert fitted.x.shape == (120, leaks.FEATURES)
    assert not fitted.after.any()
    assert len(set(torn.patient.tolist())) == 120
    assert leaks.planted(None, case) is case
    with pytest.raises(ValueError, match="choose one of the future"):
        leaks.planted("a hole", case)


def test_a_pipeline_that_looks_at_nothing_gains_nothing():
    found = leaks.hunt(blind, seeds=range(4))
    assert set(found.accuracies) == {"honest", *leaks.LEAKS}
    assert all(gain == (0.0, 0.0) for gain in found.inflation.values())


def test_the_picture_says_what_it_shows():
    found = leaks.hunt(blind, others={"again": blind}, seeds=range(3))
    html = found._repr_mimebundle_()["text/html"]
    assert 'role="img"' in html
    assert "honest: " in html
    assert html.count("<circle") == 3 * 5


def test_a_gallery_describes_itself_and_refuses_other_shapes():
    shown = gallery.show(np.eye(3)[None], "One <diagonal>.")
    assert "One &lt;diagonal&gt;." in shown._repr_mimebundle_()["text/html"]
    assert shown._repr_mimebundle_()["text/html"].count("#ffffff") == 3
    with pytest.raises(ValueError, match="n, height, width"):
        gallery.show(np.zeros((3, 3)), "flat")
