"""A cohort in which three kinds of leak can be planted, and what each of them adds to the accuracy.

The kinds are those of Kapoor and Narayanan (2023): a column that would not be known at the time of the prediction, a
step that is fitted before the split, and test rows that are not independent of the training rows.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

PATIENTS, VISITS, ASSAYS = 60, 2, 300
JITTER, BLUR, GAPS = 0.3, 0.6, 0.02
FEATURES, NEIGHBORS = 20, 3

LEAKS = ("the future", "fitted before the split", "patients on both sides")
Pipeline = Callable[..., tuple[Any, Any, Any]]


@dataclass(frozen=True)
class Cohort:
    """Visits of patients: is the diabetes of this patient going to progress fast?

    `x` holds one visit a row, with gaps (nan): 10 clinical columns, 300 assays that have nothing to do with anything,
    and last the dose of insulin, shape (visits, 311). `y` is 1 where the disease progressed faster than in the median
    patient. `patient` says whose visit it is. `after` marks the columns that are only known after the outcome is.
    """

    x: Float[np.ndarray, "visits d"]
    y: Int[np.ndarray, " visits"]
    patient: Int[np.ndarray, " visits"]
    after: Bool[np.ndarray, " d"]


def cohort(seed: int, *, patients: int = PATIENTS, assays: int = ASSAYS) -> Cohort:
    """Two visits each of some of scikit-learn's diabetes patients, in random order."""
    from sklearn.datasets import load_diabetes

    rng = np.random.default_rng(seed)
    bunch: Any = load_diabetes(scaled=False)
    chosen = rng.permutation(len(bunch.target))[:patients]
    outcome = (bunch.target > np.median(bunch.target)).astype(np.int32)[chosen]
    spread, center = bunch.data.std(axis=0), bunch.data.mean(axis=0)
    own = np.concatenate([(bunch.data[chosen] - center) / spread, rng.standard_normal((patients, assays))], axis=1)
    patient = rng.permutation(np.repeat(np.arange(patients), VISITS)).astype(np.int32)
    # A patient's visits resemble each other: that is why they must not stand on both sides of a split.
    visits = own[patient] + JITTER * rng.standard_normal((len(patient), own.shape[1]))
    dose = outcome[patient] + BLUR * rng.standard_normal(len(patient))
    visits[:, : bunch.data.shape[1]] = visits[:, : bunch.data.shape[1]] * spread + center
    x = np.concatenate([visits, dose[:, None]], axis=1)
    x[rng.random(x.shape) < GAPS] = np.nan
    after = np.arange(x.shape[1]) == x.shape[1] - 1
    return Cohort(x.astype(np.float32), outcome[patient], patient, after)


def select_features(
    x: Float[np.ndarray, "n d"], y: Int[np.ndarray, " n"], count: int = FEATURES
) -> Int[np.ndarray, " count"]:
    """The columns that are most correlated with the label in the rows given, best first; there must be no gaps."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    centered = x - x.mean(axis=0)
    spread = np.sqrt((centered**2).sum(axis=0))
    strength = np.abs(centered.T @ (y - y.mean())) / np.where(spread > 0, spread, np.inf)
    return np.argsort(-strength, kind="stable")[:count]


def nearest_neighbors(
    x: Float[np.ndarray, "n d"], y: Int[np.ndarray, " n"], new: Float[np.ndarray, "m d"], count: int = NEIGHBORS
) -> Int[np.ndarray, " m"]:
    """For each new row, the label (0 or 1) that most of the nearest rows of `x` have; `count` is odd."""
    x, new = np.asarray(x, np.float64), np.asarray(new, np.float64)
    distance = (new**2).sum(axis=1)[:, None] - 2 * new @ x.T + (x**2).sum(axis=1)[None, :]
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :count]
    return (np.asarray(y)[nearest].mean(axis=1) > 0.5).astype(np.int32)


def planted(leak: str | None, case: Cohort) -> Cohort:
    """The cohort with a leak around whatever pipeline gets it, or the honest cohort for None.

    The future: no column is marked as known only afterwards. Fitted before the split: the columns were chosen by the
    labels of all rows beforehand. Patients on both sides: every visit looks like another patient.
    """
    if leak is None:
        return case
    if leak == LEAKS[0]:
        return Cohort(case.x, case.y, case.patient, np.zeros_like(case.after))
    if leak == LEAKS[1]:
        known = np.flatnonzero(~case.after)
        filled = np.where(np.isnan(case.x), np.nanmedian(case.x, axis=0), case.x)[:, known]
        chosen = known[select_features(filled, case.y)]
        return Cohort(case.x[:, chosen], case.y, case.patient, case.after[chosen])
    if leak == LEAKS[2]:
        return Cohort(case.x, case.y, np.arange(len(case.y), dtype=np.int32), case.after)
    raise ValueError(f"there is no leak {leak!r}: choose one of {', '.join(LEAKS)}")


def run(pipeline: Pipeline, case: Cohort, seed: int) -> float:
    """The accuracy that a pipeline reports on a cohort: the part of its test rows that it predicts right."""
    arrays = (jnp.asarray(part) for part in (case.x, case.y, case.patient, case.after))
    _, test, predicted = pipeline(jax.random.key(seed), *arrays)
    return float(np.mean(np.asarray(predicted) == case.y[np.asarray(test)]))


@dataclass(frozen=True)
class LeakHunt:
    """Accuracies of one pipeline on honest data and with each leak planted, a number for each seed."""

    accuracies: dict[str, Float[np.ndarray, " seeds"]]

    @cached_property
    def inflation(self) -> dict[str, tuple[float, float]]:
        """For each leak, the mean of what it adds to the honest accuracy, and the standard error of that mean."""
        honest = self.accuracies["honest"]
        # Paired by seed: the same patients with and without the leak.
        gaps = {name: values - honest for name, values in self.accuracies.items() if name != "honest"}
        return {name: (float(gap.mean()), float(gap.std(ddof=1) / np.sqrt(len(gap)))) for name, gap in gaps.items()}

    def __repr__(self) -> str:
        lines = [f"honest: {self.accuracies['honest'].mean():.3f}"]
        for name, (gain, error) in self.inflation.items():
            lines.append(f"{name}: {self.accuracies[name].mean():.3f}, {gain:+.3f} ± {error:.3f}")
        return "\n".join(lines)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": _picture(self)}


def hunt(
    pipeline: Pipeline, *, others: dict[str, Pipeline] | None = None, seeds: Iterable[int] = range(30)
) -> LeakHunt:
    """Measures a pipeline on honest cohorts, and with each leak planted around it.

    `others` are further pipelines, by name, to be run on the honest cohorts beside it.
    """
    cohorts = {seed: cohort(seed) for seed in seeds}
    found = {"honest": np.array([run(pipeline, case, seed) for seed, case in cohorts.items()])}
    for leak in LEAKS:
        found[leak] = np.array([run(pipeline, planted(leak, case), seed) for seed, case in cohorts.items()])
    for name, other in (others or {}).items():
        found[name] = np.array([run(other, case, seed) for seed, case in cohorts.items()])
    return LeakHunt(found)


_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 620, 180, 70, 30, 26


def _picture(found: LeakHunt) -> str:
    """One row a leak: a dot for every seed, a bar at the mean, and a line down from the honest mean."""
    low, high = 0.3, 1.0
    honest = float(found.accuracies["honest"].mean())

    def place(value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (min(max(value, low), high) - low) / (high - low)

    height = _TOP + _ROW * len(found.accuracies) + 34
    bottom = height - 34
    ticks = "".join(
        f'<text x="{place(v):.1f}" y="{bottom + 18}" text-anchor="middle" fill="currentColor">{v:.1f}</text>'
        f'<path d="M{place(v):.1f} {bottom}v4" stroke="currentColor"/>'
        for v in np.arange(low, high + 0.01, 0.1)
    )
    rows = "".join(
        _dots(name, values, _TOP + _ROW * row, place) for row, (name, values) in enumerate(found.accuracies.items())
    )
    line = f'<path d="M{place(honest):.1f} {_TOP - 8}V{bottom}" stroke="currentColor" stroke-dasharray="4 3"/>'
    text = escape(repr(found)).replace("\n", "; ")
    return (
        '<figure style="margin:.3em 0;color:var(--jp-ui-font-color1,#212121)">'
        f'<svg role="img" aria-label="{text}" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" font-size="13"'
        ' style="max-width:100%" font-family="var(--jp-ui-font-family, system-ui, sans-serif)">'
        f"{line}{rows}{ticks}</svg>"
        "<figcaption>Reported accuracy: a dot for each cohort, a bar at the mean. The dashed line is the honest mean."
        "</figcaption></figure>"
    )


def _dots(name: str, values: np.ndarray, y: float, place: Callable[[float], float]) -> str:
    """A row of the picture; the leaks are orange, what is honest is blue, and the words say so too."""
    color = "#0072b2" if name == "honest" else "#d55e00"
    # Equal accuracies would hide each other: they are spread over the height of the row.
    heights = y + 8 + 9 * np.sin(2.4 * np.arange(len(values)))
    dots = "".join(
        f'<circle cx="{place(v):.1f}" cy="{h:.1f}" r="2.6" fill="{color}" fill-opacity=".8"/>'
        for v, h in zip(values, heights, strict=True)
    )
    mean = float(values.mean())
    return (
        f'<text x="{_LEFT - 12}" y="{y + 12}" text-anchor="end" fill="currentColor">{escape(name)}</text>{dots}'
        f'<rect x="{place(mean) - 1.5:.1f}" y="{y - 3}" width="3" height="22" fill="{color}"/>'
        f'<text x="{_WIDTH - _RIGHT + 14}" y="{y + 12}" fill="currentColor">{mean:.3f}</text>'
    )
