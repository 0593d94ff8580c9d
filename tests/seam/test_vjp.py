"""The vector-Jacobian product across the seam."""

import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.seam import probe
from gradlab.seam.handle import StudentError, local


def test_value_and_cotangents():
    (product,) = local(product=lambda x, y: x * y)
    value, cotangents = probe.vjp(product, jnp.float32([2, 3]), jnp.float32([5, 7]), cotangent=jnp.float32([1, 10]))
    np.testing.assert_array_equal(value, [10, 21])
    np.testing.assert_array_equal(cotangents, [[5, 70], [2, 30]])


def test_a_cotangent_of_another_shape_is_an_error():
    (twice,) = local(twice=lambda x: 2 * x)
    with pytest.raises(StudentError):
        probe.vjp(twice, jnp.ones(2), cotangent=jnp.ones(3))
