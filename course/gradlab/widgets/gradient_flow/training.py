"""A deep network on digits, trained for a few steps: the weights and all cotangents on the way, by JAX."""

from dataclasses import dataclass
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt16

from gradlab.landscapes import DIGIT_CLASSES, PIXELS, digits

BATCH, EVERY, SNAPSHOTS, LEARNING_RATE = 32, 4, 13, 0.05
STEPS = [EVERY * i for i in range(SNAPSHOTS)]
BINS, LOWEST, HIGHEST = 30, -15.0, 5.0  # of the histograms, in powers of ten
#: Standard deviation of the weights over 1 / sqrt(width).
GAINS = {"glorot": 1.0, "he": 2**0.5, "small": 0.5, "large": 2.0}


class Kind(NamedTuple):
    """What of a setting decides the program; seeds, starts and sizes of one kind share it."""

    activation: str
    normalise: bool
    residual: bool


@dataclass(frozen=True)
class Setting:
    """What is trained: `weights` is "yours" or one of `GAINS`."""

    weights: str = "yours"
    activation: str = "tanh"
    depth: int = 30
    normalise: bool = False
    residual: bool = False
    seed: int = 0

    @property
    def kind(self) -> Kind:
        """The kind of network."""
        return Kind(self.activation, self.normalise, self.residual)


@dataclass(frozen=True)
class Run:
    """Snapshots of a training run, one every `EVERY` steps; layers are counted from the input."""

    weights: Float[np.ndarray, "times depth n n"]
    x: Float[np.ndarray, "b n"]
    cotangents: Float[np.ndarray, "times depth+1 b n"]
    ratios: Float[np.ndarray, "times depth"]


def size(arrays: Float[np.ndarray, "times rows ..."]) -> Float[np.ndarray, "times rows"]:
    """The root mean square of each array."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.sqrt(np.mean(np.square(arrays, dtype=np.float64), axis=(2, 3)))


def histograms(gradients: Float[np.ndarray, "times rows ..."]) -> UInt16[np.ndarray, "times rows bins"]:
    """Counts of log10 of the absolute values; what is smaller or zero is in the first bin."""
    with np.errstate(divide="ignore", invalid="ignore"):
        powers = np.nan_to_num(np.log10(np.abs(gradients)), nan=HIGHEST, posinf=HIGHEST, neginf=LOWEST)
    bins = np.clip((powers - LOWEST) / (HIGHEST - LOWEST) * BINS, 0, BINS - 1).astype(int)
    flat = bins.reshape(*bins.shape[:2], -1)
    return np.stack([np.sum(flat == k, axis=-1) for k in range(BINS)], axis=-1).astype(np.uint16)


def start(setting: Setting) -> Float[Array, "depth n n"]:
    """Weights that are not the student's."""
    spread = GAINS[setting.weights] / PIXELS**0.5
    return spread * jax.random.normal(jax.random.key(setting.seed), (setting.depth, PIXELS, PIXELS))


def train(setting: Setting, weights: Float[Array, "depth n n"]) -> Run:
    """Plain gradient descent on one batch of digits, from given weights."""
    x, labels, readout = problem(setting.seed)
    found = _train(weights, x, labels, readout, setting.kind)
    return Run(*(np.asarray(part) for part in (found[0], x, found[1], found[2])))


@cache
def problem(seed: int) -> tuple[Array, Array, Array]:
    """A batch, standardised so that an entry has variance 1, its labels, and a fixed readout."""
    images, labels = digits()
    rows = np.random.default_rng(seed).permutation(len(images))[:BATCH]
    x = (images[rows] - images.mean(0)) / images.std()
    readout = jax.random.normal(jax.random.key(seed + 1), (PIXELS, DIGIT_CLASSES)) / PIXELS**0.5
    return jnp.asarray(x), jnp.asarray(labels[rows]), readout


def logits(
    weights: Float[Array, "depth n n"],
    nudges: Float[Array, "depth+1 b n"],
    x: Float[Array, "b n"],
    readout: Float[Array, "n classes"],
    kind: Kind,
) -> Float[Array, "b classes"]:
    """The network's answers; `nudges` are added to the activations, so that their gradients are the cotangents."""
    active = {"tanh": jnp.tanh, "relu": jax.nn.relu}[kind.activation]

    def layer(hidden: Array, inputs: tuple[Array, Array]) -> tuple[Array, None]:
        weight, nudge = inputs
        enters = jax.nn.standardize(hidden) if kind.normalise else hidden
        out = active(enters @ weight)
        # 1 / sqrt(depth) keeps the sum of all branches at the size of one (Radford et al. 2019).
        return (hidden + out / len(weights) ** 0.5 if kind.residual else out) + nudge, None

    hidden, _ = jax.lax.scan(layer, x + nudges[0], (weights, nudges[1:]))
    return hidden @ readout


def slopes(
    weights: Float[Array, "depth n n"], x: Array, labels: Array, readout: Array, kind: Kind
) -> tuple[Float[Array, "depth n n"], Float[Array, "depth+1 b n"]]:
    """The gradients of the mean cross-entropy: of the weights, and of every activation."""

    def loss(weights: Array, nudges: Array) -> Array:
        logp = jax.nn.log_softmax(logits(weights, nudges, x, readout, kind))
        return -jnp.mean(jnp.take_along_axis(logp, labels[:, None], axis=1))

    return jax.grad(loss, argnums=(0, 1))(weights, jnp.zeros((len(weights) + 1, *x.shape)))


@partial(jax.jit, static_argnames="kind")
def _train(weights: Array, x: Array, labels: Array, readout: Array, kind: Kind) -> tuple[Array, Array, Array]:
    def step(weights: Array, _: None) -> tuple[Array, tuple[Array, Array, Array]]:
        slope, cotangents = slopes(weights, x, labels, readout, kind)
        rms = lambda array: jnp.sqrt(jnp.mean(array**2, axis=(1, 2)))  # noqa: E731
        ratio = LEARNING_RATE * rms(slope) / jnp.maximum(rms(weights), 1e-30)
        return weights - LEARNING_RATE * slope, (weights, cotangents, ratio)

    def snapshot(weights: Array, _: None) -> tuple[Array, tuple[Array, Array, Array]]:
        first, kept = step(weights, None)
        return jax.lax.fori_loop(1, EVERY, lambda _, w: step(w, None)[0], first), kept

    return jax.lax.scan(snapshot, weights, length=SNAPSHOTS)[1]
