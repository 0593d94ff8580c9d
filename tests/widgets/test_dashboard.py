"""The dashboard's loop and what it reads, without a browser."""

import threading

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from gradlab.widgets.confusion import Confusion
from gradlab.widgets.dashboard import Dashboard
from gradlab.widgets.dashboard.recorder import BINS, Recorder, by_layer, sizes

SECONDS = 30


class Line(nnx.Module):
    def __init__(self):
        self.layer = nnx.Linear(3, 2, rngs=nnx.Rngs(0))


@pytest.fixture
def line():
    model = Line()
    tx = optax.inject_hyperparams(optax.sgd)(learning_rate=0.5)
    return model, nnx.Optimizer(model, tx, wrt=nnx.Param)


def loop(model, optimizer, steps):
    """A run whose gradient is one everywhere, so that each update is the learning rate."""

    def run(on_step):
        for step in range(1, steps + 1):
            slope = nnx.state(model, nnx.Param)
            slope = nnx.to_pure_dict(slope)
            ones = {"layer": {name: jnp.ones_like(value) for name, value in slope["layer"].items()}}
            target = nnx.state(model, nnx.Param)
            nnx.replace_by_pure_dict(target, ones)
            optimizer.update(model, target)
            on_step(step, jnp.asarray(1 / step), jnp.asarray(0.5), ones)

    return run


def news(board, since=0):
    return board.answer_news({"since": since})[0]


def until(board, state):
    deadline = threading.Event()
    for _ in range(SECONDS * 100):
        if board.loop.state == state:
            return
        deadline.wait(0.01)
    raise AssertionError(f"the loop is {board.loop.state}, not {state}: {board.loop.error}")


def test_it_runs_to_the_end_and_tells_every_step(line):
    board = Dashboard(loop(*line, 20), *line, steps=20)
    assert news(board)["state"] == "ready"
    board.answer_go({"steps": 0})
    assert board.loop.wait(SECONDS)
    found = news(board)
    assert found["state"] == "finished"
    assert [point[0] for point in found["points"]] == list(range(1, 21))
    assert found["points"][3] == [4, 0.25, 0.5, 0.5]
    assert news(board, since=18)["points"] == found["points"][18:]


def test_it_steps_holds_and_stops(line):
    board = Dashboard(loop(*line, 50), *line, steps=50)
    for wanted in (1, 2, 3):
        board.answer_go({"steps": 1})
        until(board, "paused")
        assert news(board)["count"] == wanted
    board.answer_stop({"since": 0})
    assert board.loop.wait(SECONDS)
    assert news(board)["state"] == "stopped"


def test_the_learning_rate_changes_between_two_steps(line):
    model, optimizer = line
    board = Dashboard(loop(model, optimizer, 50), model, optimizer, steps=50)
    board.answer_go({"steps": 1})
    until(board, "paused")
    board.answer_rate({"rate": 0.125})
    before = np.asarray(model.layer.bias[...])
    for _ in range(2):
        board.answer_go({"steps": 1})
        until(board, "paused")
    # The first of the two steps was computed before its on_step set the rate.
    np.testing.assert_allclose(before - np.asarray(model.layer.bias[...]), 0.5 + 0.125, rtol=1e-6)
    assert board.recorder.rate == 0.125
    board.answer_stop({"since": 0})
    assert board.loop.wait(SECONDS)


def test_what_the_students_loop_raises_is_shown(line):
    def run(on_step):
        raise ValueError("my own mistake")

    board = Dashboard(run, *line, steps=5)
    board.answer_go({"steps": 0})
    assert board.loop.wait(SECONDS)
    found = news(board)
    assert found["state"] == "failed"
    assert "my own mistake" in found["error"]
    assert not board.failures


def test_updates_and_gradients_are_read_by_layer(line):
    model, optimizer = line
    recorder = Recorder(model, optimizer)
    loop(model, optimizer, 2)(recorder)
    recorder.read(wait=True)
    (layer,) = recorder.layers
    assert layer.name == "layer"
    assert layer.gradient_rms == pytest.approx(1.0)
    # Step 2 subtracts the rate of 0.5 from what the weights were after step 1.
    flat = np.concatenate([np.ravel(leaf) for leaf in by_layer(nnx.state(model, nnx.Param))["layer"]]) + 0.5
    assert layer.update_to_weight == pytest.approx(0.5 / np.sqrt(np.mean(flat**2)), rel=1e-5)


def test_a_loop_reads_for_the_view_as_it_comes_by(line):
    recorder = Recorder(*line)
    steps = [(step, jnp.asarray(1.0), jnp.asarray(0.5), {}) for step in (1, 2)]
    recorder(*steps[0])
    recorder.read(wait=False)
    assert not recorder.points
    recorder(*steps[1])
    assert [point[0] for point in recorder.points] == [1, 2]


def test_a_loop_that_is_long_in_coming_by_is_read_by_the_kernel(line):
    recorder = Recorder(*line)
    recorder(1, 1.0, 0.5, {})
    recorder.read(wait=False)
    recorder.read(wait=False)
    assert [point[0] for point in recorder.points] == [1]


def test_sizes_are_shares_of_powers_of_ten():
    shares = sizes(np.array([1e-5, -1e-5, 0.0, np.nan, 5.0, 1e9]))
    assert len(shares) == BINS
    place = int((-5 + 9) / 10 * BINS)
    assert shares[place] == pytest.approx(2 / 6, abs=1e-3)
    assert sum(shares) == pytest.approx(4 / 6, abs=1e-3)
    assert sizes(np.zeros(0)) == [0.0] * BINS


def test_steps_must_be_a_number(line):
    with pytest.raises(ValueError, match="steps is the number of steps"):
        Dashboard(print, *line, steps=0)


def test_the_confusion_matrix_counts_and_sorts():
    labels = np.array([0, 1, 1, 2])
    logits = np.array([[5.0, 0, 0], [0, 3, 0], [4, 0, 0], [1, 0, 0]])
    board = Confusion(np.arange(16.0).reshape(4, 2, 2), labels, logits)
    np.testing.assert_array_equal(board.counts, [[1, 0, 0], [1, 1, 0], [1, 0, 0]])
    answer, buffers = board.answer_gallery({"truth": None, "answer": None})
    assert [image["row"] for image in answer["images"]] == [2, 3]  # the surest first
    assert np.frombuffer(buffers[0], np.uint8)[-1] == 255
    assert board.answer_gallery({"truth": 1, "answer": 1})[0]["images"][0]["row"] == 1
    with pytest.raises(ValueError, match="images \\(n, h, w\\)"):
        Confusion(np.zeros((4, 4)), labels, logits)
