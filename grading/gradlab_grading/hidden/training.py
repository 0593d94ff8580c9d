"""Hidden checks of lab 05, training."""

from collections.abc import Iterator

import numpy as np

from gradlab import trials
from gradlab.checks import training as checks
from gradlab.checks import training_oracles as oracles
from gradlab.checks.case import Case
from gradlab.checks.draw import Draw
from gradlab.seam import probe
from gradlab_grading.hidden import hidden


def _one_batch_of_all(draw: Draw) -> Iterator[Case]:
    yield from checks.evaluate_case(draw, "a batch that is larger than the data", 9, 20)
    yield from checks.evaluate_case(draw, "a single example at the end", 9, 4)


def _batches_that_divide(draw: Draw) -> Iterator[Case]:
    first = int(draw.rng.integers(1000))
    ask = checks.Once(lambda batch_at: oracles.orders(batch_at, first, 15, 5))
    yield Case("an epoch without a rest", run=ask.get("epoch"), want="each row at most once")


def _interrupted_before_a_checkpoint(draw: Draw) -> Iterator[Case]:
    yield from checks.fit_cases(draw, steps=6, every=4, stop=2)


def _stopping_corners(draw: Draw) -> Iterator[Case]:
    losses = [draw.uniform(0.2, 0.9) for _ in range(2)]
    yield checks.stopping_case("the last epoch is the best", [0.95, *sorted(losses, reverse=True)], 2, 0.0)
    yield checks.stopping_case("the first epoch is the best", [0.1, *losses, 0.95, 0.96], 3, 0.0)


def _another_study(draw: Draw) -> Iterator[Case]:
    yield from checks.study_case(draw, "another table")


def _one_window(draw: Draw) -> Iterator[Case]:
    text = draw.rng.integers(0, 96, 6).astype(np.int32)
    yield Case(
        "one window that is the whole text",
        run=lambda cut: tuple(np.asarray(part) for part in cut(text, np.array([0]), 5)),
        want=(text[None, :5], text[None, 1:]),
    )


def _the_first_place(draw: Draw) -> Iterator[Case]:
    texts = draw.rng.integers(0, 11, (2, 8)).astype(np.int32)
    trial = trials.CharacterTrial(int(draw.rng.integers(1000)), 11, texts, 0)
    yield Case(
        "how far the first character reaches",
        run=lambda network: oracles.reach(probe.apply(network, trial), 0),
        want=oracles.CAUSAL,
    )


network = hidden(checks.network)
train_step = hidden(checks.train_step)
evaluate = hidden(checks.evaluate, _one_batch_of_all)
batch_at = hidden(checks.batch_at, _batches_that_divide)
checkpoints = hidden(checks.checkpoints)
fit = hidden(checks.fit, _interrupted_before_a_checkpoint)
memorize = hidden(checks.memorize)
train_on_budget = hidden(checks.train_on_budget)
early_stopping = hidden(checks.early_stopping, _stopping_corners)
regularization_study = hidden(checks.regularization_study, _another_study)
character_batch = hidden(checks.character_batch, _one_window)
character_model = hidden(checks.character_model, _the_first_place)
