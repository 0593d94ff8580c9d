"""A scaling law fitted to small runs, and what it says of a larger one, with an interval.

`L(N) = E + A N^-alpha` (Hoffmann et al. 2022, equation 2, for runs in which the data are no limit): E is the loss
that no size removes. For given alpha it is linear in E and A, so that only alpha is searched for: no starting point,
and no local minimum to fall into.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize_scalar, nnls
from scipy.stats import t

# Published exponents lie between 0.05 (Kaplan et al. 2020) and 0.5; beyond these a law is none.
ALPHAS = (0.01, 3.0)
PARAMETERS = 3


@dataclass(frozen=True)
class Law:
    """`E + A N^-alpha`; `residual` is the standard deviation of a measured loss around it, in nats."""

    floor: float
    amplitude: float
    alpha: float
    residual: float
    sizes: tuple[float, ...]
    losses: tuple[float, ...]

    def __call__(self, size: Float[np.ndarray, "..."] | float) -> Float[np.ndarray, "..."]:
        return self.floor + self.amplitude * np.asarray(size, float) ** -self.alpha


@dataclass(frozen=True)
class Prediction:
    """The loss of a run that was not made, and the interval in which it lies with the probability asked for."""

    loss: float
    low: float
    high: float


def fit(sizes: Float[np.ndarray, " n"], losses: Float[np.ndarray, " n"]) -> Law:
    """The law with the least squared error; E and A are not negative.

    Args:
        sizes: parameters (or tokens, or operations) of each run, at least 4 different ones.
        losses: of the same runs.

    Raises ValueError for fewer sizes: three constants pass through three points, whatever the truth. And where there
    are not as many losses as sizes, or one of them is no positive number.
    """
    sizes, losses = np.asarray(sizes, float), np.asarray(losses, float)
    if sizes.shape != losses.shape:
        raise ValueError(f"{sizes.size} sizes and {losses.size} losses: each run has one of both")
    if not (np.isfinite([sizes, losses]).all() and (sizes > 0).all() and (losses > 0).all()):
        raise ValueError("sizes and losses must be positive numbers: a run that diverged says nothing of the law")
    if len(set(sizes)) <= PARAMETERS:
        raise ValueError(
            f"a law of {PARAMETERS} constants needs at least {PARAMETERS + 1} sizes, got {len(set(sizes))}"
        )
    # A coarse grid first: the squared error has one minimum in alpha in practice, but that is not proven.
    grid = np.geomspace(*ALPHAS, 60)
    best = int(np.argmin([_solve(sizes, losses, alpha)[1] for alpha in grid]))
    around = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = minimize_scalar(lambda a: _solve(sizes, losses, a)[1], bounds=around, options={"xatol": 1e-9})
    alpha = float(found.x)  # pyright: ignore[reportAttributeAccessIssue] SciPy declares no type of result
    (floor, scaled), error = _solve(sizes, losses, alpha)
    freedom = len(sizes) - PARAMETERS
    amplitude = scaled * _middle(sizes) ** alpha
    return Law(floor, amplitude, alpha, error / np.sqrt(freedom), tuple(sizes), tuple(losses))


def predict(law: Law, size: float, *, probability: float = 0.9) -> Prediction:
    """The loss at another size, and its interval.

    The law is linear in its constants near the fit (the delta method), the scatter of runs is the same at all sizes,
    and few runs make wide tails (Student's t): `law(size) +- t s sqrt(1 + g' (J'J)^-1 g)`, with J the derivatives at
    the fitted runs and g those at `size`. Seber and Wild (1989), section 5.1.

    Raises ValueError for a size that is not positive, or a probability that is not between 0 and 1.
    """
    if not size > 0 or not 0 < probability < 1:
        raise ValueError(f"size {size} must be positive, and probability {probability} between 0 and 1")
    runs, target = _derivatives(law, np.asarray(law.sizes)), _derivatives(law, np.array([size]))[0]
    # One scale for each column, else the inverse is of numbers that differ by many orders.
    scale = np.linalg.norm(runs, axis=0)
    inverse = np.linalg.pinv((runs / scale).T @ (runs / scale))
    spread = float(1 + (target / scale) @ inverse @ (target / scale)) ** 0.5
    quantile = float(t.ppf((1 + probability) / 2, len(law.sizes) - PARAMETERS))
    loss, half = float(law(size)), quantile * law.residual * spread
    return Prediction(loss, loss - half, loss + half)


def _middle(sizes: Float[np.ndarray, " n"]) -> float:
    return float(np.exp(np.mean(np.log(sizes))))


def _solve(
    sizes: Float[np.ndarray, " n"], losses: Float[np.ndarray, " n"], alpha: float
) -> tuple[tuple[float, float], float]:
    """E, A at the middle size, and the root of the squared error, for this alpha."""
    columns = np.stack([np.ones_like(sizes), (sizes / _middle(sizes)) ** -alpha], axis=1)
    (floor, scaled), error = nnls(columns, losses)
    return (float(floor), float(scaled)), float(error)


def _derivatives(law: Law, sizes: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 3"]:
    """Of the law, with respect to E, A and alpha."""
    power = sizes**-law.alpha
    return np.stack([np.ones_like(sizes), power, -law.amplitude * power * np.log(sizes)], axis=1)
