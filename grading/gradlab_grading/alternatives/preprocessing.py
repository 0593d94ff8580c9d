"""Correct but different implementations of lab 01, preprocessing."""

import re

import grain
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GroupShuffleSplit, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gradlab import leaks
from gradlab.records import EXTRA, MISSING_WORDS
from gradlab_grading.alternatives import alternative


@alternative(of="clean_records")
def with_pandas(records, columns):
    """A data frame: unshift, drop duplicates by id, then whole columns at a time."""
    frame = pd.DataFrame(records, dtype=object)
    if EXTRA in frame:
        late = np.array([EXTRA in record for record in records])
        names = [column.name for column in columns]
        frame.loc[late, names] = frame.loc[late, [*names[1:], EXTRA]].to_numpy()
    frame = frame.drop_duplicates("id")
    table = {"id": frame["id"].to_numpy(np.int64)}
    for column in columns:
        text = frame[column.name].map(lambda cell: "" if cell is None else str(cell).strip())
        if column.words:
            codes = {word: code for code, words in enumerate(column.words) for word in words}
            table[column.name] = text.str.lower().map(codes).fillna(-1).to_numpy(np.int64)
            continue
        parts = text.str.split(n=1, expand=True).reindex(columns=[0, 1])
        numbers = pd.to_numeric(parts[0], errors="coerce").to_numpy(np.float64)
        numbers = np.where(parts[1].notna(), numbers * column.factor, numbers)
        bad = (numbers < column.low) | (numbers > column.high) | (numbers == column.missing_code)
        table[column.name] = np.where(bad, np.nan, numbers)
    return table


@alternative(of="clean_records")
def with_a_regular_expression(records, columns):
    """One pattern for a number with a unit, lists of rows, the last step transposes."""
    pattern = re.compile(r"\s*(-?[\d.]+(?:e[+-]?\d+)?)\s*(\S.*?)?\s*$")
    seen, rows = set(), []
    for record in records:
        if record["id"] in seen:
            continue
        seen.add(record["id"])
        cells = list(record.values())[1:]
        rows.append([record["id"], *(_read(pattern, *pair) for pair in zip(cells[EXTRA in record :], columns))])  # noqa: B905
    transposed = list(zip(*rows, strict=True))
    return {name: np.array(v) for name, v in zip(["id", *(c.name for c in columns)], transposed, strict=True)}


def _read(pattern, cell, column):
    text = str(cell)
    if column.words:
        return max((k for k, words in enumerate(column.words) if text.strip().lower() in words), default=-1)
    match = None if text.strip() in MISSING_WORDS else pattern.match(text)
    if match is None:
        return float("nan")
    value = float(match[1]) * (column.factor if match[2] else 1)
    possible = column.low <= value <= column.high and value != column.missing_code
    return value if possible else float("nan")


@alternative(of="split_indices")
def by_rank_of_random_numbers(key, labels, fractions, groups=None):
    """A random number for each unit; its rank within the class, divided by the size, decides the part."""
    labels = np.asarray(labels)
    units = np.arange(len(labels)) if groups is None else np.unique(groups)
    classes = labels if groups is None else np.zeros(len(units), int)
    noise = np.asarray(jax.random.uniform(key, (len(units),)))
    part = np.empty(len(units), int)
    for value in np.unique(classes):
        members = np.flatnonzero(classes == value)
        rank = noise[members].argsort().argsort()
        edges = np.rint(np.cumsum(fractions)[:-1] * len(members))
        part[members] = np.searchsorted(edges, rank, side="right")
    own = part if groups is None else part[np.searchsorted(units, groups)]
    return tuple(np.flatnonzero(own == j) for j in range(len(fractions)))


@alternative(of="split_indices")
def as_jax_arrays(key, labels, fractions, groups=None):
    """Deals a shuffled class out with jnp, and gives JAX arrays in a list."""
    rows = jnp.arange(len(labels))
    parts = [[] for _ in fractions]
    units = jnp.asarray(labels) if groups is None else jnp.asarray(groups)
    if groups is not None:
        owners = jax.random.permutation(key, jnp.unique(units))
        pools = [(owners, lambda chosen: rows[jnp.isin(units, chosen)])]
    else:
        keys = {int(c): jax.random.fold_in(key, int(c)) for c in np.unique(labels)}
        pools = [(jax.random.permutation(k, rows[units == c]), lambda chosen: chosen) for c, k in keys.items()]
    for pool, to_rows in pools:
        done = 0
        for j in range(len(fractions)):
            stop = round(len(pool) * sum(fractions[: j + 1]))
            parts[j].append(to_rows(pool[done:stop]))
            done = stop
    return [jnp.concatenate(part) for part in parts]


@alternative(of="scaler")
def scaler_by_sklearn():
    """The library's, in float64."""

    def fit(x):
        fitted = StandardScaler().fit(np.asarray(x, np.float64))
        return {"mean": fitted.mean_, "scale": fitted.scale_}

    return fit, lambda scaler, x: (np.asarray(x, np.float64) - scaler["mean"]) / scaler["scale"]


@alternative(of="scaler")
def scaler_through_lax():
    """Broadcasting by hand, and a product with the reciprocal."""

    def fit(x):
        mean = jnp.sum(x, 0) / len(x)
        spread = jnp.linalg.norm(x - mean[None], axis=0) / jnp.sqrt(len(x))
        flat = jnp.all(x == x[:1], axis=0)
        return {"scale": spread * ~flat + flat, "mean": mean}

    return fit, jax.vmap(lambda scaler, row: jnp.multiply(row - scaler["mean"], 1 / scaler["scale"]), (None, 0))


@alternative(of="imputer")
def imputer_by_sklearn():
    """The library's."""

    def fit(x):
        return {"fill": SimpleImputer(strategy="median", keep_empty_features=True).fit(np.asarray(x)).statistics_}

    return fit, lambda imputer, x: np.where(np.isnan(x), imputer["fill"], x)


@alternative(of="imputer")
def imputer_by_sorting():
    """Sorts each column (nan comes last) and takes the middle of what is there."""

    def fit(x):
        fills = []
        for column in np.asarray(x).T:
            there = np.sort(column[~np.isnan(column)])
            middle = len(there) // 2
            fills.append(np.mean(there[[middle - (len(there) % 2 == 0), middle]]) if len(there) else 0.0)
        return {"fill": jnp.asarray(np.array(fills, np.float32))}

    def apply(imputer, x):
        gaps = jnp.isnan(x)
        return jnp.nan_to_num(x) * ~gaps + imputer["fill"][None] * gaps

    return fit, apply


@alternative(of="one_hot")
def one_hot_by_jax(codes, count):
    """The library's, which gives zeros for what is out of range."""
    return jax.nn.one_hot(codes, count)


@alternative(of="one_hot")
def one_hot_by_scatter(codes, count):
    """Writes ones into zeros; what is out of range is moved past the end and dropped."""
    place = jnp.where((codes < 0) | (codes >= count), count, codes)
    return jnp.zeros((codes.shape[0], count)).at[jnp.arange(codes.shape[0]), place].set(1.0, mode="drop")


@alternative(of="normalize_images")
def normalized_in_float64(images, mean, std):
    """NumPy in double precision, multiplied out."""
    scale = 1 / (255.0 * np.asarray(std, np.float64))
    return (np.asarray(images) * scale - np.asarray(mean, np.float64) / np.asarray(std)).astype(np.float32)


@alternative(of="normalize_images")
def normalized_by_a_table(images, mean, std):
    """Looks each byte up in a table of 256 rows."""
    table = (jnp.arange(256, dtype=jnp.float32)[:, None] / 255 - jnp.asarray(mean)[None]) / jnp.asarray(std)[None]
    return jax.vmap(lambda column, pixels: column[pixels], (1, -1), -1)(table, jnp.asarray(images).astype(jnp.int32))


@alternative(of="augment")
def with_roll_and_mask(keys, images, max_shift, training):
    """Rolls, and wipes what came in at the other side."""
    if not training:
        return images
    _, height, width = images.shape

    def one(key, image):
        down, right = jax.random.randint(key, (2,), -max_shift, max_shift + 1)
        rows, columns = jnp.arange(height) - down, jnp.arange(width) - right
        inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))[None, :]
        return jnp.where(inside, jnp.roll(image, (down, right), (0, 1)), 0)

    return jax.vmap(one)(keys, images)


@alternative(of="augment")
def with_shift_matrices(keys, images, max_shift, training):
    """A shift is a product with a matrix that has ones beside its diagonal."""
    if not training:
        return images
    drawn = jax.vmap(lambda key: jax.random.choice(key, jnp.arange(-max_shift, max_shift + 1), (2,)))(keys)
    down = jax.vmap(lambda k: _shift_matrix(images.shape[1], k))(drawn[:, 0])
    right = jax.vmap(lambda k: _shift_matrix(images.shape[2], k))(drawn[:, 1])
    return jnp.einsum("nij,njk,nlk->nil", down, images, right)


def _shift_matrix(size, by):
    place = jnp.arange(size)
    return (place[:, None] - place[None, :] == by).astype(jnp.float32)


@alternative(of="epoch_batches")
def gathered_then_split(key, epoch, x, y, batch_size):
    """Shuffles whole arrays, then cuts them with np.split."""
    key = jax.random.split(key, epoch + 1)[epoch]
    place = np.argsort(np.asarray(jax.random.uniform(key, (len(x),))))
    cuts = range(batch_size, len(x), batch_size)
    shuffled = np.asarray(x)[place], np.asarray(y)[place]
    return list(zip(*(np.split(part, cuts) for part in shuffled), strict=True))


@alternative(of="epoch_batches")
def numpy_seeded_by_the_key(key, epoch, x, y, batch_size):
    """NumPy's generator, seeded by the key's bits and the epoch, and a tuple of batches."""
    rng = np.random.default_rng([*np.asarray(jax.random.key_data(key)).tolist(), epoch])
    rows = rng.permutation(len(x))
    return tuple((x[part], y[part]) for part in np.array_split(rows, range(batch_size, len(rows), batch_size)))


@alternative(of="grain_batches")
def grain_from_a_source(x, y, batch_size, seed, epochs):
    """The dataset's own seed, and a source of examples."""
    source = [{"x": row, "y": label} for row, label in zip(x, y, strict=True)]
    return grain.MapDataset.source(source).seed(seed).shuffle().batch(batch_size).repeat(epochs)


@alternative(of="grain_batches")
def grain_that_looks_up_batches(x, y, batch_size, seed, epochs):
    """Batches of row numbers, looked up all at once."""
    rows = grain.MapDataset.range(0, len(x)).shuffle(seed).batch(batch_size)
    return rows.repeat(epochs).map(lambda places: {"y": y[places], "x": x[places]})


def _sklearn_model():
    steps = SimpleImputer(strategy="median"), StandardScaler(), SelectKBest(f_classif, k=leaks.FEATURES)
    return make_pipeline(*steps, KNeighborsClassifier(leaks.NEIGHBORS))


@alternative(of="honest_pipeline")
def pipeline_by_sklearn(key, x, y, patient, after):
    """The library's splitter and pipeline."""
    x, y = np.asarray(x)[:, ~np.asarray(after)], np.asarray(y)
    seed = int(jax.random.randint(key, (), 0, 2**31 - 1))
    splitter = GroupShuffleSplit(1, test_size=0.3, random_state=seed)
    train, test = next(splitter.split(x, y, np.asarray(patient)))
    return train, test, _sklearn_model().fit(x[train], y[train]).predict(x[test])


@alternative(of="honest_pipeline")
def patients_split_by_their_outcome(key, x, y, patient, after):
    """Patients are split so that both outcomes keep their share; rows come shuffled."""
    x, y, patient = np.asarray(x), np.asarray(y), np.asarray(patient)
    seed = int(jax.random.bits(key)) // 2
    people, first = np.unique(patient, return_index=True)
    _, tested = train_test_split(people, test_size=0.3, stratify=y[first], random_state=seed)
    rows = np.random.default_rng(seed).permutation(len(y))
    test = rows[np.isin(patient[rows], tested)]
    train = rows[~np.isin(patient[rows], tested)]
    known = np.flatnonzero(~np.asarray(after))
    model = _sklearn_model().fit(x[np.ix_(train, known)], y[train])
    return train, test, model.predict(x[np.ix_(test, known)])
