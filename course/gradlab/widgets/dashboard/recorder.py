"""What is read off a running training: scalars of every step, and ten times a second histograms by layer."""

import time
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float

# Sizes of numbers, by powers of ten. What is smaller counts as zero.
LOWEST, HIGHEST, BINS = -9.0, 1.0, 40
SECONDS_BETWEEN_READINGS = 0.1


@dataclass(frozen=True)
class Layer:
    """One layer at one step: histograms of log10 of the sizes of its numbers, as shares, and root mean squares."""

    name: str
    gradient: list[float]
    update: list[float]
    gradient_rms: float
    update_to_weight: float


class Recorder:
    """Listens to a loop as its `on_step(step, loss, accuracy, gradients)`.

    A step's numbers stay on the device until the next reading, so that the loop need not wait for them. An update is
    the difference of the parameters over one step; their arrays never change, so holding the old ones costs nothing.
    """

    def __init__(self, model: nnx.Module, optimizer: nnx.Optimizer) -> None:
        self._model, self._optimizer = model, optimizer
        self._unread: list[tuple] = []
        self._before: dict[str, list] | None = None
        self._last = -float("inf")
        self._rate_wanted: float | None = None
        self.last_rate = self.rate
        self.clear()

    def clear(self) -> None:
        """Forget all steps."""
        self.points: list[tuple[int, float, float, float | None]] = []
        self.layers: list[Layer] = []
        self.layers_step = 0
        self.readings = 0

    def __call__(self, step: int, loss: Any, accuracy: Any, gradients: Any) -> None:
        now = time.perf_counter()
        if self._rate_wanted is not None:
            self._set_rate(self._rate_wanted)
        self._unread.append((step, loss, accuracy))
        if self._before is not None:
            self._read(step, gradients)
            self._before, self._last = None, now
        elif now - self._last >= SECONDS_BETWEEN_READINGS:
            self._before = by_layer(nnx.state(self._model, nnx.Param))

    def read_scalars(self) -> None:
        """Fetch what is still on the device."""
        unread, self._unread = self._unread, []
        self.last_rate = rate = self.rate
        for step, loss, accuracy in unread:
            self.points.append((int(step), float(loss), float(accuracy), rate))

    @property
    def rate(self) -> float | None:
        """The learning rate, where `optax.inject_hyperparams` made it a number that can be read and changed.

        Only the loop's own thread may ask while it runs: within a step `nnx.jit` takes the optimizer apart. `last_rate`
        is for the others.
        """
        hyper = getattr(self._optimizer.opt_state, "hyperparams", None)
        return None if hyper is None or "learning_rate" not in hyper else float(hyper["learning_rate"][...])

    @rate.setter
    def rate(self, value: float) -> None:
        # Set between two steps, by the loop's own thread.
        self._rate_wanted = float(value)

    def apply_rate(self) -> None:
        """Set a wanted learning rate now: for a loop that is not under way."""
        if self._rate_wanted is not None:
            self._set_rate(self._rate_wanted)

    def _set_rate(self, value: float) -> None:
        self._rate_wanted = None
        if self.rate is not None:
            variable = self._optimizer.opt_state.hyperparams["learning_rate"]
            variable[...] = jax.numpy.asarray(value, variable[...].dtype)
            self.last_rate = value

    def _read(self, step: int, gradients: Any) -> None:
        assert self._before is not None
        self.read_scalars()
        slopes, now = by_layer(gradients), by_layer(nnx.state(self._model, nnx.Param))
        layers = []
        for name, old in self._before.items():
            weight, new, slope = (_flat(leaves) for leaves in (old, now[name], slopes.get(name, [])))
            update = new - weight
            ratio = _rms(update) / max(_rms(weight), 1e-12)
            layers.append(Layer(name, sizes(slope), sizes(update), _rms(slope), ratio))
        self.layers, self.layers_step = layers, step
        self.readings += 1


def by_layer(state: Any) -> dict[str, list]:
    """The arrays of an nnx state, or of a tree of dicts, under the name of the layer that holds them."""
    tree = nnx.to_pure_dict(state) if isinstance(state, nnx.State) else state
    layers: dict[str, list] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        names = [str(getattr(part, "key", getattr(part, "idx", part))) for part in path]
        layers.setdefault("/".join(names[:-1]) or names[0], []).append(leaf)
    return layers


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
