"""The numbers and formulas of chapter 2, each computed here in another way than the text derives it.

A sentence of the chapter that states a number is asserted word for word, with the number computed: neither can change
without the other.
"""

import math
import re
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from scipy import special
from scipy.optimize import minimize, minimize_scalar

PAGE = Path(__file__).parents[2] / "course" / "chapters" / "02-forward.md"
TEXT = re.sub(r"\s+", " ", PAGE.read_text())


def says(sentence: str) -> None:
    assert sentence in TEXT, f"{PAGE.name} does not say: {sentence}"


def test_gelu_and_its_approximations() -> None:
    x = np.linspace(-8, 8, 160_001)
    exact = np.asarray(jax.nn.gelu(x, approximate=False))
    fine, rough = (np.abs(other - exact).max() for other in (jax.nn.gelu(x), x * special.expit(1.702 * x)))
    low = minimize_scalar(lambda x: float(jax.nn.gelu(x, approximate=False)), bounds=(-2, 0), method="bounded")
    says(f"it has a minimum of \N{MINUS SIGN}{-low.fun:.3f} at $x = {low.x:.3f}$")
    says(f"The one with $\\tanh$ is off by at most {fine:.5f}, the one with a sigmoid by {rough:.3f}.")


def test_limits_of_the_exponential_in_float32() -> None:
    limits = np.finfo(np.float32)
    last = math.floor(math.log(float(limits.max)) * 100) / 100
    with np.errstate(over="ignore"):
        assert np.isfinite(np.exp(np.float32(last)))
        assert np.isinf(np.exp(np.float32(last + 0.01)))
    says(f"so $e^z$ is infinite from $z = {last + 0.01:.2f}$ on")
    says(f"below $e^{{{math.log(float(limits.tiny)):.1f}}}$ float32 has no normal numbers")


def test_gradient_and_curvature_of_cross_entropy() -> None:
    random = np.random.default_rng(0)
    z, q = random.standard_normal(5), random.dirichlet(np.ones(5))
    loss = lambda z: optax.losses.softmax_cross_entropy(z, q)  # noqa: E731
    p = special.softmax(z)
    np.testing.assert_allclose(jax.grad(loss)(z), p - q, rtol=1e-12)
    curvature = np.asarray(jax.hessian(loss)(z))
    np.testing.assert_allclose(curvature, np.diag(p) - np.outer(p, p), rtol=1e-12, atol=1e-15)
    assert np.linalg.eigvalsh(curvature).min() > -1e-15


def test_softmax_twice_cannot_go_below() -> None:
    perfect = np.eye(10)[:1] * 1e4
    loss = optax.losses.softmax_cross_entropy_with_integer_labels(special.softmax(perfect, axis=1), np.array([0]))
    says(f"even perfect answers have the loss $\\log(1 + 9/e) = {float(loss[0]):.3f}$")
    says(f"sticks near {float(loss[0]):.2f}")


def test_label_smoothing_has_a_finite_best_margin() -> None:
    q = np.asarray(optax.smooth_labels(np.eye(10)[0], 0.1))
    best = minimize(lambda z: float(optax.losses.softmax_cross_entropy(z, q)), np.zeros(10), tol=1e-12)
    margin = best.x[0] - best.x[1]
    says(f"With $\\epsilon = 0.1$ and ten classes it is $\\log (0.91 / 0.01) = {margin:.2f}$.")
    says(f"The least loss is the entropy of $q$, here {best.fun:.3f}.")


@pytest.mark.parametrize(("d", "text"), [(4, "13 %"), (1024, "0.05 %")])
def test_unbiased_variance(d: int, text: str) -> None:
    x = np.random.default_rng(0).standard_normal(d)
    part = 1 - x.std(ddof=0) / x.std(ddof=1)
    digits = 0 if part > 0.01 else 2
    says(text)
    assert f"{100 * part:.{digits}f} %" == text


def test_variance_by_difference_is_lost_at_a_mean_of_four_thousand() -> None:
    x = (np.random.default_rng(0).standard_normal((2000, 64)) + 4000).astype(np.float32)
    found = (x * x).mean(axis=1) - x.mean(axis=1) ** 2
    exact = x.astype(np.float64).var(axis=1)
    assert 0.3 < np.median(np.abs(found - exact) / exact) < 3
    assert found.min() < 0
    says("At $r = 4000$ it reaches 1")


def test_weights_of_an_affine_layer_and_a_convolution() -> None:
    says(f"an affine layer has {32 * 32 * 3 * 32 * 32 * 16 / 1e6:.0f} million weights")
    says(f"convolution has {3 * 3 * 3 * 16}.")


def test_largest_attention_weight() -> None:
    random = np.random.default_rng(1)
    scores = np.einsum("nd,nkd->nk", random.standard_normal((3000, 64)), random.standard_normal((3000, 64, 64)))
    assert scores.var() == pytest.approx(64, rel=0.02)
    plain, divided = (special.softmax(s, axis=1).max(axis=1).mean() for s in (scores, scores / 8))
    says("the largest weight is 0.79 on average, and 0.11 when the scores are divided")
    assert plain == pytest.approx(0.79, abs=0.01)
    assert divided == pytest.approx(0.11, abs=0.005)


def test_mean_square_through_twenty_layers() -> None:
    random = np.random.default_rng(3)
    growth = []
    for _ in range(30):
        h = random.standard_normal((8, 64))
        for _ in range(20):
            z = h @ random.standard_normal((64, 64))
            h = np.maximum(z, 0)
        growth.append(np.log10(np.mean(z**2)))
    says("after twenty layers it is $10^{30}$")
    assert np.mean(growth) == pytest.approx(30, abs=0.7)


def test_first_loss() -> None:
    says(f"For ten digits that is {math.log(10):.3f}, for a vocabulary of 50,257 tokens {math.log(50257):.2f}.")
    z = 0.7 * np.random.default_rng(0).standard_normal((4000, 1000))
    loss = -special.log_softmax(z, axis=1)[:, 0].mean()
    assert loss == pytest.approx(math.log(1000) + 0.7**2 / 2, abs=0.03)
