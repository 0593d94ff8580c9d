"""The misconceptions of lab 01, preprocessing: wrong implementations with the belief behind each."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.impute import SimpleImputer
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from gradlab import leaks
from gradlab.checks.mistake import mistake
from gradlab.records import EXTRA

# --- clean_records: one cleaner with a switch for each thing that can be left out


def _clean(
    raw,
    columns,
    *,
    dedupe="first",
    unshift="left",
    use_units=True,
    factor=lambda f: f,
    codes=True,
    outside="drop",
    before_units=False,
    gap=np.nan,
    gap_code=-1,
    fold=str.lower,
):
    rows = [_realigned(r, columns) if unshift == "left" else r for r in raw if unshift != "drop" or EXTRA not in r]
    if dedupe == "first":
        rows = [r for i, r in enumerate(rows) if r["id"] not in {q["id"] for q in rows[:i]}]
    elif dedupe == "last":
        later = {r["id"]: r for r in rows}
        rows = [later[i] for i in dict.fromkeys(r["id"] for r in rows)]
    elif dedupe == "equal":
        rows = [r for i, r in enumerate(rows) if r not in rows[:i]]

    def quantity(cell, c):
        parts = "" if cell is None else str(cell).split()
        try:
            raw_value = float(parts[0])
        except (IndexError, ValueError):
            return gap
        scaled = raw_value * factor(c.factor) if len(parts) > 1 and use_units else raw_value
        if (codes and scaled == c.missing_code) or (codes is None and cell == c.missing_code):
            return gap
        judged = raw_value if before_units else scaled
        if outside == "drop":
            return scaled if c.low <= judged <= c.high else gap
        return float(np.clip(scaled, c.low, c.high)) if outside == "clip" else scaled

    def label(cell, c):
        text = fold(str(cell).strip())
        return next((k for k, spelled in enumerate(c.words) if text in spelled), gap_code)

    out = {"id": np.asarray([r["id"] for r in rows], int)}
    for c in columns:
        out[c.name] = np.asarray([(label if c.words else quantity)(r[c.name], c) for r in rows])
    return out


def _realigned(record, columns):
    if EXTRA not in record:
        return record
    keys = [c.name for c in columns]
    fields = [record[k] for k in keys] + [record[EXTRA]]
    return {"id": record["id"], **{k: fields[i + 1] for i, k in enumerate(keys)}}


@mistake(of="clean_records")
def units_are_only_text(records, columns):
    """What stands behind a number is decoration.

    5.2 mmol/L is not 5.2 mg/dL. Multiply by the column's factor where the other unit is written.
    """
    return _clean(records, columns, use_units=False)


@mistake(of="clean_records")
def units_converted_the_wrong_way(records, columns):
    """The factor divides.

    One other_unit is worth `factor` units, so a value in the other unit is multiplied.
    """
    return _clean(records, columns, factor=lambda f: 1 / f)


@mistake(of="clean_records")
def range_looked_at_before_the_unit(records, columns):
    """A number outside of the range is impossible, whatever stands behind it.

    low and high are in the column's own unit. Convert first, then compare.
    """
    return _clean(records, columns, before_units=True)


@mistake(of="clean_records")
def the_code_for_missing_is_a_number(records, columns):
    """Only words mean that a value is missing.

    99 as an age passes every range. A column's missing_code means missing too.
    """
    return _clean(records, columns, codes=False)


@mistake(of="clean_records")
def the_code_for_missing_as_a_number_only(records, columns):
    """A cell is missing if it equals the code.

    "99" does not equal 99. Read the number first, and then compare it with the code.
    """
    return _clean(records, columns, codes=None)


@mistake(of="clean_records")
def impossible_values_clipped(records, columns):
    """A value that is too large is set to the largest one possible.

    That invents a measurement. Nobody knows what was meant: missing.
    """
    return _clean(records, columns, outside="clip")


@mistake(of="clean_records")
def impossible_values_kept(records, columns):
    """What can be read as a number is one.

    A negative blood pressure can be read. Compare with low and high.
    """
    return _clean(records, columns, outside="keep")


@mistake(of="clean_records")
def missing_is_zero(records, columns):
    """A gap counts as zero.

    Zero is a measurement, and here an impossible one. A missing number is nan.
    """
    return _clean(records, columns, gap=0.0)


@mistake(of="clean_records")
def unknown_category_is_the_first(records, columns):
    """A category that is missing gets code 0.

    Then a missing word turns into the first word. Its code is UNKNOWN_CODE.
    """
    return _clean(records, columns, gap_code=0)


@mistake(of="clean_records")
def duplicates_left_in(records, columns):
    """Every record counts.

    A record that was entered twice counts twice, and later stands on both sides of a split. One for each id.
    """
    return _clean(records, columns, dedupe="none")


@mistake(of="clean_records")
def only_equal_records_are_duplicates(records, columns):
    """Duplicates are records that are equal in every cell.

    The same record typed by two people differs: 97 and "97.0". Compare ids.
    """
    return _clean(records, columns, dedupe="equal")


@mistake(of="clean_records")
def shifted_records_read_as_they_stand(records, columns):
    """A cell belongs to the column that it stands in.

    Not where a delimiter too many has pushed it to the right. Use what is under the key `extra`.
    """
    return _clean(records, columns, unshift="no")


@mistake(of="clean_records")
def shifted_records_dropped(records, columns):
    """A record that is broken is thrown away.

    Nothing in it is lost: each value stands one column too far right.
    """
    return _clean(records, columns, unshift="drop")


@mistake(of="clean_records")
def case_of_words_matters(records, columns):
    """FEMALE is another word than female.

    Strip the spaces and lower the case before you look a word up.
    """
    return _clean(records, columns, fold=str)


@mistake(of="clean_records")
def records_with_gaps_dropped(records, columns):
    """A record with a gap is of no use.

    The other values are. Dropping them loses most of the data, and rarely at random.
    """
    table = _clean(records, columns)
    numbers = np.stack([table[c.name] for c in columns if not c.words])
    whole = ~np.isnan(numbers).any(axis=0)
    return {name: values[whole] for name, values in table.items()}


# --- split_indices


def _chunks(members, fractions):
    edges = [round(sum(fractions[:i]) * len(members)) for i in range(len(fractions) + 1)]
    return [members[a:b] for a, b in pairwise(edges)]


def _mixed(key, members):
    return np.asarray(members)[np.asarray(jax.random.permutation(key, len(members)))]


def _grouped(key, groups, fractions):
    return tuple(np.flatnonzero(np.isin(groups, c)) for c in _chunks(_mixed(key, np.unique(groups)), fractions))


def _stratified(labels, fractions, shuffle):
    cuts = [_chunks(shuffle(i, np.flatnonzero(np.asarray(labels) == v)), fractions) for i, v in enumerate(set(labels))]
    return tuple(np.concatenate([cut[part] for cut in cuts]) for part in range(len(fractions)))


@mistake(of="split_indices")
def stratification_lost(key, labels, fractions, groups=None):
    """A shuffle of all rows is fair to each class.

    On average it is. A class of ten rows may still miss a part of 15 %. Split each class on its own.
    """
    if groups is not None:
        return _grouped(key, groups, fractions)
    return tuple(_chunks(_mixed(key, np.arange(len(labels))), fractions))


@mistake(of="split_indices")
def nothing_shuffled(key, labels, fractions, groups=None):
    """The first rows are as good as any.

    Files are sorted, by date or by hospital, and the key is there to be used. Permute first.
    """
    if groups is not None:
        return tuple(np.flatnonzero(np.isin(groups, c)) for c in _chunks(np.unique(groups), fractions))
    return _stratified(np.asarray(labels).tolist(), fractions, lambda i, members: members)


@mistake(of="split_indices")
def rows_lost_to_rounding(key, labels, fractions, groups=None):
    """Each part has int(fraction * n) rows.

    The parts then need not add up. Let each part begin where the one before has ended.
    """
    sizes = lambda m: np.cumsum([int(f * len(m)) for f in fractions])  # noqa: E731
    cut = lambda m: np.split(m, sizes(m))[: len(fractions)]  # noqa: E731
    if groups is not None:
        return tuple(np.flatnonzero(np.isin(groups, c)) for c in cut(_mixed(key, np.unique(groups))))
    found = [cut(_mixed(jax.random.fold_in(key, int(v)), np.flatnonzero(labels == v))) for v in np.unique(labels)]
    return tuple(np.concatenate(p) for p in zip(*found, strict=True))


@mistake(of="split_indices")
def parts_drawn_apart(key, labels, fractions, groups=None):
    """Each part is drawn at random from all rows.

    Then a row is in two parts, and the test asks what was learned by heart. Cut one permutation.
    """
    members = np.arange(len(labels)) if groups is None else np.unique(groups)
    parts = [
        _mixed(k, members)[: round(f * len(members))]
        for f, k in zip(fractions, jax.random.split(key, len(fractions)), strict=True)
    ]
    return tuple(parts if groups is None else [np.flatnonzero(np.isin(groups, p)) for p in parts])


@mistake(of="split_indices")
def groups_torn(key, labels, fractions, groups=None):
    """Rows are split, whoever they belong to.

    The model then knows the patients of the test set. Split the groups, and take all rows of each.
    """
    shuffle = lambda i, members: _mixed(jax.random.fold_in(key, i), members)  # noqa: E731
    return _stratified(np.asarray(labels).tolist(), fractions, shuffle)


@mistake(of="split_indices")
def masks_for_row_numbers(key, labels, fractions, groups=None):
    """A part is a mask: True for the rows that are in it.

    A mask would do, but row numbers are asked for. jnp.flatnonzero makes them from a mask.
    """
    members = np.arange(len(labels)) if groups is None else np.unique(groups)
    owners = members if groups is None else np.asarray(groups)
    return tuple(np.isin(owners, chunk) for chunk in _chunks(_mixed(key, members), fractions))


@mistake(of="split_indices")
def always_the_same_split(key, labels, fractions, groups=None):
    """A split must be reproducible, so it has a seed of its own.

    The key makes it reproducible. With a seed inside, another key cannot give another split.
    """
    own = jax.random.key(42)
    if groups is not None:
        return _grouped(own, groups, fractions)
    return _stratified(np.asarray(labels).tolist(), fractions, lambda i, m: _mixed(jax.random.fold_in(own, i), m))


# --- scaler


@mistake(of="scaler")
def no_variance_divided_by(x):
    """The standard deviation is the scale, whatever it is.

    A column that does not vary has 0, and 0 / 0 is nan. Its scale is 1. Do not ask whether the deviation is exactly 0:
    in float32 it may be 1e-7, since the mean is rounded. Compare the column's largest and smallest value.
    """
    return {"mean": x.mean(0), "scale": jnp.sqrt(((x - x.mean(0)[None]) ** 2).mean(0)) * (x.max(0) > x.min(0))}


def _unless_constant(x, spread):
    return jnp.where(x.max(0) > x.min(0), spread, 1.0)


@mistake(of="scaler")
def divided_by_n_minus_one(x):
    """A standard deviation divides by n - 1.

    That estimates a population's. Here, as in scikit-learn, the deviation of these rows is meant: divide by n.
    """
    return {"mean": x.mean(0), "scale": _unless_constant(x, x.std(0, ddof=1))}


@mistake(of="scaler")
def variance_as_scale(x):
    """The scale is the variance.

    It is the root of the variance: the scale must have the column's unit.
    """
    return {"mean": x.mean(0), "scale": _unless_constant(x, x.var(0))}


@mistake(of="scaler")
def one_scale_for_the_table(x):
    """One mean and one deviation for all numbers.

    Each column has its own unit, and needs its own: axis=0.
    """
    return {"mean": jnp.full(x.shape[1], x.mean()), "scale": jnp.full(x.shape[1], x.std())}


@mistake(of="scaler")
def mean_of_squares_minus_square_of_mean(x):
    """The variance is E[x^2] - E[x]^2.

    On paper. In float32 both are large and nearly equal, and their difference is rounding. Subtract the mean first.
    """
    variance = jnp.maximum(jnp.mean(x * x, 0) - jnp.mean(x, 0) ** 2, 0.0)
    return {"mean": x.mean(0), "scale": _unless_constant(x, jnp.sqrt(variance))}


@mistake(of="scaler")
def range_for_the_deviation(x):
    """Scaling brings each column to 0 ... 1.

    That is another scaling, by the smallest and the largest value, and one wild value decides it. Here it is the mean
    and the standard deviation.
    """
    return {"mean": x.min(0), "scale": _unless_constant(x, x.max(0) - x.min(0))}


@mistake(of="scaler")
def a_tiny_number_added_to_the_scale(x):
    """A tiny number keeps the scale from 0.

    Then a column that does not vary is divided by the tiny number, and a new value in it becomes enormous. Its scale
    is 1.
    """
    return {"mean": x.mean(0), "scale": x.std(0) + 1e-8}


@mistake(of="scaler", position=1)
def scaled_by_its_own_rows(scaler, x):
    """Rows are scaled by their own mean and deviation.

    Then test rows are scaled differently from training rows, and a single row is always 0. Use what was fitted.
    """
    return (x - x.mean(0)[None]) / _unless_constant(x, x.std(0))[None]


@mistake(of="scaler", position=1)
def multiplied_by_the_scale(scaler, x):
    """The scale multiplies.

    Multiplying makes wide columns wider. Divide.
    """
    return (x - scaler["mean"][None]) * scaler["scale"][None]


# --- imputer


@mistake(of="imputer")
def mean_in_place_of_median(x):
    """The mean of a column fills its gaps.

    One wild value moves a mean. The exercise asks for the median.
    """
    return {"fill": jnp.nan_to_num(jnp.nanmean(x, 0))}


@mistake(of="imputer")
def gaps_take_part_in_the_median(x):
    """The median of a column is jnp.median.

    With one nan in the column it is nan. Leave the gaps out: jnp.nanmedian.
    """
    return {"fill": jnp.median(x, 0)}


@mistake(of="imputer")
def zeros_count_as_gaps(x):
    """A zero means that nothing was measured.

    That was settled when the records were cleaned. Here only nan is a gap.
    """
    return {"fill": jnp.nan_to_num(jnp.nanmedian(jnp.where(x == 0, jnp.nan, x), 0))}


@mistake(of="imputer")
def gaps_filled_with_zero(x):
    """A gap is filled with zero.

    Zero may be far from every value of the column. Use its median.
    """
    return {"fill": jnp.zeros(x.shape[1])}


@mistake(of="imputer")
def gaps_counted_as_zeros(x):
    """nan_to_num makes the median possible.

    It makes the gaps zeros, and these take part in the median. Leave the gaps out: jnp.nanmedian.
    """
    return {"fill": jnp.median(jnp.nan_to_num(x), 0)}


@mistake(of="imputer")
def median_of_each_row(x):
    """The median is taken along the last axis.

    That is over the columns of one patient, in all units. A column's values stand below each other: axis=0.
    """
    return {"fill": jnp.nan_to_num(jnp.nanmedian(x, 1))}


@mistake(of="imputer")
def one_median_for_the_table(x):
    """One median of all numbers fills every gap.

    Each column has its own: axis=0.
    """
    return {"fill": jnp.full(x.shape[1], jnp.nanmedian(x))}


@mistake(of="imputer")
def an_empty_column_stays_empty(x):
    """Every column has a median.

    Not one that holds nothing: nan goes on into the model. Fill it with 0.
    """
    return {"fill": jnp.nanmedian(x, 0)}


@mistake(of="imputer", position=1)
def filled_by_their_own_statistics(imputer, x):
    """Test rows are filled with the median of the test rows.

    The model has learned with the training median, and in service a row comes alone. Use what was fitted.
    """
    return jnp.where(jnp.isnan(x), jnp.nanmedian(x, 0)[None], x)


@mistake(of="imputer", position=1)
def rows_with_gaps_left_out(imputer, x):
    """Rows that have a gap are left out.

    Then there is no prediction for them, and they no longer stand beside their labels.
    """
    return x[~jnp.isnan(x).any(1)]


# --- one_hot


@mistake(of="one_hot")
def unknown_taken_as_a_neighbour(codes, count):
    """Rows of the identity matrix are what is wanted.

    They are, for known codes. Out of bounds, JAX takes the last row for a large index and counts -1 from the end.
    """
    return jnp.eye(count)[codes]


@mistake(of="one_hot")
def unknown_clipped(codes, count):
    """A code that is too small or too large is set to the nearest one.

    Then an unknown category turns into a known one. Its row is zero.
    """
    return jax.nn.one_hot(jnp.clip(codes, 0, count - 1), count)


@mistake(of="one_hot")
def width_from_the_codes(codes, count):
    """There are as many categories as come up.

    A batch in which the last category is missing then has another width. And under jit the width cannot depend on data.
    """
    return jax.nn.one_hot(codes, int(codes.max()) + 1)


@mistake(of="one_hot")
def counted_from_one(codes, count):
    """The first category is 1.

    Codes start at 0.
    """
    return jax.nn.one_hot(codes - 1, count)


@mistake(of="one_hot")
def a_loop_in_numpy(codes, count):
    """A loop over the codes fills an array of NumPy.

    It does, until the codes are tracers under jax.jit. Compare with jnp.arange(count).
    """
    table = np.zeros((len(codes), count), np.float32)
    for row, code in enumerate(codes):
        if 0 <= int(code) < count:
            table[row, int(code)] = 1
    return table


@mistake(of="one_hot")
def minus_one_counts_from_the_end(codes, count):
    """An index that is out of bounds is left out when one writes.

    One that is too large is. A negative one counts from the end, so -1 becomes the last category. Compare; do not
    index.
    """
    return jnp.zeros((len(codes), count)).at[jnp.arange(len(codes)), codes].set(1.0)


@mistake(of="one_hot")
def categories_down_the_rows(codes, count):
    """The table has a row for each category.

    It has a row for each code and a column for each category: codes[:, None] against the categories.
    """
    return jnp.transpose(jax.nn.one_hot(codes, count))


# --- normalize_images


@mistake(of="normalize_images")
def subtracted_as_bytes(images, mean, std):
    """The mean is subtracted from the pixels, and then they are scaled.

    In uint8 nothing is below 0: 3 - 5 is 254. Make floats first.
    """
    bytes_of = jnp.asarray(images)
    return (bytes_of - (255 * jnp.asarray(mean)).astype(jnp.uint8)).astype(jnp.float32) / 255 / std


@mistake(of="normalize_images")
def never_divided_by_255(images, mean, std):
    """Mean and deviation are those of the pixels as they are.

    They are given for pixels from 0 to 1. Divide by 255.
    """
    return (jnp.asarray(images, jnp.float32) - mean) / std


@mistake(of="normalize_images")
def divided_by_256(images, mean, std):
    """A byte has 256 values, so 256 is the divisor.

    The largest value is 255, and it should become 1.
    """
    return (jnp.asarray(images, jnp.float32) / 256 - mean) / std


@mistake(of="normalize_images")
def multiplied_by_std(images, mean, std):
    """The deviation multiplies.

    It divides: after that the spread is about 1.
    """
    return (jnp.asarray(images, jnp.float32) / 255 - mean) * std


@mistake(of="normalize_images")
def by_the_statistics_of_the_batch(images, mean, std):
    """The batch's own mean and deviation are the ones to use.

    Then an image looks different in each batch that it is in. Use those that are given.
    """
    z = jnp.asarray(images, jnp.float32) / 255
    return (z - z.mean((0, 1, 2))) / z.std((0, 1, 2))


@mistake(of="normalize_images")
def by_one_mean_of_all_pixels(images, mean, std):
    """The batch's mean and deviation make it zero mean and unit spread.

    Then an image looks different in each batch that it is in, and the channels are mixed. Use the numbers that are
    given.
    """
    z = jnp.asarray(images, jnp.float32) / 255
    return (z - z.mean()) / z.std()


@mistake(of="normalize_images")
def channels_on_the_wrong_axis(images, mean, std):
    """The channel is in front, as in PyTorch: mean[:, None, None].

    Here it is the last axis, where broadcasting begins. With three rows the wrong one runs.
    """
    z = jnp.asarray(images, jnp.float32) / 255
    return (z - jnp.asarray(mean)[:, None, None]) / jnp.asarray(std)[:, None, None]


@mistake(of="normalize_images")
def only_the_mean_divided(images, mean, std):
    """x - mean / std is read from left to right.

    A quotient comes before a difference. Put the difference into brackets.
    """
    return jnp.asarray(images, jnp.float32) / 255 - jnp.asarray(mean) / std


@mistake(of="normalize_images")
def whole_numbers_divided(images, mean, std):
    """Bytes can be divided by 255 as they are.

    With // or in an integer type only 0 and 1 are left. Make floats first.
    """
    return ((jnp.asarray(images) // 255).astype(jnp.float32) - mean) / std


# --- augment


def _window(image, limit, down, right):
    return jax.lax.dynamic_slice(jnp.pad(image, limit), (limit - down, limit - right), image.shape)


def _draw(key, limit, top=1):
    return jax.random.randint(key, (), -limit, limit + top)


def _each(keys, images, limit, training, one):
    return jax.vmap(partial(one, limit=limit))(keys, images) if training else images


@mistake(of="augment")
def rolled_around(keys, images, max_shift, training):
    """jnp.roll moves an image.

    It brings what leaves at one side in at the other. Zeros come in.
    """

    def one(key, image, limit):
        a, b = jax.random.split(key)
        return jnp.roll(image, (_draw(a, limit), _draw(b, limit)), (0, 1))

    return _each(keys, images, max_shift, training, one)


@mistake(of="augment")
def key_used_twice(keys, images, max_shift, training):
    """A key can be drawn from as often as one likes.

    It gives the same number again, so the image only moves along the diagonal. Split it.
    """

    def one(key, image, limit):
        return _window(image, limit, _draw(key, limit), _draw(key, limit))

    return _each(keys, images, max_shift, training, one)


def _proper(key, image, limit):
    a, b = jax.random.split(key)
    return _window(image, limit, _draw(a, limit), _draw(b, limit))


@mistake(of="augment")
def augmented_at_evaluation(keys, images, max_shift, training):
    """More variety is good for a test too.

    A test must ask the same question each time. Return the images as they are.
    """
    return _each(keys, images, max_shift, True, _proper)


@mistake(of="augment")
def one_key_for_all(keys, images, max_shift, training):
    """One key is enough for a batch.

    Then all images move alike. Map over keys and images together.
    """
    return _each(jnp.broadcast_to(keys[0], keys.shape), images, max_shift, training, _proper)


@mistake(of="augment")
def keys_not_used(keys, images, max_shift, training):
    """A function makes its own keys.

    Then every call gives the same shifts. Use those that are handed in.
    """
    return _each(jax.random.split(jax.random.key(0), len(images)), images, max_shift, training, _proper)


@mistake(of="augment")
def largest_shift_left_out(keys, images, max_shift, training):
    """The upper bound of randint is included.

    It is not: write max_shift + 1.
    """

    def one(key, image, limit):
        a, b = jax.random.split(key)
        return _window(image, limit, _draw(a, limit, 0), _draw(b, limit, 0))

    return _each(keys, images, max_shift, training, one)


@mistake(of="augment")
def shifts_of_the_whole_batch(keys, images, max_shift, training):
    """The shifts of all images can be drawn from the first key at once.

    Then what an example gets depends on its place in the batch. Give each its own key.
    """
    shifts = jax.random.randint(keys[0], (len(images), 2), -max_shift, max_shift + 1)
    moved = jax.vmap(lambda image, s: _window(image, max_shift, s[0], s[1]))(images, shifts)
    return moved if training else images


@mistake(of="augment")
def shifts_as_python_numbers(keys, images, max_shift, training):
    """A loop over the images, with int() of each shift.

    It does, until the keys are tracers: a compiled step does not know the shifts. jax.vmap, and a window that is cut
    by jax.lax.dynamic_slice.
    """
    if not training:
        return images
    shifts = [(int(_draw(a, max_shift)), int(_draw(b, max_shift))) for a, b in map(jax.random.split, keys)]
    return jnp.stack([_window(image, max_shift, *shift) for image, shift in zip(images, shifts, strict=True)])


# --- epoch_batches


def _cut(x, y, rows, other_rows, size):
    places = range(0, len(rows), size)
    return [(x[rows[i : i + size]], y[other_rows[i : i + size]]) for i in places]


def _shuffle(key, epoch, n):
    return jax.random.permutation(jax.random.fold_in(key, epoch), n)


@mistake(of="epoch_batches")
def shuffled_apart(key, epoch, x, y, batch_size):
    """Inputs and labels are shuffled, each with a key.

    Two permutations tear the pairs apart. Use one for both.
    """
    one, two = jax.random.split(jax.random.fold_in(key, epoch))
    return _cut(x, y, jax.random.permutation(one, len(x)), jax.random.permutation(two, len(x)), batch_size)


@mistake(of="epoch_batches")
def labels_left_in_place(key, epoch, x, y, batch_size):
    """Only the inputs need to be shuffled.

    Inputs and labels belong together: pick both by the same rows.
    """
    rows = _shuffle(key, epoch, len(x))
    return _cut(x, y, rows, jnp.arange(len(x)), batch_size)


@mistake(of="epoch_batches")
def stored_order_kept(key, epoch, x, y, batch_size):
    """The batches are cut from the data as it is stored.

    Stored data is often sorted, and each epoch has the same batches. Permute with the key and the epoch.
    """
    rows = jnp.arange(len(x))
    return _cut(x, y, rows, rows, batch_size)


@mistake(of="epoch_batches")
def short_batch_dropped(key, epoch, x, y, batch_size):
    """Only full batches count.

    What is left over is then never seen in this epoch. Keep it as a short batch.
    """
    rows = _shuffle(key, epoch, len(x))
    return [pair for pair in _cut(x, y, rows, rows, batch_size) if len(pair[1]) == batch_size]


@mistake(of="epoch_batches")
def one_batch_too_few(key, epoch, x, y, batch_size):
    """range(0, n - batch_size, batch_size) walks through all batches.

    It stops one batch early, or at the last full one. The stop is n.
    """
    rows = _shuffle(key, epoch, len(x))
    starts = range(0, len(x) - batch_size, batch_size)
    return [(x[rows[i : i + batch_size]], y[rows[i : i + batch_size]]) for i in starts]


@mistake(of="epoch_batches")
def an_empty_batch_at_the_end(key, epoch, x, y, batch_size):
    """There are n // batch_size + 1 batches.

    Where the size divides n there is one fewer, and the last is empty. Round n / batch_size up.
    """
    rows = _shuffle(key, epoch, len(x))
    starts = [batch_size * i for i in range(len(x) // batch_size + 1)]
    return [(x[rows[i : i + batch_size]], y[rows[i : i + batch_size]]) for i in starts]


@mistake(of="epoch_batches")
def every_epoch_alike(key, epoch, x, y, batch_size):
    """The key decides the order, so the epoch does not matter.

    Then each epoch has the same batches. Fold the epoch into the key.
    """
    rows = jax.random.permutation(key, len(x))
    return _cut(x, y, rows, rows, batch_size)


_world = np.random.default_rng()


@mistake(of="epoch_batches")
def order_from_a_hidden_generator(key, epoch, x, y, batch_size):
    """NumPy's generator shuffles too.

    Its state is not the key: an interrupted run cannot go on where it was. Draw with the key.
    """
    rows = _world.permutation(len(x))
    return _cut(x, y, rows, rows, batch_size)


@mistake(of="epoch_batches")
def drawn_with_replacement(key, epoch, x, y, batch_size):
    """A batch is a random draw.

    Then some examples come twice and others never. An epoch visits each once: permute.
    """
    rows = jax.random.randint(jax.random.fold_in(key, epoch), (len(x),), 0, len(x))
    return _cut(x, y, rows, rows, batch_size)


@mistake(of="epoch_batches")
def last_batch_filled_up(key, epoch, x, y, batch_size):
    """All batches have the same size, so the last is filled up from the start.

    Then some examples count twice. The last batch is short.
    """
    rows = _shuffle(key, epoch, len(x))
    full = jnp.concatenate([rows, rows[: -len(rows) % batch_size]])
    return _cut(x, y, full, full, batch_size)


# --- grain_batches


def _look_up(x, y) -> Callable[[Any], dict]:
    return lambda i: {"x": x[i], "y": y[i]}


@mistake(of="grain_batches")
def remainder_dropped(x, y, batch_size, seed, epochs):
    """Batches must be full.

    drop_remainder loses the last examples of each epoch. Keep the short batch.
    """
    source = grain.MapDataset.range(len(x)).shuffle(seed).map(_look_up(x, y))
    return source.batch(batch_size, drop_remainder=True).repeat(epochs)


@mistake(of="grain_batches")
def repeated_before_batching(x, y, batch_size, seed, epochs):
    """It does not matter where repeat stands.

    Before batch, a batch reaches over the end of an epoch. Repeat last.
    """
    return grain.MapDataset.range(len(x)).shuffle(seed).map(_look_up(x, y)).repeat(epochs).batch(batch_size)


@mistake(of="grain_batches")
def repeated_before_shuffling(x, y, batch_size, seed, epochs):
    """First all epochs, then one big shuffle.

    Then an example may come three times before another comes once. Shuffle within the epoch.
    """
    return grain.MapDataset.range(len(x)).repeat(epochs).shuffle(seed).map(_look_up(x, y)).batch(batch_size)


@mistake(of="grain_batches")
def batches_shuffled_not_examples(x, y, batch_size, seed, epochs):
    """Batches are made first, and then shuffled.

    Then the same examples share a batch for ever. Shuffle examples, then batch.
    """
    return grain.MapDataset.range(len(x)).map(_look_up(x, y)).batch(batch_size).shuffle(seed).repeat(epochs)


@mistake(of="grain_batches")
def a_list_of_batches(x, y, batch_size, seed, epochs):
    """Batches in a list are as good as a dataset.

    All of them are in memory then, and a list cannot be saved and restored in the middle. Return the chain itself.
    """
    order = np.random.default_rng(seed)
    shuffled = [order.permutation(len(y)) for _ in range(epochs)]
    return [
        {"x": x[rows[i : i + batch_size]], "y": y[rows[i : i + batch_size]]}
        for rows in shuffled
        for i in range(0, len(y), batch_size)
    ]


@mistake(of="grain_batches")
def never_shuffled(x, y, batch_size, seed, epochs):
    """A pipeline shuffles by itself.

    It does what the chain says. Put shuffle(seed) into it.
    """
    return grain.MapDataset.range(len(x)).map(_look_up(x, y)).batch(batch_size).repeat(epochs)


@mistake(of="grain_batches")
def same_order_in_each_epoch(x, y, batch_size, seed, epochs):
    """The seed decides the order of an epoch, and so of all.

    Let repeat start each epoch with another order, which the seed decides too: reseed_each_epoch is its default.
    """
    source = grain.MapDataset.range(len(x)).shuffle(seed).map(_look_up(x, y)).batch(batch_size)
    return source.repeat(epochs, reseed_each_epoch=False)


@mistake(of="grain_batches")
def two_shuffles(x, y, batch_size, seed, epochs):
    """Inputs and labels each have a pipeline.

    Two shuffles tear the pairs apart. Shuffle row numbers once.
    """
    inputs = grain.MapDataset.range(len(x)).shuffle(seed)
    labels = grain.MapDataset.range(len(y)).shuffle(seed + 1)
    paired = grain.experimental.ZipMapDataset([inputs, labels]).map(lambda p: {"x": x[p[0]], "y": y[p[1]]})
    return paired.batch(batch_size).repeat(epochs)


@mistake(of="grain_batches")
def seed_fixed_inside(x, y, batch_size, seed, epochs):
    """The seed belongs into the pipeline.

    Then nobody can ask for another order. Use the seed that is handed in.
    """
    source = grain.MapDataset.range(len(x)).shuffle(0).map(_look_up(x, y))
    return source.batch(batch_size).repeat(epochs)


# --- honest_pipeline: one pipeline with a switch for each leak


def _pipeline(key, x, y, patient, after, *, blind=True, fit_on="train", choose_on="train", by="patient", share=0.7):
    x, y, patient, after = (np.asarray(part) for part in (x, y, patient, after))
    units = np.unique(patient) if by == "patient" else np.arange(len(y))
    permuted = _mixed(key, units)
    learned = permuted[: round(share * len(units))]
    is_train = np.isin(patient, learned) if by == "patient" else np.isin(np.arange(len(y)), learned)
    tr, te = np.flatnonzero(is_train), np.flatnonzero(~is_train)
    x = x[:, ~after] if blind else x
    basis = tr if fit_on == "train" else np.arange(len(y))
    filler = SimpleImputer(strategy="median").fit(x[basis])
    scale = StandardScaler().fit(filler.transform(x[basis]))
    z = scale.transform(filler.transform(x))
    seen = tr if choose_on == "train" else np.arange(len(y))
    z = SelectKBest(f_classif, k=leaks.FEATURES).fit(z[seen], y[seen]).transform(z)
    return tr, te, KNeighborsClassifier(leaks.NEIGHBORS).fit(z[tr], y[tr]).predict(z[te])


@mistake(of="honest_pipeline")
def the_future_left_in(key, x, y, patient, after):
    """Every column in the table may be used.

    The dose is decided when the outcome is known. In service it is not there yet. Leave out what `after` marks.
    """
    return _pipeline(key, x, y, patient, after, blind=False)


@mistake(of="honest_pipeline")
def scaler_and_imputer_fitted_on_all_rows(key, x, y, patient, after):
    """Scaling and filling do not look at labels, so they may look at all rows.

    They carry what the test rows look like into the model. Fit on the training rows.
    """
    return _pipeline(key, x, y, patient, after, fit_on="all")


@mistake(of="honest_pipeline")
def columns_chosen_on_all_rows(key, x, y, patient, after):
    """Choosing columns is not training.

    It uses labels, those of the test rows too: among 300 columns of noise, some agree with them by chance.
    """
    return _pipeline(key, x, y, patient, after, choose_on="all")


@mistake(of="honest_pipeline")
def everything_fitted_before_the_split(key, x, y, patient, after):
    """The data is prepared first and split last.

    Whatever is fitted before the split has seen the test rows. Split first.
    """
    return _pipeline(key, x, y, patient, after, fit_on="all", choose_on="all")


@mistake(of="honest_pipeline")
def visits_split_and_not_patients(key, x, y, patient, after):
    """Rows are split at random.

    The other visit of a test patient is then in the training set, and the nearest neighbour is the patient. Split by
    patient.
    """
    return _pipeline(key, x, y, patient, after, by="row")


@mistake(of="honest_pipeline")
def the_sides_swapped(key, x, y, patient, after):
    """The larger side is for testing.

    Seven tenths are for training.
    """
    return _pipeline(key, x, y, patient, after, share=0.3)


@mistake(of="honest_pipeline")
def no_leak_mended(key, x, y, patient, after):
    """The pipeline is right, since every step is.

    Each step is; their order and what they see are not. Ask of each line which rows, columns and labels it sees.
    """
    return _pipeline(key, x, y, patient, after, blind=False, fit_on="all", choose_on="all", by="row")
