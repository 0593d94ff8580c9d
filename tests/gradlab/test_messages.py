"""Messages without devices: the results are those of `pmap` on emulated devices, and every message is written down."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from gradlab.messages import LIMIT, Deadlock, Endless, listen
from widgets import ring_functions as rings

SIZES = (2, 3, 8)
FUNCTIONS = [*rings.RIGHT, *rings.WRONG, rings.whole_vectors, rings.cheat]
# Real devices belong to a process of their own: this one has started its backend with as many as it has.
ON_DEVICES = """
import sys
import jax, numpy as np
from widgets import ring_functions as rings

jax.config.update("jax_num_cpu_devices", 8)
found = {}
for size in (2, 3, 8):
    x = np.random.default_rng(size).integers(-9, 9, (size, 2 * size)).astype(np.float32)
    found[f"x{size}"] = x
    for function in [*rings.RIGHT, *rings.WRONG, rings.whole_vectors, rings.cheat]:
        run = jax.pmap(lambda v: function(v, "i", size), axis_name="i", devices=jax.devices()[:size])
        found[f"{function.__name__}{size}"] = np.asarray(run(x))
np.savez(sys.argv[1], **found)
"""


@pytest.fixture(scope="module")
def on_devices(tmp_path_factory):
    """Inputs and results by function and number of devices, from real pmap."""
    path = tmp_path_factory.mktemp("pmap") / "found.npz"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run([sys.executable, "-c", ON_DEVICES, str(path)], env=environment, check=True)
    return np.load(path)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_the_result_is_that_of_pmap(on_devices, function):
    for size in SIZES:
        heard = listen(lambda v, n=size: function(v, "i", n), on_devices[f"x{size}"], axis_name="i")
        # Whole numbers, and halves, thirds and eighths of them: but for the thirds exact.
        np.testing.assert_allclose(heard.results, on_devices[f"{function.__name__}{size}"], rtol=1e-6)


@pytest.mark.parametrize("function", rings.RIGHT, ids=lambda function: function.__name__)
def test_a_ring_sends_as_much_as_the_bound(function):
    for size in SIZES:
        x = np.ones((size, 3 * size), np.float32)
        heard = listen(lambda v, n=size: function(v, "i", n), x, axis_name="i")
        assert [exchange.primitive for exchange in heard.exchanges] == ["ppermute"] * 2 * (size - 1)
        sent = np.sum([exchange.bytes_sent for exchange in heard.exchanges], axis=0)
        assert (sent * size == 2 * (size - 1) * x[0].nbytes).all()


def test_each_message_is_what_its_sender_had():
    """In the ring's first steps, by hand: chunk d goes to the right, then the sum of two."""
    x = np.arange(9, dtype=np.float32).reshape(3, 3)
    heard = listen(lambda v: rings.python_loop(v, "i", 3), x, axis_name="i")
    first, second = heard.exchanges[:2]
    assert first.pairs == second.pairs == ((0, 1), (1, 2), (2, 0))
    assert [float(array[0]) for array in first.sent] == [x[0, 0], x[1, 1], x[2, 2]]
    assert [float(array[0]) for array in second.sent] == [x[0, 2] + x[2, 2], x[1, 0] + x[0, 0], x[2, 1] + x[1, 1]]


def test_who_sends_nothing_sends_no_bytes_and_is_received_as_zeros():
    x = np.ones((3, 2), np.float32)
    heard = listen(lambda v: lax.ppermute(v, "i", [(0, 1), (2, 2)]), x, axis_name="i")
    assert heard.exchanges[0].bytes_sent == [8, 0, 0]
    assert heard.results.tolist() == [[0, 0], [1, 1], [1, 1]]


def test_collectives_of_the_library_are_carried_out_and_named():
    def function(v):
        return {
            "sum": lax.psum(v, "i"),
            "most": lax.pmax(v, "i"),
            "all": lax.all_gather(v, "i"),
            "part": lax.psum_scatter(v, "i", tiled=True),
            "turned": lax.all_to_all(v, "i", 0, 0, tiled=True),
            "size": lax.axis_size("i"),
        }

    x = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    heard = listen(function, x, axis_name="i")
    names = ["psum", "pmax", "all_gather", "reduce_scatter", "all_to_all"]
    assert [exchange.primitive for exchange in heard.exchanges] == names
    # float32 sums of four, in an order of JAX's own
    np.testing.assert_allclose(heard.results["sum"], np.tile(x.sum(0), (4, 1)), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(heard.results["most"], np.tile(x.max(0), (4, 1)))
    np.testing.assert_array_equal(heard.results["all"], np.tile(x, (4, 1, 1)))
    np.testing.assert_allclose(heard.results["part"][:, 0], x.sum(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(heard.results["turned"], x.T)
    assert heard.results["size"].tolist() == [4] * 4


def test_several_inputs_constants_and_what_is_called_inside():
    """jit, remat, a custom derivative, a key, a reversed scan with outputs, a cond by device: all as on devices."""
    table = np.arange(3, dtype=np.float32)

    def turn(total, row):
        total = total + lax.ppermute(row, "i", rings.right(3))
        return total, total

    def function(v, scale):
        v = jax.nn.relu(v + table) * scale
        v = jax.checkpoint(jax.jit(lambda w: lax.ppermute(w, "i", rings.right(3))))(v)
        v = v + lax.cond(lax.axis_index("i") == 1, lambda: 10.0, lambda: 1.0 * lax.axis_index("i"))
        total, totals = lax.scan(turn, jnp.zeros(3), jnp.stack([v, 2 * v]), reverse=True)
        return total, totals, jax.random.normal(jax.random.key(0), (2,))

    x = np.random.default_rng(1).normal(size=(3, 3)).astype(np.float32)
    scale = np.array([1, 2, 3], np.float32)
    heard = listen(function, x, scale, axis_name="i")
    want = jax.vmap(function, axis_name="i")(x, scale)
    for got, right in zip(heard.results, want, strict=True):
        # the same float32 operations, fused or not
        np.testing.assert_allclose(got, right, rtol=1e-5, atol=1e-6)
    assert len(heard.exchanges) == 3


def test_loops_end_where_their_condition_says_on_each_device():
    def function(v):
        return lax.while_loop(lambda w: w < 10, lambda w: w * 2 + 0 * lax.axis_index("i"), v)

    assert listen(function, np.array([1.0, 3.0, 20.0]), axis_name="i").results.tolist() == [16, 12, 20]


def test_devices_that_wait_for_ever_are_named():
    with pytest.raises(Deadlock, match="ppermute is called on some devices and not on 0"):
        listen(lambda v: rings.some_only(v, "i", 3), np.ones((3, 3), np.float32), axis_name="i")


def test_a_loop_without_an_end_is_stopped():
    with pytest.raises(Endless, match=str(LIMIT)):
        listen(lambda v: rings.endless(v, "i", 2), np.ones((2, 2), np.float32), axis_name="i")


def test_a_device_cannot_receive_twice():
    with pytest.raises(ValueError, match="target twice"):
        listen(lambda v: lax.ppermute(v, "i", [(0, 1), (2, 1)]), np.ones((3, 1), np.float32), axis_name="i")


def test_what_the_function_raises_is_raised():
    with pytest.raises(NotImplementedError):
        listen(lambda v: rings.unwritten(v, "i", 2), np.ones((2, 2), np.float32), axis_name="i")
