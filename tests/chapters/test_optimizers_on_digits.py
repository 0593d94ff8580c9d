"""What chapter 4 says of the digits: real data, a linear classifier, squared loss, so a quadratic nobody designed."""

import numpy as np
import optax
import pytest
from sklearn.datasets import load_digits

from chapters.optimizer_page import run, says


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return the images, shape (1797, 64), with pixels from 0 to 16, and the labels."""
    images, labels = load_digits(return_X_y=True)
    return np.asarray(images), np.asarray(labels)


def digits_curvature(images: np.ndarray) -> np.ndarray:
    """Return the positive eigenvalues of X'X / N, ascending."""
    values = np.linalg.eigvalsh(images.T @ images / len(images))
    return values[values > 1e-9 * values[-1]]


def test_scaling_of_the_digits() -> None:
    raw, _ = digits()
    centred = raw / 16 - (raw / 16).mean(axis=0)
    standard = centred / np.where(centred.std(axis=0) > 0, centred.std(axis=0), 1)
    curvatures = [digits_curvature(images) for images in (raw, raw / 16, centred, standard)]
    thresholds = [2 / values[-1] for values in curvatures]
    conditions = [values[-1] / values[0] for values in curvatures]
    says(f"$2/L = {thresholds[0]:.5f}$")
    says(f"the threshold rises to {thresholds[1]:.2f}.")
    np.testing.assert_allclose(conditions[0], conditions[1], rtol=1e-6)  # eigvalsh, relative to the smallest
    says(f"$\\kappa$ stays at {conditions[1] / 1e6:.1f} million")
    says(f"$\\kappa$ falls to {round(conditions[2], -4):,.0f}.")
    says(f"it falls to {conditions[3]:.0f}.")
    says(f"$X^\\top X/N$ is $L = {curvatures[1][-1]:.1f}$")
    says("exceeds six million")
    assert conditions[1] > 6e6


def excess_on_digits(optimizer: optax.GradientTransformation, images: np.ndarray) -> float:
    """Return the loss above the minimum after 200 full-batch steps of a linear classifier with squared loss."""
    targets = np.eye(10)[digits()[1]]
    hessian, slope = images.T @ images / len(images), images.T @ targets / len(images)
    weights = run(optimizer, lambda w: hessian @ w - slope, np.zeros((images.shape[1], 10)), 200)[-1]
    best, *_ = np.linalg.lstsq(images, targets)
    losses = [np.sum((images @ w - targets) ** 2) / (2 * len(images)) for w in (weights, best)]
    return float(losses[0] - losses[1])


@pytest.mark.parametrize(
    ("multiple", "how"), [(2.0, {}), (3.8, {"momentum": 0.9}), (1.357, {"momentum": 0.9, "nesterov": True})]
)
def test_the_walls_on_digits(multiple: float, how: dict) -> None:
    images = digits()[0] / 16
    largest = digits_curvature(images)[-1]
    below, above = (excess_on_digits(optax.sgd(share * multiple / largest, **how), images) for share in (0.98, 1.03))
    assert below < 0.02
    assert above > 1


def best_of_momentum(images: np.ndarray) -> float:
    wall = 3.8 / digits_curvature(images)[-1]
    return min(excess_on_digits(optax.sgd(share * wall, momentum=0.9), images) for share in (0.5, 0.8, 0.98))


def test_adam_and_momentum_on_digits() -> None:
    images = digits()[0] / 16
    rates = np.geomspace(3e-3, 0.6, 10)
    losses = np.array([excess_on_digits(optax.adam(rate), images) for rate in rates])
    assert 0.01 < rates[losses.argmin()] < 0.022
    says("has its minimum near 0.015")
    assert 1.6 < losses[-1] / losses.min() < 2
    says("costs it almost a factor of two")
    assert 3.5 < best_of_momentum(images) / losses.min() < 4.5
    says("about four times lower than momentum's")


def test_without_dim_pixels_momentum_wins() -> None:
    images = digits()[0] / 16
    inked = np.mean(images**2, axis=0) > 0.03
    says(f"Leave out the {np.sum(~inked)} dimmest pixels")
    adam = min(excess_on_digits(optax.adam(rate), images[:, inked]) for rate in np.geomspace(3e-3, 0.6, 10))
    assert adam / best_of_momentum(images[:, inked]) > 1000
    says("more than a thousand times lower than Adam's")
