"""Agreement is neither too strict nor too lenient, and the sentence says where values part."""

import numpy as np
import pytest

from gradlab.checks.compare import difference


def compare(got, want):
    return difference(got, want, rtol=1e-3, atol=0.0)


@pytest.mark.parametrize(
    ("got", "want"),
    [
        (1.0004, 1.0),
        (np.float32(2), 2.0),
        ({"a": [1.0]}, {"a": (1,)}),
        (np.array([np.inf, np.nan]), np.array([np.inf, np.nan])),
        ("yes", "yes"),
        (True, np.bool_(True)),
        (None, None),
    ],
    ids=repr,
)
def test_agreement(got, want):
    assert compare(got, want) is None


@pytest.mark.parametrize(
    ("got", "want", "says"),
    [
        (1.002, 1.0, "got 1.002, expected 1"),
        (np.zeros((2, 1)), np.zeros(2), "expected shape (2,), got (2, 1)"),
        ({"a": 1}, {"b": 1}, "keys ['b']"),
        ([1, 2], [1], "expected 1 values"),
        (np.array([1.0, np.nan]), np.ones(2), "nan"),
        (-np.inf, np.inf, "largest gap"),
        ("no", "yes", "expected 'yes'"),
        (None, 1.0, "None"),
        ("1.0", 1.0, "'1.0' (str)"),
        (3, 2, "got 3, expected 2"),
        ([{"x": np.array([[0.0, 5.0]])}], [{"x": np.zeros((1, 2))}], "[0]['x']: entry (0, 1): got 5, expected 0"),
    ],
    ids=repr,
)
def test_difference_is_named(got, want, says):
    assert says in compare(got, want)


def test_a_verdict_in_words_stands_for_itself():
    assert compare("no", "yes") == "expected 'yes', got 'no'"
