"""What checks of lab 05 run beside a student's code: short trainings in one call, on small networks with known answers.

Each trial is portable: called with the student's functions, it returns plain numbers, which the check judges.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.core import Tracer
from jaxtyping import Float, Int

from gradlab.handwriting import Part, digit_images
from gradlab.seam.portable import portable

FEATURES, HIDDEN, CLASSES = 6, 8, 4
EPOCH = 3  # batches of the data of a `FitTrial`
RATE = 0.1


class Perceptron(nnx.Module):
    """Linear, batch norm, relu, dropout, linear.

    `traced` counts how often Python runs through it, in all, and `eager` how often of these it was not compiled.
    """

    traced = eager = 0

    def __init__(self, rngs: nnx.Rngs, dropout: float = 0.0) -> None:
        self.first = nnx.Linear(FEATURES, HIDDEN, rngs=rngs)
        self.norm = nnx.BatchNorm(HIDDEN, momentum=0.9, rngs=rngs)
        self.drop = nnx.Dropout(dropout, rngs=rngs)
        self.last = nnx.Linear(HIDDEN, CLASSES, rngs=rngs)

    def __call__(self, x: Float[jax.Array, "b 6"]) -> Float[jax.Array, "b 4"]:
        Perceptron.traced += 1
        Perceptron.eager += not isinstance(x, Tracer)
        return self.last(self.drop(nnx.relu(self.norm(self.first(x)))))


# One object for all trials: nnx.jit traces anew for an optimizer that is not the same object.
_momentum = cache(lambda: optax.sgd(RATE, momentum=0.9))
_adam = cache(lambda: optax.adam(0.02))


# Drawing weights is slow beside the few steps of a trial.
_drawn = cache(lambda seed, dropout: Perceptron(nnx.Rngs(seed), dropout))


def _network(seed: int, dropout: float, tx: optax.GradientTransformation) -> tuple[Perceptron, nnx.Optimizer]:
    model = nnx.clone(_drawn(seed, dropout))
    return model, nnx.Optimizer(model, tx, wrt=nnx.Param)


@nnx.jit
def _answer(model: nnx.Module, inputs: jax.Array) -> jax.Array:
    """What a model says: one program to compile, where calling it outright compiles one for each operation."""
    return model(inputs)


def arrays(state: Any) -> dict[str, np.ndarray]:
    """The arrays of an nnx state by path, as `first/kernel`; random keys as their data."""
    found = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(nnx.to_pure_dict(state))[0]:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        found["/".join(str(getattr(part, "key", part)) for part in path)] = np.array(leaf)
    return found


def same_bits(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    """Whether two sets of arrays agree in every bit."""
    return one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)


@portable
@dataclass(frozen=True, eq=False)
class StepTrial:
    """Calls of `train_step`, one for each batch, on a `Perceptron`.

    `x` has shape (steps, b, 6), `y` (steps, b). With `evaluating` the model arrives in evaluation mode, as `evaluate`
    leaves it.
    """

    seed: int
    dropout: float
    evaluating: bool
    x: Float[np.ndarray, "steps b 6"]
    y: Int[np.ndarray, "steps b"]

    def __call__(self, train_step: Callable) -> dict[str, Any]:
        model, optimizer = _network(self.seed, self.dropout, _momentum())
        if self.evaluating:
            model.eval()
        before, eager = Perceptron.traced, Perceptron.eager
        told = [
            train_step(model, optimizer, jnp.asarray(x), jnp.asarray(y)) for x, y in zip(self.x, self.y, strict=True)
        ]
        return {
            "losses": [float(loss) for loss, _, _ in told],
            "accuracies": [float(accuracy) for _, accuracy, _ in told],
            "gradient norms": [float(optax.tree.norm(gradients)) for _, _, gradients in told],
            "parameters": arrays(nnx.state(model, nnx.Param)),
            "statistics": arrays(nnx.state(model, nnx.BatchStat)),
            "draws": int(arrays(nnx.state(model, nnx.RngCount))["drop/rngs/count"]),
            "traces": Perceptron.traced - before,
            "compiled": Perceptron.eager == eager,
        }


@portable
@dataclass(frozen=True, eq=False)
class EvaluateTrial:
    """A call of `evaluate` on a `Perceptron` in training mode, with dropout and with statistics of other data."""

    seed: int
    mean: Float[np.ndarray, "8"]
    var: Float[np.ndarray, "8"]
    x: Float[np.ndarray, "n 6"]
    y: Int[np.ndarray, " n"]
    batch_size: int

    def __call__(self, evaluate: Callable) -> dict[str, Any]:
        model = Perceptron(nnx.Rngs(self.seed), dropout=0.5)
        model.norm.mean[...], model.norm.var[...] = jnp.asarray(self.mean), jnp.asarray(self.var)
        model.train()
        metrics = evaluate(model, jnp.asarray(self.x), jnp.asarray(self.y), self.batch_size)
        kept = same_bits(arrays(nnx.state(model, nnx.BatchStat)), {"norm/mean": self.mean, "norm/var": self.var})
        return {"loss": float(metrics["loss"]), "accuracy": float(metrics["accuracy"]), "kept": kept}


@nnx.jit
def _practice(model: Perceptron, optimizer: nnx.Optimizer, x: jax.Array, y: jax.Array) -> tuple:
    """A step on squared error, for trials of what stands around a step."""

    def error(model: Perceptron) -> jax.Array:
        return jnp.mean((model(x) - jax.nn.one_hot(y, CLASSES)) ** 2)

    miss, slope = nnx.value_and_grad(error)(model)
    optimizer.update(model, slope)
    return miss, jnp.zeros(()), slope


def _everything(model: Perceptron, optimizer: nnx.Optimizer) -> dict[str, dict[str, np.ndarray]]:
    return {
        "parameters": arrays(nnx.state(model, nnx.Param)),
        "batch statistics": arrays(nnx.state(model, nnx.BatchStat)),
        "optimizer": arrays(nnx.state(optimizer)),
        "random state": arrays(nnx.state(model, nnx.RngState)),
    }


@portable
@dataclass(frozen=True, eq=False)
class CheckpointTrial:
    """Train, save after the steps in `saved`, train on; then restore into a fresh network and train on from there."""

    seed: int
    saved: tuple[int, ...]
    x: Float[np.ndarray, "steps b 6"]
    y: Int[np.ndarray, "steps b"]

    def __call__(self, checkpoints: Callable) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            model, optimizer = _network(self.seed, 0.5, _adam())
            kept, losses = {}, []
            for step, (x, y) in enumerate(zip(self.x, self.y, strict=True), start=1):
                losses.append(float(_practice(model, optimizer, jnp.asarray(x), jnp.asarray(y))[0]))
                if step in self.saved:
                    kept = _everything(model, optimizer)
                    checkpoints(folder).save(step, model, optimizer)
            fresh, fresh_optimizer = _network(self.seed + 1, 0.5, _adam())
            resumed = int(checkpoints(folder).restore(fresh, fresh_optimizer))
        found = _everything(fresh, fresh_optimizer)
        rest = list(zip(self.x, self.y, strict=True))[max(self.saved) :]
        again = [float(_practice(fresh, fresh_optimizer, jnp.asarray(x), jnp.asarray(y))[0]) for x, y in rest]
        return {
            "step": resumed,
            **{part: same_bits(found[part], kept[part]) for part in kept},
            "goes on alike": again == losses[max(self.saved) :],
        }


@portable
@dataclass(frozen=True)
class EmptyTrial:
    """Restoring from a folder that is not there."""

    seed: int

    def __call__(self, checkpoints: Callable) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as name:
            model, optimizer = _network(self.seed, 0.5, _adam())
            before = _everything(model, optimizer)
            step = checkpoints(Path(name) / "never").restore(model, optimizer)
            after = _everything(model, optimizer)
        return {"step": step, "untouched": all(same_bits(before[part], after[part]) for part in before)}


@portable
@dataclass(frozen=True, eq=False)
class FitTrial:
    """`fit` in one go, and `fit` that is interrupted after step `stop` and called again in a fresh network.

    The first feature of each example is its row number, so that the log of a step says which rows it had.
    """

    seed: int
    steps: int
    every: int
    stop: int
    x: Float[np.ndarray, "n 6"]
    y: Int[np.ndarray, " n"]

    def __call__(self, fit: Callable) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            whole, end, result = self._run(fit, folder / "whole", self.seed, None)
            parted, _, _ = self._run(fit, folder / "parted", self.seed, self.stop)
            # Before the first checkpoint a run starts afresh: then only the same first weights can end alike.
            fresh = self.seed + (self.stop >= self.every)
            again, end_again, _ = self._run(fit, folder / "parted", fresh, None)
            more, _, _ = self._run(fit, folder / "parted", self.seed + 2, None)
        rows = {step: seen for step, seen, _ in whole}
        wanted = {step: weights for step, _, weights in whole}
        goes_on = "other weights"
        if again and again[0][0] in wanted and same_bits(again[0][2], wanted[again[0][0]]):
            goes_on = "the weights of that step"
        elif again and same_bits(again[0][2], arrays(nnx.state(_drawn(fresh, 0.5), nnx.Param))):
            goes_on = "its first weights"
        epochs = [[row for _, seen, _ in part for row in seen] for part in (whole[:EPOCH], whole[EPOCH : 2 * EPOCH])]
        return {
            "steps": [step for step, _, _ in whole],
            "result": int(result),
            "before": [step for step, _, _ in parted],
            "resumed": [step for step, _, _ in again],
            "goes on with": goes_on,
            "same batches": bool(again) and all(rows.get(step) == seen for step, seen, _ in again),
            "distinct batches": len({tuple(sorted(seen)) for _, seen, _ in whole}) == len(whole),
            "whole epochs": all(len(set(epoch)) == len(epoch) for epoch in epochs),
            "same end": all(same_bits(end[part], end_again[part]) for part in end),
            "steps when finished": len(more),
        }

    def _run(self, fit: Callable, folder: Path, seed: int, stop: int | None) -> tuple[list, dict, Any]:
        model, optimizer = _network(seed, 0.5, _adam())
        rows: list[list[int]] = []
        weights: list[dict] = []
        log: list[tuple[int, list[int], dict]] = []

        def train_step(model: Any, optimizer: Any, x: jax.Array, y: jax.Array) -> tuple:
            rows.append([int(row) for row in np.asarray(x)[:, 0]])
            weights.append(arrays(nnx.state(model, nnx.Param)))
            return _practice(model, optimizer, x / len(self.x), y)

        def on_step(step: int, *_: Any) -> None:
            log.append((int(step), rows[-1], weights[-1]))
            if step == stop:
                raise KeyboardInterrupt

        settings = {
            "seed": 5,
            "batch_size": len(self.y) // EPOCH,
            "steps": self.steps,
            "folder": folder,
            "every": self.every,
        }
        result = None
        with suppress(KeyboardInterrupt):
            result = fit(train_step, model, optimizer, self.x, self.y, **settings, on_step=on_step)
        return log, _everything(model, optimizer), -1 if result is None else result


@portable
@dataclass(frozen=True, eq=False)
class NetworkTrial:
    """A `CNN` made and called: its kernels, its answers in both modes, and its statistics after each.

    In training mode the images come `repeats` times in one batch: the batch's statistics stay, the dropout differs.
    """

    seed: int
    channels: int
    dropout: float
    images: Float[np.ndarray, "b 8 8 1"]
    repeats: int

    def __call__(self, network: Callable) -> dict[str, Any]:
        model = network(nnx.Rngs(self.seed), channels=self.channels, dropout=self.dropout)
        params = arrays(nnx.state(model, nnx.Param)).values()
        kernels = [value for value in params if value.ndim > 1]
        images = jnp.asarray(self.images)
        model.eval()
        calm = [np.asarray(_answer(model, images)) for _ in range(2)]
        before = arrays(nnx.state(model, nnx.BatchStat))
        model.train()
        lively = np.asarray(_answer(model, jnp.tile(images, (self.repeats, 1, 1, 1))))
        return {
            "kernels": kernels,
            "evaluating": calm[0],
            "repeatable": bool((calm[0] == calm[1]).all()),
            "training": lively.reshape(self.repeats, len(images), -1),
            "statistics at rest": [value for _, value in sorted(before.items())],
            "statistics": [value for _, value in sorted(arrays(nnx.state(model, nnx.BatchStat)).items())],
        }


@portable
@dataclass(frozen=True)
class Stream:
    """`steps` batches of digits to train on, in a random order: a budget, for it can be gone through as it is only.

    `for images, labels in stream` gives arrays of shape (b, 8, 8, 1) and (b,); `len(stream)` is the number of batches.
    """

    seed: int
    steps: int
    batch_size: int = 64

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Part]:
        train = digit_images(self.seed).train
        rng = np.random.default_rng(self.seed + 1)
        order = np.empty(0, np.int64)
        for _ in range(self.steps):
            if len(order) < self.batch_size:
                order = rng.permutation(len(train.labels))
            rows, order = order[: self.batch_size], order[self.batch_size :]
            yield Part(train.images[rows], train.labels[rows])


@portable
@dataclass(frozen=True, eq=False)
class TrainedTrial:
    """What a model that a student's function has trained answers to images, in evaluation and in training mode.

    `sure` is the mean of its highest probability in evaluation mode, and `touched` whether batch norm's averages moved.
    Where it was trained on a `Stream`, `first batch` is its accuracy on the first batch of that.
    """

    images: Float[np.ndarray, "n 8 8 1"]

    def __call__(self, train: Callable, *args: Any) -> dict[str, Any]:
        model = train(*args)
        averages = arrays(nnx.state(model, nnx.BatchStat)).values()
        touched = not all(np.isin(array, (0.0, 1.0)).all() for array in averages)
        first = 0.0
        if args and isinstance(args[0], Stream):
            images, labels = next(iter(args[0]))
            first = float(np.mean(self._logits(model, images, calm=True).argmax(-1) == labels))
        calm, lively = (self._logits(model, self.images, calm=calm) for calm in (True, False))
        sure = float(np.mean(jax.nn.softmax(calm, axis=-1).max(axis=-1)))
        answers = {"evaluating": calm.argmax(-1), "training": lively.argmax(-1)}
        return answers | {"sure": sure, "touched": touched, "first batch": first}

    def _logits(self, model: Any, images: Float[np.ndarray, "n 8 8 1"], *, calm: bool) -> Float[np.ndarray, "n 10"]:
        model.eval() if calm else model.train()
        return np.asarray(_answer(model, jnp.asarray(images)))


class Counter(nnx.Module):
    """A model with one number, which says how many epochs it has had."""

    def __init__(self) -> None:
        self.epochs = nnx.Param(jnp.zeros(()))


@portable
@dataclass(frozen=True)
class StoppingTrial:
    """`early_stopping` on a model whose validation loss after each epoch is written down in `losses`."""

    losses: tuple[float, ...]
    patience: int
    min_delta: float

    def __call__(self, early_stopping: Callable) -> dict[str, Any]:
        model = Counter()

        def train_epoch(model: Counter) -> None:
            model.epochs[...] = model.epochs[...] + 1

        def validate(model: Counter) -> float:
            return self.losses[int(model.epochs[...]) - 1]

        settings = {"patience": self.patience, "min_delta": self.min_delta, "max_epochs": len(self.losses)}
        best, history = early_stopping(model, train_epoch, validate, **settings)
        return {"best": int(best), "history": [float(loss) for loss in history], "model": int(model.epochs[...])}


@portable
@dataclass(frozen=True, eq=False)
class StudyTrial:
    """`regularization_study` on models whose accuracies are written down: `validation` and `test`."""

    settings: tuple[str, ...]
    seeds: tuple[int, ...]
    validation: Float[np.ndarray, "settings seeds"]
    test: Float[np.ndarray, "settings seeds"]

    def __call__(self, study: Callable) -> dict[str, Any]:
        peeks: list[str] = []

        def train(setting: str, seed: int) -> tuple[int, int]:
            return self.settings.index(setting), self.seeds.index(seed)

        def score(model: tuple[int, int], part: str) -> float:
            if part == "test":
                peeks.append(self.settings[model[0]])
            return float({"validation": self.validation, "test": self.test}[part][model])

        found = study(train, score, self.settings, self.seeds)
        return {
            "validation": {str(name): float(value) for name, value in found["validation"].items()},
            "chosen": str(found["chosen"]),
            "test": float(found["test"]),
            "tested": sorted(set(peeks)),
        }


@portable
@dataclass(frozen=True, eq=False)
class CharacterTrial:
    """Logits of a `CharacterModel` for some texts, with another character at `place`, and beside other texts."""

    seed: int
    vocabulary: int
    texts: Int[np.ndarray, "b t"]
    place: int

    def __call__(self, network: Callable) -> dict[str, Any]:
        model = network(nnx.Rngs(self.seed), vocabulary=self.vocabulary, width=16)
        other = self.texts.copy()
        other[:, self.place] = (other[:, self.place] + 1) % self.vocabulary
        # The first text stays, and then the last one: whatever runs over the batch runs in one direction.
        behind, before = ((self.texts + 1) % self.vocabulary for _ in range(2))
        behind[0], before[-1] = self.texts[0], self.texts[-1]
        asked = (self.texts, other, behind, before)
        one, two, first, last = (np.asarray(_answer(model, jnp.asarray(texts))) for texts in asked)
        beside = max(np.abs(first[0] - one[0]).max(), np.abs(last[-1] - one[-1]).max())
        return {"logits": one, "changed": np.abs(one - two).max(axis=(0, 2)), "beside": beside}
