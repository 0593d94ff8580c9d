"""Other right solutions of lab 06, data parallelism."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gradlab_grading.alternatives import alternative

P = PartitionSpec


def _row(count):
    return Mesh(np.array(jax.devices()[:count]), ("i",))


@alternative(of="shard_batch")
def shard_batch_by_numpy(batch, count):
    """In NumPy, writing the rows into zeros."""
    rows = len(jax.tree.leaves(batch)[0])
    each = int(np.ceil(rows / count))

    def fill(leaf):
        full = np.zeros((count * each, *leaf.shape[1:]), leaf.dtype)
        full[:rows] = leaf
        return full.reshape(count, each, *leaf.shape[1:])

    return jax.tree.map(fill, batch), (np.arange(count * each) < rows).reshape(count, each)


@alternative(of="shard_batch")
def shard_batch_by_taking_rows(batch, count):
    """By row numbers, one device after the other, with zeros taken for numbers beyond the end."""
    rows = len(jax.tree.leaves(batch)[0])
    number = jnp.arange(count * -(-rows // count)).reshape(count, -1)
    return jax.tree.map(lambda leaf: leaf.at[number].get(mode="fill", fill_value=0), batch), number < rows


@alternative(of="replicate")
def replicate_by_pmap(init, key, count):
    """Every device makes the parameters from the same key."""
    keys = jnp.stack([jax.random.key_data(key)] * count)
    return jax.pmap(lambda data: init(jax.random.wrap_key_data(data)))(keys)


@alternative(of="replicate")
def replicate_by_pieces(init, key, count):
    """Each piece is put on its device, and the array is made of the pieces."""
    over = NamedSharding(_row(count), P("i"))

    def spread(leaf):
        pieces = [jax.device_put(leaf[None], device) for device in jax.devices()[:count]]
        return jax.make_array_from_single_device_arrays((count, *leaf.shape), over, pieces)

    return jax.tree.map(spread, init(key))


@alternative(of="make_train_step")
def train_step_by_averaging_parameters(loss, learning_rate):
    """Each device steps by itself, and the parameters are averaged: the same for gradient descent."""

    def step(params, x, y):
        value, slope = jax.value_and_grad(loss)(params, x, y)
        moved = jax.tree.map(lambda p, g: p - learning_rate * g, params, slope)
        return lax.pmean(moved, "i"), lax.pmean(value, "i")

    return jax.pmap(step, axis_name="i")


@alternative(of="make_train_step")
def train_step_by_sums_over_all_examples(loss, learning_rate):
    """Sums over devices, divided by their number, leaf by leaf."""

    def step(params, x, y):
        count = lax.psum(1, "batch")
        value, slope = jax.value_and_grad(loss)(params, x, y)
        total = jax.tree.map(lambda g: lax.psum(g, axis_name="batch"), slope)
        moved = jax.tree.map(lambda p, g: p - learning_rate / count * g, params, total)
        return moved, lax.psum(value, "batch") / count

    return jax.pmap(step, axis_name="batch")


@alternative(of="make_train_step")
def train_step_by_shard_map(loss, learning_rate):
    """What pmap is inside: jit of shard_map, with the leading axis taken off and put on again."""

    def step(params, x, y):
        own = jax.tree.map(lambda leaf: leaf[0], (params, x, y))
        value, slope = lax.pmean(jax.value_and_grad(loss)(*own), "i")
        moved = jax.tree.map(lambda p, g: p - learning_rate * g, own[0], slope)
        return jax.tree.map(lambda leaf: leaf[None], (moved, value))

    def mapped(params, x, y):
        specs = {"in_specs": P("i"), "out_specs": P("i"), "check_vma": False}
        return jax.shard_map(step, mesh=_row(len(y)), **specs)(params, x, y)

    return jax.jit(mapped)


@alternative(of="mean_gradients")
def mean_gradients_by_concatenating(gradients, axis_name):
    """The vector by hand."""
    leaves, form = jax.tree.flatten(gradients)
    flat = lax.psum(jnp.concatenate([leaf.reshape(-1) for leaf in leaves]), axis_name) / lax.axis_size(axis_name)
    pieces = jnp.split(flat, np.cumsum([leaf.size for leaf in leaves])[:-1])
    return jax.tree.unflatten(form, [piece.reshape(leaf.shape) for piece, leaf in zip(pieces, leaves, strict=True)])


@alternative(of="mean_gradients")
def mean_gradients_divided_first(gradients, axis_name):
    """Divided by the number of devices before the sum, in a matrix of one row."""
    packed, undo = ravel_pytree(gradients)
    return undo(lax.psum(packed[None] / lax.axis_size(axis_name), axis_name)[0])


@alternative(of="weighted_gradient")
def weighted_gradient_divided_inside(losses, params, x, y, mask, axis_name):
    """The global number is known before the gradient is taken."""
    total = lax.psum(mask.sum(), axis_name)
    share = jax.value_and_grad(lambda p: jnp.where(mask, losses(p, x, y), 0.0).sum() / total)
    return lax.psum(share(params), axis_name)


@alternative(of="weighted_gradient")
def weighted_gradient_by_vjp(losses, params, x, y, mask, axis_name):
    """The mask as the cotangent of the losses; means over devices, whose quotient is the same."""
    each, pull = jax.vjp(lambda p: losses(p, x, y), params)
    (slope,) = pull(mask.astype(each.dtype))
    total, slope, real = lax.pmean((each @ mask, slope, mask.astype(each.dtype).sum()), axis_name)
    return total / real, jax.tree.map(lambda leaf: leaf / real, slope)


@alternative(of="dropout")
def dropout_device_first(x, rate, key, step, axis_name):
    """The device is folded in first, and the mask comes from uniform numbers."""
    own = jax.random.fold_in(jax.random.fold_in(key, lax.axis_index(axis_name)), step)
    return x * (jax.random.uniform(own, x.shape) >= rate) / (1 - rate)


@alternative(of="dropout")
def dropout_by_split(x, rate, key, step, axis_name):
    """One key is split for all devices, and each takes its own."""
    keys = jax.random.split(jax.random.fold_in(key, step), lax.axis_size(axis_name))
    keep = jax.random.bernoulli(keys[lax.axis_index(axis_name)], 1 - rate, x.shape)
    return jnp.where(keep, x, 0.0) / (1 - rate)


@alternative(of="sync_batch_norm")
def batch_norm_by_chan(x, axis_name, eps=1e-5):
    """Means and squared deviations are gathered, then combined (Chan et al. 1979)."""
    gathered = lax.all_gather(jnp.stack([x.mean(axis=0), x.var(axis=0)]), axis_name)
    means, variances = gathered[:, 0], gathered[:, 1]
    mean = means.mean(axis=0)
    variance = variances.mean(axis=0) + jnp.square(means - mean[None]).mean(axis=0)
    return (x - mean[None]) / jnp.sqrt(variance[None] + eps)


@alternative(of="sync_batch_norm")
def batch_norm_by_sums(x, axis_name, eps=1e-5):
    """Sums, sums of squares, and the number of rows, in one vector."""
    width = x.shape[1]
    flat = jnp.concatenate([x.sum(axis=0), (x * x).sum(axis=0)])
    flat = lax.psum(flat, axis_name) / (lax.axis_size(axis_name) * len(x))
    mean, square = flat[:width][None], flat[width:][None]
    return (x - mean) / (square - mean * mean + eps) ** 0.5


@alternative(of="accumulate")
def accumulate_in_a_python_loop(loss, params, x, y, parts, axis_name):
    """Unrolled, with the parts by slices."""
    rows, total = len(x) // parts, None
    for first in range(0, len(x), rows):
        found = jax.value_and_grad(loss)(params, x[first : first + rows], y[first : first + rows])
        total = found if total is None else jax.tree.map(jnp.add, total, found)
    return lax.pmean(jax.tree.map(lambda leaf: leaf / parts, total), axis_name)


@alternative(of="accumulate")
def accumulate_by_running_means(loss, params, x, y, parts, axis_name):
    """Gradients are stacked by a map over parts, then averaged, then over devices in one vector."""
    xs, ys = (data.reshape(parts, -1, *data.shape[1:]) for data in (x, y))
    stacked = lax.map(lambda part: jax.value_and_grad(loss)(params, *part), (xs, ys))
    flat, unravel = ravel_pytree(jax.tree.map(lambda leaf: leaf.mean(axis=0), stacked))
    return unravel(lax.pmean(flat, axis_name))


@alternative(of="ring_all_reduce")
def ring_the_other_way(x, axis_name, size):
    """Around the ring the other way, in loops that JAX traces once."""
    d, links = lax.axis_index(axis_name), [(i, (i - 1) % size) for i in range(size)]

    def add(s, chunks):
        return chunks.at[(d + s + 1) % size].add(lax.ppermute(chunks[(d + s) % size], axis_name, links))

    def spread(s, chunks):
        return chunks.at[(d + s) % size].set(lax.ppermute(chunks[(d + s - 1) % size], axis_name, links))

    chunks = lax.fori_loop(0, size - 1, add, x.reshape(size, -1))
    return lax.fori_loop(0, size - 1, spread, chunks).reshape(-1)


@alternative(of="ring_all_reduce")
def ring_by_rolling(x, axis_name, size):
    """Chunks are rolled so that the one in front is always the one to send."""
    d, links = lax.axis_index(axis_name), [(i, (i + 1) % size) for i in range(size)]
    chunks = jnp.roll(x.reshape(size, -1), -d, axis=0)
    passing = chunks[0]
    for s in range(1, size):
        passing = chunks[-s] + lax.ppermute(passing, axis_name, links)
    done = [passing]
    while len(done) < size:
        done.append(lax.ppermute(done[-1], axis_name, links))
    # Entry s came from device d - s, which had finished chunk d - s + 1.
    order = (d + 1 - jnp.arange(size)) % size
    return jnp.zeros((size, x.size // size), x.dtype).at[order].set(jnp.stack(done)).reshape(-1)


@alternative(of="shard_map_step")
def shard_map_without_tracking(loss, learning_rate, count):
    """check_vma=False, and the rule of pmap."""

    def step(params, x, y):
        value, slope = lax.pmean(jax.value_and_grad(loss)(params, x, y), "i")
        return jax.tree.map(lambda p, g: p - learning_rate * g, params, slope), value

    specs = {"in_specs": (P(), P("i"), P("i")), "out_specs": (P(), P()), "check_vma": False}
    return jax.shard_map(step, mesh=_row(count), **specs)


@alternative(of="shard_map_step")
def shard_map_with_varying_parameters(loss, learning_rate, count):
    """The parameters are declared to vary, so the gradient is local and is averaged as in pmap."""

    def step(params, x, y):
        local = jax.tree.map(lambda leaf: lax.pcast(leaf, "i", to="varying"), params)
        value, slope = lax.pmean(jax.value_and_grad(loss)(local, x, y), "i")
        return jax.tree.map(lambda p, g: p - learning_rate * g, params, slope), value

    return jax.jit(jax.shard_map(step, mesh=_row(count), in_specs=(P(), P("i"), P("i")), out_specs=(P(), P())))


@alternative(of="jit_step")
def jit_with_a_sharding_for_each_leaf(loss, learning_rate, count):
    """A tree of shardings, and the gradient by vjp."""
    everywhere, rows = (NamedSharding(_row(count), spec) for spec in (P(), P("i")))
    each = {"weight": everywhere, "bias": everywhere}

    def step(params, x, y):
        value, pull = jax.vjp(lambda p: loss(p, x, y), params)
        return jax.tree.map(lambda p, g: p - learning_rate * g, params, pull(jnp.ones_like(value))[0]), value

    return jax.jit(step, in_shardings=(each, rows, rows), out_shardings=(each, everywhere))


@alternative(of="jit_step")
def jit_with_a_constraint(loss, learning_rate, count):
    """The sharding is a constraint inside of the step."""
    everywhere, rows = (NamedSharding(_row(count), spec) for spec in (P(), P("i")))

    def step(params, x, y):
        x, y = lax.with_sharding_constraint((x, y), rows)
        value, slope = jax.value_and_grad(loss)(params, x, y)
        return jax.tree.map(lambda p, g: p - learning_rate * g, params, slope), value

    return jax.jit(step, out_shardings=everywhere)


@alternative(of="efficiency")
def efficiency_by_relative_time(count, compute, size, latency, bandwidth):
    """One over one plus the communication as a multiple of the computing."""
    steps = 2 * (count - 1)
    return 1 / (1 + steps * latency / compute + steps / count * size / (bandwidth * compute))


@alternative(of="efficiency")
def efficiency_by_adding_up_the_steps(count, compute, size, latency, bandwidth):
    """Step after step."""
    time = compute
    for _ in range(2 * (count - 1)):
        time += latency + (size / count) / bandwidth
    return compute / time
