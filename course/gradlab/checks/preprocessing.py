"""Checks of lab 01, preprocessing.

Oracles: the table from which raw records were made, scikit-learn in float64, NumPy in float64, and the pixels
themselves. Where many answers are right (a split, a shuffle), a verdict of `gradlab.checks.verdicts` is compared, and
not the draw. rtol 1e-4 is a wide margin around a few float32 operations at 6e-8 each; the atol of 1e-5 is for a value
beside its mean, of whose difference both have left 2e-6.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler

from gradlab import leaks, records
from gradlab.checks import questions, verdicts
from gradlab.checks.case import Case
from gradlab.checks.draw import Draw
from gradlab.checks.exercise import exercise
from gradlab.checks.prediction import committed
from gradlab.checks.trial import Trial
from gradlab.seam import probe
from gradlab.seam.handle import Handle

close = partial(Case, rtol=1e-4, atol=1e-5)
# Values in another unit are written with five digits.
cleaned = partial(Case, rtol=1e-3, atol=1e-6)

FAULT_CASES = {
    "numbers as text, categories in any spelling": ("types",),
    "values in another unit": ("types", "units"),
    "words and codes for missing": ("sentinels",),
    "values that cannot be": ("impossible", "units"),
    "records entered twice": ("duplicates", "types"),
    "records with a delimiter too many": ("shifts", "types"),
}
FAULT_REASONS = {
    "types": "A number may be an int, a float or text with spaces; the case of a word does not matter.",
    "units": "5.2 mmol/L of glucose are 5.2 * factor in mg/dL. Ranges are given in the column's own unit.",
    "sentinels": "A word of MISSING_WORDS, None, or the column's own missing_code: nan, and -1 for a category.",
    "impossible": "Outside of low..high, in the column's unit, nobody can know the value: nan.",
    "duplicates": "One record for each id: the first. Two people may have typed the same record differently.",
    "shifts": "A record with the key `extra` has each value one column too far right. Nothing in it is lost.",
}


def seed_of(draw: Draw) -> int:
    """A seed for what has its own generator."""
    return int(draw.rng.integers(2**31 - 1))


def cleaning(draw: Draw, table: str, count: int, faults: Sequence[str]) -> tuple[Callable, dict[str, np.ndarray]]:
    """What to call on `clean_records`, and the truth."""
    made = records.export(table, count, seed=seed_of(draw), faults=faults)
    columns = made.columns
    if "impossible" not in faults:
        # Where everything is possible, a unit that was read wrongly is seen, and not a gap.
        columns = [replace(column, low=-1e6, high=1e6) for column in columns]
    return lambda clean: clean(made.records, columns), made.truth


@exercise(points=13, visible=5, skill="data")
def clean_records(draw: Draw) -> Iterator[Case]:
    for name, faults in FAULT_CASES.items():
        # Words and codes hit few cells, and each kind of them must come.
        run, truth = cleaning(draw, "patients", 120 if "sentinels" in faults else 40, faults)
        yield cleaned(name, run=run, want=truth, because=FAULT_REASONS[faults[0]])
    run, truth = cleaning(draw, "patients", 60, records.FAULTS)
    yield cleaned("all faults at once", run=run, want=truth, weight=2)


@exercise(points=10, visible=4, skill="data")
def split_indices(draw: Draw) -> Iterator[Case]:
    sizes = [draw.size(18, 26), draw.size(7, 11), draw.size(28, 36)]
    # Sorted by class, as files often are: taking the first rows would leave classes out.
    labels = np.repeat(np.arange(3), sizes).astype(np.int32)
    three, key = (0.6, 0.25, 0.15), jax.random.key(seed_of(draw))
    groups = draw.rng.permutation(np.repeat(np.arange(20), draw.rng.multinomial(60, [0.05] * 20) + 1)).astype(np.int32)
    owners = draw.rng.integers(0, 2, len(groups)).astype(np.int32)
    yield Case(
        "three parts: disjoint and complete",
        run=lambda split: verdicts.partition(split(key, labels, three), len(labels)),
        want=verdicts.PARTITION,
        weight=2,
        because="Rounding must not lose a row: let each part begin where the one before has ended.",
    )
    yield Case(
        "each class by the fractions",
        run=lambda split: verdicts.balance(split(key, labels, three), labels, three),
        want=verdicts.BALANCED,
        weight=2,
        because="Stratified: split each class on its own, and each part has its share of it to within one row.",
    )
    yield Case(
        "groups are not torn",
        run=lambda split: verdicts.wholeness(split(key, owners, (0.7, 0.3), groups), groups),
        want=verdicts.WHOLE,
        weight=2,
        because="All rows of a patient are on one side, or the test asks about somebody whom the model knows.",
    )
    yield Case(
        "groups by the fractions",
        run=lambda split: verdicts.shares(split(key, owners, (0.7, 0.3), groups), groups, (0.7, 0.3)),
        want=verdicts.SHARES,
        because="With groups, the fractions are fractions of the number of groups, to within one.",
    )
    for name, grouping in (("the key decides", None), ("the key decides, with groups", groups)):
        yield Case(
            name,
            run=lambda split, g=grouping: questions.same_split(split, 11, owners if g is not None else labels, g),
            want="the key decides",
            trivial=True,
            because="The same key gives the same split, another key another one. Nothing else is random.",
        )


@exercise(points=7, visible=3, skill="numerics", arguments=("fit_scaler", "apply_scaler"))
def scaler(draw: Draw) -> Iterator[Case]:
    train, new = draw.normal(draw.size(9, 14), 4, scale=3.0) + 2, draw.normal(5, 4, scale=5.0) - 1
    train[:, 2] = new[0, 2] = draw.uniform(2, 5)
    oracle = StandardScaler().fit(train.astype(np.float64))
    given = {"mean": draw.normal(4), "scale": np.abs(draw.normal(4)) + 0.5}
    yield close(
        "the statistics of each column, one of them constant",
        run=lambda fit, apply: fit(jnp.asarray(train)),
        want={"mean": oracle.mean_, "scale": oracle.scale_},
        weight=2,
        because="The root of the mean squared deviation, divided by n. A column that does not vary gets the scale 1.",
    )
    yield close(
        "new rows by given statistics",
        run=lambda fit, apply: apply(jax.tree.map(jnp.asarray, given), jnp.asarray(new)),
        want=(new.astype(np.float64) - given["mean"]) / given["scale"],
        weight=2,
        because="Whatever the new rows look like, the statistics that were fitted are used.",
    )
    yield close(
        "fitted on training rows, applied to others",
        run=lambda fit, apply: apply(fit(jnp.asarray(train)), jnp.asarray(new)),
        want=oracle.transform(new.astype(np.float64)),
        weight=2,
    )
    far = draw.normal(60, 2) + 3000
    yield Case(
        "values far from zero",
        run=lambda fit, apply: apply(fit(jnp.asarray(far)), jnp.asarray(far)),
        want=StandardScaler().fit_transform(far.astype(np.float64)),
        rtol=1e-2,  # float32 near 3000 has steps of 2.4e-4; the square of 3000 has steps of 1
        atol=1e-2,
        because="Subtract the mean before you square. E[x^2] - E[x]^2 is the difference of two large numbers.",
    )


def with_gaps(draw: Draw, rows: int, columns: int, share: float = 0.3) -> np.ndarray:
    """Skewed numbers, some of them zero, with gaps in each column but at least one value."""
    x = np.exp(draw.normal(rows, columns)).astype(np.float32)
    x[draw.rng.random(x.shape) < 0.15] = 0.0
    x[draw.rng.random(x.shape) < share] = np.nan
    x[0], x[1, 0] = 7.0, np.nan
    return x


@exercise(points=7, visible=3, skill="data", arguments=("fit_imputer", "apply_imputer"))
def imputer(draw: Draw) -> Iterator[Case]:
    train, new = with_gaps(draw, 13, 4), with_gaps(draw, 6, 4, 0.5)
    oracle = SimpleImputer(strategy="median", keep_empty_features=True).fit(train.astype(np.float64))
    given = np.abs(draw.normal(4))
    yield close(
        "the median of the values that are there",
        run=lambda fit, apply: fit(jnp.asarray(train)),
        want={"fill": oracle.statistics_},
        weight=2,
        because="The median of each column, gaps left out. A zero is a value.",
    )
    yield close(
        "new rows by a given filling",
        run=lambda fit, apply: apply({"fill": jnp.asarray(given)}, jnp.asarray(new)),
        want=np.where(np.isnan(new), given, new),
        weight=2,
        because="What is there stays; a gap gets what was fitted, and not a statistic of the new rows.",
    )
    empty = train.copy()
    empty[:, 1] = np.nan
    blank = SimpleImputer(strategy="median", keep_empty_features=True).fit(empty.astype(np.float64))
    yield close(
        "a column with nothing in it",
        run=lambda fit, apply: apply(fit(jnp.asarray(empty)), jnp.asarray(new)),
        want=blank.transform(new.astype(np.float64)),
        because="Where there is no value, there is no median: fill with 0.",
    )


def one_hot_truth(codes: np.ndarray, count: int) -> np.ndarray:
    """Entry (i, c) is 1 where code i is c, and 0 elsewhere."""
    return (codes[:, None] == np.arange(count)).astype(np.float64)


@exercise(points=6, visible=2, skill="data")
def one_hot(draw: Draw) -> Iterator[Case]:
    count, rows = draw.size(4, 6), draw.size(7, 9)
    known = draw.rng.integers(0, count - 1, rows).astype(np.int32)  # the last category does not come up
    strange = known.copy()
    strange[[1, 3, 4]] = -1, count, count + 2
    for name, codes in (("categories that are known", known), ("unknown categories", strange)):
        yield close(
            name,
            run=lambda encode, codes=codes: encode(jnp.asarray(codes), count),
            want=one_hot_truth(codes, count),
            because="A code below 0, or from count on, is a category that training has not seen: a row of zeros.",
        )
    yield close(
        "traced by jax.jit",
        run=lambda encode: probe.program(encode, jnp.asarray(strange), count).run(),
        want=one_hot_truth(strange, count),
        because="Inside jit the codes are tracers: no NumPy, no Python loop over them, no width that depends on them.",
    )


@exercise(points=6, visible=2, skill="numerics")
def normalize_images(draw: Draw) -> Iterator[Case]:
    images = draw.rng.integers(0, 256, (2, 3, 4, 3)).astype(np.uint8)
    images[0, 0, 0] = 0, 255, 0
    mean, std = (draw.rng.uniform(low, high, 3).astype(np.float32) for low, high in ((0.3, 0.6), (0.15, 0.4)))
    want = (images.astype(np.float64) / 255 - mean) / std
    yield close(
        "pixels in 0..255 to about zero mean",
        run=lambda normalize: normalize(jnp.asarray(images), jnp.asarray(mean), jnp.asarray(std)),
        want=want,
        atol=1e-5,
        weight=2,
        because="(pixel / 255 - mean) / std, for each channel, and the channel is the last axis.",
    )
    dark = (images // 8).astype(np.uint8)
    yield close(
        "dark images as numpy arrays",
        run=lambda normalize: normalize(dark, mean, std),
        want=(dark.astype(np.float64) / 255 - mean) / std,
        atol=1e-5,
        because="uint8 cannot be negative: 3 - 5 is 254. Make floating point numbers first.",
    )


@exercise(points=9, visible=4, skill="randomness")
def augment(draw: Draw) -> Iterator[Case]:
    images = draw.rng.uniform(0.1, 1, (64, 6, 6)).astype(np.float32)
    seed, limit = seed_of(draw) // 2, 2
    keys = jax.random.split(jax.random.key(seed), len(images))
    ask = (keys, jnp.asarray(images), limit)
    yield Case(
        "each image is shifted, with zeros behind it",
        run=lambda augment: verdicts.shifted(images, augment(*ask, True), limit),
        want=verdicts.SHIFTED,
        weight=2,
        because="What leaves the image is gone, and zeros come in. jnp.roll brings it in at the other side.",
    )
    yield Case(
        "every shift comes up, on both axes",
        run=lambda augment: verdicts.variety(images, augment(*ask, True), limit),
        want=verdicts.VARIED,
        weight=2,
        because="From -max_shift to max_shift, both included, down and right drawn apart: a key is used once.",
    )
    yield Case(
        "each example has its own key",
        run=lambda augment: questions.own_keys(augment, images, seed, limit),
        want="each example by its own key",
        weight=2,
        because="Results move with their keys, and the key of a neighbour changes nothing.",
    )
    yield Case(
        "at evaluation the images stay as they are",
        run=lambda augment: verdicts.still(images, augment(*ask, False), limit),
        want=verdicts.STILL,
        trivial=True,
        because="Augmentation makes training harder. A test must ask the same question each time.",
    )
    yield Case(
        "under jax.jit",
        run=lambda augment: verdicts.variety(images, questions.jitted(augment, ask), limit),
        want=verdicts.VARIED,
        because="Inside a jitted training step the keys are tracers: the shift may not become a Python int.",
    )


def examples(draw: Draw, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs, shape (count, 3), and labels that are unique, so that each example can be followed."""
    return draw.normal(count, 3), draw.rng.permutation(1000)[:count].astype(np.int32)


@exercise(points=10, visible=4, skill="data")
def epoch_batches(draw: Draw) -> Iterator[Case]:
    size, full = draw.size(4, 5), draw.size(3, 4)
    x, y = examples(draw, size * full + draw.size(1, size - 1))
    key = jax.random.key(seed_of(draw))

    def run(epochs: Sequence[int], rows: int, verdict: Callable[[Any], str]) -> Callable:
        arrays = jnp.asarray(x[:rows]), jnp.asarray(y[:rows])
        return lambda batches: verdict([batches(key, epoch, *arrays, size) for epoch in epochs])

    yield Case(
        "every example once, the last batch short",
        run=run([1], len(y), lambda epochs: verdicts.epoch(epochs[0], y, size)),
        want=verdicts.EPOCH,
        weight=2,
        because="Full batches, and what is left over in a short one. Nothing is dropped, nothing is padded.",
    )
    yield Case(
        "a batch size that divides the data",
        run=run([1], size * full, lambda epochs: verdicts.epoch(epochs[0], y[: size * full], size)),
        want=verdicts.EPOCH,
        because="No empty batch at the end, and no full one forgotten.",
    )
    yield Case(
        "inputs stay beside their labels",
        run=run([2], len(y), lambda epochs: verdicts.pairing(epochs[0], x, y)),
        want=verdicts.PAIRED,
        weight=2,
        because="One permutation for both.",
    )
    yield Case(
        "each epoch in another order, the same again for the same key",
        run=run([0, 1, 2, 0], len(y), lambda epochs: questions.orders(epochs, y)),
        want="each epoch in its own order",
        weight=2,
        because="Fold the number of the epoch into the key: the order can be repeated, and no two epochs share it.",
    )


@exercise(points=8, visible=3, skill="frameworks")
def grain_batches(draw: Draw) -> Iterator[Case]:
    # grain's shuffle takes milliseconds for each index of a small dataset: whole epochs are read as rarely as can be.
    size, full = draw.size(4, 5), 4
    x, y = examples(draw, full * size + draw.size(1, size - 1))
    seed, each = draw.size(1, 10_000), full + 1

    def first_of(make: Handle, epoch: int, **changed: Any) -> tuple:
        given = {"seed": seed, "epochs": 2} | changed
        return questions.grain_batch(make(x, y, size, given["seed"], given["epochs"]), epoch * each)

    yield Case(
        "every example once in each epoch, the last batch short",
        run=lambda make: questions.grain_epochs_verdict(make(x, y, size, seed, 2), each, y, size),
        want=verdicts.EPOCH,
        weight=2,
        because="Shuffle, then batch, then repeat: what stands behind repeat mixes the epochs.",
    )
    yield Case(
        "inputs stay beside their labels",
        run=lambda make: verdicts.pairing([first_of(make, 0)], x, y),
        want=verdicts.PAIRED,
        because="Shuffle row numbers, and look both up by the same one.",
    )
    yield Case(
        "each epoch in another order, the same again for the same seed",
        run=lambda make: questions.orders([[first_of(make, epoch)] for epoch in (0, 1, 0)], y),
        want="each epoch in its own order",
        weight=2,
    )
    yield Case(
        "another order for another seed",
        run=lambda make: verdicts.order([first_of(make, 0)]) != verdicts.order([first_of(make, 0, seed=seed + 1)]),
        want=True,
        because="The seed that is handed in decides the order.",
    )
    yield Case(
        "an example meets others in the next epoch",
        run=lambda make: questions.companions(make(x, y, size, seed, 2), each),
        want="other batches",
        because="Shuffled batches of the same rows are not a shuffle of examples.",
    )


@exercise(points=2, visible=2, skill="evaluation", arguments=("accuracy_guess",))
def accuracy_guess(draw: Draw) -> Iterator[Case]:
    yield committed(most=1)


def trial_cases(draw: Draw, patients: int, assays: int) -> Iterator[Case]:
    """The questions to a pipeline, on one cohort; the pipeline is run once for what all of them need."""
    case, seed = leaks.cohort(seed_of(draw), patients=patients, assays=assays), seed_of(draw)
    questions = (
        ("the model of the exercise", Trial.agrees, "the honest model", 2, "Impute, scale, choose 20, 3 neighbours."),
        ("no patient is on both sides", Trial.sides, verdicts.WHOLE, 2, "Split by patient: groups=patient."),
        ("three tenths of the patients for testing", Trial.share, verdicts.SHARES, 1, "Fractions (0.7, 0.3)."),
        (
            "columns of the future are left out",
            Trial.sees_the_future,
            "the future is not used",
            2,
            "`after` marks what is known only when the outcome is: no model in service will have it.",
        ),
        (
            "test rows are not fitted on",
            Trial.sees_other_test_rows,
            "fitted on the training rows",
            2,
            "The prediction for a row changed when other test rows did: gaps, scales or columns come from all rows.",
        ),
        (
            "test labels are not used",
            Trial.sees_test_labels,
            "test labels are not used",
            2,
            "Which columns are chosen depends on labels: choose by the training rows alone.",
        ),
    )
    for name, question, want, weight, because in questions:
        yield Case(
            name,
            run=lambda pipeline, question=question: question(Trial(pipeline, case, seed)),
            want=want,
            weight=weight,
            because=because,
        )


@exercise(points=12, visible=5, skill="evaluation")
def honest_pipeline(draw: Draw) -> Iterator[Case]:
    yield from trial_cases(draw, 40, 150)
