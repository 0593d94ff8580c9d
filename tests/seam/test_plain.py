"""Plain data crosses unchanged, and nothing else crosses."""

import pickle

import jax
import jax.numpy as jnp
import msgpack
import numpy as np
import pytest

from gradlab.landscapes import Quadratic, Rosenbrock
from gradlab.seam import plain
from gradlab.seam.plain import NotPlain


def refuse(thing):
    raise NotPlain(f"{type(thing).__name__} was to be referred to")


def there_and_back(value):
    return plain.decode(plain.encode(value, refuse), refuse)


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -(2**63), 2**200, 1.5, float("inf"), 1 + 2j, "é", b"\0", [], (1, [2, (3,)]), {"a": {1: (None,)}}],
    ids=repr,
)
def test_python_values_come_back_with_their_types(value):
    back = there_and_back(value)
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float16", "float32", "complex64", "<U3", "bfloat16"])
def test_numpy_arrays_come_back_with_dtype_and_shape(dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    back = there_and_back(array)
    assert type(back) is np.ndarray
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


def test_jax_arrays_and_random_keys_come_back_as_such():
    array, key = there_and_back((jnp.arange(3.0), jax.random.key(7)))
    assert isinstance(array, jax.Array)
    np.testing.assert_array_equal(jax.random.normal(key), jax.random.normal(jax.random.key(7)))


def test_a_portable_function_and_its_method_cross_by_name():
    surface, gradient = there_and_back((Rosenbrock(2.0, 50.0), Quadratic.with_condition(4.0).gradient))
    assert surface == Rosenbrock(2.0, 50.0) or vars(surface) == vars(Rosenbrock(2.0, 50.0))
    np.testing.assert_allclose(gradient(jnp.ones(2)), [0.25, 1.0], rtol=1e-6)


class LyingInt(int):
    def __eq__(self, other):
        return True

    __hash__ = int.__hash__


class LyingArray(np.ndarray):
    pass


@pytest.mark.parametrize(
    "value",
    [object(), LyingInt(3), np.zeros(2).view(LyingArray), {"a": {1}}, print, np.array([object()])],
    ids=lambda value: type(value).__name__,  # not repr: an address differs between the processes of pytest-xdist
)
def test_anything_else_is_referred_to(value):
    with pytest.raises(NotPlain):
        plain.encode(value, refuse)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        pickle.dumps(print),
        msgpack.packb({"a": 1}),
        msgpack.packb(["os.system", "true"]),
        msgpack.packb(["ref", 3]),
        msgpack.packb(["numpy", "O", [1], b"12345678"]),
        msgpack.packb(["numpy", "float64", [10**9], b""]),
        msgpack.packb(["numpy", "float64", [-1], b"12345678"]),
        msgpack.packb(["portable", "os:system", "", ["dict", []]]),
        msgpack.packb(["portable", "gradlab.seam.store:ObjectStore", "", ["dict", []]]),
        msgpack.packb(["portable", "gradlab.landscapes:Rosenbrock", "__class__", ["dict", []]]),
        msgpack.packb(["portable", "gradlab.landscapes:Rosenbrock", "", ["list", []]]),
        msgpack.packb(["dict", [[["list", []], 1]]]),
        msgpack.packb(["int", "9" * 5000]),
        msgpack.packb(["tuple"]),
    ],
    ids=lambda data: repr(data[:24]),
)
def test_bytes_that_are_not_plain_data_are_refused(data):
    with pytest.raises(NotPlain):
        plain.decode(data, refuse)


def test_deep_nesting_is_refused_on_both_sides():
    deep = []
    for _ in range(200):
        deep = [deep]
    with pytest.raises(NotPlain, match="deeper"):
        plain.encode(deep, refuse)
    tree = ["list", []]
    for _ in range(200):
        tree = ["list", [tree]]
    with pytest.raises(NotPlain):
        plain.decode(msgpack.packb(tree), refuse)
