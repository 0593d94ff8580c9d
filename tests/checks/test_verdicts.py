"""The verdicts: each fault of a split, a shuffle and an augmentation is called by its name."""

import numpy as np
import pytest

from gradlab.checks import verdicts

LABELS = np.array([0] * 8 + [1] * 4)
EVEN = (np.array([0, 1, 2, 3, 8, 9]), np.array([4, 5, 6, 7, 10, 11]))
X, Y = np.arange(10.0).reshape(5, 2), np.array([10, 11, 12, 13, 14])


@pytest.mark.parametrize(
    ("parts", "wanted"),
    [
        (EVEN, verdicts.PARTITION),
        ((EVEN[0], EVEN[1][:-1]), "rows are missing"),
        ((EVEN[0], EVEN[0]), "a row is in the split twice"),
        ((EVEN[0], EVEN[1] + 1), "a row number that there is not"),
        ((EVEN[0] > 3, EVEN[1]), "a part is no vector of row numbers"),
        (np.zeros(3), "not a tuple of parts"),
    ],
)
def test_partition(parts, wanted):
    assert verdicts.partition(parts, 12) == wanted


def test_balance_groups_and_shares():
    assert verdicts.balance(EVEN, LABELS, (0.5, 0.5)) == verdicts.BALANCED
    assert verdicts.balance((np.arange(6), np.arange(6, 12)), LABELS, (0.5, 0.5)) == "a class is off by rows"
    assert verdicts.balance(EVEN, LABELS, (0.5, 0.25, 0.25)) == "another number of parts"
    groups = np.array([0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 1, 1])
    assert verdicts.wholeness(EVEN, groups) == verdicts.WHOLE
    assert verdicts.wholeness(EVEN, np.arange(12) // 3) == "a group is torn"
    assert verdicts.shares(EVEN, groups, (0.5, 0.5)) == verdicts.SHARES
    assert verdicts.shares(EVEN, np.arange(12), (0.1, 0.9)) == "the parts have other sizes"


def batches(*rows):
    return [(X[list(part)], Y[list(part)]) for part in rows]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (batches((3, 1), (0, 4), (2,)), verdicts.EPOCH),
        (batches((3, 1), (0, 4)), "examples are missing"),
        (batches((3, 1), (0, 4), (2, 3)), "an example comes twice"),
        (batches((3,), (1, 0), (4, 2)), "a batch has another size"),
        (batches((3, 1), (0, 4), (2,), ()), "an empty batch"),
    ],
)
def test_epoch(given, wanted):
    assert verdicts.epoch(given, Y, 2) == wanted


def test_pairing():
    assert verdicts.pairing(batches((3, 1), (2,)), X, Y) == verdicts.PAIRED
    assert verdicts.pairing([(X[:2], Y[1:3])], X, Y) == "an input beside another's label"
    assert verdicts.pairing([(X[:2], Y[:3])], X, Y) == "a batch of inputs without its labels"
    with pytest.raises(TypeError, match="not a generator"):
        verdicts.pairing((pair for pair in batches((0,))), X, Y)


def test_shifts_are_found_and_wrapping_is_seen():
    images = np.random.default_rng(0).uniform(0.1, 1, (40, 6, 6))
    steps = np.random.default_rng(1).integers(-2, 3, (40, 2))
    out = np.stack([verdicts.moved(image, *step) for image, step in zip(images, steps, strict=True)])
    assert verdicts.shifts(images, out, 2) == [tuple(step) for step in steps.tolist()]
    assert verdicts.shifted(images, out, 2) == verdicts.SHIFTED
    assert verdicts.variety(images, out, 2) == verdicts.VARIED
    rolled = np.stack([np.roll(image, step, (0, 1)) for image, step in zip(images, steps, strict=True)])
    assert verdicts.shifted(images, rolled, 2) == "what left one side came in at the other"
    assert verdicts.shifted(images, 2 * images, 2) == "not a shift within max_shift"
    one = np.stack([verdicts.moved(image, 1, 2) for image in images])
    assert verdicts.variety(images, one, 2) == "one shift for all examples"
    diagonal = np.stack([verdicts.moved(image, step[0], step[0]) for image, step in zip(images, steps, strict=True)])
    assert verdicts.variety(images, diagonal, 2) == "rows and columns move as one"
    short = np.stack([verdicts.moved(image, *np.minimum(step, 1)) for image, step in zip(images, steps, strict=True)])
    assert verdicts.variety(images, short, 2) == "some shifts never come"


def test_images_that_were_moved_are_known_whatever_the_draw():
    images = np.random.default_rng(0).uniform(0.1, 1, (5, 6, 6))
    out = np.stack([verdicts.moved(image, 1, -2) for image in images])
    assert verdicts.still(images, images.copy(), 2) == verdicts.STILL
    assert verdicts.still(images, out, 2) == "the images were moved"
    assert verdicts.still(images, images / 2, 2) == "other images"
    assert verdicts.still(images, images[:2], 2) == "other images"
