"""Hidden checks of lab 01, preprocessing."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.preprocessing import StandardScaler

from gradlab import records
from gradlab.checks import preprocessing as checks
from gradlab.checks import questions, verdicts
from gradlab.checks.case import Case
from gradlab.checks.draw import Draw
from gradlab_grading.hidden import hidden


def _another_table(draw: Draw) -> Iterator[Case]:
    """Wines: other columns, other ranges, another place for the category, a missing code inside of the range."""
    run, truth = checks.cleaning(draw, "bottles", 50, records.FAULTS)
    yield checks.cleaned("another table, with all faults", run=run, want=truth, weight=2)
    run, truth = checks.cleaning(draw, "bottles", 20, ())
    yield checks.cleaned("another table, without a fault", run=run, want=truth)


def _rare_class(draw: Draw) -> Iterator[Case]:
    labels = draw.rng.permutation(np.repeat([0, 5], [draw.size(50, 70), 10])).astype(np.int32)
    key = jax.random.key(checks.seed_of(draw))
    halves = (0.5, 0.3, 0.1, 0.1)
    yield Case(
        "a rare class in four parts",
        run=lambda split: verdicts.balance(split(key, labels, halves), labels, halves),
        want=verdicts.BALANCED,
    )


def _one_row(draw: Draw) -> Iterator[Case]:
    train = draw.normal(9, 3)
    want = StandardScaler().fit(train.astype(np.float64)).transform(train[:1].astype(np.float64))
    yield checks.close(
        "a single row, as in service",
        run=lambda fit, apply: apply(fit(jnp.asarray(train)), jnp.asarray(train[:1])),
        want=want,
    )


def _nothing_missing(draw: Draw) -> Iterator[Case]:
    train, new = checks.with_gaps(draw, 9, 3), np.abs(draw.normal(4, 3))
    yield checks.close(
        "rows without gaps stay as they are",
        run=lambda fit, fill: fill(fit(jnp.asarray(train)), jnp.asarray(new)),
        want=new,
        trivial=True,
    )


def _two_categories(draw: Draw) -> Iterator[Case]:
    codes = draw.rng.integers(-3, 5, 9).astype(np.int32)
    yield checks.close(
        "two categories, unknown on both sides",
        run=lambda encode: encode(jnp.asarray(codes), 2),
        want=checks.one_hot_truth(codes, 2),
    )


def _one_channel(draw: Draw) -> Iterator[Case]:
    images = draw.rng.integers(0, 40, (3, 2, 5, 1)).astype(np.uint8)
    mean, std = (np.asarray([draw.uniform(*ends)], np.float32) for ends in ((0.3, 0.6), (0.2, 0.4)))
    yield checks.close(
        "one channel",
        run=lambda scale: scale(jnp.asarray(images), jnp.asarray(mean), jnp.asarray(std)),
        want=(images.astype(np.float64) / 255 - mean) / std,
        atol=1e-5,
    )


def _one_pixel(draw: Draw) -> Iterator[Case]:
    images = draw.rng.uniform(0.1, 1, (64, 4, 5)).astype(np.float32)
    keys = jax.random.split(jax.random.key(checks.seed_of(draw)), len(images))
    yield Case(
        "at most one pixel, images that are not square",
        run=lambda augment: verdicts.variety(images, augment(keys, jnp.asarray(images), 1, True), 1),
        want=verdicts.VARIED,
    )


def _larger_than_the_data(draw: Draw) -> Iterator[Case]:
    x, y = checks.examples(draw, draw.size(5, 8))
    key = jax.random.key(checks.seed_of(draw))
    for name, size in (("a batch larger than the data", 50), ("batches of one", 1)):
        yield Case(
            name,
            run=lambda batches, size=size: verdicts.epoch(
                batches(key, 3, jnp.asarray(x), jnp.asarray(y), size), y, size
            ),
            want=verdicts.EPOCH,
        )


def _whole_batches(draw: Draw) -> Iterator[Case]:
    x, y = checks.examples(draw, 12)
    seed = draw.size(1, 10_000)
    yield Case(
        "twelve examples in batches of four",
        run=lambda make: questions.grain_epochs_verdict(make(x, y, 4, seed, 2), 3, y, 4),
        want=verdicts.EPOCH,
    )


def _larger_cohort(draw: Draw) -> Iterator[Case]:
    yield from checks.trial_cases(draw, 60, 60)


clean_records = hidden(checks.clean_records, _another_table)
split_indices = hidden(checks.split_indices, _rare_class)
scaler = hidden(checks.scaler, _one_row)
imputer = hidden(checks.imputer, _nothing_missing)
one_hot = hidden(checks.one_hot, _two_categories)
normalize_images = hidden(checks.normalize_images, _one_channel)
augment = hidden(checks.augment, _one_pixel)
epoch_batches = hidden(checks.epoch_batches, _larger_than_the_data)
grain_batches = hidden(checks.grain_batches, _whole_batches)
honest_pipeline = hidden(checks.honest_pipeline, _larger_cohort)
