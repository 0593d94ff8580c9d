"""Oracles of lab 05's checks, written out in NumPy or plain JAX, and what a trial's answer says in words."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gradlab import trials

Told = dict[str, Any]

CAUSAL = "its own place and all later ones, in its own text"


def conv(images: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """A convolution of odd size that keeps the size, in float64: (b, h, w, c) with (k, k, c, d)."""
    pad = kernel.shape[0] // 2
    padded = np.pad(images.astype(np.float64), ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[:2], axis=(1, 2))
    return np.einsum("bhwcij,ijcd->bhwd", windows, kernel)


def forward(told: Told, images: np.ndarray, *, training: bool) -> tuple[np.ndarray, np.ndarray, list]:
    """Logits, features before the last layer, and the batch's statistics, of the network as made: no bias yet."""
    *kernels, head = sorted(told["kernels"], key=lambda kernel: (-kernel.ndim, kernel.size))
    x, statistics = images, []
    for kernel in kernels:
        x = conv(x, kernel)
        mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
        statistics += [0.1 * mean, 0.9 + 0.1 * var]
        x = np.maximum((x - mean) / np.sqrt(var + 1e-5) if training else x / np.sqrt(1 + 1e-5), 0)
        b, h, w, c = x.shape
        x = x.reshape(b, h // 2, 2, w // 2, 2, c).max((2, 4))
    features = x.reshape(len(x), -1)
    return features @ head, features, statistics


def in_order(arrays: list) -> list:
    """Arrays in an order that does not depend on what they are called."""
    return sorted((np.asarray(array, np.float64) for array in arrays), key=lambda a: (a.size, float(a.sum())))


def against(told: Told, images: np.ndarray, mode: str) -> str:
    """What the logits in evaluation mode are."""
    wanted = forward(told, images, training=False)[0]
    if told[mode].shape != wanted.shape:
        return f"logits of shape {told[mode].shape}"
    if np.allclose(told[mode], wanted, rtol=1e-3, atol=1e-4):
        return "as written out in NumPy"
    if not told["repeatable"]:
        return "two calls with the same images differ"
    scores = wanted - np.log(np.exp(wanted).sum(-1, keepdims=True))
    if any(np.allclose(told[mode], it, rtol=1e-3, atol=1e-4) for it in (scores, np.exp(scores))):
        return "probabilities, or their logarithms, in place of logits"
    normed = forward(told, images, training=True)[0]
    if np.allclose(told[mode], normed, rtol=1e-3, atol=1e-3):
        return "logits with the statistics of the batch"
    return f"other logits, off by up to {np.abs(told[mode] - wanted).max():.2g}"


def in_training(told: Told, images: np.ndarray, dropout: float) -> str:
    """Dropout is linear in the last features, so the mean over many masks and the spread are known."""
    logits, features, _ = forward(told, images, training=True)
    head = min(told["kernels"], key=np.ndim)
    spread = np.sqrt((features**2 @ head.astype(np.float64) ** 2) * dropout / (1 - dropout))
    got = told["training"].astype(np.float64)
    ratio = float((got.std(0) / spread).mean())
    if ratio < 0.02:
        return "no dropout: every copy of an image has the same logits"
    # 64 masks: the mean is known to an eighth of the spread; five of these in 40 numbers is never.
    off = float(np.abs((got.mean(0) - logits) / spread).max())
    if off > 0.7:
        return f"the mean over masks is off by {off:.1f} times the spread"
    if not 0.75 < ratio < 1.3:
        return f"the spread over masks is {ratio:.1f} times what this rate gives"
    return "as written out in NumPy"


def statistics(told: Told, images: np.ndarray) -> str:
    """How the running averages behaved."""
    if not all(np.isin(array, (0.0, 1.0)).all() for array in told["statistics at rest"]):
        return "moved in evaluation mode"
    found, wanted = told["statistics"], in_order(forward(told, images, training=True)[2])
    if len(found) != len(wanted):
        return f"{len(found)} arrays of statistics, {len(wanted)} are wanted"
    if all(
        a.shape == b.shape and np.allclose(a, b, rtol=0.02, atol=2e-3)
        for a, b in zip(in_order(found), wanted, strict=True)
    ):
        return "at rest in evaluation, moved by a tenth in training"
    return "moved in training by another amount, or not at all"


def perceptron_run(params: dict, x: np.ndarray, y: np.ndarray) -> Told:
    """Steps of SGD with momentum on `Perceptron` without dropout, in plain JAX: what each step tells, and the end."""

    def loss(params: dict, x: Any, y: Any) -> tuple:
        h = x @ params["first/kernel"] + params["first/bias"][None]
        mean, var = h.mean(0), h.var(0)
        h = (h - mean[None]) / jnp.sqrt(var + 1e-5)[None] * params["norm/scale"][None] + params["norm/bias"][None]
        logits = jnp.maximum(h, 0) @ params["last/kernel"] + params["last/bias"][None]
        log_likelihood = jnp.take_along_axis(logits - jax.nn.logsumexp(logits, axis=1, keepdims=True), y[:, None], 1)
        return -log_likelihood.mean(), ((logits.argmax(1) == y).mean(), mean, var)

    slope_of = jax.jit(jax.value_and_grad(loss, has_aux=True))
    velocity = {name: np.zeros_like(value) for name, value in params.items()}
    told: Told = {"losses": [], "accuracies": [], "gradient norms": []}
    mean, var = np.zeros(trials.HIDDEN), np.ones(trials.HIDDEN)
    for batch, labels in zip(x, y, strict=True):
        (value, (accuracy, batch_mean, batch_var)), slope = slope_of(params, jnp.asarray(batch), jnp.asarray(labels))
        mean, var = 0.9 * mean + 0.1 * np.asarray(batch_mean), 0.9 * var + 0.1 * np.asarray(batch_var)
        velocity = {name: 0.9 * velocity[name] + np.asarray(slope[name]) for name in params}
        params = {name: params[name] - trials.RATE * velocity[name] for name in params}
        told["losses"].append(float(value))
        told["accuracies"].append(float(accuracy))
        told["gradient norms"].append(float(np.sqrt(sum((np.asarray(s) ** 2).sum() for s in slope.values()))))
    return told | {"parameters": params, "statistics": {"norm/mean": mean, "norm/var": var}}


def mode(told: Told) -> str:
    """Whether a model that was evaluated was trained in training mode."""
    if told["draws"] < len(told["losses"]):
        return "dropout drew no mask"
    still = np.array_equal(told["statistics"]["norm/mean"], np.zeros(trials.HIDDEN))
    return "batch norm did not move" if still else "dropout and batch norm in training mode"


def traces(told: Told, most: int) -> str:
    """How often a step was traced."""
    if not told["compiled"]:
        return "never compiled: Python ran through the model at each step"
    return "traced once" if told["traces"] <= most else "traced at each step"


def evaluation(seed: int, mean: np.ndarray, var: np.ndarray, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Loss and accuracy of a `Perceptron` with given statistics, in NumPy and float64."""
    params = trials.arrays(nnx.state(trials.Perceptron(nnx.Rngs(seed)), nnx.Param))
    h = (x @ params["first/kernel"].astype(np.float64) - mean) / np.sqrt(var + 1e-5)
    logits = np.maximum(h, 0) @ params["last/kernel"].astype(np.float64)
    scores = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return {"loss": -scores[np.arange(len(y)), y].mean(), "accuracy": (logits.argmax(1) == y).mean()}


def orders(batch_at: Any, seed: int, count: int, batch: int) -> dict[str, str]:
    """What holds for the batches of two epochs."""
    steps = count // batch
    table = [np.asarray(batch_at(seed, step, count, batch)) for step in range(2 * steps)]
    for step, rows in enumerate(table):
        if rows.shape != (batch,) or rows.min() < 0 or rows.max() >= count:
            came = f"shape {rows.shape}" if rows.shape != (batch,) else f"rows from {rows.min()} to {rows.max()}"
            return dict.fromkeys(("rows", "epoch", "again", "next epoch", "seed"), f"at step {step}: {came}")
    epochs = np.concatenate(table).reshape(2, -1)
    # In another order of calls: a generator that is carried along would give other rows.
    again = [np.asarray(batch_at(seed, step, count, batch)) for step in (3, 0)]
    other = np.asarray(batch_at(seed + 1, 0, count, batch))
    words = {True: "the same order", False: "another order"}
    return {
        "rows": "as many as a batch has, all in range",
        "epoch": _repeats(table, epochs),
        "again": "the same rows" if all(map(np.array_equal, again, (table[3], table[0]))) else "other rows",
        "next epoch": words[np.array_equal(epochs[0], epochs[1])],
        "seed": words[np.array_equal(other, table[0])],
    }


def _repeats(table: list[np.ndarray], epochs: np.ndarray) -> str:
    """Whether the rows of an epoch repeat, and how."""
    if all(len(set(epoch)) == len(epoch) for epoch in epochs.tolist()):
        return "each row at most once"
    if any(len(set(rows)) < len(rows) for rows in np.asarray(table).tolist()):
        return "rows repeat within a batch"
    half = len(table) // 2
    shared = [len(set(a) & set(b)) for a, b in itertools.pairwise(np.asarray(table[:half]).tolist())]
    return "each batch overlaps the one before" if min(shared) == len(table[0]) - 1 else "rows repeat"


def by_heart(told: Told, labels: np.ndarray) -> str:
    """How well fifty examples were learnt."""
    evaluating, training = ((told[mode] == labels).mean() for mode in ("evaluating", "training"))
    if evaluating == 1:
        return "all right in evaluation mode"
    if evaluating > 0.9:
        return "nearly all right in evaluation mode"
    # Wrong here and right there: what differs between the modes has not settled.
    if training > 0.9:
        return "right in training mode, wrong in evaluation mode"
    return _failing(told)


def _failing(told: Told) -> str:
    """What a network is like that is far from what it should be."""
    if not told["touched"]:
        return "no step was made in training mode: batch norm's averages are as they began"
    counts = np.bincount(told["evaluating"])
    # Weights that were thrown too far leave relu nothing to pass on, and only the last bias answers.
    if counts.max() > 0.9 * counts.sum() or (told["sure"] > 0.6 and np.count_nonzero(counts) <= 3):
        return "nearly always the same answer"
    return "unsure of its answers" if told["sure"] < 0.6 else "sure of its answers, and mostly wrong"


def reached(told: Told, labels: np.ndarray, target: float) -> str:
    """Whether an accuracy was reached, and if not, what it looks like."""
    evaluating, training = (float((told[mode] == labels).mean()) for mode in ("evaluating", "training"))
    if evaluating >= target:
        return "reached"
    if training > evaluating + 0.1:
        return "not reached: in training mode it would be much better"
    if evaluating > 0.9:
        return f"not reached: {evaluating:.1%}"
    if told["first batch"] > 0.95:
        return "not reached: it knows the first batch by heart, and little else"
    return f"not reached: {_failing(told)}"


def reach(told: Told, place: int) -> str:
    """Which places depend on the character at a place."""
    changed = np.asarray(told["changed"]) > 1e-6
    if told["logits"].ndim != 3 or len(changed) <= place + 1:
        return "there are no logits at each place"
    if float(told["beside"]) > 1e-4:
        return "other texts of the batch"
    if changed[:place].any():
        return "places before it: the model looks into the future"
    if not changed[place]:
        return "later places only: its own prediction does not see it"
    if not changed[place + 1 :].any():
        return "its own place only"
    return CAUSAL if changed[place + 1 :].all() else "its own place and the next, and not all that follow"
