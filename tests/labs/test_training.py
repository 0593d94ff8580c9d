"""Lab 05's given pieces, its oracles, and a run that is killed between two steps."""

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
from labs.killed_run import run

PROGRAM = Path(__file__).with_name("killed_run.py")
STEPS, KILLED_AT = 12, 6


def program(folder, result):
    command = [sys.executable, str(PROGRAM), str(folder), str(result), str(STEPS)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path):
    run(tmp_path / "whole", tmp_path / "whole.npz", STEPS)
    with program(tmp_path / "killed", tmp_path / "never.npz") as killed:
        for line in killed.stdout:
            if int(line) == KILLED_AT:
                killed.send_signal(signal.SIGKILL)
                break
    assert killed.wait() == -signal.SIGKILL
    assert not (tmp_path / "never.npz").exists()
    with program(tmp_path / "killed", tmp_path / "killed.npz") as resumed:
        steps = [int(line) for line in resumed.stdout]
    assert resumed.wait() == 0
    assert steps[0] in (5, 9)  # after checkpoint 4, or 8 if the signal came late
    assert steps[-1] == STEPS
    with np.load(tmp_path / "whole.npz") as one, np.load(tmp_path / "killed.npz") as other:
        assert set(one) == set(other)
        assert any("count" in name for name in one)
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
