"""Draw the figures of chapter 1: `python course/chapters/figures/preprocessing.py`.

Everything is measured: on scikit-learn's bundled tables, on the raw records that the lab makes of one of them, and on
noise where noise is the point. The models are scikit-learn's.
"""

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import hypergeom
from sklearn.datasets import load_wine
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GroupShuffleSplit, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from style import BLUE, FIRST, INK, SECOND, VERMILLION, draw, panels

from gradlab import leaks, records


def first_number(cell: object) -> float:
    """What a program reads that takes the first word of a cell for a number."""
    try:
        return float(str(cell).split()[0])
    except (ValueError, IndexError):
        return np.nan


def faults() -> Figure:
    """Blood pressure of 442 patients, as a careless program reads the raw records, and in truth."""
    figure, (left, right) = panels(2, height=2.8)
    raw = records.export("patients", 442, seed=1)
    read = np.array([first_number(record["pressure"]) for record in raw.records])
    bins = np.arange(-140, 241, 10)
    inside = read[(read > bins[0]) & (read < bins[-1])]
    left.hist(inside, bins, color=VERMILLION)
    left.set(title="as it stands", xlabel="blood pressure, mmHg (or so)", ylabel="records", ylim=(0, 160))
    left.text(45, 138, "kPa")
    left.text(-135, 14, "a wrong sign")
    right.hist(raw.truth["pressure"], bins, color=BLUE)
    right.set(title="in truth", xlabel="blood pressure, mmHg", ylim=(0, 160))
    return figure


def rare_class() -> Figure:
    """How many of 10 rare rows out of 200 come into a test set of 30: by chance, and stratified."""
    figure, (axis,) = panels(1, height=2.7)
    count = np.arange(7)
    axis.bar(count - 0.2, hypergeom(200, 10, 30).pmf(count), 0.38, color=VERMILLION, label="one shuffle of all rows")
    stratified = np.where(count == 2, 1.0, 0.0)
    axis.bar(count + 0.2, stratified, 0.38, facecolor="none", edgecolor=BLUE, linewidth=2, label="stratified")
    axis.set(xlabel="rare rows in the test set", ylabel="probability", ylim=(0, 1.05))
    axis.legend(frameon=False, labelcolor=INK)
    return figure


def stretched(z: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Columns multiplied by their factors."""
    return z * factors


def wine_accuracies(scales: np.ndarray) -> list[float]:
    """Accuracy of five nearest neighbours on wine, in ten folds, with proline multiplied by each scale.

    The other columns are standardised, and so is proline before it is multiplied.
    """
    x, y = load_wine(return_X_y=True)
    found = []
    for scale in scales:
        factors = np.where(np.arange(13) == 12, scale, 1.0)
        # In a pipeline each fold is scaled by its own training rows.
        steps = StandardScaler(), FunctionTransformer(stretched, kw_args={"factors": factors}), KNeighborsClassifier()
        found.append(float(cross_val_score(make_pipeline(*steps), x, y, cv=10).mean()))
    return found


def units() -> Figure:
    """Nearest neighbours on wine over the scale of one of thirteen columns."""
    figure, (axis,) = panels(1, height=2.7)
    scales = np.geomspace(0.1, 1000, 25)
    axis.semilogx(scales, wine_accuracies(scales), **SECOND)
    axis.axvline(1, color=INK, linewidth=0.8)
    axis.text(1.1, 0.72, "standardised")
    axis.set(xlabel="proline is multiplied by", ylabel="accuracy", ylim=(0.6, 1.0))
    return figure


def wrapped() -> Figure:
    """Pixel minus 100 in uint8 and in floats."""
    figure, (axis,) = panels(1, height=2.7)
    figure.subplots_adjust(left=0.12)
    pixel = np.arange(256, dtype=np.uint8)
    below, above = pixel[:100], pixel[100:]
    for part, label in ((below, "uint8"), (above, None)):
        axis.plot(part, part - np.uint8(100), **FIRST, label=label)
    axis.plot(pixel, pixel.astype(float) - 100, **SECOND, label="float32")
    axis.set(xlabel="pixel", ylabel="pixel minus 100")
    axis.legend(frameon=False, labelcolor=INK)
    return figure


def noise_accuracies(columns: int, *, honest: bool, repeats: int = 40) -> float:
    """Accuracy on 60 rows of noise with labels by a coin: 20 columns chosen inside of the split or before it."""
    found = []
    for seed in range(repeats):
        rng = np.random.default_rng([seed, columns])
        x, y = rng.standard_normal((60, columns)), rng.permutation(np.repeat([0, 1], 30))
        train, test = np.split(rng.permutation(60), [42])
        basis = train if honest else np.arange(60)
        chosen = SelectKBest(f_classif, k=min(20, columns)).fit(x[basis], y[basis]).get_support()
        model = KNeighborsClassifier(3).fit(x[train][:, chosen], y[train])
        found.append(model.score(x[test][:, chosen], y[test]))
    return float(np.mean(found))


def selection() -> Figure:
    """What choosing columns before the split makes of pure noise."""
    figure, (axis,) = panels(1, height=2.9)
    widths = np.array([20, 50, 100, 200, 500, 1000, 2000, 5000])
    axis.semilogx(widths, [noise_accuracies(w, honest=False) for w in widths], **FIRST)
    axis.semilogx(widths, [noise_accuracies(w, honest=True) for w in widths], **SECOND)
    axis.text(300, 0.9, "chosen before the split", color=VERMILLION, ha="center")
    axis.text(300, 0.53, "chosen on the training rows", color=BLUE, ha="center")
    axis.set(xlabel="columns of noise, of which 20 are chosen", ylabel="reported accuracy", ylim=(0.3, 1.02))
    return figure


def cohort_accuracy(leak: str | None, seed: int) -> float:
    """Accuracy that scikit-learn's pipeline reports on a cohort of the lab, with a leak planted around it."""
    case = leaks.planted(leak, leaks.cohort(seed))
    x = case.x[:, ~case.after]
    train, test = next(GroupShuffleSplit(1, test_size=0.3, random_state=seed).split(x, case.y, case.patient))
    choose = SelectKBest(f_classif, k=min(leaks.FEATURES, x.shape[1]))
    steps = (SimpleImputer(strategy="median"), StandardScaler(), choose, KNeighborsClassifier(leaks.NEIGHBORS))
    return float(make_pipeline(*steps).fit(x[train], case.y[train]).score(x[test], case.y[test]))


def three_leaks() -> Figure:
    """The same pipeline on honest cohorts, and with each of three leaks planted around it."""
    figure, (axis,) = panels(1, height=2.8)
    figure.subplots_adjust(left=0.28, right=0.9)
    for row, leak in enumerate([None, *leaks.LEAKS]):
        values = np.array([cohort_accuracy(leak, seed) for seed in range(30)])
        color = BLUE if leak is None else VERMILLION
        spread = row + 0.16 * np.sin(2.4 * np.arange(len(values)))
        axis.plot(values, spread, "o", markersize=3.5, color=color, alpha=0.6)
        axis.plot([values.mean()] * 2, [row - 0.3, row + 0.3], color=color, linewidth=3)
        axis.text(1.02, row, f"{values.mean():.2f}", va="center")
    axis.set_yticks(range(4), ["honest", *leaks.LEAKS])
    axis.set(xlabel="reported accuracy", xlim=(0.25, 1.0), ylim=(3.6, -0.6))
    return figure


FIGURES = [faults, rare_class, units, wrapped, selection, three_leaks]

if __name__ == "__main__":
    draw(FIGURES, chapter="01")
