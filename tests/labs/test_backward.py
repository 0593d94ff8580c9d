"""Lab 03: its oracle agrees with others that are independent of it."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.checks import backward as checks
from gradlab.checks import complex_step

FORWARD = {
    "affine": (complex_step.affine, lambda x, w, b: jnp.dot(x, w) + b[None], [(3, 2), (2, 4), (4,)]),
    "layer norm": (
        partial(complex_step.layer_norm, 0.2),
        lambda x, a, b: jax.nn.standardize(x, epsilon=0.2) * a[None] + b[None],
        [(3, 4), (4,), (4,)],
    ),
    "attention": (
        complex_step.attention,
        lambda q, k, v: jax.nn.dot_product_attention(q[:, None], k[:, None], v[:, None], is_causal=True)[:, 0],
        [(4, 3), (4, 3), (4, 3)],
    ),
}


@pytest.mark.parametrize("name", FORWARD)
def test_the_oracle_agrees_with_jax(name):
    forward, library, shapes = FORWARD[name]
    rng = np.random.default_rng(1)
    arguments = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    value, pull = jax.vjp(library, *map(jnp.asarray, arguments))
    cotangent = rng.standard_normal(value.shape).astype(np.float32)
    np.testing.assert_allclose(np.real(forward(*arguments)), value, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(complex_step.pullback(forward, arguments, cotangent), pull(cotangent), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_complex_step_is_exact_to_rounding():
    (slope,) = complex_step.pullback(lambda x: np.exp(x) / np.sqrt(np.sin(x) ** 3 + np.cos(x) ** 3), (1.5,), 1.0)
    # The example of Squire and Trapp (1998), whose derivative at 1.5 they give as 4.05342789389862.
    assert math.isclose(slope, 4.05342789389862, rel_tol=1e-14)


def test_the_hessian_of_the_valley_agrees_with_jax():
    x, v = np.array([0.3, -1.2, 0.7]), np.array([1.0, 2.0, -0.5])
    with jax.enable_x64(True):
        hessian = jax.hessian(checks.Valley(2.5))(jnp.asarray(x))
    np.testing.assert_allclose(checks.valley_hvp(2.5, x, v), np.asarray(hessian) @ v, rtol=1e-10)
