"""Lab 05's given pieces, its oracles, and a run that is killed between two steps."""

import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from flax import nnx

from gradlab import corpus
from gradlab.bar import Bar
from gradlab.checks import training_oracles as oracles
from gradlab.handwriting import digit_images
from gradlab.landscapes import digits
from gradlab.trials import Perceptron, Stream, arrays

PROGRAM = Path(__file__).with_name("killed_run.py")
STEPS, KILLED_AT = 10, 6


def program(folder, result, *more):
    """How a run in a process of its own ended, and what it trained on: (step, checksum of the batch)."""
    command = [sys.executable, str(PROGRAM), str(folder), str(result), str(STEPS), *map(str, more)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode, [tuple(map(int, line.split())) for line in done.stdout.splitlines()]


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path):
    ended, whole = program(tmp_path / "whole", tmp_path / "whole.npz")
    assert ended == 0
    assert [step for step, _ in whole] == list(range(1, STEPS + 1))
    ended, parted = program(tmp_path / "killed", tmp_path / "killed.npz", KILLED_AT)
    assert ended == -signal.SIGKILL
    assert parted == whole[:KILLED_AT]
    assert not (tmp_path / "killed.npz").exists()
    ended, rest = program(tmp_path / "killed", tmp_path / "killed.npz")
    assert ended == 0
    assert rest == whole[4:]  # the newest checkpoint is that of step 4
    with np.load(tmp_path / "whole.npz") as one, np.load(tmp_path / "killed.npz") as other:
        assert set(one) == set(other)
        for part in ("optimizer/", "count", "mean", "kernel", "rngs"):
            assert any(part in name for name in one), (part, sorted(one))
        for name in one:
            assert one[name].tobytes() == other[name].tobytes(), name


def test_the_parts_of_the_digits_share_no_example():
    parts = digit_images(seed=4)
    assert [len(part.labels) for part in parts] == [1197, 300, 300]
    pixels, labels = digits()
    together = np.concatenate([part.images.reshape(-1, 64) for part in parts])
    np.testing.assert_array_equal(np.sort(together.sum(1)), np.sort(pixels.sum(1)))
    np.testing.assert_array_equal(np.bincount(labels), sum(np.bincount(part.labels, minlength=10) for part in parts))
    assert not np.array_equal(parts.test.labels, digit_images(seed=5).test.labels)


def test_a_stream_goes_through_all_examples_before_it_repeats_one():
    batches = list(Stream(seed=1, steps=18, batch_size=64))
    assert len(batches) == 18
    images = np.concatenate([batch.images for batch in batches]).reshape(-1, 64)
    train = digit_images(1).train.images.reshape(-1, 64)
    assert len(np.unique(images, axis=0)) >= len(np.unique(train, axis=0)) - 64


def test_the_corpus_is_the_library_of_this_python():
    library = corpus.standard_library(50_000)
    assert len(library.train) >= 50_000
    assert len(library.held_out) >= 5_000
    assert "import" in corpus.decode(library.train)
    assert corpus.decode(corpus.encode("\tfor x in y:\n")) == "    for x in y:\n"
    assert library.train.max() < len(corpus.ALPHABET)


def test_the_bar_says_what_happens_and_how_long_is_left():
    with Bar("training", 40) as bar:
        for step in range(11, 21):
            bar.show(step, loss=0.25)
        bar._update(bar._began + 10)
        assert "training: step 20 of 40, loss 0.25" in repr(bar)
        assert bar.left == "about 20 s left"
    bar = Bar("training", 40)
    with suppress(KeyboardInterrupt), bar:
        bar.show(7, loss=0.5)
        raise KeyboardInterrupt
    assert "step 7 of 40, loss 0.5, interrupted after" in repr(bar)
    assert "<progress" in bar._repr_mimebundle_()["text/html"]


def test_a_bar_moves_over_batches():
    with Bar("reading", 3) as bar:
        batches = bar.over(["a", "b", "c"])
        assert len(batches) == 3
        assert [(batch, bar.step) for batch in batches] == [("a", 0), ("b", 1), ("c", 2)]
    assert re.match("reading: step 3 of 3, done in", repr(bar))


def test_the_written_out_perceptron_is_flaxs():
    model = Perceptron(nnx.Rngs(0))
    x, y = np.random.default_rng(0).standard_normal((1, 12, 6)).astype(np.float32), np.arange(12)[None] % 4
    told = oracles.perceptron_run(arrays(nnx.state(model, nnx.Param)), x, y)
    model.train()
    scores = nnx.log_softmax(model(jnp.asarray(x[0])))
    np.testing.assert_allclose(told["losses"][0], -float(scores[np.arange(12), y[0]].mean()), rtol=1e-5)
    for name, value in arrays(nnx.state(model, nnx.BatchStat)).items():
        np.testing.assert_allclose(told["statistics"][name], value, rtol=1e-4, atol=1e-6)


def test_the_written_out_convolution_is_flaxs():
    layer = nnx.Conv(2, 3, (3, 3), use_bias=False, rngs=nnx.Rngs(0))
    images = np.random.default_rng(0).standard_normal((2, 8, 8, 2)).astype(np.float32)
    ours = oracles.conv(images, np.asarray(layer.kernel[...]))
    np.testing.assert_allclose(ours, layer(jnp.asarray(images)), rtol=1e-4, atol=1e-5)


def test_what_is_wrong_with_a_trained_network_is_said():
    labels = np.arange(50) % 10
    told = {"evaluating": labels, "training": labels, "sure": 0.99, "touched": True, "first batch": 0.5}
    assert oracles.by_heart(told, labels) == "all right in evaluation mode"
    assert oracles.by_heart(told | {"evaluating": 0 * labels}, labels).startswith("right in training mode, wrong")
    lost = told | {"evaluating": 9 - labels, "training": 9 - labels}
    assert oracles.by_heart(lost, labels) == "sure of its answers, and mostly wrong"
    assert oracles.by_heart(lost | {"sure": 0.2}, labels) == "unsure of its answers"
    same = {"evaluating": 0 * labels, "training": 0 * labels}
    assert oracles.by_heart(lost | same, labels) == "nearly always the same answer"
    assert oracles.by_heart(lost | same | {"sure": 0.2}, labels) == "nearly always the same answer"
    assert "no step was made" in oracles.by_heart(lost | {"touched": False}, labels)
    assert oracles.reached(lost | {"first batch": 1.0}, labels, 0.97).endswith(
        "the first batch by heart, and little else"
    )
    assert oracles.reached(told, labels, 0.97) == "reached"


def test_rows_that_repeat_are_told_apart():
    def overlapping(seed, step, count, batch):
        epoch, place = divmod(step, count // batch)
        return np.random.default_rng([seed, epoch]).permutation(count)[place : place + batch]

    def replaced(seed, step, count, batch):
        return np.random.default_rng([seed, step]).integers(0, count, batch)

    def anew(seed, step, count, batch):
        return np.random.default_rng([seed, step]).permutation(count)[:batch]

    found = [oracles.orders(rows, 5, 23, 4)["epoch"] for rows in (overlapping, replaced, anew)]
    assert found == ["each batch overlaps the one before", "rows repeat within a batch", "rows repeat"]
