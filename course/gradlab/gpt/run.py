"""The training loop: fetch a batch, step, report, save; begin where the last checkpoint ends."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Int

from gradlab.corpus import Corpus
from gradlab.gpt.batches import batch_at, place
from gradlab.gpt.checkpoints import Checkpoints
from gradlab.gpt.trainer import Metrics, Trainer, TrainState

HELD_OUT_BATCHES = 8


@dataclass(frozen=True)
class Progress:
    """Where a run is after a step. `tokens_per_second` is a mean over this call's steps, compilation left out."""

    step: int
    loss: float
    gradient_norm: float
    tokens_per_second: float
    seconds_left: float


@dataclass(frozen=True)
class Finished:
    """What a run leaves: its last state, and the loss before each update, by step from 1."""

    state: TrainState
    losses: dict[int, float]


def train(
    trainer: Trainer,
    tokens: Int[np.ndarray, " n"],
    *,
    checkpoints: Checkpoints | None = None,
    report: Callable[[Progress], None] = lambda _: None,
) -> Finished:
    """Train to the recipe's last step, from the latest checkpoint if there is one. Reports every step."""
    recipe = trainer.recipe
    state = checkpoints.restore(trainer) if checkpoints else None
    state = trainer.init() if state is None else state
    first, losses = int(state.step), {}
    clock = _Clock(recipe.batch * trainer.config.context, recipe.steps)
    # An accelerator computes a step while the loss of the last is read. On CPU emulated devices deadlock when
    # steps overlap, and nothing is gained.
    ahead: list[tuple[int, Metrics]] = []
    depth = 0 if jax.default_backend() == "cpu" else 1
    for step in range(first + 1, recipe.steps + 1):
        batch = place(batch_at(tokens, step, trainer.config, recipe), trainer.batch_sharding)
        state, metrics = trainer.step(state, batch)
        ahead.append((step, metrics))
        if checkpoints:
            checkpoints.save(step, state, trainer.config, now=step == recipe.steps)
        while len(ahead) > (depth if step < recipe.steps else 0):
            done, metrics = ahead.pop(0)
            losses[done] = float(metrics.loss)
            report(clock.progress(done, metrics))
    return Finished(state, losses)


class _Clock:
    def __init__(self, tokens: int, steps: int) -> None:
        self.tokens, self.steps, self.first, self.began = tokens, steps, 0, 0.0

    def progress(self, step: int, metrics: Metrics) -> Progress:
        now = time.perf_counter()
        # The first step compiles.
        if not self.first:
            self.first, self.began = step, now
        seconds = (now - self.began) / max(step - self.first, 1)
        rate = self.tokens / seconds if seconds else 0.0
        return Progress(step, float(metrics.loss), float(metrics.gradient_norm), rate, seconds * (self.steps - step))


def learning_curve(
    trainer: Trainer, corpus: Corpus, marks: Sequence[int], report: Callable[[int, float], None] = lambda *_: None
) -> list[float]:
    """Train to the last of `marks`, which are steps in rising order. The held-out loss at each, also reported there."""
    state, found, first = trainer.init(), [], 1
    for mark in marks:
        for step in range(first, mark + 1):
            state, metrics = trainer.step(
                state, place(batch_at(corpus.train, step, trainer.config, trainer.recipe), trainer.batch_sharding)
            )
            jax.block_until_ready(metrics)  # steps that overlap deadlock on emulated devices
        found.append(held_out_loss(trainer, state, corpus, batches=2 * HELD_OUT_BATCHES))
        report(mark, found[-1])
        first = mark + 1
    return found


def held_out_loss(trainer: Trainer, state: TrainState, corpus: Corpus, batches: int = HELD_OUT_BATCHES) -> float:
    """Mean loss on windows of text that is not trained on; the same windows at every call."""
    # Steps count from 1: those below zero would do as well, but a seed may not be negative.
    steps = range(10**9, 10**9 + batches)
    found = []
    for step in steps:
        batch = place(batch_at(corpus.held_out, step, trainer.config, trainer.recipe), trainer.batch_sharding)
        # One after the other, as steps are: overlapping programs deadlock on emulated devices.
        found.append(float(trainer.evaluate(state, batch)))
    return float(np.mean(found))
