"""Known mistakes of lab 06, data parallelism."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from gradlab.checks.mistake import mistake

each = jax.tree.map
P = PartitionSpec


def _move(params: Any, gradient: Any, rate: float) -> Any:
    return each(lambda p, g: p - rate * g, params, gradient)


def _mesh(count: int) -> jax.sharding.Mesh:
    return jax.make_mesh((count,), ("devices",), axis_types=(AxisType.Auto,), devices=jax.devices()[:count])


# --- shard_batch


def _cut(batch: Any, count: int, rows: int) -> Any:
    return each(lambda leaf: leaf[: rows * count].reshape(count, rows, *leaf.shape[1:]), batch)


def _length(batch: Any) -> int:
    return len(jax.tree.leaves(batch)[0])


def _filled(batch: Any, count: int) -> tuple[Any, int]:
    rows = -(-_length(batch) // count)
    missing = rows * count - _length(batch)
    return each(lambda leaf: jnp.pad(leaf, [(0, missing)] + [(0, 0)] * (leaf.ndim - 1)), batch), rows


@mistake(of="shard_batch")
def remainder_thrown_away(batch, count):
    """What does not divide evenly can be left out.

    Then some examples are never seen, and a batch smaller than the number of devices vanishes. Fill up with zeros.
    """
    rows = _length(batch) // count
    return _cut(batch, count, rows), jnp.ones((count, rows), bool)


@mistake(of="shard_batch")
def always_one_row_more(batch, count):
    """Rounding up is dividing with // and adding one.

    Not where the division leaves nothing: an even batch needs no filling. Round up only what has a remainder.
    """
    rows, length = _length(batch) // count + 1, _length(batch)
    full = each(lambda leaf: jnp.pad(leaf, [(0, rows * count - length)] + [(0, 0)] * (leaf.ndim - 1)), batch)
    return _cut(full, count, rows), (jnp.arange(rows * count) < length).reshape(count, rows)


@mistake(of="shard_batch")
def filling_counted_as_real(batch, count):
    """Zeros are harmless, so that the mask can be True everywhere.

    An example of zeros has a loss and a gradient like any other. The mask must be False where rows were added.
    """
    full, rows = _filled(batch, count)
    return _cut(full, count, rows), jnp.ones((count, rows), bool)


@mistake(of="shard_batch")
def rows_dealt_like_cards(batch, count):
    """Row i goes to device i mod count.

    A fair way too, but the docstring asks for runs: device d has the rows from d * each on.
    """
    full, rows = _filled(batch, count)
    mask = jnp.arange(rows * count) < _length(batch)
    dealt = each(lambda leaf: jnp.swapaxes(leaf.reshape(rows, count, *leaf.shape[1:]), 0, 1), full)
    return dealt, mask.reshape(rows, count).T


@mistake(of="shard_batch")
def last_row_repeated(batch, count):
    """The filling may be anything, the last row say.

    Zeros are asked for. Copies of a real row are taken for data by whoever forgets the mask once.
    """
    rows = -(-_length(batch) // count)
    place = jnp.minimum(jnp.arange(rows * count), _length(batch) - 1)
    mask = (jnp.arange(rows * count) < _length(batch)).reshape(count, rows)
    return _cut(each(lambda leaf: leaf[place], batch), count, rows), mask


@mistake(of="shard_batch")
def filling_in_front(batch, count):
    """It does not matter where the zeros are.

    The mask says where, but row 0 must stay row 0: the order of rows is what batches and labels agree on.
    """
    rows = -(-_length(batch) // count)
    missing = rows * count - _length(batch)
    full = each(lambda leaf: jnp.pad(leaf, [(missing, 0)] + [(0, 0)] * (leaf.ndim - 1)), batch)
    return _cut(full, count, rows), (jnp.arange(rows * count) >= missing).reshape(count, rows)


# --- replicate


@mistake(of="replicate")
def different_initial_parameters(init, key, count):
    """Each device draws its own start, as each draws its own dropout.

    Then every device trains another model, and the mean of their gradients belongs to none. One key, one start.
    """
    made = jax.vmap(init)(jax.random.split(key, count))
    return jax.device_put(made, NamedSharding(_mesh(count), P("devices")))


@mistake(of="replicate")
def copies_on_one_device(init, key, count):
    """A leading axis makes the copies.

    It makes them, all in the memory of the first device. Lay the axis over the devices with a sharding.
    """
    return each(lambda leaf: jnp.stack([leaf] * count), init(key))


@mistake(of="replicate")
def all_copies_on_each_device(init, key, count):
    """Replicating means that every device has everything.

    Here the leading axis has one row a device already. With PartitionSpec() each device holds all rows.
    """
    stacked = each(lambda leaf: jnp.stack([leaf] * count), init(key))
    return jax.device_put(stacked, NamedSharding(_mesh(count), P()))


@mistake(of="replicate")
def parameters_shared_out(init, key, count):
    """The copies must add up to the parameters, so each gets its share.

    Each device holds the parameters themselves. It is gradients that are averaged.
    """
    shares = each(lambda leaf: jnp.stack([leaf / count] * count), init(key))
    return jax.device_put(shares, NamedSharding(_mesh(count), P("devices")))


# --- make_train_step


def _pmapped(step: Any) -> Any:
    return jax.pmap(step, axis_name="devices")


@mistake(of="make_train_step")
def psum_for_pmean(loss, learning_rate):
    """Gradients of parts are added up.

    Each is the mean over its part already. Adding eight of them makes the step eight times too long.
    """

    def step(params, x, y):
        value, grads = jax.value_and_grad(loss)(params, x, y)
        return _move(params, lax.psum(grads, "devices"), learning_rate), lax.pmean(value, "devices")

    return _pmapped(step)


@mistake(of="make_train_step")
def devices_never_talk(loss, learning_rate):
    """pmap takes care of the averaging.

    pmap runs the same program everywhere and sends nothing by itself. Without a collective you train eight models.
    """

    def step(params, x, y):
        value, grads = jax.value_and_grad(loss)(params, x, y)
        return _move(params, grads, learning_rate), value

    return _pmapped(step)


@mistake(of="make_train_step")
def gradients_averaged_after_the_update(loss, learning_rate):
    """It is enough to average at the end of the step.

    The update has used the local gradient by then, and the devices drift apart. Average first, then update.
    """

    def step(params, x, y):
        value, grads = jax.value_and_grad(loss)(params, x, y)
        moved = _move(params, grads, learning_rate)
        grads = lax.pmean(grads, "devices")
        return each(lambda p, g: p + 0 * g, moved, grads), lax.pmean(value, "devices")

    return _pmapped(step)


@mistake(of="make_train_step")
def gradient_of_the_averaged_loss(loss, learning_rate):
    """Averaging the loss averages the gradient as well.

    Not in pmap: there the derivative of a psum is a psum, and the factor n cancels the mean. What is left is the local
    gradient. Differentiate the local loss, and average the gradient. (shard_map has the opposite rule.)
    """

    def step(params, x, y):
        value, grads = jax.value_and_grad(lambda p: lax.pmean(loss(p, x, y), "devices"))(params)
        return _move(params, grads, learning_rate), value

    return _pmapped(step)


@mistake(of="make_train_step")
def loss_of_its_own_part(loss, learning_rate):
    """The loss is only for the log, so each device returns its own.

    Then the log shows the loss of an eighth of the batch. The mean over devices is asked for.
    """

    def step(params, x, y):
        value, grads = jax.value_and_grad(loss)(params, x, y)
        return _move(params, lax.pmean(grads, "devices"), learning_rate), value

    return _pmapped(step)


@mistake(of="make_train_step")
def vmap_for_pmap(loss, learning_rate):
    """vmap knows names of axes too, and gives the same numbers.

    It does, on a single device, which does all the work. pmap runs a row on each.
    """

    def step(params, x, y):
        value, grads = lax.pmean(jax.value_and_grad(loss)(params, x, y), "devices")
        return _move(params, grads, learning_rate), value

    return jax.jit(jax.vmap(step, axis_name="devices"))


# --- mean_gradients


@mistake(of="mean_gradients")
def one_collective_per_leaf(gradients, axis_name):
    """pmean takes a tree, so a tree is one collective.

    It is one for each leaf. The compiler may put some together, and pays a latency for each that is left. Make one
    vector first.
    """
    return lax.pmean(gradients, axis_name)


@mistake(of="mean_gradients")
def summed_and_not_averaged(gradients, axis_name):
    """All-reduce adds, and adding is what is wanted.

    The mean is: divide by the number of devices, or use pmean.
    """
    flat, unravel = ravel_pytree(gradients)
    return unravel(lax.psum(flat, axis_name))


@mistake(of="mean_gradients")
def everything_gathered(gradients, axis_name):
    """Gather all gradients, then take the mean locally.

    Every device then receives and stores n gradients for one mean. An all-reduce moves at most twice the vector.
    """
    flat, unravel = ravel_pytree(gradients)
    return unravel(lax.all_gather(flat, axis_name).mean(axis=0))


@mistake(of="mean_gradients")
def leaves_taken_apart_backwards(gradients, axis_name):
    """Leaves come out of the vector in any order.

    In the order in which they went in: ravel_pytree gives the function that knows it.
    """
    leaves, tree = jax.tree.flatten(gradients)
    flat = lax.pmean(jnp.concatenate([leaf.ravel() for leaf in leaves]), axis_name)
    found, end = [], flat.size
    for leaf in leaves:
        found.append(flat[end - leaf.size : end].reshape(leaf.shape))
        end -= leaf.size
    return jax.tree.unflatten(tree, found)


# --- weighted_gradient


def _mean_of_all(params: Any, losses: Any, x: Any, y: Any, mask: Any, axis_name: str) -> Any:
    return lax.psum(jnp.sum(mask * losses(params, x, y)), axis_name) / lax.psum(mask.sum(), axis_name)


@mistake(of="weighted_gradient")
def mean_of_unequal_means(losses, params, x, y, mask, axis_name):
    """The mean over devices of each device's mean is the mean.

    Only where all have the same number of examples. A device with one example would count as much as one with eight.
    """
    value, grads = jax.value_and_grad(lambda p: jnp.sum(mask * losses(p, x, y)) / jnp.maximum(mask.sum(), 1))(params)
    return lax.pmean((value, grads), axis_name)


@mistake(of="weighted_gradient")
def mask_forgotten(losses, params, x, y, mask, axis_name):
    """The filling is zeros and adds nothing.

    A row of zeros has a loss, and a gradient for the bias. Multiply by the mask.
    """
    value, grads = jax.value_and_grad(lambda p: jnp.mean(losses(p, x, y)))(params)
    return lax.pmean((value, grads), axis_name)


@mistake(of="weighted_gradient")
def divided_by_the_padded_number(losses, params, x, y, mask, axis_name):
    """The mean divides by the length of the array.

    By the number of real examples, that is the sum of the mask over all devices.
    """
    value, grads = jax.value_and_grad(lambda p: jnp.mean(mask * losses(p, x, y)))(params)
    return lax.pmean((value, grads), axis_name)


@mistake(of="weighted_gradient")
def divided_before_it_was_added(losses, params, x, y, mask, axis_name):
    """Take each device's mean, and weight it by its number of examples.

    Right until a device has none: its mean is 0 / 0, and nan times zero stays nan. Add sums, and divide once.
    """
    value, grads = jax.value_and_grad(lambda p: jnp.sum(mask * losses(p, x, y)) / mask.sum())(params)
    weight = mask.sum() / lax.psum(mask.sum(), axis_name)
    return lax.psum(each(lambda leaf: leaf * weight, (value, grads)), axis_name)


@mistake(of="weighted_gradient")
def differentiated_through_the_psum(losses, params, x, y, mask, axis_name):
    """The whole formula can be differentiated at once, psums included, and the gradients then added.

    In pmap the derivative of psum is psum: each gradient has been multiplied by n. Differentiate the local sum.
    """
    value, grads = jax.value_and_grad(_mean_of_all)(params, losses, x, y, mask, axis_name)
    return value, lax.psum(grads, axis_name)


@mistake(of="weighted_gradient")
def gradient_of_the_global_loss(losses, params, x, y, mask, axis_name):
    """The loss is that of all devices, so its gradient is too.

    In pmap each device differentiates by its own copy of the parameters. What it gets is its own share, n times too
    large, and without the examples of others. Differentiate the local sum, and psum the gradient.
    """
    return jax.value_and_grad(_mean_of_all)(params, losses, x, y, mask, axis_name)


@mistake(of="weighted_gradient")
def only_its_own_sum(losses, params, x, y, mask, axis_name):
    """The number of examples is added over devices, and that makes it global.

    Both sums must be: without a psum of the gradient each device has only its own share of it.
    """
    value, grads = jax.value_and_grad(lambda p: jnp.sum(mask * losses(p, x, y)))(params)
    return each(lambda leaf: leaf / lax.psum(mask.sum(), axis_name), (value, grads))


# --- dropout


def _drop(x: Any, rate: float, key: Any) -> Any:
    return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0.0)


@mistake(of="dropout")
def same_mask_on_all_devices(x, rate, key, step, axis_name):
    """The key has changed with the step, so masks are fresh.

    With the step, but it is the same on all devices. Fold in the device's number too.
    """
    return _drop(x, rate, jax.random.fold_in(key, step))


@mistake(of="dropout")
def same_mask_at_each_step(x, rate, key, step, axis_name):
    """Each device has its own key, and that is enough.

    Then each drops the same entries for ever: a smaller network, not a random one. Fold in the step too.
    """
    return _drop(x, rate, jax.random.fold_in(key, lax.axis_index(axis_name)))


@mistake(of="dropout")
def step_and_device_added(x, rate, key, step, axis_name):
    """Step plus device makes a number that differs.

    Step 1 on device 0 and step 0 on device 1 have the same sum, and the same mask. Fold in one after the other.
    """
    return _drop(x, rate, jax.random.fold_in(key, step + lax.axis_index(axis_name)))


@mistake(of="dropout")
def kept_entries_not_scaled(x, rate, key, step, axis_name):
    """Dropping is all there is to it.

    Then activations are smaller in training than in evaluation. Divide what is kept by 1 - rate.
    """
    own = jax.random.fold_in(jax.random.fold_in(key, step), lax.axis_index(axis_name))
    return jnp.where(jax.random.bernoulli(own, 1 - rate, x.shape), x, 0.0)


# --- sync_batch_norm


def _normal(x: Any, mean: Any, variance: Any, eps: float) -> Any:
    return (x - mean) / jnp.sqrt(variance + eps)


@mistake(of="sync_batch_norm")
def local_batch_statistics(x, axis_name, eps=1e-5):
    """Each device normalises what it has.

    That is batch norm with an eighth of the batch, and another function than on one device.
    """
    return _normal(x, x.mean(axis=0), x.var(axis=0), eps)


@mistake(of="sync_batch_norm")
def variances_averaged(x, axis_name, eps=1e-5):
    """The variance of all is the mean of the variances.

    That forgets how far the devices' means lie apart. Average the mean square, and subtract the square of the mean.
    """
    mean, variance = lax.pmean(jnp.stack([x.mean(axis=0), x.var(axis=0)]), axis_name)
    return _normal(x, mean, variance, eps)


@mistake(of="sync_batch_norm")
def two_collectives_for_two_moments(x, axis_name, eps=1e-5):
    """Two moments take two collectives, one after the other or in one call with a tuple.

    A pmean of a tuple is one message for each array. The numbers are right, at twice the latency in every layer. Make
    one array of the two moments first.
    """
    mean = lax.pmean(x.mean(axis=0), axis_name)
    return _normal(x, mean, lax.pmean(jnp.square(x - mean).mean(axis=0), axis_name), eps)


@mistake(of="sync_batch_norm")
def whole_batch_gathered(x, axis_name, eps=1e-5):
    """Gather the batch, and do as on one device.

    Every device then receives all activations of all others, in each layer. Two numbers for each feature suffice.
    """
    batch = lax.all_gather(x, axis_name, tiled=True)
    return _normal(x, batch.mean(axis=0), batch.var(axis=0), eps)


@mistake(of="sync_batch_norm")
def eps_outside_of_the_root(x, axis_name, eps=1e-5):
    """It makes no difference whether eps is added before or after the root.

    Under the root, says the docstring: a feature that hardly varies is divided by sqrt(eps), not by eps.
    """
    mean, square = lax.pmean(jnp.stack([x.mean(axis=0), jnp.square(x).mean(axis=0)]), axis_name)
    return (x - mean) / (jnp.sqrt(square - mean**2) + eps)


@mistake(of="sync_batch_norm")
def mean_not_subtracted_from_the_square(x, axis_name, eps=1e-5):
    """The mean square is the variance.

    Only where the mean is zero. Subtract the square of the mean.
    """
    mean, square = lax.pmean(jnp.stack([x.mean(axis=0), jnp.square(x).mean(axis=0)]), axis_name)
    return _normal(x, mean, square, eps)


# --- accumulate


def _parts(data: Any, parts: int) -> Any:
    return data.reshape(parts, len(data) // parts, *data.shape[1:])


def _accumulated(loss: Any, params: Any, x: Any, y: Any, parts: int, after: Any = lambda value: value) -> Any:
    def add(total, part):
        return each(jnp.add, total, after(jax.value_and_grad(loss)(params, *part))), None

    zeros = jnp.zeros(()), each(jnp.zeros_like, params)
    return lax.scan(add, zeros, (_parts(x, parts), _parts(y, parts)))[0]


@mistake(of="accumulate")
def collective_for_each_part(loss, params, x, y, parts, axis_name):
    """Each part's gradient must be averaged over devices before it is added.

    Adding and averaging may change places: the numbers are the same, and the bytes are sent once, not `parts` times.
    """
    total = _accumulated(loss, params, x, y, parts, after=lambda found: lax.pmean(found, axis_name))
    return each(lambda leaf: leaf / parts, total)


@mistake(of="accumulate")
def parts_added_and_not_averaged(loss, params, x, y, parts, axis_name):
    """Accumulating is adding.

    `loss` is a mean. The sum of `parts` means is `parts` times too large: divide.
    """
    return lax.pmean(_accumulated(loss, params, x, y, parts), axis_name)


@mistake(of="accumulate")
def only_the_last_part(loss, params, x, y, parts, axis_name):
    """The gradient after the loop is the one to use.

    That is the gradient of the last part alone. The others must have been added to it.
    """
    found = jax.value_and_grad(loss)(params, _parts(x, parts)[-1], _parts(y, parts)[-1])
    return lax.pmean(found, axis_name)


@mistake(of="accumulate")
def devices_left_alone(loss, params, x, y, parts, axis_name):
    """Accumulating replaces the all-reduce.

    It makes the local batch larger. The devices still have to average, once, at the end.
    """
    return each(lambda leaf: leaf / parts, _accumulated(loss, params, x, y, parts))


# --- ring_all_reduce


def _links(size: int) -> list[tuple[int, int]]:
    return [(i, (i + 1) % size) for i in range(size)]


def _ring(
    x: Any, axis_name: str, size: int, *, rounds: Any = None, shift: int = 0, add: bool = True, keep: bool = False
) -> Any:
    d, chunks = lax.axis_index(axis_name), x.reshape(size, x.size // size)
    scatter, gather = rounds or (size - 1, size - 1)
    for s in range(scatter):
        got = lax.ppermute(chunks[(d - s) % size], axis_name, _links(size))
        place = chunks.at[(d - s - 1) % size]
        chunks = place.add(got) if add else place.set(got)
    for s in range(gather):
        got = lax.ppermute(chunks[(d + 1 - s + shift) % size], axis_name, _links(size))
        place = chunks.at[(d - s + shift) % size]
        chunks = place.add(got) if keep else place.set(got)
    return chunks.reshape(-1)


@mistake(of="ring_all_reduce")
def whole_vectors_in_a_ring(x, axis_name, size):
    """Pass the vector around and add what comes by.

    Right, and each device sends n - 1 whole vectors. In chunks it is less than two.
    """
    total, passing = x, x
    for _ in range(size - 1):
        passing = lax.ppermute(passing, axis_name, _links(size))
        total = total + passing
    return total


@mistake(of="ring_all_reduce")
def stopped_after_the_first_half(x, axis_name, size):
    """After n - 1 steps everything has been added.

    Each chunk is finished on one device only. The second half takes the finished chunks around.
    """
    return _ring(x, axis_name, size, rounds=(size - 1, 0))


@mistake(of="ring_all_reduce")
def one_step_too_many(x, axis_name, size):
    """A ring of n devices takes n steps.

    After n - 1 steps each chunk has met everybody. With one more its first owner adds it again.
    """
    return _ring(x, axis_name, size, rounds=(size, size - 1))


@mistake(of="ring_all_reduce")
def replaced_and_not_added(x, axis_name, size):
    """What arrives takes the place of what was there.

    In the second half. In the first, what arrives is a sum so far, and your own chunk is still to be added to it.
    """
    return _ring(x, axis_name, size, add=False)


@mistake(of="ring_all_reduce")
def added_in_both_halves(x, axis_name, size):
    """What arrives is added to what is there, in all steps.

    In the second half a finished sum arrives. Your own share is in it already, and adding counts some devices twice.
    """
    return _ring(x, axis_name, size, keep=True)


@mistake(of="ring_all_reduce")
def unfinished_chunk_sent_first(x, axis_name, size):
    """The second half starts with chunk d again.

    The chunk that device d has finished is d + 1: it was the last to arrive.
    """
    return _ring(x, axis_name, size, shift=-1)


@mistake(of="ring_all_reduce")
def ring_not_closed(x, axis_name, size):
    """The last device has no neighbour to send to.

    The first is its neighbour. Without that link the first device receives zeros in every step.
    """
    d, chunks, links = lax.axis_index(axis_name), x.reshape(size, x.size // size), [(i, i + 1) for i in range(size - 1)]
    for s in range(2 * (size - 1)):
        got = lax.ppermute(chunks[(d - s) % size], axis_name, links)
        place = chunks.at[(d - s - 1) % size]
        chunks = place.add(got) if s < size - 1 else place.set(got)
    return chunks.reshape(-1)


@mistake(of="ring_all_reduce")
def psum_in_disguise(x, axis_name, size):
    """psum is the ring, so that one may call it.

    It may be, on some hardware. Here you are to build it: ppermute is the only collective allowed.
    """
    return lax.psum(x, axis_name)


# --- shard_map_step


def _mapped(step: Any, count: int, rows: PartitionSpec | None = None, **options: Any) -> Any:
    rows = P("devices") if rows is None else rows
    specs = {"in_specs": (P(), rows, rows), "out_specs": (P(), P())}
    return jax.jit(jax.shard_map(step, mesh=_mesh(count), **specs, **options))


@mistake(of="shard_map_step")
def pmean_of_gradients_that_are_summed_already(loss, learning_rate, count):
    """In shard_map one averages gradients as in pmap.

    With check_vma=True the gradient for replicated parameters is already the sum over devices. The mean of equal sums
    is that sum: n times too large. Differentiate the pmean of the loss.
    """

    def step(params, x, y):
        value, grads = jax.value_and_grad(loss)(params, x, y)
        return _move(params, lax.pmean(grads, "devices"), learning_rate), lax.pmean(value, "devices")

    return _mapped(step, count)


@mistake(of="shard_map_step")
def checking_off_and_nothing_averaged(loss, learning_rate, count):
    """check_vma=False makes the error about out_specs go away.

    The error was right: the result differs from device to device, and now one of them is taken for all. Average.
    """

    def step(params, x, y):
        value, grads = jax.value_and_grad(loss)(params, x, y)
        return _move(params, grads, learning_rate), value

    return _mapped(step, count, check_vma=False)


@mistake(of="shard_map_step")
def everybody_does_everything(loss, learning_rate, count):
    """P() for the data is simplest, and the numbers are right.

    They are, and every device works through the whole batch. Cut the rows with P("devices").
    """

    def step(params, x, y):
        value, grads = jax.value_and_grad(loss)(params, x, y)
        return _move(params, grads, learning_rate), value

    return _mapped(step, count, rows=P())


@mistake(of="shard_map_step")
def loss_added_up(loss, learning_rate, count):
    """The loss of the batch is the psum of the parts' losses.

    The parts' losses are means. Their sum is n times too large, and so is its gradient: pmean.
    """

    def step(params, x, y):
        value, grads = jax.value_and_grad(lambda p: lax.psum(loss(p, x, y), "devices"))(params)
        return _move(params, grads, learning_rate), value

    return _mapped(step, count)


# --- jit_step


def _plain_step(loss: Any, rate: float) -> Any:
    def step(params, x, y):
        value, grads = jax.value_and_grad(loss)(params, x, y)
        return _move(params, grads, rate), value

    return step


@mistake(of="jit_step")
def no_sharding_at_all(loss, learning_rate, count):
    """jit uses the devices that there are.

    It uses those on which the arguments lie: one. Say how the arguments are to lie.
    """
    return jax.jit(_plain_step(loss, learning_rate))


@mistake(of="jit_step")
def batch_copied_to_all(loss, learning_rate, count):
    """Everything is put on all devices, so all of them work.

    All of them do the same work. The rows of the batch must be cut: PartitionSpec("devices").
    """
    everywhere = NamedSharding(_mesh(count), P())
    return jax.jit(_plain_step(loss, learning_rate), in_shardings=everywhere, out_shardings=everywhere)


@mistake(of="jit_step")
def divided_by_the_devices_again(loss, learning_rate, count):
    """The compiler adds up the shards, so the gradient must be divided by their number.

    The compiler gives what the program says for the whole batch. A mean over the batch is already right.
    """
    everywhere, rows = (NamedSharding(_mesh(count), spec) for spec in (P(), P("devices")))
    return jax.jit(_plain_step(loss, learning_rate / count), in_shardings=(everywhere, rows, rows))


# --- efficiency


@mistake(of="efficiency")
def latency_forgotten(count, compute, size, latency, bandwidth):
    """Only bytes cost time.

    Every one of the 2 (n - 1) steps waits for one latency, and with many devices that is what decides.
    """
    ring = 2 * (count - 1) / count * size / bandwidth
    return compute / (compute + ring)


@mistake(of="efficiency")
def the_way_back_forgotten(count, compute, size, latency, bandwidth):
    """A ring takes n - 1 steps.

    Twice: once to add up, and once to take the sums around.
    """
    return compute / (compute + (count - 1) * (latency + size / count / bandwidth))


@mistake(of="efficiency")
def whole_gradient_in_each_step(count, compute, size, latency, bandwidth):
    """Each step sends the gradient.

    Each step sends one chunk, an n-th of it.
    """
    return compute / (compute + 2 * (count - 1) * (latency + size / bandwidth))


@mistake(of="efficiency")
def one_latency_for_the_whole_ring(count, compute, size, latency, bandwidth):
    """The latency is paid once, when the collective starts.

    Each step waits for the message of the one before, so each pays it.
    """
    return compute / (compute + (latency + 2 * (count - 1) / count * size / bandwidth) * float(np.sign(count - 1)))
