"""Checks of lab 05, training.

Oracles: the networks written out in NumPy or plain JAX, closed forms, and, where a run is resumed, the same run without
a stop, bit by bit. A training happens beside the student's code in one call (`gradlab.trials`), once for all cases of an
exercise; what it answers is judged here. float32 results of a few steps agree to rtol 1e-3 whatever the order of sums.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gradlab import trials
from gradlab.checks.case import Case
from gradlab.checks.draw import Draw
from gradlab.checks.exercise import exercise
from gradlab.handwriting import digit_images
from gradlab.seam import probe
from gradlab.seam.handle import StudentError

close = partial(Case, rtol=1e-3, atol=1e-5)
Told = dict[str, Any]


class Once:
    """Asks an implementation once, for all cases that look at the same answer."""

    def __init__(self, ask: Callable[..., Told]) -> None:
        self._ask = ask
        self._answers: list[tuple[tuple, Any]] = []

    def __call__(self, *implementations: Any) -> Told:
        for asked, answer in self._answers:
            if all(one is other for one, other in zip(asked, implementations, strict=True)):
                break
        else:
            try:
                answer = self._ask(*implementations)
            except StudentError as error:
                answer = error
            self._answers.append((implementations, answer))
        if isinstance(answer, StudentError):
            raise answer
        return answer

    def get(self, *names: str) -> Callable[..., Any]:
        """A case's `run` that gives some of the answer: one value, or several by name."""
        if len(names) == 1:
            return lambda *implementations: self(*implementations)[names[0]]
        return lambda *implementations: {name: self(*implementations)[name] for name in names}


# --- the network


def conv(images: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """A convolution of odd size that keeps the size, in float64: (b, h, w, c) with (k, k, c, d)."""
    pad = kernel.shape[0] // 2
    padded = np.pad(images.astype(np.float64), ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[:2], axis=(1, 2))
    return np.einsum("bhwcij,ijcd->bhwd", windows, kernel)


def forward(told: Told, images: np.ndarray, *, training: bool) -> tuple[np.ndarray, np.ndarray, list]:
    """Logits, features before the last layer, and the batch's statistics, of the network as it was made (no bias yet)."""
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


@exercise(points=10, visible=4, skill="frameworks", arguments=("CNN",))
def network(draw: Draw) -> Iterator[Case]:
    channels, dropout = 4, 0.3
    images = abs(draw.normal(4, 8, 8, 1))
    trial = trials.NetworkTrial(int(draw.rng.integers(1000)), channels, dropout, images, repeats=64)
    ask = Once(lambda cnn: probe.apply(cnn, trial))
    shapes = [[3, 3, 1, channels], [3, 3, channels, 2 * channels], [8 * channels, 10]]
    yield Case(
        "its weights",
        run=lambda cnn: sorted((list(kernel.shape) for kernel in ask(cnn)["kernels"]), key=lambda s: (-len(s), s)),
        want=shapes,
        because="Two convolutions of 3 x 3, and a linear layer from 2 x 2 pixels of all channels to 10 logits.",
    )
    yield Case(
        "logits in evaluation mode",
        run=lambda cnn: _against(ask(cnn), images, "evaluating"),
        want="as written out in NumPy",
        weight=2,
        because="In evaluation mode batch norm uses its running averages, and dropout does nothing.",
    )
    yield Case(
        "logits in training mode",
        run=lambda cnn: _in_training(ask(cnn), images, dropout),
        want="as written out in NumPy",
        weight=2,
        because="Batch norm, then relu, with the batch's own statistics; dropout on the features of the last layer.",
    )
    yield Case(
        "running averages",
        run=lambda cnn: _statistics(ask(cnn), images),
        want="at rest in evaluation, moved by a tenth in training",
        because="Batch norm's momentum of 0.9 keeps nine tenths of the average and takes a tenth of the batch's.",
    )


def _against(told: Told, images: np.ndarray, mode: str) -> str:
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


def _in_training(told: Told, images: np.ndarray, dropout: float) -> str:
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


def _statistics(told: Told, images: np.ndarray) -> str:
    if not all(np.isin(array, (0.0, 1.0)).all() for array in told["statistics at rest"]):
        return "moved in evaluation mode"
    found, wanted = told["statistics"], in_order(forward(told, images, training=True)[2])
    if len(found) != len(wanted):
        return f"{len(found)} arrays of statistics, {len(wanted)} are wanted"
    if all(a.shape == b.shape and np.allclose(a, b, rtol=0.02, atol=2e-3) for a, b in zip(in_order(found), wanted)):
        return "at rest in evaluation, moved by a tenth in training"
    return "moved in training by another amount, or not at all"


# --- train_step


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


STEPS, BATCH = 3, 12
RETRACED = 2  # one trace a mode is what nnx.jit needs


@exercise(points=10, visible=4, skill="frameworks")
def train_step(draw: Draw) -> Iterator[Case]:
    seed = int(draw.rng.integers(1000))
    x, y = draw.normal(STEPS, BATCH, trials.FEATURES), draw.rng.integers(0, trials.CLASSES, (STEPS, BATCH), np.int32)
    start = trials.arrays(nnx.state(trials.Perceptron(nnx.Rngs(seed)), nnx.Param))
    want = perceptron_run(start, x, y)
    plain = Once(lambda step: probe.apply(step, trials.StepTrial(seed, 0.0, False, x, y)))
    after = Once(lambda step: probe.apply(step, trials.StepTrial(seed, 0.5, True, x, y)))
    told = ("losses", "accuracies", "gradient norms")
    yield close(
        "losses, accuracies and gradients of three steps",
        run=plain.get(*told),
        want={name: want[name] for name in told},
        weight=2,
        because="The mean cross-entropy of the batch, the share of right answers, and the gradients, before the step.",
    )
    yield close(
        "parameters after three steps",
        run=plain.get("parameters"),
        want=want["parameters"],
        atol=1e-4,
        weight=2,
        because="The optimizer is SGD with momentum: its state must be carried from step to step.",
    )
    yield close(
        "statistics of batch norm after three steps",
        run=plain.get("statistics"),
        want=want["statistics"],
        atol=1e-4,
        because="In training mode batch norm uses the batch's statistics, and its averages follow.",
    )
    yield Case(
        "training mode, for a model that was just evaluated",
        run=lambda step: _mode(after(step)),
        want="dropout and batch norm in training mode",
        because="evaluate leaves a model in evaluation mode. The step says model.train() itself.",
    )
    yield Case(
        "one trace for all steps",
        run=lambda step: "traced once" if plain(step)["traces"] <= RETRACED else "traced at each step",
        want="traced once",
        weight=2,
        trivial=True,
        because="A model that counts how often Python runs through it was trained for three steps of one shape.",
    )


def _mode(told: Told) -> str:
    if told["draws"] < STEPS:
        return "dropout drew no mask"
    still = np.array_equal(told["statistics"]["norm/mean"], np.zeros(trials.HIDDEN))
    return "batch norm did not move" if still else "dropout and batch norm in training mode"


@exercise(points=2, visible=2, skill="efficiency")
def trace_guess(draw: Draw) -> Iterator[Case]:
    yield Case(
        "a number was committed",
        run=lambda guess: guess,
        judge=lambda guess: (
            None
            if isinstance(guess, (int, float)) and not isinstance(guess, bool) and 0 < guess < np.inf
            else "commit a positive number before you run the next cell; any number earns the points"
        ),
        want="a positive number; whether it is right does not matter",
    )


# --- evaluate


def evaluation(seed: int, mean: np.ndarray, var: np.ndarray, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Loss and accuracy of a `Perceptron` with given statistics, in NumPy and float64."""
    params = trials.arrays(nnx.state(trials.Perceptron(nnx.Rngs(seed)), nnx.Param))
    h = (x @ params["first/kernel"].astype(np.float64) - mean) / np.sqrt(var + 1e-5)
    logits = np.maximum(h, 0) @ params["last/kernel"].astype(np.float64)
    scores = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return {"loss": -scores[np.arange(len(y)), y].mean(), "accuracy": (logits.argmax(1) == y).mean()}


def evaluate_case(draw: Draw, name: str, count: int, batch_size: int, because: str = "") -> Iterator[Case]:
    """A case on `count` examples, the last of which are of another kind, so that their weight is seen."""
    seed = int(draw.rng.integers(1000))
    x, y = draw.normal(count, trials.FEATURES), draw.rng.integers(0, trials.CLASSES, count).astype(np.int32)
    x[-(count % batch_size or 1) :] *= 4
    mean, var = draw.normal(trials.HIDDEN), np.exp(draw.normal(trials.HIDDEN))
    trial = trials.EvaluateTrial(seed, mean, var, x, y, batch_size)
    yield close(
        name,
        run=Once(lambda evaluate: probe.apply(evaluate, trial)),
        want=evaluation(seed, mean, var, x, y) | {"kept": True},
        weight=2,
        because=because,
    )


@exercise(points=8, visible=3, skill="evaluation")
def evaluate(draw: Draw) -> Iterator[Case]:
    yield from evaluate_case(
        draw, "a last batch that is short", 14, 4, "Each example counts the same, in whichever batch it is."
    )
    yield from evaluate_case(
        draw,
        "batches of one size",
        12,
        4,
        "In evaluation mode: no dropout, batch norm with its averages. 'kept' says that they are as they were.",
    )


# --- the order of the data


@exercise(points=5, visible=2, skill="data")
def batch_at(draw: Draw) -> Iterator[Case]:
    seed, batch = int(draw.rng.integers(1000)), 4
    count = 5 * batch + 3
    ask = Once(lambda batch_at: orders(batch_at, seed, count, batch))
    yield Case(
        "an epoch",
        run=ask.get("rows", "epoch"),
        want={"rows": "as many as a batch has, all in range", "epoch": "each row at most once"},
        because="The batches of an epoch are slices of one permutation; what does not fill a batch is left out.",
    )
    yield Case(
        "the same again, another epoch, and another seed",
        run=ask.get("again", "next epoch", "seed"),
        want={"again": "the same rows", "next epoch": "another order", "seed": "another order"},
        because="A function of seed and step alone, with an order of its own for each epoch.",
    )


def orders(batch_at: Any, seed: int, count: int, batch: int) -> dict[str, str]:
    steps = count // batch
    table = [np.asarray(batch_at(seed, step, count, batch)) for step in range(2 * steps)]
    sound = all(rows.shape == (batch,) and ((rows >= 0) & (rows < count)).all() for rows in table)
    if not sound:
        return dict.fromkeys(("rows", "epoch", "again", "next epoch", "seed"), "not a batch's rows")
    epochs = np.concatenate(table).reshape(2, -1)
    # In another order of calls: a generator that is carried along would give other rows.
    again = [np.asarray(batch_at(seed, step, count, batch)) for step in (3, 0)]
    other = np.asarray(batch_at(seed + 1, 0, count, batch))
    words = {True: "the same order", False: "another order"}
    return {
        "rows": "as many as a batch has, all in range",
        "epoch": "each row at most once" if all(len(set(e)) == len(e) for e in epochs.tolist()) else "rows repeat",
        "again": "the same rows" if all(map(np.array_equal, again, (table[3], table[0]))) else "other rows",
        "next epoch": words[np.array_equal(epochs[0], epochs[1])],
        "seed": words[np.array_equal(other, table[0])],
    }


# --- checkpoints and the loop


def practice_data(draw: Draw, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Batches for trials of checkpoints."""
    return draw.normal(steps, BATCH, trials.FEATURES), draw.rng.integers(0, trials.CLASSES, (steps, BATCH), np.int32)


@exercise(points=10, visible=4, skill="reliability", arguments=("Checkpoints",))
def checkpoints(draw: Draw) -> Iterator[Case]:
    seed = int(draw.rng.integers(1000))
    trial = trials.CheckpointTrial(seed, (2, 10), *practice_data(draw, 12))
    ask = Once(lambda checkpoints: probe.apply(checkpoints, trial))
    reasons = {
        "parameters": "The model is brought to the checkpoint in place, without a rounding.",
        "batch statistics": "nnx.Param is not all of a model's state: batch norm's averages are nnx.BatchStat.",
        "optimizer": "Adam's moments and its count are what the next step is made of.",
        "random state": "Where the random numbers were: or dropout repeats its masks, or draws others.",
    }
    yield Case("the step, the newest of two", run=ask.get("step"), want=10, because="10 comes after 2, as a number.")
    for part, reason in reasons.items():
        yield Case(f"bit-identical: {part}", run=ask.get(part), want=True, because=reason)
    yield Case(
        "two more steps end where the run without a stop does",
        run=ask.get("goes on alike"),
        want=True,
        because="The losses of the steps after the checkpoint, compared bit by bit.",
    )
    yield Case(
        "no checkpoint there",
        run=lambda checkpoints: probe.apply(checkpoints, trials.EmptyTrial(seed)),
        want={"step": 0, "untouched": True},
        trivial=True,
        because="A run that starts and a run that resumes are one: without a checkpoint the step is 0.",
    )


def fit_cases(draw: Draw, steps: int, every: int, stop: int) -> Iterator[Case]:
    """The cases of one interrupted run."""
    count = 4 * 3 + 2
    x, y = draw.normal(count, trials.FEATURES), draw.rng.integers(0, trials.CLASSES, count).astype(np.int32)
    x[:, 0] = np.arange(count)
    trial = trials.FitTrial(int(draw.rng.integers(1000)), steps, every, stop, x, y)
    ask = Once(lambda fit: probe.apply(fit, trial))
    yield Case(
        f"{steps} steps in one go",
        run=ask.get("steps", "distinct batches", "result"),
        want={"steps": list(range(1, steps + 1)), "distinct batches": True, "result": steps},
        because="on_step hears 1, 2, ... up to steps, and each step has the batch of its own place in the order.",
    )
    saved = stop - stop % every
    yield Case(
        "interrupted, and called again: where it goes on",
        run=ask.get("resumed"),
        # Whoever also saves when interrupted goes on a little later, which is as good.
        judge=lambda got: (
            None
            if got in [list(range(first, steps + 1)) for first in range(saved + 1, stop + 2)]
            else f"after the checkpoint of step {saved} and an interrupt at {stop}, on_step heard {got}"
        ),
        want=f"{list(range(saved + 1, steps + 1))}",
        because="The newest checkpoint says how many steps are done.",
    )
    yield Case(
        "the same batches, and bit-identical at the end",
        run=ask.get("same batches", "same end"),
        want={"same batches": True, "same end": True},
        weight=2,
        because="Compared with the run that was never stopped: rows of each step, parameters, optimizer, random state.",
    )
    yield Case("called when it is finished: no step", run=ask.get("steps when finished"), want=0, trivial=True)


@exercise(points=9, visible=4, skill="reliability")
def fit(draw: Draw) -> Iterator[Case]:
    yield from fit_cases(draw, steps=8, every=3, stop=5)


# --- trainings


FIFTY = 50


@exercise(points=5, visible=2, skill="debugging")
def memorize(draw: Draw) -> Iterator[Case]:
    train = digit_images(int(draw.rng.integers(1000))).train
    images, labels = train.images[:FIFTY], train.labels[:FIFTY]
    yield Case(
        "fifty digits by heart",
        run=lambda memorize: _by_heart(
            probe.apply(memorize, trials.TrainedTrial(images), jnp.asarray(images), jnp.asarray(labels)), labels
        ),
        want="all right in evaluation mode",
        because="The check asks the network that you return for its answers to the fifty images, in evaluation mode.",
    )


def _by_heart(told: Told, labels: np.ndarray) -> str:
    evaluating, training = ((told[mode] == labels).mean() for mode in ("evaluating", "training"))
    if evaluating == 1:
        return "all right in evaluation mode"
    if evaluating > 0.9:
        return "nearly all right in evaluation mode"
    # Wrong here and right there: what differs between the modes has not settled.
    if training > 0.9:
        return "right in training mode, wrong in evaluation mode"
    return "about as good as guessing" if evaluating < 0.3 else "some right, some wrong"


BUDGET, TARGET = 250, 0.97


@exercise(points=8, visible=3, skill="training")
def train_on_budget(draw: Draw) -> Iterator[Case]:
    seed = int(draw.rng.integers(1000))
    test = digit_images(seed).test
    ask = Once(lambda train: probe.apply(train, trials.TrainedTrial(test.images), trials.Stream(seed, BUDGET)))
    for target, weight in ((0.9, 1), (TARGET, 2)):
        yield Case(
            f"{target:.0%} of the test images",
            run=lambda train, target=target: _reached(ask(train), test.labels, target),
            want="reached",
            weight=weight,
            because=f"The check trains with your function on {BUDGET} batches of its own and asks about other images.",
        )


def _reached(told: Told, labels: np.ndarray, target: float) -> str:
    evaluating, training = (float((told[mode] == labels).mean()) for mode in ("evaluating", "training"))
    if evaluating >= target:
        return "reached"
    if training > evaluating + 0.1:
        return "not reached: in training mode it would be much better"
    if evaluating < 0.3:
        return "not reached: about as good as guessing"
    return "not reached: not far from it" if evaluating > 0.9 else "not reached: far from it"


# --- early stopping and the study


def stopping_case(name: str, losses: list[float], patience: int, min_delta: float, because: str = "") -> Case:
    """A case of early stopping with losses written down, and what the rule says of them."""
    best, seen = 0, len(losses)
    for epoch, loss in enumerate(losses, start=1):
        if best == 0 or loss < losses[best - 1] - min_delta:
            best = epoch
        if epoch - best == patience:
            seen = epoch
            break
    trial = trials.StoppingTrial(tuple(losses), patience, min_delta)
    want = {"best": best, "history": losses[:seen], "model": best}
    return close(name, run=Once(lambda stop: probe.apply(stop, trial)), want=want, because=because)


@exercise(points=7, visible=3, skill="training")
def early_stopping(draw: Draw) -> Iterator[Case]:
    down = sorted((draw.uniform(0.5, 0.9) for _ in range(3)), reverse=True)
    low = down[-1]
    up = [round(low + draw.uniform(0.1, 0.3), 3) for _ in range(6)]
    yield stopping_case(
        "down, then up",
        [*down, *up],
        3,
        0.0,
        "'model' is the number of epochs that the returned model has had: those of the best epoch.",
    )
    yield stopping_case(
        "a better epoch within the patience",
        [*down, up[0], up[1], round(low - 0.2, 3), up[2], up[3], up[4], up[5]],
        3,
        0.0,
        "The patience counts epochs since the best one: it starts again with each better epoch.",
    )
    yield stopping_case(
        "improvements smaller than min_delta",
        [low, round(low - 0.01, 3), round(low - 0.02, 3), round(low - 0.03, 3), round(low - 0.04, 3)],
        2,
        0.1,
        "An epoch is better only if it is lower than the best by more than min_delta.",
    )


def study_case(draw: Draw, name: str, because: str = "") -> Iterator[Case]:
    """A case where validation, its best seed, and test each prefer another setting."""
    settings, seeds = ("plain", "dropout", "decay", "both"), (3, 1, 4)
    base = draw.uniform(0.6, 0.7)
    mean = base + np.array([0.0, 0.20, 0.16, 0.1])
    spread = np.array([0.02, 0.01, 0.10, 0.02])
    validation = mean[:, None] + spread[:, None] * np.array([0.0, 1.0, -1.0])[None]
    test = base + np.array([0.01, 0.05, 0.02, 0.15])[:, None] + 0.03 * np.array([1.0, -1.0, 0.5])[None]
    turn = draw.rng.permutation(len(settings))
    validation, test = validation[turn], test[turn]
    chosen = int(validation.mean(1).argmax())
    trial = trials.StudyTrial(settings, seeds, validation, test)
    ask = Once(lambda study: probe.apply(study, trial))
    yield close(
        f"{name}: the means, and the choice",
        run=ask.get("validation", "chosen"),
        want={"validation": dict(zip(settings, validation.mean(1), strict=True)), "chosen": settings[chosen]},
        because=because or "The mean over seeds of the validation accuracy decides.",
    )
    yield close(
        f"{name}: what is reported",
        run=ask.get("test", "tested"),
        want={"test": test[chosen].mean(), "tested": [settings[chosen]]},
        because="'tested' lists the settings that were scored on the test part: the chosen one, and no other.",
    )


@exercise(points=7, visible=3, skill="evaluation")
def regularization_study(draw: Draw) -> Iterator[Case]:
    yield from study_case(draw, "four settings, three seeds")


# --- text


@exercise(points=3, visible=1, skill="data")
def character_batch(draw: Draw) -> Iterator[Case]:
    text = draw.rng.integers(0, 96, 60).astype(np.int32)
    starts, length = draw.rng.integers(0, 60 - 9, 4), 8
    yield Case(
        "windows, and what follows",
        run=lambda cut: tuple(np.asarray(part) for part in cut(text, starts, length)),
        want=(
            np.stack([text[s : s + length] for s in starts]),
            np.stack([text[s + 1 : s + 1 + length] for s in starts]),
        ),
        because="The label of each character is the one after it, so labels are the window one place later.",
    )


@exercise(points=6, visible=2, skill="frameworks", arguments=("CharacterModel",))
def character_model(draw: Draw) -> Iterator[Case]:
    vocabulary, place, length = 11, 3, 8
    texts = draw.rng.integers(0, vocabulary, (3, length)).astype(np.int32)
    trial = trials.CharacterTrial(int(draw.rng.integers(1000)), vocabulary, texts, place)
    ask = Once(lambda network: probe.apply(network, trial))
    yield Case(
        "one row of logits for each character",
        run=lambda network: list(ask(network)["logits"].shape),
        want=[3, length, vocabulary],
        because="Each place predicts its next character: batch, time, vocabulary.",
    )
    yield Case(
        "what depends on a character",
        run=lambda network: reach(ask(network), place),
        want="its own place and all later ones, in its own text",
        weight=2,
        because="One character was changed. The logits before it must stay; its own and those after it must not.",
    )


def reach(told: Told, place: int) -> str:
    changed = np.asarray(told["changed"]) > 1e-6
    if told["logits"].ndim != 3 or len(changed) <= place + 1:
        return "there are no logits at each place"
    if float(told["alone"]) > 1e-4:
        return "other texts of the batch"
    if changed[:place].any():
        return "places before it: the model looks into the future"
    if not changed[place]:
        return "later places only: its own prediction does not see it"
    return "its own place and all later ones, in its own text" if changed[place + 1 :].all() else "its own place only"
