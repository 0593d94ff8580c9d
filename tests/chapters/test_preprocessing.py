"""The numbers of chapter 1, each measured or computed here; a sentence that states one is asserted word for word."""

import math
import re

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from chapters.drawings import CHAPTERS, load
from gradlab import leaks, records

TEXT = re.sub(r"\s+", " ", (CHAPTERS / "01-preprocessing.md").read_text())


def says(sentence):
    assert sentence in TEXT, f"the chapter does not say: {sentence}"


@pytest.fixture(scope="module")
def figures():
    return load("preprocessing")


def test_raw_and_true_blood_pressure(figures):
    raw = records.export("patients", 442, seed=1)
    says(f"They come out as {len(raw.records)} records.")
    read = np.array([figures.first_number(record["pressure"]) for record in raw.records])
    truth = raw.truth["pressure"]
    says(f"a mean of {np.nanmean(read):.1f} mmHg and a standard deviation of {np.nanstd(read):.1f}")
    says(f"In truth they are {np.nanmean(truth):.1f} and {np.nanstd(truth):.1f}.")
    says(f"there is one hill, from {np.nanmin(truth):.0f} to {np.nanmax(truth):.0f}")


def test_rare_class():
    chance = [math.comb(10, r) * math.comb(190, 30 - r) / math.comb(200, 30) for r in range(5)]
    says(f"With probability {chance[0]:.2f} there is none at all")
    says("0 to 4 rows with probabilities " + ", ".join(f"{p:.2f}" for p in chance[:-1]) + f" and {chance[-1]:.2f}")


def test_wine():
    x, y = load_wine(return_X_y=True)
    says(f"holds {x.var(axis=0)[12] / x.var(axis=0).sum():.1%}".replace("%", " %") + " of the total variance")
    plain, scaled = KNeighborsClassifier(), make_pipeline(StandardScaler(), KNeighborsClassifier())
    scores = [cross_val_score(model, x, y, cv=10).mean() for model in (plain, scaled)]
    says(f"reach an accuracy of {scores[0]:.2f} on the table as it stands, and of {scores[1]:.2f}")


def test_squares_near_nine_million_are_one_apart():
    assert np.spacing(np.float32(3000**2)) == 1
    says("the numbers of float32 are 1 apart")


def test_selection_on_noise(figures):
    some, many = (figures.noise_accuracies(width, honest=False) for width in (1000, 5000))
    says(f"With 1000 columns of noise, the reported accuracy is {some:.2f}, and with 5000 it is {many:.2f}.")
    # 40 repetitions of 18 rows: the standard error of a mean at chance is 0.5 / sqrt(720) = 0.019.
    assert abs(figures.noise_accuracies(1000, honest=True) - 0.5) < 4 * 0.019


def test_three_leaks(figures):
    means = [np.mean([figures.cohort_accuracy(leak, seed) for seed in range(30)]) for leak in (None, *leaks.LEAKS)]
    says(
        "honest mean is {:.2f}. The future makes it {:.2f}, a choice of columns before the split {:.2f}, ".format(
            *means
        )
    )
    says(f"and patients on both sides {means[3]:.2f}.")
