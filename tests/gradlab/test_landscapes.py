"""Each surface's gradient is that of its loss, and the surfaces are what their text says."""

import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.landscapes import DigitsSlice, Quadratic, Rosenbrock, Saddle, SoftmaxRegression, digits


@pytest.mark.parametrize(
    "surface",
    [Quadratic.with_condition(30.0, angle=0.4), Rosenbrock(), Saddle(), DigitsSlice()],
    ids=lambda surface: type(surface).__name__,
)
def test_the_gradient_is_the_slope_of_the_loss(surface):
    point, h = np.array([0.3, -0.4]), 1e-2
    slopes = [(surface(jnp.asarray(point + d)) - surface(jnp.asarray(point - d))) / (2 * h) for d in h * np.eye(2)]
    # Central differences in float32: the error is h^2 f'''/6 plus rounding 1e-7 f/h.
    np.testing.assert_allclose(surface.gradient(jnp.asarray(point)), slopes, rtol=2e-2, atol=2e-3)


def test_the_quadratic_has_the_condition_that_was_asked_for():
    eigenvalues = np.linalg.eigvalsh(Quadratic.with_condition(50.0, 4, angle=1.0).matrix)
    np.testing.assert_allclose(eigenvalues[[0, -1]], [1 / 50, 1.0], rtol=1e-4)


def test_minima_are_where_the_text_puts_them():
    np.testing.assert_allclose(Rosenbrock(2.0, 10.0).gradient(jnp.array([2.0, 4.0])), [0, 0], atol=1e-5)
    assert float(Saddle()(jnp.array([0.0, -1.0]))) == pytest.approx(-0.25, abs=1e-6)


def test_the_slice_leads_from_an_untrained_classifier_to_a_trained_one():
    slice_of_digits = DigitsSlice()
    assert float(slice_of_digits(jnp.zeros(2))) > np.log(10)
    assert float(slice_of_digits(jnp.array([1.0, 0.0]))) < 0.3


def test_a_classifier_that_knows_nothing_has_the_loss_ln_10():
    images, labels = digits()
    params = {"weight": jnp.zeros((64, 10)), "bias": jnp.zeros(10)}
    loss = SoftmaxRegression()(params, jnp.asarray(images), jnp.asarray(labels))
    assert float(loss) == pytest.approx(np.log(10), rel=1e-5)
