"""The calculator of workers, against what can be worked out by hand."""

import numpy as np
import pytest

from gradlab_grading.sizing import HALVING_HOURS, arrivals, batch_seconds, rush, workers_needed


def test_half_of_the_class_arrives_in_the_last_interval():
    times = arrivals(20_000)
    assert np.all(np.diff(times) >= 0)
    assert times[-1] <= 0
    # The window cuts off 2**-24 of the distribution; the rest is the standard error of a share of one half.
    assert np.mean(times > -3600 * HALVING_HOURS) == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(20_000))


def test_with_a_worker_for_everybody_nobody_waits():
    found = rush(50, 50, 7.0)
    assert found.longest_wait == pytest.approx(7.0)
    assert found.after_deadline <= 7.0


def test_one_worker_is_as_slow_as_the_queue():
    """Where a submission takes longer than the window, one worker does them one after the other."""
    seconds = 48 * 3600.0
    first = arrivals(5)[0]
    assert rush(5, 1, seconds).after_deadline == pytest.approx(first + 5 * seconds)


def test_the_fewest_workers_that_suffice():
    workers = workers_needed(300, 60.0, within=300)
    assert workers > 1
    assert rush(300, workers, 60.0).longest_wait <= 300
    assert rush(300, workers - 1, 60.0).longest_wait > 300
    assert batch_seconds(301, 2, 5.0) == 755
    with pytest.raises(ValueError, match="5 s"):
        workers_needed(10, 5.0, within=4)
