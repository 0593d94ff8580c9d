"""What a check can ask about a program for several devices."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gradlab import collectives
from gradlab.seam import probe
from gradlab.seam.handle import local


def total(x, axis_name):
    return lax.psum(x, axis_name)


def mesh(count):
    return Mesh(np.array(jax.devices()[:count]), ("i",))


def test_a_function_is_mapped_over_devices():
    (handle,) = local(total=total)
    mapped = probe.pmap(handle, axis_name="i", static_broadcasted_argnums=(1,))
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    np.testing.assert_array_equal(mapped(jnp.asarray(x), "i"), np.tile(x.sum(axis=0), (4, 1)))
    assert collectives.counts(collectives.collectives(probe.lowered(mapped, jnp.asarray(x), "i"))) == {"all-reduce": 1}


def test_a_program_for_several_devices_runs_on_this_side():
    (handle,) = local(step=jax.pmap(lambda x: lax.pmean(x, "i"), axis_name="i"))
    x = np.arange(16, dtype=np.float32).reshape(8, 2)
    made = probe.program(handle, jnp.asarray(x))
    assert collectives.counts(collectives.collectives(made.text)) == {"all-reduce": 1}
    np.testing.assert_allclose(made.run(), np.tile(x.mean(axis=0), (8, 1)), rtol=1e-6)


def test_placement_names_the_shards():
    def place(x):
        split = jax.device_put(x, NamedSharding(mesh(4), PartitionSpec("i")))
        copies = jax.device_put(x, NamedSharding(mesh(2), PartitionSpec()))
        return {"split": split, "copies": copies, "host": 3}

    (handle,) = local(place=place)
    found = probe.placement(handle, jnp.zeros((8, 2)))
    assert found["split"] == [(i, (2 * i, 0), (2, 2)) for i in range(4)]
    assert found["copies"] == [(i, (0, 0), (8, 2)) for i in range(2)]
    assert found["host"] is None


def test_what_is_jitted_is_compiled_as_it_is():
    rows = NamedSharding(mesh(8), PartitionSpec("i"))
    (handle,) = local(step=jax.jit(lambda x: x + 1.0, in_shardings=rows, out_shardings=rows, donate_argnums=0))
    planned = probe.memory(handle, jnp.zeros((16, 4)))
    # A device holds two of sixteen rows, and the result takes the place of the argument.
    assert (planned["argument"], planned["output"], planned["alias"]) == (32, 32, 32)
    assert probe.compiled(handle, jnp.zeros((16, 4))).startswith("HloModule")
