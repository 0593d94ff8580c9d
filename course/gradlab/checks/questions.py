"""Questions of lab 01 that take several calls, each answered by a verdict in words."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradlab.checks import verdicts
from gradlab.seam import probe
from gradlab.seam.handle import Handle


def same_split(split: Handle, seed: int, labels: np.ndarray, groups: np.ndarray | None) -> str:
    """Whether the key, and nothing else, decides the split."""
    keys = (jax.random.key(seed), jax.random.key(seed), jax.random.key(seed + 1))
    first, again, other = (as_tuples(split(key, labels, (0.7, 0.3), groups)) for key in keys)
    if first != again:
        return "the same key, another split"
    if first != other:
        return "the key decides"
    units = np.arange(len(labels)) if groups is None else groups
    kinds = labels if groups is None else np.zeros_like(groups)
    return "nothing is shuffled" if _in_order(first, units, kinds) else "another key, the same split"


def _in_order(parts: tuple, units: np.ndarray, kinds: np.ndarray) -> bool:
    """Whether, of each kind, the first part has the first units, and the second part those behind them."""
    one, two = (np.array(sorted(part), int) for part in parts)
    return all(
        units[one[kinds[one] == kind]].max(initial=-1) < units[two[kinds[two] == kind]].min(initial=len(units))
        for kind in np.unique(kinds)
    )


def as_tuples(parts: Any) -> tuple:
    """The parts of a split as sets in order, to be compared."""
    return tuple(frozenset(np.asarray(part).tolist()) for part in parts)


def own_keys(augment: Handle, images: np.ndarray, seed: int, limit: int) -> str:
    """Whether each result depends on its own key and image alone: the batch comes backwards, half of it rekeyed."""
    keys, fresh = (jax.random.split(jax.random.key(number), len(images)) for number in (seed, seed + 1))
    half = len(images) // 2
    straight = augment(keys, jnp.asarray(images), limit, True)
    mixed = jnp.concatenate([fresh[:half], keys[::-1][half:]])
    back = augment(mixed, jnp.asarray(images[::-1]), limit, True)[::-1]
    if np.array_equal(straight[:half], back[:half]):
        changed = not np.array_equal(straight[half:], back[half:])
        return "each example by its own key" if changed else "the keys are not used"
    again = augment(fresh, jnp.asarray(images), limit, True)
    return "the keys are not used" if np.array_equal(straight, again) else "an example depends on the others"


def jitted(augment: Handle, ask: tuple) -> np.ndarray:
    """What the jitted function gives, `max_shift` and `training` being static."""
    return probe.jit(augment, static_argnums=(2, 3))(*ask, True)


def orders(epochs: list, labels: np.ndarray) -> str:
    """Whether an epoch comes twice in one order, or in that of the data, whose labels are given; last, a repetition.

    The epochs may be cut off: what there is of them is compared.
    """
    *several, again = [verdicts.order(batches) for batches in epochs]
    if again != several[0]:
        return "the same key, another order"
    if several[0] == tuple(labels[: len(several[0])].tolist()):
        return "the order of the data"
    return "each epoch in its own order" if len(set(several)) == len(several) else "two epochs in one order"


def grain_batch(dataset: Any, place: int) -> tuple[np.ndarray, np.ndarray]:
    """A batch of a grain dataset. Raises TypeError where it is none."""
    if not isinstance(dataset, Handle) or not probe.kind(dataset).endswith("MapDataset"):
        raise TypeError("return a grain.MapDataset, not batches that are already made")
    element = dataset[place]
    return element["x"], element["y"]


def grain_epochs_verdict(dataset: Any, each: int, y: np.ndarray, size: int) -> str:
    """Whether both epochs of a grain dataset, of `each` batches, hold every example once."""
    batches = [grain_batch(dataset, place) for place in range(len(dataset))]
    seen = [int(label) for _, labels in batches for label in labels]
    if len(seen) < 2 * len(y):
        return "examples are missing"
    if len(batches) < 2 * each:
        whole = len(set(seen[: len(y)])) == len(y)
        return "a batch reaches over the end of an epoch" if whole else "an example comes twice before another comes"
    epochs = [verdicts.epoch(part, y, size) for part in (batches[:each], batches[each:])]
    return next((verdict for verdict in epochs if verdict != verdicts.EPOCH), verdicts.EPOCH)


def companions(dataset: Any, each: int) -> str:
    """Whether the first batch comes again as a whole in the next epoch."""
    first, *later = (set(grain_batch(dataset, place)[1].tolist()) for place in (0, *range(each, 2 * each)))
    return "the same batches in each epoch" if first in later else "other batches"
