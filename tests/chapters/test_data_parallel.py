"""The numbers of chapter 6: costs are counted message by message, not by the chapter's formulas."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import brentq

PAGE = (Path(__file__).parents[2] / "course" / "chapters" / "06-data-parallel.md").read_text()
LATENCY, BANDWIDTH = 1e-5, 5e10


def message(size: float) -> float:
    return LATENCY + size / BANDWIDTH


def ring(devices: int, size: float) -> float:
    """Return the time of a ring, message by message: two rounds of every chunk but one."""
    return sum(message(size / devices) for _ in range(2) for _ in range(devices - 1))


def tree(devices: int, size: float) -> float:
    """Return the time of a tree, round by round, until one device is left, and back."""
    time, left = 0.0, devices
    while left > 1:
        time, left = time + 2 * message(size), math.ceil(left / 2)
    return time


@pytest.mark.parametrize(
    ("sentence", "numbers"),
    [
        (
            "With 64 devices it is {:.1f} MB, with 4096 devices {:.0f} MB.",
            [brentq(lambda m, n=n: ring(n, m) - tree(n, m), 1e4, 1e10) / 1e6 for n in (64, 4096)],
        ),
        ("costs {:.2f} ms by the ring of 64, and {:.2f} ms by the tree", [1e3 * ring(64, 4e3), 1e3 * tree(64, 4e3)]),
        ("{:.0f} tokens suffice", [0.4 * 989e12 / 450e9]),
        ("it takes {:.0f}.", [0.4 * 989e12 / 50e9]),
        ("make a batch of {:.0f} million tokens", [4096 * 7912 / 1e6]),
        (
            "{:.2f} s with 8 devices, {:.2f} s with 512 and {:.2f} s with 4096. Of the last, {:.2f} s are latency",
            [*(ring(n, 14e9) for n in (8, 512, 4096)), ring(4096, 0)],
        ),
        ("With the tree it would be {:.1f} s", [tree(4096, 14e9)]),
        ("is {:.0%} with 8 devices and {:.0%} with 4096", [0.3 / (0.3 + ring(n, 14e9)) for n in (8, 4096)]),
        ("the same bytes: {:.0%} and {:.0%}", [0.6 / (0.6 + ring(n, 14e9)) for n in (8, 4096)]),
        (
            "takes {:.0f} ms at our numbers, of which {:.0f} ms are latency",
            [1e3 * ring(256, 102.4e6), 1e3 * ring(256, 0)],
        ),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)
def test_a_sentence_states_what_is_counted(sentence, numbers):
    # Typeset with a space before the percent sign.
    assert sentence.format(*numbers).replace("%", " %") in PAGE


def test_the_variance_of_all_has_two_terms():
    x = np.random.default_rng(0).standard_normal((8, 5)) + np.arange(8)[:, None]
    between = np.mean((x.mean(axis=1) - x.mean()) ** 2)
    np.testing.assert_allclose(x.var(), x.var(axis=1).mean() + between, rtol=1e-12)


def test_a_ring_simulated_sends_what_the_chapter_says():
    devices, length = 8, 16
    rng = np.random.default_rng(1)
    held = rng.standard_normal((devices, devices, length // devices))
    want, sent = held.sum(axis=0), np.zeros(devices)
    for step in range(2 * (devices - 1)):
        chunks = [(d, (d - step) % devices) for d in range(devices)]
        arriving = [held[d, chunk].copy() for d, chunk in chunks]
        for (d, chunk), data in zip(chunks, arriving, strict=True):
            sent[d] += data.nbytes
            right = (d + 1) % devices
            held[right, chunk] = held[right, chunk] + data if step < devices - 1 else data
    np.testing.assert_allclose(held, np.broadcast_to(want, held.shape), rtol=1e-12)
    assert (sent == 2 * 7 / 8 * length * 8).all()
    assert f"{2 * 7 / 8} times the vector for eight devices" in PAGE
