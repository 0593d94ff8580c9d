"""What watching costs: the steps of lab 05's loop with the dashboard listening, against the same loop alone."""

import time
from collections.abc import Callable, Iterator
from statistics import median

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from gradlab.handwriting import digit_images
from gradlab.widgets.dashboard import Dashboard
from gradlab_grading.bench import Table
from gradlab_grading.reference import lab_folders, reference

STEPS, ROUNDS, BATCH = 150, 12, 64
POLL_SECONDS = 0.1


def tables() -> Iterator[Table]:
    """Alternates stretches with and without the dashboard, so that both meet the same machine."""
    names = reference(lab_folders()["05-training"])
    model = names["CNN"](nnx.Rngs(0))
    tx = optax.inject_hyperparams(optax.adam)(learning_rate=1e-3)
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    data = digit_images().train
    batches = [
        tuple(map(jnp.asarray, (data.images[i : i + BATCH], data.labels[i : i + BATCH]))) for i in range(0, 1024, BATCH)
    ]

    def stretch(on_step: Callable) -> None:
        for step in range(1, STEPS + 1):
            on_step(step, *names["train_step"](model, optimizer, *batches[step % len(batches)]))
        jax.block_until_ready(nnx.state(model))

    def alone() -> float:
        return _seconds(lambda: stretch(lambda *_: None))

    readings = []

    def watched() -> float:
        board = Dashboard(stretch, model, optimizer, steps=STEPS)
        spent = _seconds(lambda: _in_view(board))
        readings.append(board.recorder.readings / spent)
        return spent

    for warm_up in (alone, watched):
        warm_up()
    pairs = [(alone(), watched()) for _ in range(ROUNDS)]
    ratios = [with_it / without for without, with_it in pairs]
    quartiles = sorted(ratios)[ROUNDS // 4], sorted(ratios)[-1 - ROUNDS // 4]
    yield Table(
        "The training loop with the dashboard",
        f"Lab 05's CNN, batches of {BATCH}, {STEPS} steps a stretch; {ROUNDS} pairs of stretches in turn, medians."
        " 'Watched' is the loop in the dashboard's thread, with histograms by layer, and the kernel answering the view"
        " ten times a second.",
        ("", "ms a step", "ratio to alone", "middle half of the ratios", "updates a second"),
        (
            ("alone", 1e3 * median(without for without, _ in pairs) / STEPS, 1.0, "", 0.0),
            (
                "watched",
                1e3 * median(with_it for _, with_it in pairs) / STEPS,
                median(ratios),
                f"{quartiles[0]:.3f} to {quartiles[1]:.3f}",
                median(readings),
            ),
        ),
    )


def _in_view(board: Dashboard) -> None:
    """Runs the dashboard as a view does: start, and ask for news ten times a second."""
    board.answer_go({"steps": 0})
    since = 0
    while not board.loop.wait(POLL_SECONDS):
        since = board.answer_news({"since": since})[0]["count"]
    if board.loop.error:
        raise RuntimeError(board.loop.error)


def _seconds(task: Callable[[], None]) -> float:
    began = time.perf_counter()
    task()
    return time.perf_counter() - began
