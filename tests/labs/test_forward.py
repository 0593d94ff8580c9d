"""Lab 02's oracles against another library each, and its given pieces."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from scipy import special
from scipy.signal import correlate2d
from sklearn.covariance import empirical_covariance
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPRegressor

from gradlab.checks import forward as checks
from gradlab.checks.draw import Draw
from gradlab.heatmaps import Heatmaps
from gradlab.metric import ClassDistance

DRAW = Draw(7, "oracles")


def test_cross_entropy_agrees_with_scikit_learn_and_optax():
    logits, labels = DRAW.normal(6, 4), DRAW.rng.integers(0, 4, 6)
    probabilities = special.softmax(logits.astype(np.float64), axis=1)
    mask = np.array([True, True, False, True, False, True])
    wanted = log_loss(labels, probabilities, labels=range(4), sample_weight=mask)
    assert checks.smoothed_cross_entropy(logits, labels, 0.0, mask) == pytest.approx(wanted, rel=1e-5)
    smooth = optax.smooth_labels(jax.nn.one_hot(labels, 4), 0.3)
    wanted = float(optax.losses.softmax_cross_entropy(logits, smooth).mean())
    assert checks.smoothed_cross_entropy(logits, labels, 0.3) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.allow_rank_promotion("flax's own layer norm adds axes")
def test_layer_norm_agrees_with_flax():
    x, scale, bias = DRAW.normal(3, 5), DRAW.normal(5), DRAW.normal(5)
    layer = nnx.LayerNorm(5, epsilon=0.2, rngs=nnx.Rngs(0))
    layer.scale[...], layer.bias[...] = jnp.asarray(scale), jnp.asarray(bias)
    np.testing.assert_allclose(checks.normalized(x, scale, bias, 0.2), layer(jnp.asarray(x)), rtol=1e-4, atol=1e-5)


def test_convolution_agrees_with_scipy():
    image, kernel = DRAW.normal(1, 6, 7, 1), DRAW.normal(3, 2, 1, 1)
    wanted = correlate2d(np.pad(image[0, :, :, 0], 1), kernel[:, :, 0, 0], mode="valid")[::2, ::2]
    found = checks.lax_convolution(image, kernel, 2, 1)[0, :, :, 0]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_attention_agrees_with_the_librarys():
    query, key, value = (DRAW.normal(2, 5, 3, 4) for _ in range(3))
    wanted = jax.nn.dot_product_attention(*(jnp.asarray(part) for part in (query, key, value)), is_causal=True)
    found = checks.attended(*(part.transpose(0, 2, 1, 3) for part in (query, key, value))).transpose(0, 2, 1, 3)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")  # one iteration makes a model to be filled
def test_perceptron_agrees_with_scikit_learn():
    params, x = checks.layers(DRAW, [3, 6, 5, 2]), DRAW.normal(4, 3).astype(np.float64)
    model = MLPRegressor(hidden_layer_sizes=(6, 5), max_iter=1, solver="lbfgs").fit(x, DRAW.normal(4, 2))
    model.coefs_ = [checks.wide(layer["weight"]) for layer in params]
    model.intercepts_ = [checks.wide(layer["bias"]) for layer in params]
    np.testing.assert_allclose(checks.perceptron(params, x)[-1], model.predict(x), rtol=1e-10)


def test_growth_is_measured_against_the_input():
    with jax.enable_x64(True):
        x = jnp.eye(4)
        params = [{"weight": jnp.sqrt(2) * jnp.eye(4), "bias": jnp.zeros(4)}] * 3
    np.testing.assert_allclose(checks.log_growth(params, x), np.log10([1, 2, 4]), atol=1e-6)


def test_class_distance_is_mahalanobis():
    x, labels = DRAW.normal(40, 3), np.repeat([0, 1], 20).astype(np.int32)
    params = ClassDistance().fit(jnp.asarray(x), jnp.asarray(labels), 2)
    centers = np.stack([x[labels == c].mean(axis=0) for c in (0, 1)])
    np.testing.assert_allclose(params["centers"], centers, rtol=1e-4, atol=1e-5)
    within = empirical_covariance(x - centers[labels], assume_centered=True) + 0.1 * np.eye(3)
    offset = x[0] - centers[0]
    found = ClassDistance()(params, jnp.asarray(x[0]), jnp.asarray(0))
    np.testing.assert_allclose(found, offset @ np.linalg.solve(within, offset), rtol=1e-3)


def test_heatmaps_show_a_number_as_a_square_and_say_the_range():
    picture = Heatmaps({"a <b>": np.array([[1.0, -2.0], [0.0, 4.0]])}, "Two by two.")._repr_mimebundle_()
    assert picture["text/plain"] == "Two by two.\na <b>: -2 to 4"
    html = picture["text/html"]
    assert 'fill="#0072b2" fill-opacity="0.25"' in html
    assert 'fill="#0072b2" fill-opacity="1.00"' in html
    assert html.count('fill="#') == 3
    assert 'fill="#e69f00" fill-opacity="0.50"' in html
    assert "a &lt;b&gt;" in html
    assert 'role="img"' in html


@pytest.mark.parametrize("matrix", [np.zeros(3), np.full((2, 2), np.nan), np.zeros((41, 2))])
def test_heatmaps_refuse_what_they_cannot_show(matrix):
    with pytest.raises(ValueError, match=r"a heat map shows a matrix of at most 40 x 40 finite numbers"):
        Heatmaps({"m": matrix}, "wrong")
