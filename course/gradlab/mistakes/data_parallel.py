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


def _averaged(loss: Any, rate: float) -> Any:
    """The step of a device that differentiates the loss averaged over devices: right in shard_map, not in pmap."""

    def step(params, x, y):
        value, grads = jax.value_and_grad(lambda p: lax.pmean(loss(p, x, y), "devices"))(params)
        return _move(params, grads, rate), value

    return step


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


def _shared_out(batch: Any, count: int) -> tuple[Any, Any]:
    full, rows = _filled(batch, count)
    return _cut(full, count, rows), (jnp.arange(rows * count) < _length(batch)).reshape(count, rows)


@mistake(of="shard_batch")
def mask_of_the_filling(batch, count):
    """The mask marks what has been filled in.

    It says which rows are real: True there, False for filling. As it is, the loss would count the zeros alone.
    """
    shared, mask = _shared_out(batch, count)
    return shared, ~mask


@mistake(of="shard_batch")
def mask_of_numbers(batch, count):
    """Ones and zeros do as well as True and False.

    For a product they do; jnp.where and indexing take them for something else. The mask is of bools.
    """
    shared, mask = _shared_out(batch, count)
    return shared, mask.astype(jnp.float32)


@mistake(of="shard_batch")
def labels_made_floats(batch, count):
    """Zeros are zeros, of whatever type.

    jnp.zeros gives float32, and what is joined to it becomes float32 too: labels can then no longer pick a class. Give
    the filling the dtype of its leaf.
    """
    shared, mask = _shared_out(batch, count)
    return each(lambda leaf: leaf.astype(jnp.float32), shared), mask


@mistake(of="shard_batch")
def mask_in_one_row(batch, count):
    """The mask has an entry for each row of the batch.

    It is shared out like the batch: one row of it for each device.
    """
    shared, mask = _shared_out(batch, count)
    return shared, mask.ravel()


@mistake(of="shard_batch")
def devices_on_the_second_axis(batch, count):
    """reshape(rows, count) or reshape(count, rows), it is the same numbers.

    The leading axis is the one that pmap maps: it has one entry for each device.
    """
    shared, mask = _shared_out(batch, count)
    return each(lambda leaf: jnp.swapaxes(leaf, 0, 1), shared), mask.T


@mistake(of="shard_batch")
def filling_spread_over_devices(batch, count):
    """It is fairer when each device has nearly the same number of real rows, as array_split does it.

    Fair, and not what is asked for: runs of ceil(B / n) rows, and all the filling at the very end.
    """

    def spread(leaf):
        rows = -(-len(leaf) // count)
        filled = [
            jnp.pad(part, [(0, rows - len(part))] + [(0, 0)] * (leaf.ndim - 1)) for part in jnp.array_split(leaf, count)
        ]
        return jnp.stack(filled)

    return each(spread, batch), spread(jnp.ones(_length(batch), bool))


@mistake(of="shard_batch")
def mask_of_devices(batch, count):
    """A device is real when it has got a real row.

    Rows are real, or they are not: the last device with any may have filling behind them.
    """
    shared, mask = _shared_out(batch, count)
    return shared, jnp.broadcast_to(mask.any(axis=1, keepdims=True), mask.shape)


@mistake(of="shard_batch")
def filled_with_the_first_rows(batch, count):
    """What is missing at the end is taken from the front, as PyTorch's DistributedSampler does it.

    Then some examples count twice for whoever forgets the mask. Zeros are asked for.
    """
    rows = -(-_length(batch) // count)
    number = jnp.arange(rows * count)
    mask = (number < _length(batch)).reshape(count, rows)
    return _cut(each(lambda leaf: leaf[number % _length(batch)], batch), count, rows), mask


@mistake(of="shard_batch")
def padded_on_every_axis(batch, count):
    """jnp.pad(leaf, (0, missing)) adds the missing rows.

    A single pair is taken for every axis, so that features are added too. Give a pair for each axis: (0, missing) for
    the first, (0, 0) for the others.
    """
    rows = -(-_length(batch) // count)
    missing = rows * count - _length(batch)
    full = each(lambda leaf: jnp.pad(leaf, (0, missing)).reshape(count, rows, *leaf.shape[1:]), batch)
    return full, (jnp.arange(rows * count) < _length(batch)).reshape(count, rows)


@mistake(of="shard_batch")
def mask_read_off_the_zeros(batch, count):
    """Rows of zeros are the filling.

    A real row may be zeros, a black image of class 0 say. Not what is in a row says that it is real, but its number:
    less than B.
    """
    shared, mask = _shared_out(batch, count)
    leaf = jax.tree.leaves(shared)[0]
    return shared, (leaf != 0).reshape(*mask.shape, -1).any(axis=-1)


@mistake(of="shard_batch")
def batch_without_its_mask(batch, count):
    """The batch in parts is the result.

    It is the first of two. Without the mask nobody can tell filling from rows: return (batch, mask).
    """
    return _shared_out(batch, count)[0]


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


def _spread(params: Any, count: int) -> Any:
    stacked = each(lambda leaf: jnp.stack([leaf] * count), params)
    return jax.device_put(stacked, NamedSharding(_mesh(count), P("devices")))


@mistake(of="replicate")
def no_axis_of_copies(init, key, count):
    """PartitionSpec() puts the parameters on all devices, and nothing more is needed.

    For shard_map and jit that is how it is done. pmap takes an axis of devices, one row for each.
    """
    return jax.device_put(init(key), NamedSharding(_mesh(count), P()))


@mistake(of="replicate")
def list_of_copies(init, key, count):
    """A copy on each device is a list of copies.

    pmap takes one tree, whose arrays have an axis of devices in front, and lie in pieces.
    """
    params = init(key)
    return [jax.device_put(params, device) for device in jax.devices()[:count]]


@mistake(of="replicate")
def only_the_first_row_filled(init, key, count):
    """The first device has the parameters, and the others get them with the first gradient.

    Gradients are averaged, parameters never. Every row has to be the same from the start.
    """
    first = each(lambda leaf: jnp.zeros((count, *leaf.shape)).at[0].set(leaf), init(key))
    return jax.device_put(first, NamedSharding(_mesh(count), P("devices")))


@mistake(of="replicate")
def another_key_than_was_given(init, key, count):
    """A key is split before it is used.

    When it is used more than once. Here it is used once, and the same key is to give the start of one device.
    """
    return _spread(init(jax.random.split(key)[0]), count)


@mistake(of="replicate")
def copies_on_all_devices(init, key, count):
    """There are as many copies as there are devices.

    As many as `count` says. A run on four of eight devices uses the first four.
    """
    return _spread(init(key), max(count, len(jax.devices())))


@mistake(of="replicate")
def another_axis_cut_than_that_of_copies(init, key, count):
    """P("devices") hands the parameters out.

    It cuts an axis into n pieces, here one of the parameters' own, so that each device would hold a part of them. First
    stack n copies on a new axis in front; that is the one to cut.
    """
    return jax.device_put(init(key), NamedSharding(_mesh(count), P("devices")))


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
    (There is one in your code? It changes nothing in place, as dist.all_reduce does in PyTorch: take its result, grads
    = lax.pmean(grads, ...).)
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
    return _pmapped(_averaged(loss, learning_rate))


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
def averaged_without_a_collective(loss, learning_rate):
    """The numbers are what counts: vmap for pmap, or a mean over the leading axis after it, gives the same.

    vmap does all the work on one device. A mean outside of pmap is a second program, and not in the step. Average in
    the function that pmap maps, with lax.pmean.
    """

    def step(params, x, y):
        value, grads = lax.pmean(jax.value_and_grad(loss)(params, x, y), "devices")
        return _move(params, grads, learning_rate), value

    return jax.jit(jax.vmap(step, axis_name="devices"))


@mistake(of="make_train_step")
def losses_added_up(loss, learning_rate):
    """The loss of all is the sum of the losses.

    Each is a mean over its part. The mean over all is the mean of these.
    """

    def step(params, x, y):
        value, grads = jax.value_and_grad(loss)(params, x, y)
        return _move(params, lax.pmean(grads, "devices"), learning_rate), lax.psum(value, "devices")

    return _pmapped(step)


@mistake(of="make_train_step")
def loss_after_the_step(loss, learning_rate):
    """The loss belongs to the new parameters.

    It is that before the step, which comes with the gradient for nothing. To compute it anew is a forward pass more.
    """

    def step(params, x, y):
        params = _move(params, lax.pmean(jax.grad(loss)(params, x, y), "devices"), learning_rate)
        return params, lax.pmean(loss(params, x, y), "devices")

    return _pmapped(step)


@mistake(of="make_train_step")
def divided_and_never_added(loss, learning_rate):
    """The mean divides by the number of devices.

    After it has added what they have. An eighth of its own gradient tells a device nothing of the others.
    """

    def step(params, x, y):
        value, grads = jax.value_and_grad(loss)(params, x, y)
        share = each(lambda leaf: leaf / lax.axis_size("devices"), grads)
        return _move(params, share, learning_rate), lax.pmean(value, "devices")

    return _pmapped(step)


@mistake(of="make_train_step")
def divided_twice(loss, learning_rate):
    """pmean adds, and the division comes after it.

    pmean has divided already: the step becomes n times too short. psum adds.
    """

    def step(params, x, y):
        value, grads = lax.pmean(jax.value_and_grad(loss)(params, x, y), "devices")
        return _move(params, grads, learning_rate / lax.axis_size("devices")), value

    return _pmapped(step)


@mistake(of="make_train_step")
def gradient_added_to_the_parameters(loss, learning_rate):
    """An update is added.

    The gradient shows uphill: subtract it.
    """

    def step(params, x, y):
        value, grads = lax.pmean(jax.value_and_grad(loss)(params, x, y), "devices")
        return _move(params, grads, -learning_rate), value

    return _pmapped(step)


@mistake(of="make_train_step")
def loss_returned_first(loss, learning_rate):
    """Value and gradient come in this order, and so do the results.

    The docstring asks for (params, loss).
    """

    def step(params, x, y):
        value, grads = lax.pmean(jax.value_and_grad(loss)(params, x, y), "devices")
        return value, _move(params, grads, learning_rate)

    return _pmapped(step)


@mistake(of="make_train_step")
def axis_without_a_name(loss, learning_rate):
    """pmap knows what "devices" means.

    It gives the axis the name that it is told: axis_name="devices".
    """

    def step(params, x, y):
        value, grads = lax.pmean(jax.value_and_grad(loss)(params, x, y), "devices")
        return _move(params, grads, learning_rate), value

    return jax.pmap(step)


@mistake(of="make_train_step")
def step_not_mapped(loss, learning_rate):
    """The step is a function of one device, and is returned as it is.

    Who calls it gives it the arrays of all devices. jax.pmap(step, axis_name=...) hands each device its row: of the
    parameters too, so that in_axes=(None, 0, 0) would be wrong.
    """

    def step(params, x, y):
        value, grads = lax.pmean(jax.value_and_grad(loss)(params, x, y), "devices")
        return _move(params, grads, learning_rate), value

    return step


@mistake(of="make_train_step")
def averaged_over_an_axis_of_its_own(loss, learning_rate):
    """Arrays have an axis of devices in front, so grads.mean(axis=0) averages over devices.

    Not inside of pmap: there a device sees its own row, without that axis. What is averaged here are rows of the
    weights. lax.pmean goes over devices.
    """

    def step(params, x, y):
        value, grads = jax.value_and_grad(loss)(params, x, y)
        return _move(params, each(lambda leaf: leaf.mean(axis=0), grads), learning_rate), value.mean()

    return _pmapped(step)


@mistake(of="make_train_step")
def divided_by_all_devices_of_the_machine(loss, learning_rate):
    """The mean is the sum over jax.device_count().

    Over the devices that take part: as many as the arrays have rows. pmean knows how many, and so does
    lax.axis_size(name).
    """

    def step(params, x, y):
        value, grads = lax.psum(jax.value_and_grad(loss)(params, x, y), "devices")
        return _move(params, grads, learning_rate / jax.device_count()), value / jax.device_count()

    return _pmapped(step)


@mistake(of="make_train_step")
def divided_by_the_number_of_examples(loss, learning_rate):
    """A mean over examples divides by their number.

    `loss` has divided by those of its device already, unlike a loss with reduction="sum" in PyTorch. What is left is
    the number of devices: pmean.
    """

    def step(params, x, y):
        value, grads = jax.value_and_grad(loss)(params, x, y)
        total, examples = lax.psum(grads, "devices"), lax.psum(len(y), "devices")
        return _move(params, total, learning_rate / examples), lax.pmean(value, "devices")

    return _pmapped(step)


@mistake(of="make_train_step")
def gradient_taken_for_the_loss(loss, learning_rate):
    """grads, value = jax.value_and_grad(loss)(...).

    The value comes first, as the name says.
    """

    def step(params, x, y):
        grads, value = lax.pmean(jax.value_and_grad(loss)(params, x, y), "devices")
        return _move(params, grads, learning_rate), value

    return _pmapped(step)


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


@mistake(of="mean_gradients")
def devices_counted_by_a_message(gradients, axis_name):
    """How many devices there are is found by adding up ones.

    As an array it costs a second all-reduce. The number is known while JAX traces: lax.axis_size, or psum of a plain 1.
    """
    flat, unravel = ravel_pytree(gradients)
    return unravel(lax.psum(flat, axis_name) / lax.psum(jnp.ones(()), axis_name))


@mistake(of="mean_gradients")
def scattered_and_gathered(gradients, axis_name):
    """An all-reduce is a reduce-scatter and an all-gather, so those two will do.

    The bytes are the same; as messages they are two, and you have to fill up the vector. One all-reduce is asked for.
    """
    flat, unravel = ravel_pytree(gradients)
    count = lax.axis_size(axis_name)
    part = lax.psum_scatter(jnp.pad(flat, (0, -flat.size % count)), axis_name, tiled=True) / count
    return unravel(lax.all_gather(part, axis_name, tiled=True)[: flat.size])


@mistake(of="mean_gradients")
def left_as_a_vector(gradients, axis_name):
    """The vector is the result.

    The optimizer wants gradients in the structure of the parameters. ravel_pytree gives the way back as well.
    """
    return lax.pmean(ravel_pytree(gradients)[0], axis_name)


@mistake(of="mean_gradients")
def leaves_padded_to_the_longest(gradients, axis_name):
    """Leaves are stacked into one array, so all must be as long as the longest.

    That is one message, and mostly zeros: the bias is as long as the weights. Put the leaves one behind the other.
    """
    leaves, tree = jax.tree.flatten(gradients)
    longest = max(leaf.size for leaf in leaves)
    table = jnp.stack([jnp.pad(leaf.ravel(), (0, longest - leaf.size)) for leaf in leaves])
    found = zip(lax.pmean(table, axis_name), leaves, strict=True)
    return jax.tree.unflatten(tree, [row[: leaf.size].reshape(leaf.shape) for row, leaf in found])


@mistake(of="mean_gradients")
def sent_in_bfloat16(gradients, axis_name):
    """Half of the bits are enough for a gradient.

    Often they are, and it is a choice to be made knowingly: two digits are left. Here the
    leaves are float32, and stay it.
    """
    flat, unravel = ravel_pytree(gradients)
    return unravel(lax.pmean(flat.astype(jnp.bfloat16), axis_name).astype(flat.dtype))


@mistake(of="mean_gradients")
def divided_by_the_devices_and_kept(gradients, axis_name):
    """A mean is a division by the number of devices.

    Of a sum. Nothing has been sent here: each device keeps its own gradient. (There is a collective in your code? It
    changes nothing in place: use what it returns.)
    """
    return each(lambda leaf: leaf / lax.axis_size(axis_name), gradients)


@mistake(of="mean_gradients")
def divided_by_all_devices_there_are(gradients, axis_name):
    """The mean is the sum over jax.device_count().

    Over the devices of the axis, which may be fewer. pmean knows how many, and so does lax.axis_size(axis_name).
    """
    flat, unravel = ravel_pytree(gradients)
    return unravel(lax.psum(flat, axis_name) / jax.device_count())


@mistake(of="mean_gradients")
def vector_and_its_way_back_taken_for_one(gradients, axis_name):
    """ravel_pytree gives a vector.

    It gives two things, the vector and a function that makes a tree of it again: flat, unravel = ravel_pytree(tree).
    """
    return lax.pmean(ravel_pytree(gradients), axis_name)


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


def _local_sum(losses: Any, params: Any, x: Any, y: Any, mask: Any) -> Any:
    return jax.value_and_grad(lambda p: jnp.sum(mask * losses(p, x, y)))(params)


@mistake(of="weighted_gradient")
def gradient_averaged_where_it_is_to_be_added(losses, params, x, y, mask, axis_name):
    """Gradients are averaged over devices, as always.

    Here they are gradients of sums, and the division by the number of examples is all the averaging there is: psum.
    """
    value, grads = _local_sum(losses, params, x, y, mask)
    real = lax.psum(mask.sum(), axis_name)
    return lax.psum(value, axis_name) / real, each(lambda leaf: lax.pmean(leaf, axis_name) / real, grads)


@mistake(of="weighted_gradient")
def sums_of_all_over_its_own_number(losses, params, x, y, mask, axis_name):
    """Each device knows how many examples it has.

    The sums are those of all devices, and so is the number: psum of the mask as well.
    """
    total = lax.psum(_local_sum(losses, params, x, y, mask), axis_name)
    return each(lambda leaf: leaf / jnp.maximum(mask.sum(), 1), total)


@mistake(of="weighted_gradient")
def never_divided(losses, params, x, y, mask, axis_name):
    """Sums are what is additive, so sums are returned.

    The mean loss is asked for, and its gradient: both are divided by the number of real examples.
    """
    return lax.psum(_local_sum(losses, params, x, y, mask), axis_name)


@mistake(of="weighted_gradient")
def rows_picked_by_the_mask(losses, params, x, y, mask, axis_name):
    """x[mask] leaves the real rows.

    How many there are is not known while JAX traces, and every array needs a shape; an `if` cannot ask for it either.
    Let all rows in, and give those of filling the weight zero.
    """
    return _local_sum(losses, params, x[mask], y[mask], 1.0)


@mistake(of="weighted_gradient")
def inputs_masked_and_not_losses(losses, params, x, y, mask, axis_name):
    """When its inputs are zero, an example adds nothing.

    It has a loss all the same, from the bias, and a gradient. The mask is for the losses.
    """
    value, grads = jax.value_and_grad(lambda p: jnp.sum(losses(p, x * mask[:, None], y)))(params)
    total, real = lax.psum(((value, grads), mask.sum()), axis_name)
    return each(lambda leaf: leaf / real, total)


@mistake(of="weighted_gradient")
def mask_in_the_number_only(losses, params, x, y, mask, axis_name):
    """The mask is for counting.

    The losses of the filling are still in the sum above. Take them out there as well.
    """
    value, grads = jax.value_and_grad(lambda p: jnp.sum(losses(p, x, y)))(params)
    total, real = lax.psum(((value, grads), mask.sum()), axis_name)
    return each(lambda leaf: leaf / real, total)


@mistake(of="weighted_gradient")
def loss_of_its_own_examples(losses, params, x, y, mask, axis_name):
    """The loss is for the log only, and needs no psum.

    Then each device logs its own share of the sum. Loss and gradient are both sums over all devices, divided once.
    """
    value, grads = _local_sum(losses, params, x, y, mask)
    real = lax.psum(mask.sum(), axis_name)
    return value / real, each(lambda leaf: lax.psum(leaf, axis_name) / real, grads)


@mistake(of="weighted_gradient")
def gradient_of_its_own_examples(losses, params, x, y, mask, axis_name):
    """The loss has been added up over devices, and the gradient belongs to it.

    It was taken of the local sum, and is local: psum for the gradient as well. lax.psum takes a tuple of both.
    """
    value, grads = _local_sum(losses, params, x, y, mask)
    real = lax.psum(mask.sum(), axis_name)
    return lax.psum(value, axis_name) / real, each(lambda leaf: leaf / real, grads)


@mistake(of="weighted_gradient")
def number_averaged_and_not_added(losses, params, x, y, mask, axis_name):
    """pmean for the number of examples, psum for the rest.

    All three are sums over devices. Divided by the mean number, the result is n times too large.
    """
    total, real = lax.psum(_local_sum(losses, params, x, y, mask), axis_name), lax.pmean(mask.sum(), axis_name)
    return each(lambda leaf: leaf / real, total)


@mistake(of="weighted_gradient")
def gradient_of_the_sum(losses, params, x, y, mask, axis_name):
    """The mean loss is the sum over the number, and the gradient is done.

    It is the gradient of the sum: divide it by the number of real examples too, leaf by leaf.
    """
    (value, grads), real = lax.psum((_local_sum(losses, params, x, y, mask), mask.sum()), axis_name)
    return value / real, grads


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

    Then activations are smaller in training than in evaluation. Divide what is kept by 1 - rate: not by `rate`, and do
    not multiply.
    """
    own = jax.random.fold_in(jax.random.fold_in(key, step), lax.axis_index(axis_name))
    return jnp.where(jax.random.bernoulli(own, 1 - rate, x.shape), x, 0.0)


def _own(key: Any, step: Any, axis_name: str) -> Any:
    return jax.random.fold_in(jax.random.fold_in(key, step), lax.axis_index(axis_name))


@mistake(of="dropout")
def one_mask_for_all_rows(x, rate, key, step, axis_name):
    """The mask says which features are dropped, and broadcasting does the rest.

    Then all examples of a device lose the same features. Each entry gets a choice of its own: draw in the shape of x.
    """
    kept = jax.random.bernoulli(_own(key, step, axis_name), 1 - rate, x.shape[-1:])
    return jnp.where(kept, x / (1 - rate), 0.0)


@mistake(of="dropout")
def whole_rows_dropped(x, rate, key, step, axis_name):
    """An example is dropped, or it is not.

    That makes the batch smaller. Dropout is a choice for each entry.
    """
    kept = jax.random.bernoulli(_own(key, step, axis_name), 1 - rate, (*x.shape[:-1], 1))
    return jnp.where(kept, x / (1 - rate), 0.0)


@mistake(of="dropout")
def kept_with_the_probability_of_dropping(x, rate, key, step, axis_name):
    """bernoulli(rate) is True with probability `rate`, and True is kept.

    `rate` is the probability to drop. What is kept has 1 - rate.
    """
    kept = jax.random.bernoulli(_own(key, step, axis_name), rate, x.shape)
    return jnp.where(kept, x / (1 - rate), 0.0)


@mistake(of="dropout")
def step_and_device_multiplied(x, rate, key, step, axis_name):
    """Step times device makes a number that differs.

    At step 0 it is 0 on all devices, and on device 0 at all steps. Fold in one after the other.
    """
    return _drop(x, rate, jax.random.fold_in(key, step * lax.axis_index(axis_name)))


@mistake(of="dropout")
def key_used_as_it_came(x, rate, key, step, axis_name):
    """The key is fresh, so it can be used.

    It is one key for the whole run, the same on all devices and at each step. Fold in both numbers. (Random numbers of
    NumPy are no way out: they are drawn once, while JAX traces.)
    """
    return _drop(x, rate, key)


@mistake(of="dropout")
def key_of_its_own(x, rate, key, step, axis_name):
    """Any key will do, as long as step and device are folded in.

    Then all runs have the same noise, whatever their seed. Begin with the key that is given.
    """
    return _drop(x, rate, _own(jax.random.key(0), step, axis_name))


@mistake(of="dropout")
def one_choice_for_all_entries(x, rate, key, step, axis_name):
    """bernoulli(key, p) gives the mask.

    Without a shape it draws one number, and all entries share it: bernoulli(key, p, x.shape).
    """
    return jnp.where(jax.random.bernoulli(_own(key, step, axis_name), 1 - rate), x / (1 - rate), 0.0)


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


def _moments(x: Any, axis_name: str) -> Any:
    return lax.pmean(jnp.stack([x.mean(axis=0), jnp.square(x).mean(axis=0)]), axis_name)


@mistake(of="sync_batch_norm")
def moments_added_up(x, axis_name, eps=1e-5):
    """psum joins the moments of all devices.

    They are means, and the sum of eight of them is eight times too large: pmean, or psum of sums.
    """
    mean, square = _moments(x, axis_name) * lax.axis_size(axis_name)
    return _normal(x, mean, square - mean**2, eps)


@mistake(of="sync_batch_norm")
def no_eps(x, axis_name, eps=1e-5):
    """eps is there for features that do not vary, and these do.

    It is part of the definition, and it is not always small.
    """
    mean, square = _moments(x, axis_name)
    return _normal(x, mean, square - mean**2, 0.0)


@mistake(of="sync_batch_norm")
def eps_of_its_own(x, axis_name, eps=1e-5):
    """eps is 1e-5.

    By default. Use the argument.
    """
    mean, square = _moments(x, axis_name)
    return _normal(x, mean, square - mean**2, 1e-5)


@mistake(of="sync_batch_norm")
def variance_over_one_row_less(x, axis_name, eps=1e-5):
    """A variance divides by the number of rows less one.

    That is the estimate for a population. Batch norm divides by the number of rows.
    """
    mean, square = _moments(x, axis_name)
    rows = len(x) * lax.axis_size(axis_name)
    return _normal(x, mean, (square - mean**2) * rows / (rows - 1), eps)


@mistake(of="sync_batch_norm")
def divided_by_the_variance(x, axis_name, eps=1e-5):
    """The variance is what is divided by.

    Its root is: the standard deviation has the unit of x.
    """
    mean, square = _moments(x, axis_name)
    return (x - mean) / (square - mean**2 + eps)


@mistake(of="sync_batch_norm")
def variance_left_local(x, axis_name, eps=1e-5):
    """With the mean of all devices subtracted, the spread on each device will do.

    Both statistics are those of the whole batch.
    """
    return _normal(x, lax.pmean(x.mean(axis=0), axis_name), x.var(axis=0), eps)


@mistake(of="sync_batch_norm")
def deviations_averaged(x, axis_name, eps=1e-5):
    """The standard deviation of all is the mean of the standard deviations.

    Neither deviations nor variances can be averaged: they forget how far the means lie apart. Mean squares can.
    """
    mean, deviation = lax.pmean(jnp.stack([x.mean(axis=0), x.std(axis=0)]), axis_name)
    return _normal(x, mean, deviation**2, eps)


@mistake(of="sync_batch_norm")
def one_mean_for_all_features(x, axis_name, eps=1e-5):
    """x.mean() is the mean.

    Of all features together. Each has its own: the mean over rows, axis=0.
    """
    mean, square = lax.pmean(jnp.stack([x.mean(), jnp.square(x).mean()]), axis_name)
    return _normal(x, mean, square - mean**2, eps)


@mistake(of="sync_batch_norm")
def statistics_of_each_row(x, axis_name, eps=1e-5):
    """Mean and variance are taken along the features, axis=1.

    That is layer norm, averaged over rows that have nothing to do with each other. Batch norm goes over rows, axis=0.
    """
    mean, square = lax.pmean(jnp.stack([x.mean(axis=1), jnp.square(x).mean(axis=1)]), axis_name)
    return (x - mean[:, None]) / jnp.sqrt(square - mean**2 + eps)[:, None]


@mistake(of="sync_batch_norm")
def moments_subtracted_the_wrong_way(x, axis_name, eps=1e-5):
    """The variance is the square of the mean less the mean of the squares.

    The other way round: as it is, it is negative, and its root is nan.
    """
    mean, square = _moments(x, axis_name)
    return _normal(x, mean, mean**2 - square, eps)


@mistake(of="sync_batch_norm")
def square_of_the_mean_taken_for_the_mean_square(x, axis_name, eps=1e-5):
    """x.mean(axis=0)**2 is the second moment.

    Square first: the mean of x**2. The square of the mean knows nothing of the spread on a device.
    """
    mean, square = lax.pmean(jnp.stack([x.mean(axis=0), x.mean(axis=0) ** 2]), axis_name)
    return _normal(x, mean, square - mean**2, eps)


@mistake(of="sync_batch_norm")
def mean_not_taken_out(x, axis_name, eps=1e-5):
    """Normalising is dividing by the standard deviation.

    After the mean has been subtracted.
    """
    mean, square = _moments(x, axis_name)
    return _normal(x, 0.0, square - mean**2, eps)


@mistake(of="sync_batch_norm")
def mean_left_local(x, axis_name, eps=1e-5):
    """With the variance of all devices, each may subtract the mean of its own rows.

    Both statistics are those of the whole batch.
    """
    mean, square = _moments(x, axis_name)
    return _normal(x, x.mean(axis=0), square - mean**2, eps)


@mistake(of="sync_batch_norm")
def sums_divided_by_the_devices_only(x, axis_name, eps=1e-5):
    """Sums are added up over devices, and divided by their number.

    They are sums over rows as well: divide by all rows of all devices. (For means over rows, pmean is all there is to
    do.)
    """
    mean, square = lax.pmean(jnp.stack([x.sum(axis=0), jnp.square(x).sum(axis=0)]), axis_name)
    return _normal(x, mean, square - mean**2, eps)


@mistake(of="sync_batch_norm")
def rows_of_all_devices_of_the_machine(x, axis_name, eps=1e-5):
    """There are len(x) * jax.device_count() rows.

    On the devices that take part, which may be fewer: lax.axis_size(axis_name), or pmean of the means.
    """
    sums = lax.psum(jnp.stack([x.sum(axis=0), jnp.square(x).sum(axis=0)]), axis_name)
    mean, square = sums / (len(x) * jax.device_count())
    return _normal(x, mean, square - mean**2, eps)


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


@mistake(of="accumulate")
def parts_ignored(loss, params, x, y, parts, axis_name):
    """The gradient of the whole batch is what is asked for, and jax.grad gives it.

    The numbers are right, and the activations of all rows are in memory at once. That is what did not fit.
    """
    return lax.pmean(jax.value_and_grad(loss)(params, x, y), axis_name)


@mistake(of="accumulate")
def all_parts_side_by_side(loss, params, x, y, parts, axis_name):
    """vmap goes over the parts, and is faster than a loop.

    It is one program for all parts at once, with the memory of the whole batch. A scan takes one after the other.
    """
    found = jax.vmap(lambda *part: jax.value_and_grad(loss)(params, *part))(_parts(x, parts), _parts(y, parts))
    return lax.pmean(each(lambda leaf: leaf.mean(axis=0), found), axis_name)


@mistake(of="accumulate")
def devices_added_and_not_averaged(loss, params, x, y, parts, axis_name):
    """What was accumulated is added up over devices.

    After the division by `parts` each device has a mean, and means are averaged: pmean.
    """
    return lax.psum(each(lambda leaf: leaf / parts, _accumulated(loss, params, x, y, parts)), axis_name)


@mistake(of="accumulate")
def loss_not_divided(loss, params, x, y, parts, axis_name):
    """Only the gradient has to be a mean.

    The loss was added up in the same loop, `parts` times: divide both.
    """
    value, grads = lax.pmean(_accumulated(loss, params, x, y, parts), axis_name)
    return value, each(lambda leaf: leaf / parts, grads)


@mistake(of="accumulate")
def loss_of_the_last_part(loss, params, x, y, parts, axis_name):
    """The loss is what the loop saw last.

    Then the log shows a part of the batch. Add it up as the gradient is added up.
    """
    grads = each(lambda leaf: leaf / parts, _accumulated(loss, params, x, y, parts)[1])
    return lax.pmean((loss(params, _parts(x, parts)[-1], _parts(y, parts)[-1]), grads), axis_name)


@mistake(of="accumulate")
def divided_by_the_rows(loss, params, x, y, parts, axis_name):
    """A mean over examples divides by their number.

    `loss` has divided by the rows of a part already. What is left is the number of parts.
    """
    value, grads = _accumulated(loss, params, x, y, parts)
    return lax.pmean((value / parts, each(lambda leaf: leaf / len(x), grads)), axis_name)


@mistake(of="accumulate")
def only_the_first_part(loss, params, x, y, parts, axis_name):
    """The first part fits, and stands for the others.

    It is a batch of a k-th of the size. All parts are seen before there is a step.
    """
    found = jax.value_and_grad(loss)(params, _parts(x, parts)[0], _parts(y, parts)[0])
    return lax.pmean(found, axis_name)


@mistake(of="accumulate")
def overwritten_and_not_added(loss, params, x, y, parts, axis_name):
    """The body of the scan returns the new gradient.

    The carry is what is handed on, and it is to be the sum so far: the old one plus the new. As it is, the last part
    alone is left, and is divided by their number.
    """
    found = jax.value_and_grad(loss)(params, _parts(x, parts)[-1], _parts(y, parts)[-1])
    return lax.pmean(each(lambda leaf: leaf / parts, found), axis_name)


@mistake(of="accumulate")
def parts_taken_for_rows(loss, params, x, y, parts, axis_name):
    """`parts` is the size of a part: reshape(-1, parts, ...).

    It is how many there are: `parts` parts of b / parts rows each, reshape(parts, b // parts, ...).
    """
    number = len(x) // parts
    return lax.pmean(each(lambda leaf: leaf / number, _accumulated(loss, params, x, y, number)), axis_name)


@mistake(of="accumulate")
def loss_of_its_own_device(loss, params, x, y, parts, axis_name):
    """The loss is for the log only, and needs no pmean.

    Then each device logs the loss of its own rows. The mean over all devices is asked for, of both.
    """
    value, grads = each(lambda leaf: leaf / parts, _accumulated(loss, params, x, y, parts))
    return value, lax.pmean(grads, axis_name)


@mistake(of="accumulate")
def gradient_not_divided(loss, params, x, y, parts, axis_name):
    """The loss is divided by `parts`, and the gradient follows.

    It was added up in the same loop, `parts` times: divide both.
    """
    value, grads = lax.pmean(_accumulated(loss, params, x, y, parts), axis_name)
    return value / parts, grads


@mistake(of="accumulate")
def divided_by_the_devices_of_the_machine(loss, params, x, y, parts, axis_name):
    """The mean over devices is the sum over jax.device_count().

    Over the devices of the axis, which may be fewer. pmean knows how many, and so does lax.axis_size(axis_name).
    """
    total = lax.psum(_accumulated(loss, params, x, y, parts), axis_name)
    return each(lambda leaf: leaf / (parts * jax.device_count()), total)


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


def _two_halves(x: Any, axis_name: str, size: int, first: Any, second: Any) -> Any:
    """A ring in which each half does at step s what it is given: (chunks, device, s, send) -> chunks."""
    d, chunks = lax.axis_index(axis_name), x.reshape(size, x.size // size)

    def send(piece):
        return lax.ppermute(piece, axis_name, _links(size))

    for half in (first, second):
        for s in range(size - 1):
            chunks = half(chunks, d, s, send)
    return chunks.reshape(-1)


def _add_up(chunks: Any, d: Any, s: int, send: Any) -> Any:
    """The first half of a ring as it should be."""
    return chunks.at[(d - s - 1) % len(chunks)].add(send(chunks[(d - s) % len(chunks)]))


def _pass_on(chunks: Any, d: Any, s: int, send: Any) -> Any:
    """The second half of a ring as it should be."""
    return chunks.at[(d - s) % len(chunks)].set(send(chunks[(d + 1 - s) % len(chunks)]))


@mistake(of="ring_all_reduce")
def second_half_by_all_gather(x, axis_name, size):
    """The finished chunks are gathered.

    That is what the second half does, in n - 1 messages to the neighbour. Here they are yours to send.
    """
    d, chunks = lax.axis_index(axis_name), x.reshape(size, x.size // size)
    for s in range(size - 1):
        got = lax.ppermute(chunks[(d - s) % size], axis_name, _links(size))
        chunks = chunks.at[(d - s - 1) % size].add(got)
    return jnp.roll(lax.all_gather(chunks[(d + 1) % size], axis_name), 1, axis=0).reshape(-1)


@mistake(of="ring_all_reduce")
def library_halves(x, axis_name, size):
    """psum_scatter and all_gather are the two halves.

    They are, and JAX wrote them. Here both are to be made of ppermute.
    """
    return lax.all_gather(lax.psum_scatter(x, axis_name, tiled=True), axis_name, tiled=True)


@mistake(of="ring_all_reduce")
def straight_to_each(x, axis_name, size):
    """Every device sends its vector to every other, n - 1 times.

    That is the naive way: n - 1 whole vectors from each device, over links that a ring does not have.
    """
    total = x
    for hop in range(1, size):
        total = total + lax.ppermute(x, axis_name, [(i, (i + hop) % size) for i in range(size)])
    return total


@mistake(of="ring_all_reduce")
def results_of_at_thrown_away(x, axis_name, size):
    """chunks.at[k].add(got) adds to chunks.

    It returns a new array and changes nothing: chunks = chunks.at[k].add(got).
    """

    def lost(chunks, d, s, send):
        send(chunks[(d - s) % size])
        return chunks

    return _two_halves(x, axis_name, size, lost, lost)


@mistake(of="ring_all_reduce")
def added_to_the_chunk_that_was_sent(x, axis_name, size):
    """What comes in has the number of what went out.

    The neighbour has sent its own: chunk d - s - 1, one before yours.
    """

    def half(chunks, d, s, send):
        return chunks.at[(d - s) % size].add(send(chunks[(d - s) % size]))

    return _two_halves(x, axis_name, size, half, _pass_on)


@mistake(of="ring_all_reduce")
def same_chunk_in_each_step(x, axis_name, size):
    """Device d sends chunk d.

    In step 0. In step s it sends chunk d - s, the one that came in last.
    """

    def half(chunks, d, s, send):
        return chunks.at[(d - 1) % size].add(send(chunks[d]))

    return _two_halves(x, axis_name, size, half, _pass_on)


@mistake(of="ring_all_reduce")
def number_of_the_device_left_out(x, axis_name, size):
    """In step s chunk s is sent.

    By each device another: the number counts from its own, lax.axis_index.
    """

    def half(chunks, _, s, send):
        return chunks.at[(-s - 1) % size].add(send(chunks[-s % size]))

    def spread(chunks, _, s, send):
        return chunks.at[-s % size].set(send(chunks[(1 - s) % size]))

    return _two_halves(x, axis_name, size, half, spread)


@mistake(of="ring_all_reduce")
def all_chunks_in_each_message(x, axis_name, size):
    """The neighbour gets the chunks and picks the one that it needs.

    The numbers are right, and each message is n times too long. Pick before sending.
    """

    def half(chunks, d, s, send):
        place = (d - s - 1) % size
        return chunks.at[place].add(send(chunks)[place])

    def spread(chunks, d, s, send):
        place = (d - s) % size
        return chunks.at[place].set(send(chunks)[place])

    return _two_halves(x, axis_name, size, half, spread)


@mistake(of="ring_all_reduce")
def divided_by_the_devices(x, axis_name, size):
    """An all-reduce averages.

    It adds; pmean divides after it.
    """
    return _ring(x, axis_name, size) / size


@mistake(of="ring_all_reduce")
def sent_to_the_wrong_neighbour(x, axis_name, size):
    """A ring can be walked either way.

    It can, and then the numbers of the chunks run the other way too. With d - s the messages go to d + 1.
    """
    d, chunks = lax.axis_index(axis_name), x.reshape(size, x.size // size)
    back = [(i, (i - 1) % size) for i in range(size)]
    for s in range(size - 1):
        chunks = chunks.at[(d - s - 1) % size].add(lax.ppermute(chunks[(d - s) % size], axis_name, back))
    for s in range(size - 1):
        chunks = chunks.at[(d - s) % size].set(lax.ppermute(chunks[(d + 1 - s) % size], axis_name, back))
    return chunks.reshape(-1)


@mistake(of="ring_all_reduce")
def one_step_too_few(x, axis_name, size):
    """range(size - 1) goes to size - 1, so range(size - 2) is meant.

    range(k) takes k steps: 0 to k - 1. Each half has size - 1 of them.
    """
    return _ring(x, axis_name, size, rounds=(size - 2, size - 2))


@mistake(of="ring_all_reduce")
def modulo_left_out(x, axis_name, size):
    """Chunks count from 0 to n - 1, and an index that is too large comes round by itself.

    A negative one does. One that is too large reads the last chunk, and writes nowhere, without an error: (d + 1 - s) %
    n.
    """

    def half(chunks, d, s, send):
        return chunks.at[d - s - 1].add(send(chunks[d - s]))

    def spread(chunks, d, s, send):
        return chunks.at[d - s].set(send(chunks[d + 1 - s]))

    return _two_halves(x, axis_name, size, half, spread)


@mistake(of="ring_all_reduce")
def chunks_sent_as_they_were(x, axis_name, size):
    """Each device sends its own chunks.

    Once. From the second step on it sends what came in, with its own added: the sum so far has to travel.
    """
    first = x.reshape(size, x.size // size)

    def half(chunks, d, s, send):
        return chunks.at[(d - s - 1) % size].add(send(first[(d - s) % size]))

    return _two_halves(x, axis_name, size, half, _pass_on)


@mistake(of="ring_all_reduce")
def finished_chunk_sent_again(x, axis_name, size):
    """In the second half a device sends the chunk that it has finished, d + 1.

    In its step 0. In step s it sends chunk d + 1 - s, which came in last: else the neighbour gets the same one each
    time.
    """

    def spread(chunks, d, s, send):
        return chunks.at[(d - s) % size].set(send(chunks[(d + 1) % size]))

    return _two_halves(x, axis_name, size, _add_up, spread)


@mistake(of="ring_all_reduce")
def put_where_the_sent_one_was(x, axis_name, size):
    """In the second half, what comes in has the number of what went out.

    The neighbour has sent its own, one number lower: chunk d - s.
    """

    def spread(chunks, d, s, send):
        place = (d + 1 - s) % size
        return chunks.at[place].set(send(chunks[place]))

    return _two_halves(x, axis_name, size, _add_up, spread)


# --- shard_map_step


def _mapped(step: Any, count: int, rows: PartitionSpec | None = None, **options: Any) -> Any:
    rows = P("devices") if rows is None else rows
    specs = {"in_specs": (P(), rows, rows), "out_specs": (P(), P())}
    return jax.jit(jax.shard_map(step, mesh=_mesh(count), **specs, **options))


@mistake(of="shard_map_step")
def pmean_of_gradients_that_are_summed_already(loss, learning_rate, count):
    """In shard_map one averages gradients as in pmap.

    With check_vma=True the gradient for replicated parameters is already the sum over devices. The mean of equal sums
    is that sum: n times too large. Differentiate the pmean of the loss. (With check_vma=False it is a psum for a pmean
    that does the same.)
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


@mistake(of="shard_map_step")
def gradients_added_once_more(loss, learning_rate, count):
    """Gradients of parts are added up with psum.

    With check_vma=True they have been, by JAX. Adding equal sums makes them n times larger again, and they were sums of
    means to begin with. Differentiate the pmean of the loss.
    """

    def step(params, x, y):
        value, grads = jax.value_and_grad(loss)(params, x, y)
        return _move(params, lax.psum(grads, "devices"), learning_rate), lax.pmean(value, "devices")

    return _mapped(step, count)


@mistake(of="shard_map_step")
def tracking_off_and_its_rule_kept(loss, learning_rate, count):
    """The gradient of the averaged loss is the averaged gradient, with check_vma or without.

    Only with it. Without, the rule is that of pmap: what comes out is the local gradient, and one is taken for all.
    """
    return _mapped(_averaged(loss, learning_rate), count, check_vma=False)


@mistake(of="shard_map_step")
def mesh_of_all_devices(loss, learning_rate, count):
    """The mesh is made of the devices that there are.

    Of the first `count` of them: a run on four of eight devices is a run on four.
    """
    return _mapped(_averaged(loss, learning_rate), max(count, len(jax.devices())))


@mistake(of="shard_map_step")
def result_that_differs_given_out_as_one(loss, learning_rate, count):
    """out_specs=P() takes the result of one device, as all have the same.

    Here one of the results differs from device to device, and JAX has seen it: the loss that is returned is still that
    of a device's own rows, or what is made of it. Average inside of the function that is differentiated, and return
    that value.
    """

    def step(params, x, y):
        value, grads = jax.value_and_grad(loss)(params, x, y)
        return _move(params, grads, learning_rate / count), value

    return _mapped(step, count)


@mistake(of="shard_map_step")
def another_name_than_the_mesh_has(loss, learning_rate, count):
    """The axis is called "devices", whatever the mesh calls it.

    lax.pmean looks for the name in the mesh, and stops at an assertion when it is not there. One name for the mesh, the
    specs and the collectives.
    """
    mesh = jax.make_mesh((count,), ("batch",), axis_types=(AxisType.Auto,), devices=jax.devices()[:count])
    specs = {"in_specs": (P(), P("batch"), P("batch")), "out_specs": (P(), P())}
    return jax.jit(jax.shard_map(_averaged(loss, learning_rate), mesh=mesh, **specs))


@mistake(of="shard_map_step")
def labels_not_cut(loss, learning_rate, count):
    """in_specs cut the inputs, and the labels are small enough to go to all.

    Row i of x belongs to label i: cut both in the same way.
    """
    specs = {"in_specs": (P(), P("devices"), P()), "out_specs": (P(), P())}
    return jax.jit(jax.shard_map(_averaged(loss, learning_rate), mesh=_mesh(count), **specs))


@mistake(of="shard_map_step")
def parameters_cut_like_the_batch(loss, learning_rate, count):
    """P("devices") for everything: that is what the devices share.

    P("devices") cuts the first axis of each array. Parameters go whole to each device: P().
    """
    specs = {"in_specs": P("devices"), "out_specs": (P(), P())}
    return jax.jit(jax.shard_map(_averaged(loss, learning_rate), mesh=_mesh(count), **specs))


@mistake(of="shard_map_step")
def copies_put_end_to_end(loss, learning_rate, count):
    """The parameters come back from the devices: out_specs P("devices").

    That puts the devices' arrays one behind the other, and the weights become n times as long. Each device returns the
    same parameters: P() takes them once.
    """
    specs = {"in_specs": (P(), P("devices"), P("devices")), "out_specs": (P("devices"), P())}
    return jax.jit(jax.shard_map(_averaged(loss, learning_rate), mesh=_mesh(count), **specs))


@mistake(of="shard_map_step")
def mesh_without_automatic_axes(loss, learning_rate, count):
    """jax.make_mesh((n,), ("devices",)) is all that a mesh needs.

    Without axis_types the axes are explicit: how an array lies is then a part of its type, and JAX refuses arrays that
    lie otherwise. Exercise 2 tells how to make a mesh: axis_types=(AxisType.Auto,).
    """
    mesh = jax.make_mesh((count,), ("devices",), devices=jax.devices()[:count])
    specs = {"in_specs": (P(), P("devices"), P("devices")), "out_specs": (P(), P())}
    return jax.jit(jax.shard_map(_averaged(loss, learning_rate), mesh=mesh, **specs))


# --- jit_step


def _plain_step(loss: Any, rate: float) -> Any:
    def step(params, x, y):
        value, grads = jax.value_and_grad(loss)(params, x, y)
        return _move(params, grads, rate), value

    return step


@mistake(of="jit_step")
def no_sharding_at_all(loss, learning_rate, count):
    """jit uses the devices that there are.

    It uses those on which the arguments lie: one. Say how the arguments are to lie, in in_shardings: a device_put
    before the call is no part of the program.
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


def _sharded(step: Any, count: int) -> Any:
    everywhere, rows = (NamedSharding(_mesh(count), spec) for spec in (P(), P("devices")))
    return jax.jit(step, in_shardings=(everywhere, rows, rows))


@mistake(of="jit_step")
def rate_times_the_devices(loss, learning_rate, count):
    """More devices, longer steps: the learning rate grows with them.

    With the batch, if at all (Goyal et al. 2017), and the batch is the same here.
    """
    return _sharded(_plain_step(loss, learning_rate * count), count)


@mistake(of="jit_step")
def loss_of_the_new_parameters(loss, learning_rate, count):
    """The loss belongs to the parameters that are returned.

    It is that before the step, which comes with the gradient for nothing.
    """

    def step(params, x, y):
        params = _move(params, jax.grad(loss)(params, x, y), learning_rate)
        return params, loss(params, x, y)

    return _sharded(step, count)


@mistake(of="jit_step")
def collective_in_a_whole_program(loss, learning_rate, count):
    """Gradients are averaged with pmean, here as before.

    This program is written for the whole batch: it has no axis of devices to speak over. The compiler puts in what is
    sent.
    """

    def step(params, x, y):
        value, grads = lax.pmean(jax.value_and_grad(loss)(params, x, y), "devices")
        return _move(params, grads, learning_rate), value

    return _sharded(step, count)


@mistake(of="jit_step")
def shardings_over_all_devices(loss, learning_rate, count):
    """The mesh is made of the devices that there are.

    Of the first `count` of them: a run on four of eight devices is a run on four.
    """
    return _sharded(_plain_step(loss, learning_rate), max(count, len(jax.devices())))


@mistake(of="jit_step")
def specs_without_a_mesh(loss, learning_rate, count):
    """in_shardings are PartitionSpecs, as in_specs are.

    A spec alone does not say over which devices. NamedSharding(mesh, spec) does. (With old pjit a mesh came from around
    the call.)
    """
    return jax.jit(_plain_step(loss, learning_rate), in_shardings=(P(), P("devices"), P("devices")))


@mistake(of="jit_step")
def parameters_cut_as_well(loss, learning_rate, count):
    """One sharding for everything, P("devices").

    It cuts the first axis of each array, of parameters too, and that of x it must be: two shardings, P("devices") for x
    and y, and P() for params and results.
    """
    return jax.jit(_plain_step(loss, learning_rate), in_shardings=NamedSharding(_mesh(count), P("devices")))


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


def _ring_seconds(count: int, size: float, latency: float, bandwidth: float) -> float:
    return 2 * (count - 1) * (latency + size / count / bandwidth)


@mistake(of="efficiency")
def part_spent_on_talking(count, compute, size, latency, bandwidth):
    """The efficiency is communication over the whole.

    That is what is lost. The efficiency is the part that is spent on computing.
    """
    ring = _ring_seconds(count, size, latency, bandwidth)
    return ring / (compute + ring)


@mistake(of="efficiency")
def computing_over_communication(count, compute, size, latency, bandwidth):
    """The efficiency compares computing with communication.

    With the whole step, which is both.
    """
    return compute / _ring_seconds(count, size, latency, bandwidth)


@mistake(of="efficiency")
def loss_measured_against_computing(count, compute, size, latency, bandwidth):
    """What is lost is communication over computing, and the rest is one less that.

    Over the whole step. With much communication this number falls below zero.
    """
    return 1 - _ring_seconds(count, size, latency, bandwidth) / compute


@mistake(of="efficiency")
def work_divided_by_the_devices(count, compute, size, latency, bandwidth):
    """n devices compute in an n-th of the time.

    Where the batch stays the same (strong scaling). Here `compute` is what each device does, however many there are.
    """
    share = compute / count
    return share / (share + _ring_seconds(count, size, latency, bandwidth))


@mistake(of="efficiency")
def n_steps_and_not_one_less(count, compute, size, latency, bandwidth):
    """A ring of n devices takes n steps, twice.

    Twice n - 1: after so many each chunk has been everywhere. One device sends nothing.
    """
    return compute / (compute + 2 * count * (latency + size / count / bandwidth))


@mistake(of="efficiency")
def multiplied_by_the_bandwidth(count, compute, size, latency, bandwidth):
    """Bytes times bandwidth is the time.

    Bytes over bytes a second are seconds.
    """
    return compute / (compute + 2 * (count - 1) * (latency + size / count * bandwidth))


@mistake(of="efficiency")
def in_percent(count, compute, size, latency, bandwidth):
    """An efficiency is given in percent.

    From 0 to 1 here.
    """
    return 100 * compute / (compute + _ring_seconds(count, size, latency, bandwidth))


@mistake(of="efficiency")
def a_tree_and_not_a_ring(count, compute, size, latency, bandwidth):
    """An all-reduce takes log n rounds.

    A tree does, with the whole vector in each. The ring has 2(n - 1) steps of one n-th.
    """
    rounds = 2 * int(np.ceil(np.log2(count)))
    return compute / (compute + rounds * (latency + size / bandwidth))


@mistake(of="efficiency")
def hidden_behind_computing(count, compute, size, latency, bandwidth):
    """Devices send while they compute, so the longer of the two decides.

    Where communication is hidden. Here it follows the computing, and both count.
    """
    return compute / max(compute, _ring_seconds(count, size, latency, bandwidth))


@mistake(of="efficiency")
def speed_up_and_not_efficiency(count, compute, size, latency, bandwidth):
    """n devices at this efficiency do n times as much.

    That is the speed-up. Over n it is the efficiency: the part of the time, at most 1.
    """
    return count * compute / (compute + _ring_seconds(count, size, latency, bandwidth))


@mistake(of="efficiency")
def latency_shared_out(count, compute, size, latency, bandwidth):
    """A step takes (latency + size / bandwidth) / n.

    Bytes are shared out, waiting is not: each step has a whole latency.
    """
    return compute / (compute + 2 * (count - 1) * (latency + size / bandwidth) / count)


@mistake(of="efficiency")
def bytes_of_one_step_only(count, compute, size, latency, bandwidth):
    """2 (n - 1) latencies, and the bytes.

    The bytes go with each step as well: both terms in the brackets are taken 2 (n - 1) times.
    """
    return compute / (compute + 2 * (count - 1) * latency + size / count / bandwidth)


@mistake(of="efficiency")
def brackets_left_out(count, compute, size, latency, bandwidth):
    """compute / compute + ring.

    A division binds tighter than a sum: this is 1 + ring. Brackets around the whole step.
    """
    return compute / compute + _ring_seconds(count, size, latency, bandwidth)


# --- several exercises


@mistake(of="mean_gradients")
@mistake(of="weighted_gradient")
@mistake(of="dropout")
@mistake(of="sync_batch_norm")
@mistake(of="accumulate")
@mistake(of="ring_all_reduce")
def name_of_the_axis_written_down(*_):
    """The axis of devices is called "devices".

    In your own pmap. These functions are called inside of somebody else's, where it may have any name: use the argument
    `axis_name`, in each collective and in lax.axis_index.
    """
    return lax.axis_index("devices")


@mistake(of="dropout")
@mistake(of="ring_all_reduce")
def value_of_a_traced_number_wanted(*args):
    """lax.axis_index gives a number, as a rank in MPI or PyTorch is one: `if d == 0`, int(d), a list's entry d.

    JAX traces one program for all devices, so that this number has no value yet. Arrays can be indexed with it
    (chunks[k], chunks.at[k]), lists cannot; jnp.where chooses where `if` would; fold_in takes it as it is.
    """
    axis_name = next(arg for arg in args if isinstance(arg, str))
    return int(lax.axis_index(axis_name))
