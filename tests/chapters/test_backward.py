"""The numbers and formulas of chapter 3, each computed here in another way than the text derives it.

A sentence of the chapter that states a number is asserted word for word, with the number computed.
"""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize_scalar

PAGE = Path(__file__).parents[2] / "course" / "chapters" / "03-backward.md"
TEXT = re.sub(r"\s+", " ", PAGE.read_text())


def says(sentence):
    assert sentence in TEXT, f"{PAGE.name} does not say: {sentence}"


def test_the_best_step():
    def best(eps):
        found = minimize_scalar(lambda log_h: np.log(np.exp(2 * log_h) / 6 + eps / np.exp(log_h)), bounds=(-20, 0))
        return np.exp(found.x), np.exp(found.fun)

    step, error = best(6e-8)
    says(f"In float32 this is {step:.4f}, and the error that is left is about ${error * 1e5:.1f} \\cdot 10^{{-5}}$")
    step, error = best(1.1e-16)
    says(f"the best step is ${step * 1e6:.1f}\\cdot10^{{-6}}$, with an error of ${error * 1e11:.1f}\\cdot10^{{-11}}$")


def test_forward_and_backward_of_a_product_cost_three_forward_passes():
    def flops(function, *args):
        return jax.jit(function).lower(*args).compile().cost_analysis()["flops"]

    x, w = jnp.ones((64, 96)), jnp.ones((96, 128))
    # The cotangent is an argument, else the compiler computes with the constant one.
    both = flops(lambda x, w, ct: (x @ w, *jax.vjp(jnp.matmul, x, w)[1](ct)), x, w, jnp.ones((64, 128)))
    assert both / flops(jnp.matmul, x, w) == pytest.approx(3, rel=0.02)
    says("forward and backward together cost three times the forward pass")


def test_softmax_with_cross_entropy():
    p = np.asarray(jax.nn.softmax(jnp.array([2.0, 1.0, 0.0])))
    gradient = np.asarray(jax.grad(lambda z: -jax.nn.log_softmax(z)[0])(jnp.array([2.0, 1.0, 0.0])))
    says(f"probabilities {p[0]:.3f}, {p[1]:.3f} and {p[2]:.3f}")
    words = f"plus {-gradient[0]:.3f} for the right class, minus {gradient[1]:.3f} and minus {gradient[2]:.3f}"
    says(words)


def test_the_jacobian_of_layer_norm():
    x, eps = jnp.array([0.3, -1.0, 2.0, 0.7]), 0.1
    jacobian = jax.jacobian(lambda x: jax.nn.standardize(x, epsilon=eps))(x)
    s = jnp.sqrt(jnp.var(x) + eps)
    normal = (x - x.mean()) / s
    formula = (np.eye(4) - 1 / 4 - np.outer(normal, normal) / 4) / s
    np.testing.assert_allclose(jacobian, formula, rtol=1e-10, atol=1e-12)


def test_the_coupling_of_attention_is_the_output_times_its_cotangent():
    q, k, v, ct = np.random.default_rng(0).standard_normal((4, 5, 3))
    p = np.asarray(jax.nn.softmax(jnp.where(jnp.tri(5, dtype=bool), q @ k.T / np.sqrt(3), -jnp.inf)))
    np.testing.assert_allclose(np.sum(ct @ v.T * p, 1), np.sum(ct * (p @ v), 1), rtol=1e-12)


def test_what_attention_would_keep():
    one = 8192**2 * 2
    says(f"one head's $P$ takes {one / 1e6:.0f} MB, and 32 heads take {32 * one / 1e9:.1f} GB")


def test_where_the_exponential_overflows():
    with np.errstate(over="ignore"):
        assert np.isfinite(np.exp(np.float32(88.7)))
        assert np.isinf(np.exp(np.float32(88.8)))
    says("overflows in float32 for $x > 88.7$")


def test_the_trap_of_where():
    slope = jax.grad(lambda x: jnp.where(x > 0, x, jnp.log1p(jnp.exp(x))))(1000.0)
    assert np.isnan(slope)


def test_powers_of_depth():
    says(f"leaves {0.9**30:.1%}".replace("%", " %"))
    says(f"makes it {1.5**30:,.0f} times larger")
    says(f"$2^{{10}} = {2**10}$")


def test_the_factor_of_a_layer():
    """(3.19) for the rectifier and variance 2/n, against a network 512 wide."""
    random = np.random.default_rng(1)
    hidden, weight, ct = random.standard_normal((64, 512)), random.standard_normal((512, 512)), None
    weight *= np.sqrt(2 / 512)
    ct = random.standard_normal((64, 512))
    back = (ct * (hidden @ weight > 0)) @ weight.T
    assert np.mean(back**2) / np.mean(ct**2) == pytest.approx(1, rel=0.05)
