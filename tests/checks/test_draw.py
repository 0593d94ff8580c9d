"""What a check draws: values afresh, shapes not."""

import numpy as np

from gradlab.checks.draw import VISIBLE_SEED, Draw


def sizes(seed, exercise="adam", low=2, high=7):
    draw = Draw(seed, exercise)
    return [draw.size(low, high) for _ in range(200)]


def test_the_same_seed_and_exercise_draw_the_same():
    np.testing.assert_array_equal(Draw(3, "adam").normal(4), Draw(3, "adam").normal(4))
    assert (Draw(3, "adam").normal(4) != Draw(4, "adam").normal(4)).all()
    assert (Draw(3, "adam").normal(4) != Draw(3, "sgd").normal(4)).all()


def test_hidden_sizes_are_other_than_visible_ones():
    for visible, hidden in zip(sizes(VISIBLE_SEED), sizes(5), strict=True):
        assert visible != hidden


def test_hidden_sizes_are_the_same_for_every_seed_and_exercise():
    assert sizes(5) == sizes(6) == sizes(5, "sgd")


def test_a_size_keeps_to_its_bounds():
    assert set(sizes(VISIBLE_SEED)) == set(sizes(5)) == set(range(2, 8))
    assert sizes(5, low=4, high=4) == [4] * 200


def test_sizes_take_nothing_from_the_values():
    draw = Draw(5, "adam")
    draw.size()
    np.testing.assert_array_equal(draw.normal(4), Draw(5, "adam").normal(4))
