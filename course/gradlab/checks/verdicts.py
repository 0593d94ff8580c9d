"""What is wrong with a split, a shuffle or an augmentation, in a few words: where many answers are right.

Each function gives the words of `want` where nothing is wrong. The words hold no numbers, so that a mistake is
recognised by its verdict whatever the random draw.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

PARTITION = "every row in exactly one part"
BALANCED = "every class by the fractions"
WHOLE = "every group in one part"
SHARES = "every part by the fractions"
EPOCH = "every example once"
PAIRED = "inputs beside their labels"
SHIFTED = "every image shifted, zeros behind it"
VARIED = "all shifts, rows and columns apart"
STILL = "the images as they came"


def partition(parts: Any, rows: int) -> str:
    """Whether the parts of a split hold each row number from 0 to rows - 1 once."""
    if not isinstance(parts, (list, tuple)):
        return "not a tuple of parts"
    arrays = [np.asarray(part) for part in parts]
    if any(part.ndim != 1 or part.dtype.kind not in "iu" for part in arrays):
        return "a part is no vector of row numbers"
    together = np.concatenate(arrays)
    if ((together < 0) | (together >= rows)).any():
        return "a row number that there is not"
    if len(np.unique(together)) < len(together):
        return "a row is in the split twice"
    return PARTITION if len(together) == rows else "rows are missing"


def balance(parts: Any, labels: Int[np.ndarray, " n"], fractions: Sequence[float]) -> str:
    """Whether each part has its fraction of each class, to within one row."""
    if (found := partition(parts, len(labels))) != PARTITION or len(parts) != len(fractions):
        return found if found != PARTITION else "another number of parts"
    for label in np.unique(labels):
        size = int((labels == label).sum())
        for part, fraction in zip(parts, fractions, strict=True):
            if abs(int((labels[part] == label).sum()) - fraction * size) > 1 + 1e-6:
                return "a class is off by rows"
    return BALANCED


def wholeness(parts: Any, groups: Int[np.ndarray, " n"]) -> str:
    """Whether no group has rows in two parts of a split."""
    if (found := partition(parts, len(groups))) != PARTITION:
        return found
    owners = [set(groups[part].tolist()) for part in parts]
    return WHOLE if sum(map(len, owners)) == len(set(groups.tolist())) else "a group is torn"


def shares(parts: Any, groups: Int[np.ndarray, " n"], fractions: Sequence[float]) -> str:
    """Whether each part has its fraction of the groups, to within one group."""
    if (found := partition(parts, len(groups))) != PARTITION or len(parts) != len(fractions):
        return found if found != PARTITION else "another number of parts"
    total = len(np.unique(groups))
    sizes = [len(np.unique(groups[part])) for part in parts]
    near = all(abs(size - fraction * total) <= 1 + 1e-6 for size, fraction in zip(sizes, fractions, strict=True))
    return SHARES if near else "the parts have other sizes"


def batches_of(epoch: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """An epoch's batches as pairs of arrays. Raises TypeError, with the fix, for anything else."""
    if not isinstance(epoch, (list, tuple)):
        raise TypeError("return a list of (inputs, labels) pairs, not a generator")
    return [(np.asarray(x), np.asarray(y)) for x, y in epoch]


def epoch(batches: Any, labels: Int[np.ndarray, " n"], batch_size: int) -> str:
    """Whether the batches of an epoch hold every label once, in full batches and a short last one."""
    sizes = [len(y) for _, y in batches_of(batches)]
    seen = np.concatenate([y for _, y in batches_of(batches)]) if sizes else np.zeros(0)
    full, rest = divmod(len(labels), batch_size)
    if 0 in sizes:
        return "an empty batch"
    if len(np.unique(seen)) < len(seen):
        return "an example comes twice"
    if len(seen) < len(labels):
        return "examples are missing"
    return EPOCH if sizes == [batch_size] * full + [rest] * (rest > 0) else "a batch has another size"


def pairing(batches: Any, x: Float[np.ndarray, "n d"], y: Int[np.ndarray, " n"]) -> str:
    """Whether each row of inputs stands beside its own label; labels are unique."""
    place = {int(label): row for row, label in enumerate(y)}
    for inputs, labels in batches_of(batches):
        if len(inputs) != len(labels):
            return "a batch of inputs without its labels"
        for row, label in zip(inputs, labels, strict=True):
            if not np.allclose(row, x[place[int(label)]], rtol=1e-6, atol=0):
                return "an input beside another's label"
    return PAIRED


def order(batches: Any) -> tuple[int, ...]:
    """The labels of an epoch in the order in which they come."""
    return tuple(int(label) for _, labels in batches_of(batches) for label in labels)


def moved(image: Float[np.ndarray, "h w"], down: int, right: int) -> Float[np.ndarray, "h w"]:
    """The image moved by whole pixels, with zeros where nothing moved in."""
    height, width = image.shape
    out = np.zeros_like(image)
    out[max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = image[
        max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)
    ]
    return out


def shifts(
    images: Float[np.ndarray, "n h w"], out: Float[np.ndarray, "n h w"], limit: int
) -> list[tuple[int, int] | None]:
    """By how much each image was moved (down, right), None where it was not moved within the limit."""
    steps = range(-limit, limit + 1)

    def find(image: np.ndarray, result: np.ndarray) -> tuple[int, int] | None:
        tried = ((d, r) for d in steps for r in steps)
        return next((s for s in tried if np.allclose(moved(image, *s), result, rtol=1e-5, atol=1e-6)), None)

    return [find(image, result) for image, result in zip(images, out, strict=True)]


def shifted(images: Float[np.ndarray, "n h w"], out: Any, limit: int) -> str:
    """Whether each result is its image, moved within the limit, with zeros behind it."""
    out = np.asarray(out)
    if out.shape != images.shape:
        return "another shape"
    if None not in shifts(images, out, limit):
        return SHIFTED
    same = all(np.isclose(np.sort(a.ravel()), np.sort(b.ravel())).all() for a, b in zip(images, out, strict=True))
    return "what left one side came in at the other" if same else "not a shift within max_shift"


def still(images: Float[np.ndarray, "n h w"], out: Any, limit: int) -> str:
    """Whether the images came back as they were. In words, so that any shift is known, whatever it was drawn from."""
    out = np.asarray(out)
    if out.shape == images.shape and np.allclose(out, images, rtol=1e-6, atol=0):
        return STILL
    return "the images were moved" if shifted(images, out, limit) == SHIFTED else "other images"


def variety(images: Float[np.ndarray, "n h w"], out: Any, limit: int) -> str:
    """Whether every shift comes up, on both axes, and they are drawn apart, over many examples."""
    if (found := shifted(images, out, limit)) not in (SHIFTED, "what left one side came in at the other"):
        return found
    # The middle of an image tells its shift even where the edges were wrapped around.
    pairs = _center_shifts(images, np.asarray(out), limit)
    down, right = ({pair[axis] for pair in pairs} for axis in (0, 1))
    if len(set(pairs)) == 1:
        return "one shift for all examples"
    if len(set(pairs)) <= 2 * limit + 1:
        return "rows and columns move as one"
    wanted = set(range(-limit, limit + 1))
    return VARIED if down == wanted and right == wanted else "some shifts never come"


def _center_shifts(images: np.ndarray, out: np.ndarray, limit: int) -> list[tuple[int, int]]:
    steps, height, width = range(-limit, limit + 1), *images.shape[1:]
    inner = (slice(limit, height - limit), slice(limit, width - limit))

    def gap(image: np.ndarray, result: np.ndarray, shift: tuple[int, int]) -> float:
        return float(np.abs(np.roll(image, shift, (0, 1))[inner] - result[inner]).sum())

    tried = [(d, r) for d in steps for r in steps]
    pairs = zip(images, out, strict=True)
    return [min(tried, key=lambda s, i=image, r=result: gap(i, r, s)) for image, result in pairs]
