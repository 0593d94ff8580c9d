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

STEPS, ROUNDS, BATCH = 400, 60, 64
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

    def alone() -> tuple[float, float]:
        return _seconds(lambda: stretch(lambda *_: None))

    readings = []

    def watched() -> tuple[float, float]:
        board = Dashboard(stretch, model, optimizer, steps=STEPS)
        spent = _seconds(lambda: _in_view(board))
        readings.append(board.recorder.readings / spent[0])
        return spent

    for warm_up in (alone, watched):
        warm_up()
    pairs = [(alone(), watched()) for _ in range(ROUNDS)]
    clock = [(without[0], with_it[0]) for without, with_it in pairs]
    work = [(without[1], with_it[1]) for without, with_it in pairs]
    ratios = [with_it / without for without, with_it in clock]
    quartiles = sorted(ratios)[ROUNDS // 4], sorted(ratios)[-1 - ROUNDS // 4]
    yield Table(
        "The training loop with the dashboard",
        f"Lab 05's CNN, batches of {BATCH}, {STEPS} steps a stretch; {ROUNDS} pairs of stretches in turn, medians."
        " 'Watched' is the loop in the dashboard's thread, with histograms by layer, and the kernel answering the view"
        " ten times a second. Processor time counts all threads, and depends less on what else the machine does.",
        ("", "ms a step", "ratio", "middle half of the ratios", "processor ms a step", "ratio", "updates a second"),
        (
            ("alone", _ms(clock, 0), 1.0, "", _ms(work, 0), 1.0, 0.0),
            (
                "watched",
                _ms(clock, 1),
                f"{median(ratios):.3f}",
                f"{quartiles[0]:.3f} to {quartiles[1]:.3f}",
                _ms(work, 1),
                f"{median(with_it / without for without, with_it in work):.3f}",
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


def _seconds(task: Callable[[], None]) -> tuple[float, float]:
    """On the clock, and of the processor."""
    began = time.perf_counter(), time.process_time()
    task()
    return time.perf_counter() - began[0], time.process_time() - began[1]


def _ms(pairs: list[tuple[float, float]], which: int) -> float:
    """Milliseconds a step: the median over the stretches without (0) or with (1) the dashboard."""
    return 1e3 * median(pair[which] for pair in pairs) / STEPS
