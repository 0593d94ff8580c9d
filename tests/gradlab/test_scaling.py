"""The fit finds planted laws, and its interval holds the truth as often as it says."""

import numpy as np
import pytest

from gradlab.scaling import fit, predict

SIZES = np.geomspace(1e4, 3e5, 8)
LARGER = 3e6


def law(floor, amplitude, alpha):
    return lambda size: floor + amplitude * size**-alpha


@pytest.mark.parametrize("constants", [(1.69, 406.4, 0.34), (1.2, 30.0, 0.2), (0.0, 8.0, 0.076)])
def test_a_law_without_noise_is_found(constants):
    """The first are the constants of Hoffmann et al. (2022), equation 10; the last the exponent of Kaplan et al."""
    truth = law(*constants)
    found = fit(SIZES, truth(SIZES))
    # The search for alpha ends at 1e-9; a small exponent trades it against the floor.
    assert (found.floor, found.alpha) == pytest.approx((constants[0], constants[2]), rel=1e-3, abs=1e-3)
    assert float(found(LARGER)) == pytest.approx(truth(LARGER), rel=1e-4)


def test_the_interval_holds_a_new_run_as_often_as_it_says():
    truth, rng, hits, trials = law(1.69, 406.4, 0.34), np.random.default_rng(0), 0, 300
    for _ in range(trials):
        prediction = predict(fit(SIZES, truth(SIZES) + rng.normal(0, 0.02, len(SIZES))), LARGER, probability=0.9)
        hits += prediction.low < truth(LARGER) + rng.normal(0, 0.02) < prediction.high
    # Of 300 trials at 0.9, three standard deviations are 0.052; the law is linear only near the fit.
    assert 0.83 < hits / trials < 0.97


def test_the_interval_widens_with_the_distance_and_the_scatter():
    truth, noise = law(1.69, 406.4, 0.34), np.random.default_rng(1).normal(0, 0.02, len(SIZES))
    calm, loud = fit(SIZES, truth(SIZES) + noise / 10), fit(SIZES, truth(SIZES) + noise)

    def width(fitted, size):
        found = predict(fitted, size)
        return found.high - found.low

    assert width(loud, 1e5) < width(loud, 1e6) < width(loud, 1e8)
    assert width(calm, 1e6) < width(loud, 1e6) / 3


def test_three_sizes_are_too_few():
    with pytest.raises(ValueError, match="at least 4 sizes, got 3"):
        fit(np.array([1e4, 1e5, 1e6, 1e6]), np.array([3.0, 2.5, 2.2, 2.3]))


@pytest.mark.parametrize(
    ("sizes", "losses", "words"),
    [
        (SIZES, np.ones(7), "8 sizes and 7 losses"),
        (SIZES, np.full(8, np.nan), "positive numbers"),
        (-SIZES, np.ones(8), "positive numbers"),
    ],
    ids=["lengths", "diverged", "negative"],
)
def test_runs_that_are_none_are_refused(sizes, losses, words):
    with pytest.raises(ValueError, match=words):
        fit(sizes, losses)


@pytest.mark.parametrize(("size", "probability"), [(0.0, 0.9), (1e6, 90), (1e6, 1.0)])
def test_a_question_without_an_answer_is_refused(size, probability):
    fitted = fit(SIZES, law(1.69, 406.4, 0.34)(SIZES))
    with pytest.raises(ValueError, match=r"must be positive, and probability .* between 0 and 1"):
        predict(fitted, size, probability=probability)
