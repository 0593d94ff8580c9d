"""What is read off a running training: scalars of every step, and ten times a second histograms by layer.

Two threads meet here. The loop's own hands over arrays that may still be in the making. When a view has asked, it
fetches those that are ready as it comes by, and waits for none: two threads at work at a time would take interpreter
and core from each other, which costs the training several times what the reading does. The kernel's thread fetches
from a loop that is held, or is long in coming by.
"""

import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float

# Sizes of numbers, by powers of ten. What is smaller counts as zero.
LOWEST, HIGHEST, BINS = -9.0, 1.0, 40
SECONDS_BETWEEN_READINGS = 0.1
# Where no view asks, the oldest steps are forgotten.
MOST_UNREAD = 20_000


@dataclass(frozen=True)
class Layer:
    """One layer at one step: histograms of log10 of the sizes of its numbers, as shares, and root mean squares."""

    name: str
    gradient: list[float]
    update: list[float]
    gradient_rms: float
    update_to_weight: float


@dataclass(frozen=True)
class _Pair:
    """The parameters before and after one step, by layer, and its gradients."""

    step: int
    before: dict[str, list]
    after: dict[str, list]
    gradients: Any


class Recorder:
    """Listens to a loop as its `on_step(step, loss, accuracy, gradients)`.

    An update is the difference of the parameters over one step; their arrays never change, so holding the old ones
    costs nothing.
    """

    def __init__(self, model: nnx.Module, optimizer: nnx.Optimizer) -> None:
        self._optimizer = optimizer
        # The variables themselves, whose arrays each step replaces: to take a model apart costs a step's worth.
        self._weights = parameters(model)
        self._reading = threading.Lock()
        self._rate_wanted: float | None = None
        self.last_rate = self.rate
        self.clear()

    def clear(self) -> None:
        """Forget all steps; not for a loop that is under way."""
        self._unread: deque[tuple] = deque(maxlen=MOST_UNREAD)
        self._asked = False
        self._before: dict[str, list] | None = None
        self._pair: _Pair | None = None
        self._last = -float("inf")
        self._rate_seen: Any = self.last_rate
        self.points: list[tuple[int, float, float, float | None]] = []
        self.layers: list[Layer] = []
        self.layers_step = 0
        self.readings = 0

    def __call__(self, step: int, loss: Any, accuracy: Any, gradients: Any) -> None:
        """In the loop's thread: whatever waits for the device here is time that the training loses."""
        if self._rate_wanted is not None:
            self.apply_rate()
        self._unread.append((step, loss, accuracy, self._rate_seen))
        if self._asked and self._reading.acquire(blocking=False):
            try:
                self._fetch(wait=False)
                self._asked = False
            finally:
                self._reading.release()
        now = time.perf_counter()
        due = now - self._last >= SECONDS_BETWEEN_READINGS
        if self._before is None and not due:
            return
        weights = {name: [variable[...] for variable in variables] for name, variables in self._weights.items()}
        if self._before is not None:
            self._pair = _Pair(step, self._before, weights, gradients)
        self._before = weights if due else None
        if due:
            self._last = now
            self._rate_seen = self._rate_array()

    def read(self, *, wait: bool) -> None:
        """In the kernel's thread: ask for what is ready; for a loop that is held, `wait` for all that is under way."""
        if wait or self._asked:
            with self._reading:
                self._fetch(wait=wait)
        self._asked = True

    def _fetch(self, *, wait: bool) -> None:
        while self._unread and (wait or _ready(self._unread[0])):
            step, loss, accuracy, rate = self._unread.popleft()
            self.last_rate = None if rate is None else _number(rate)
            self.points.append((int(step), _number(loss), _number(accuracy), self.last_rate))
        pair = self._pair
        if pair is None or pair.step == self.layers_step:
            return
        if wait or _ready(jax.tree.leaves((pair.after, pair.gradients))):
            self._read_layers(pair)

    def _rate_array(self) -> Any:
        hyper = getattr(self._optimizer.opt_state, "hyperparams", None)
        return None if hyper is None or "learning_rate" not in hyper else hyper["learning_rate"][...]

    @property
    def rate(self) -> float | None:
        """The learning rate, where `optax.inject_hyperparams` made it a number that can be read and changed.

        Only the loop's own thread may ask while it runs: within a step `nnx.jit` takes the optimizer apart. `last_rate`
        is for the others.
        """
        found = self._rate_array()
        return None if found is None else float(found)

    @rate.setter
    def rate(self, value: float) -> None:
        # Set between two steps, by the loop's own thread.
        self._rate_wanted = float(value)

    def apply_rate(self) -> None:
        """Set a wanted learning rate now: between two steps, or for a loop that is not under way."""
        value, self._rate_wanted = self._rate_wanted, None
        if value is not None and (old := self._rate_array()) is not None:
            self._optimizer.opt_state.hyperparams["learning_rate"][...] = jnp.asarray(value, old.dtype)
            self._rate_seen = self.last_rate = value

    def _read_layers(self, pair: _Pair) -> None:
        self.layers_step = pair.step
        slopes = by_layer(pair.gradients)
        leaves = jax.tree.leaves((pair.before, pair.after, slopes))
        if any(isinstance(leaf, jax.Array) and leaf.is_deleted() for leaf in leaves):
            return  # a step that donates its buffers leaves nothing to compare
        layers = []
        for name, old in pair.before.items():
            weight, new, slope = (_flat(leaves) for leaves in (old, pair.after[name], slopes.get(name, [])))
            update = new - weight
            ratio = _rms(update) / max(_rms(weight), 1e-12)
            layers.append(Layer(name, sizes(slope), sizes(update), _rms(slope), ratio))
        self.layers = layers
        self.readings += 1


def _ready(values: Iterable[Any]) -> bool:
    """Whether arrays have been computed; numbers always have."""
    return all(not hasattr(value, "is_ready") or value.is_deleted() or value.is_ready() for value in values)


def _number(value: Any) -> float:
    """A scalar array, or a number. By way of NumPy: JAX's own `float` takes six times as long."""
    return float(np.asarray(value))


def parameters(model: nnx.Module) -> dict[str, list[nnx.Param]]:
    """The parameters of a model under the name of the layer that holds them."""
    layers: dict[str, list[nnx.Param]] = {}
    for path, variable in nnx.iter_graph(model):
        if isinstance(variable, nnx.Param):
            layers.setdefault(_layer(path), []).append(variable)
    return layers


def by_layer(tree: Any) -> dict[str, list]:
    """The arrays of an nnx state, or of a tree of dicts, under the name of the layer that holds them."""
    leaves, structure = jax.tree.flatten(tree)
    layers: dict[str, list] = {}
    for name, leaf in zip(_names(structure), leaves, strict=True):
        layers.setdefault(name, []).append(leaf)
    return layers


@lru_cache(maxsize=8)
def _names(structure: Any) -> list[str]:
    """The layer of each leaf of a tree's structure: it is the same at every reading."""
    tree = structure.unflatten(range(structure.num_leaves))
    tree = nnx.to_pure_dict(tree) if isinstance(tree, nnx.State) else tree
    places = jax.tree_util.tree_flatten_with_path(tree)[0]
    names = {place: _layer([getattr(key, "key", getattr(key, "idx", key)) for key in path]) for path, place in places}
    return [names[place] for place in range(structure.num_leaves)]


def _layer(path: Sequence[Any]) -> str:
    """A layer is what holds a leaf: all of its path but the last name."""
    return "/".join(map(str, path[:-1])) or str(path[0])


def sizes(values: Float[np.ndarray, " n"]) -> list[float]:
    """The share of the numbers in each of `BINS` bins of log10 of their size; the rest is zero, or not finite."""
    if not values.size:
        return [0.0] * BINS
    found = np.abs(values)
    found = found[np.isfinite(found) & (found > 10.0**LOWEST)]
    places = np.clip((np.log10(found) - LOWEST) * (BINS / (HIGHEST - LOWEST)), 0, BINS - 1).astype(np.int64)
    return np.round(np.bincount(places, minlength=BINS) / values.size, 4).tolist()


def _flat(leaves: list) -> Float[np.ndarray, " n"]:
    return np.concatenate([np.asarray(leaf).ravel() for leaf in leaves]) if leaves else np.zeros(0, np.float32)


def _rms(values: Float[np.ndarray, " n"]) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0
