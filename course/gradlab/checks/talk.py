"""What devices say to each other, and where their arrays lie, in a few words: questions of the distributed labs.

Each function gives the words of the constant beside it where nothing is wrong. Texts are StableHLO or compiled HLO.
"""

import re
from typing import Any

import jax
import numpy as np

from gradlab import collectives

COPIES = "one copy on each device"
REDUCES = "an all-reduce over all devices"
ONE_SMALL = "one small collective"
ONCE = "once, after the last part"
RING = "one ring of neighbours"
OWN_ROWS = "its own rows"
PART_BY_PART = "one part at a time"
DROPPED = "dropped at the rate, and scaled"
MASKS = "all masks differ"
REPEATS = "the same mask"


def copies(placement: Any, count: int) -> str:
    """Whether a stacked tree lies with one row of the leading axis on each of `count` devices."""
    leaves = jax.tree.leaves(placement, is_leaf=lambda node: isinstance(node, list))
    if not leaves or any(leaf is None for leaf in leaves):
        return "not a tree of JAX arrays"
    if all(len({device for device, _, _ in leaf}) == 1 for leaf in leaves):
        return "everything on one device"
    rows = [[(start[0] if start else 0, shape[0] if shape else 0) for _, start, shape in leaf] for leaf in leaves]
    if any(len(leaf) != count for leaf in leaves) or any(row != [(i, 1) for i in range(count)] for row in rows):
        return "not one row of the leading axis on each device"
    return COPIES


def reduces(text: str, count: int) -> str:
    """Whether an all-reduce joins all devices."""
    found = collectives.collectives(text)
    if any(it.kind == "all-reduce" and it.group_size == count for it in found):
        return REDUCES
    return f"only {', '.join(collectives.counts(found))}" if found else "no collective at all"


def summary(text: str) -> dict[str, Any]:
    """How many collectives of each kind, and the bytes of all together."""
    found = collectives.collectives(text)
    return {**collectives.counts(found), "bytes": collectives.bytes_of(found)}


def one_small(text: str, limit: int) -> str:
    """Whether there is one collective, of at most `limit` bytes."""
    found = collectives.collectives(text)
    if len(found) != 1:
        return f"{len(found)} collectives" if found else "no collective at all"
    return ONE_SMALL if found[0].bytes <= limit else "one collective that moves the whole batch"


def once(text: str, *, arrays: int) -> str:
    """Whether at most `arrays` collectives run, none of them in a loop."""
    found = collectives.collectives(text)
    if not found:
        return "no collective at all"
    runs = collectives.runs(found)
    return ONCE if runs is not None and runs <= arrays else "again for each part"


def ring(text: str, size: int) -> dict[str, Any]:
    """How many messages a device sends, their bytes, and between whom."""
    found = collectives.collectives(text)
    steps = {(target - source) % size for it in found for source, target in it.pairs}
    closed = all(len(it.pairs) == size for it in found)
    others = [kind for kind in collectives.counts(found) if kind != "collective-permute"]
    links = RING if closed and len(steps) == 1 and steps <= {1, size - 1} else "not one ring of neighbours"
    return {
        "messages": collectives.runs(found, "collective-permute"),
        "bytes": collectives.bytes_of(found, "collective-permute"),
        "links": f"also {', '.join(others)}" if others else links,
    }


def own_rows(text: str, rows: int, count: int) -> str:
    """Whether matrices are multiplied for a share of the rows, and nowhere for all of them."""
    shapes = _product_rows(text)
    if rows in shapes:
        return "every row"
    return OWN_ROWS if rows // count in shapes else "neither a share of the rows nor all of them"


def part_by_part(text: str, rows: int, parts: int) -> str:
    """Whether matrices are multiplied for the rows of one part, and nowhere for all of a device's rows."""
    shapes = _product_rows(text)
    if rows in shapes:
        return "all rows at once, not cut into parts"
    if rows // parts in shapes:
        return PART_BY_PART
    # A matrix for each part makes an array of three axes.
    stacked = any(re.search(r"tensor<\d+x\d+x\d+x", line) for line in _products(text))
    return "all parts at once, side by side" if stacked else "parts of another number of rows"


def _products(text: str) -> list[str]:
    """The lines of a StableHLO program that multiply matrices."""
    return [line for line in text.splitlines() if "stablehlo.dot_general" in line]


def _product_rows(text: str) -> set[int]:
    """The first axes of all matrices that a StableHLO program multiplies."""
    return {int(n) for line in _products(text) for n in re.findall(r"tensor<(\d+)x", line)}


def dropped(ratio: np.ndarray, rate: float) -> str:
    """Whether entries, shape (devices, rows, columns), are zero at about the rate, else scaled by 1 / (1 - rate)."""
    kept = ratio[ratio != 0]
    if not np.allclose(kept, 1 / (1 - rate), rtol=1e-4):
        return "kept entries are not divided by 1 - rate"
    # By chance never: the choices of 128 entries would have to repeat those of 16, or of 8, or of one.
    if np.all(ratio == ratio[:, :1, :1]):
        return "a device drops all entries or none"
    if np.all(ratio == ratio[:, :1]):
        return "all rows of a device have one mask"
    if np.all(ratio == ratio[:, :, :1]):
        return "a row is dropped or kept as a whole"
    # 1024 entries: the standard deviation of the share is at most 0.016.
    return DROPPED if abs(np.mean(ratio == 0) - rate) < 0.1 else "another share is dropped"


def masks_differ(steps: list[np.ndarray], other_key: np.ndarray) -> str:
    """Whether no two masks, one for each step and device, are the same, nor those of the first step for another key."""
    *masks, other = [[(device != 0).tobytes() for device in step] for step in (*steps, other_key)]
    every = [mask for step in masks for mask in step]
    if len(set(every)) == 1:
        return "one mask for all devices and all steps"
    if all(len(set(step)) == 1 for step in masks):
        return "one mask for all devices"
    if len(set(masks[0])) == 1:
        return "one mask for all devices at step 0"
    if masks[0] == masks[1]:
        return "one mask for all steps"
    if masks[0] == other:
        return "the same masks for another key"
    return MASKS if len(set(every)) == len(every) else "a mask comes again on another device"


def mask_repeats(one: np.ndarray, other: np.ndarray) -> str:
    """Whether two arrays of kept entries, drawn at rates that hardly differ, have one mask."""
    return REPEATS if np.mean((one != 0) == (other != 0)) > 0.99 else "another mask"
