# ---
# jupyter:
#   jupytext:
#     notebook_metadata_filter: -jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lab 06: Data parallelism
#
# One accelerator is too slow for a large model. The simplest remedy is to take many. Each device holds the whole model and
# works on its own part of the batch. Then the devices average their gradients, and all make the same step. Done right, eight
# devices give the numbers of one, up to rounding. Most mistakes in this lab still run, still learn, and give *other* numbers.
#
# You need about five hours: take two sittings. The [chapter](../../course/chapters/06-data-parallel.md) has the costs and
# their derivation.
#
# **About pmap.** You begin with `jax.pmap`, since it shows best what happens: one program, run by every device, with a name
# for the axis of devices. pmap is *in maintenance*: it works, it is `jit` of `shard_map` inside, and it gets nothing new. New
# code is written with `jax.shard_map`, or with `jit` and `NamedSharding`. You migrate to both at the end of the lab.
#
# **Devices.** The next cell asks for eight. On a machine with eight accelerators you get those; elsewhere the processor
# stands in for eight devices, which show whether a program is *correct*, not how fast it is. The number is fixed when JAX
# computes for the first time: run that cell first. On a machine with one to seven accelerators, close JupyterLab and start
# it again with `JAX_PLATFORMS=cpu make lab`: every exercise needs eight devices, and the processor then stands in for them.
#
# **Inside pmap.** A function runs on each device with that device's row of the arguments: it does not see the leading
# axis. It speaks with the other devices through `jax.lax`: `psum`, `pmean`, `all_gather`, `ppermute`, `axis_index`. Each
# takes the *name* of the axis. Several functions that you write are called inside pmap and get that name as `axis_name`.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}

from time import perf_counter

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from gradlab import collectives, predict, widgets
from gradlab.checks import data_parallel as checks
from gradlab.devices import use_devices
from gradlab.landscapes import SoftmaxRegression, digits
from gradlab.replicas import Start

devices = use_devices(8)
print(f"{len(devices)} devices: {devices[0].platform}")

# %% [markdown]
# ## 1. A part for each device
#
# *Difficulty: easy. Importance: high. About 15 minutes. 7 points.*
#
# Devices run one program, so each must get arrays of the same shape. A batch of $B$ rows goes to $n$ devices as $n$ parts of
# $\lceil B/n \rceil$ rows. Where $n$ does not divide $B$, rows of zeros fill the end, and a *mask* says which rows are real.
# A device may get nothing but filling. (`jax.pmap` in the JAX documentation.)
#
# <details><summary>Hint 1: an idea</summary>
#
# How many rows are missing until all parts are full? Add them, then reshape.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Work out the rows of one part, rounded up. `jnp.pad` adds zeros behind each leaf, on its first axis alone. Treat the mask like one more leaf: ones, and zeros behind.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `-(-rows // count)` rounds up. `jnp.pad(leaf, [(0, missing)] + [(0, 0)] * (leaf.ndim - 1))`, then `.reshape(count, -1, *leaf.shape[1:])`. Mind that `-1` fails for an empty leaf: write the number.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "shard-batch", "locked": false, "schema_version": 3, "solution": true, "task": false}
def shard_batch(batch: PyTree[Array], count: int) -> tuple[PyTree[Array], Bool[Array, "count each"]]:
    """A batch in equal parts, one for each device.

    Args:
        batch: arrays with the same number of rows B >= 1, on their first axis; dtypes differ.
        count: the number of devices n.

    Returns:
        The batch with leaves of shape (n, ceil(B / n), ...): device d has rows d * each to (d + 1) * each, in order, and
        zeros where there are no rows left; dtypes stay. And the mask, shape (n, ceil(B / n)): True for real rows.
    """
    ### BEGIN SOLUTION
    total = len(jax.tree.leaves(batch)[0])
    share = -(-total // count)

    def spread(leaf):
        filling = jnp.zeros((share * count - total, *leaf.shape[1:]), leaf.dtype)
        return jnp.concatenate([leaf, filling]).reshape(count, share, *leaf.shape[1:])

    return jax.tree.map(spread, batch), spread(jnp.ones(total, bool))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-shard-batch", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 7}
checks.shard_batch(shard_batch)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import data_parallel as hidden

hidden.shard_batch(shard_batch)
### END HIDDEN TESTS

# %% [markdown]
# ## 2. The same start everywhere
#
# *Difficulty: easy. Importance: high. About 10 minutes. 5 points.*
#
# The devices never compare their parameters. They start from the same ones, add the same updates, and so stay equal. If
# they start apart, they stay apart, and the mean of their gradients belongs to no model at all. So make the parameters
# once and lay a copy on each device.
#
# An array lies over devices by its *sharding*. With a mesh of one axis, `NamedSharding(mesh, P("devices"))` cuts the
# leading axis over the devices (`P` is short for `PartitionSpec`); `jax.device_put(array, sharding)` puts the pieces there.
# (Old code calls `jax.device_put_replicated`, which is gone.) Make every mesh of this lab with
# `axis_types=(AxisType.Auto,)`. Without it, shardings become a part of an array's type, and JAX refuses arrays that lie
# otherwise.
#
# <details><summary>Hint 1: an idea</summary>
#
# Two steps: stack equal copies on a leading axis; lay that axis over the devices.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Call `init(key)` once. Give each leaf a leading axis with `jnp.broadcast_to`. Make a mesh of the first `count` devices, and put the whole tree with one sharding.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `mesh = jax.make_mesh((count,), ("devices",), axis_types=(AxisType.Auto,), devices=jax.devices()[:count])`, and `jax.device_put(tree, sharding)` takes a tree. For the copies: `jnp.broadcast_to(leaf, (count, ...))`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "replicate", "locked": false, "schema_version": 3, "solution": true, "task": false}
def replicate(init, key: Key[Array, ""], count: int) -> PyTree[Float[Array, "count ..."]]:
    """Parameters, one equal copy on each device.

    Args:
        init: a function from a random key to parameters, a pytree of arrays.
        key: the key of the start.
        count: the number of devices n; the first n of `jax.devices()` are meant.

    Returns:
        The parameters with a leading axis of n equal rows. Row d lies on device d, and nothing else does.
    """
    ### BEGIN SOLUTION
    row = jax.make_mesh((count,), ("devices",), axis_types=(AxisType.Auto,), devices=jax.devices()[:count])
    copies = jax.tree.map(lambda leaf: jnp.stack([leaf] * count), init(key))
    return jax.device_put(copies, NamedSharding(row, P("devices")))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-replicate", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 5}
checks.replicate(replicate)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import data_parallel as hidden

hidden.replicate(replicate)
### END HIDDEN TESTS

# %% [markdown]
# ## 3. The data-parallel step
#
# *Difficulty: medium. Importance: high. About 30 minutes. 10 points.*
#
# The loss of a batch is a mean over its examples. With equal parts $B_1, \dots, B_n$ it is the mean of the parts' means, and
# so is the gradient:
#
# $$\nabla L(\theta) = \frac{1}{n} \sum_{d=1}^{n} \nabla L_{B_d}(\theta) \qquad\qquad
# \theta \leftarrow \theta - \eta \, \nabla L(\theta)$$
#
# Each device computes its own term. `lax.pmean` forms the mean and gives it to all. Then every device makes the same step.
#
# In pmap the gradient of a *local* loss is a local gradient, and you average it yourself. `shard_map` has another rule; it
# is the question at the end of the lab.
#
# <details><summary>Hint 1: an idea</summary>
#
# The step of one device, with one line in it that speaks with the others.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Write `step(params, x, y)` for one device: `jax.value_and_grad(loss)`, then the mean over devices of *both* results, then the update. Wrap it in `jax.pmap` with an `axis_name`, and return that.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `loss_here, slope = jax.value_and_grad(loss)(params, x, y)`; `lax.pmean((loss_here, slope), "devices")` takes a tree; `jax.pmap(step, axis_name="devices")`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "make-train-step", "locked": false, "schema_version": 3, "solution": true, "task": false}
def make_train_step(loss, learning_rate: float):
    """One step of gradient descent on several devices, by `jax.pmap`.

    Args:
        loss: `(params, x, y) -> the mean loss` of the examples given.
        learning_rate: the factor of the gradient.

    Returns:
        A function `(params, x, y) -> (params, loss)`. Each array has a leading axis of devices: params n equal copies, x
        shape (n, b, width), y shape (n, b). The new params are n equal copies again. The loss, shape (n,), is the mean over
        all n * b examples before the step, on each device. What is returned is made by `jax.pmap`, so that its program can
        be read.
    """

    ### BEGIN SOLUTION
    def advance(params, x, y):
        value, slope = lax.pmean(jax.value_and_grad(loss)(params, x, y), "devices")
        return jax.tree.map(lambda param, part: param - learning_rate * part, params, slope), value

    return jax.pmap(advance, axis_name="devices")
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-make-train-step", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 10}
checks.make_train_step(make_train_step)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import data_parallel as hidden

hidden.make_train_step(make_train_step)
### END HIDDEN TESTS

# %% [markdown]
# **See it.** Your step trains a classifier of handwritten digits on all devices. The second line trains on one device, with
# all of the batch. The losses should agree to about six digits.

# %%
images, labels = digits()
images, labels = images[:1600], labels[:1600]
parts, _ = shard_batch({"x": images, "y": labels}, len(devices))
copies, step = replicate(Start(), jax.random.key(0), len(devices)), make_train_step(SoftmaxRegression(), 0.5)
single, slope_of = Start()(jax.random.key(0)), jax.jit(jax.value_and_grad(SoftmaxRegression()))
for number in range(5):
    copies, losses = step(copies, parts["x"], parts["y"])
    alone, slope = slope_of(single, images, labels)
    single = jax.tree.map(lambda param, part: param - 0.5 * part, single, slope)
    print(f"step {number}: {len(devices)} devices {float(losses[0]):.6f}, one device {float(alone):.6f}")

# %% [markdown]
# ## 4. One message for all gradients
#
# *Difficulty: medium. Importance: high. About 20 minutes. 7 points.*
#
# Every collective costs a *latency*, however small it is: tens of microseconds on eight accelerators in one machine, more
# across machines. A model has hundreds of leaves, most of them small. `lax.pmean(tree)` is one collective for each leaf. So
# libraries pack gradients into long vectors, *buckets* (PyTorch's DistributedDataParallel, Li et al. 2020). XLA does the same
# where it can; look at your step below, as traced and as compiled.
#
# Write it once by hand: the mean of a whole tree in one all-reduce. Your program, before the compiler, must have exactly one.
#
# <details><summary>Hint 1: an idea</summary>
#
# A tree of arrays can become one long vector, and come back.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# `jax.flatten_util.ravel_pytree` gives the vector and the function that undoes it. Average in between.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `flat, unravel = ravel_pytree(gradients)`; what is left is one `lax.pmean` and one call of `unravel`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "mean-gradients", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mean_gradients(gradients: PyTree[Float[Array, "..."]], axis_name: str) -> PyTree[Float[Array, "..."]]:
    """The mean of gradients over devices, in one all-reduce. Called inside pmap.

    Args:
        gradients: this device's gradients; all leaves float32.
        axis_name: the name of the axis of devices.

    Returns:
        The mean over devices, in the structure of `gradients`, on every device.
    """
    ### BEGIN SOLUTION
    packed, unpack = ravel_pytree(gradients)
    return unpack(lax.pmean(packed, axis_name))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-mean-gradients", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 7}
checks.mean_gradients(mean_gradients)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import data_parallel as hidden

hidden.mean_gradients(mean_gradients)
### END HIDDEN TESTS

# %%
lowered = step.lower(copies, parts["x"], parts["y"])
for name, text in (("as traced", lowered.as_text()), ("as compiled", lowered.compile().as_text())):
    found = collectives.collectives(text)
    print(f"{name}: {collectives.counts(found)}, {collectives.bytes_of(found)} bytes")

# %% [markdown]
# ## 5. Unequal parts
#
# *Difficulty: medium. Importance: high. About 30 minutes. 10 points.*
#
# With a remainder, devices hold different numbers of real examples, and the mean of their means is wrong: an example on a
# half-empty device counts twice. What is additive are *sums*. With mask $m_i$ and losses $\ell_i$,
#
# $$L = \frac{\sum_d \sum_{i \in B_d} m_i \, \ell_i}{\sum_d \sum_{i \in B_d} m_i} \qquad\qquad
# \nabla L = \frac{\sum_d \nabla \sum_{i \in B_d} m_i \, \ell_i}{\sum_d \sum_{i \in B_d} m_i}$$
#
# A device without any real example adds zero to both sums. It must not divide by its own count.
#
# Differentiate the *local* sum, and add up afterwards. Under pmap, a psum inside the function that you differentiate is
# differentiated too, and its derivative is a psum again.
#
# <details><summary>Hint 1: an idea</summary>
#
# Which of the quantities may be added over devices? Divide only after that.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# The function to differentiate gives the masked sum of this device's losses. Get value and gradient, and the number of real rows; psum all three; divide.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `jnp.sum(jnp.where(mask, losses(params, x, y), 0.0))` is what you differentiate. `lax.psum` takes a tuple.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "weighted-gradient", "locked": false, "schema_version": 3, "solution": true, "task": false}
def weighted_gradient(
    losses,
    params: PyTree[Float[Array, "..."]],
    x: Float[Array, "b d"],
    y: Int[Array, " b"],
    mask: Bool[Array, " b"],
    axis_name: str,
) -> tuple[Float[Array, ""], PyTree[Float[Array, "..."]]]:
    """Loss and gradient of the mean over all real examples of all devices. Called inside pmap.

    Args:
        losses: `(params, x, y) -> the loss of each example`, shape (b,).
        params: the parameters, the same on each device.
        x, y: this device's part of the batch.
        mask: True for real examples; a device may have none, all devices together have some.
        axis_name: the name of the axis of devices.

    Returns:
        The mean loss and its gradient, the same on each device.
    """

    ### BEGIN SOLUTION
    def local_total(params):
        return jnp.sum(mask * losses(params, x, y))

    here = jax.value_and_grad(local_total)(params)
    (value, slope), real = lax.psum((here, jnp.sum(mask)), axis_name)
    return value / real, jax.tree.map(lambda leaf: leaf / real, slope)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-weighted-gradient", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 10}
checks.weighted_gradient(weighted_gradient)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import data_parallel as hidden

hidden.weighted_gradient(weighted_gradient)
### END HIDDEN TESTS

# %% [markdown]
# ## 6. One dropout key for each device
#
# *Difficulty: easy. Importance: high. About 20 minutes. 7 points.*
#
# Dropout sets each entry to zero with probability $p$ and divides the others by $1-p$ (Srivastava et al. 2014). The key comes in
# the same on all devices. Used as it is, all draw the same mask, and the noise of the large batch is lost. `lax.axis_index`
# tells a device its number, and `jax.random.fold_in(key, number)` makes a new key from a key and a number. The step goes in
# as well, so that no mask comes twice. Fold one number in after the other. Step 1 on device 0 must not get the key of
# step 0 on device 1.
#
# <details><summary>Hint 1: an idea</summary>
#
# Two numbers make a key unique: the step, and the device.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Fold in the step, then the device's number. Draw with `jax.random.bernoulli`: `True` with probability 1 - rate. Choose with `jnp.where`.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `own = jax.random.fold_in(jax.random.fold_in(key, step), lax.axis_index(axis_name))`
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "dropout", "locked": false, "schema_version": 3, "solution": true, "task": false}
def dropout(
    x: Float[Array, "..."], rate: float, key: Key[Array, ""], step: Int[Array, ""], axis_name: str
) -> Float[Array, "..."]:
    """Dropout with a mask of its own for each device and each step. Called inside pmap.

    Args:
        x: this device's activations.
        rate: the probability p with which an entry is dropped, less than 1.
        key: one key for the whole run, the same on each device.
        step: the number of the step, the same on each device.
        axis_name: the name of the axis of devices.

    Returns:
        x with entries dropped, and the others divided by 1 - p. The same key, step and device give the same mask.
    """
    ### BEGIN SOLUTION
    for number in (step, lax.axis_index(axis_name)):
        key = jax.random.fold_in(key, number)
    survives = jax.random.bernoulli(key, 1 - rate, x.shape)
    return jnp.where(survives, x / (1 - rate), 0.0)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-dropout", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 7}
checks.dropout(dropout)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import data_parallel as hidden

hidden.dropout(dropout)
### END HIDDEN TESTS

# %% [markdown]
# ## 7. Batch norm over all devices
#
# *Difficulty: medium. Importance: medium. About 25 minutes. 10 points.*
#
# Batch norm subtracts the mean of each feature over the batch and divides by the standard deviation (Ioffe and Szegedy 2015).
# Over *which* batch? With local statistics, eight devices with four examples each normalise by four examples, not by 32: noisy,
# and another function than on one device. Synchronised batch norm uses all of them. The mean of the local variances is not
# the variance, as it forgets how the local means differ. What can be averaged are moments:
#
# $$\mu = \mathbb{E}[x] \qquad \sigma^2 = \mathbb{E}[x^2] - \mu^2 \qquad \hat x = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}}$$
#
# Both moments go in **one** collective, of one small array. (When $|\mu|$ is far above $\sigma$, the subtraction loses digits.
# Chan et al. 1979 combine means and squared deviations instead; that is right here too.)
#
# <details><summary>Hint 1: an idea</summary>
#
# Two small vectors make one small matrix.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Stack the mean and the mean square over this device's rows, `pmean` the stack, and take it apart.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `first, second = lax.pmean(jnp.stack([x.mean(axis=0), (x**2).mean(axis=0)]), axis_name)`
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "sync-batch-norm", "locked": false, "schema_version": 3, "solution": true, "task": false}
def sync_batch_norm(x: Float[Array, "b f"], axis_name: str, eps: float = 1e-5) -> Float[Array, "b f"]:
    """Batch norm with the statistics of all devices, in one collective. Called inside pmap.

    Args:
        x: this device's part of the batch; all parts have the same number of rows b.
        axis_name: the name of the axis of devices.
        eps: what is added to the variance, inside the root.

    Returns:
        x with mean and variance of each feature, over all rows of all devices, taken out. The variance divides by the
        number of rows. No scale and no shift.
    """
    ### BEGIN SOLUTION
    moments = jnp.array([jnp.mean(x, axis=0), jnp.mean(jnp.square(x), axis=0)])
    center, power = lax.pmean(moments, axis_name)
    return (x - center) * lax.rsqrt(power - jnp.square(center) + eps)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-sync-batch-norm", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 10}
checks.sync_batch_norm(sync_batch_norm)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import data_parallel as hidden

hidden.sync_batch_norm(sync_batch_norm)
### END HIDDEN TESTS

# %% [markdown]
# ## 8. Gradient accumulation
#
# *Difficulty: medium. Importance: high. About 25 minutes. 7 points.*
#
# A batch that does not fit is cut into $k$ parts. The gradients are added up, and there is one step. The mean over parts of equal
# size is the mean over the batch, so the numbers are those of the large batch. The parts need no talk between devices: add
# up locally, and average once, after the last part. Inside the loop, the same bytes would cross the network $k$ times.
#
# Cut the rows in order, and loop with `lax.scan`, so that one part's activations are in memory at a time.
#
# <details><summary>Hint 1: an idea</summary>
#
# The carry of the scan is a sum; what leaves the function is a mean, over parts and over devices.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Reshape x and y to `(parts, b / parts, ...)`. The carry starts as zeros of loss and gradient. After the scan divide by `parts`, then `pmean`.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `total, _ = lax.scan(add, zeros, (xs, ys))` where `add(total, part)` returns the new total and `None`. The zeros: `(0.0, jax.tree.map(jnp.zeros_like, params))`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "accumulate", "locked": false, "schema_version": 3, "solution": true, "task": false}
def accumulate(
    loss,
    params: PyTree[Float[Array, "..."]],
    x: Float[Array, "b d"],
    y: Int[Array, " b"],
    parts: int,
    axis_name: str,
) -> tuple[Float[Array, ""], PyTree[Float[Array, "..."]]]:
    """Loss and gradient of the whole batch, a part at a time. Called inside pmap.

    Args:
        loss: `(params, x, y) -> the mean loss` of the examples given.
        params: the parameters, the same on each device.
        x, y: this device's examples; `parts` divides their number b.
        parts: how many parts to cut them into.
        axis_name: the name of the axis of devices.

    Returns:
        The mean loss over all examples of all devices, and its gradient, on each device. The parts come one after the
        other, never all rows at once. Devices speak after the last part only: at most one collective for the loss and
        one for each leaf.
    """
    ### BEGIN SOLUTION
    pieces = [data.reshape(parts, len(data) // parts, *data.shape[1:]) for data in (x, y)]

    def include(so_far, piece):
        fresh = jax.value_and_grad(loss)(params, *piece)
        return jax.tree.map(jnp.add, so_far, fresh), None

    nothing = jnp.zeros(()), jax.tree.map(jnp.zeros_like, params)
    sums, _ = lax.scan(include, nothing, tuple(pieces))
    return lax.pmean(jax.tree.map(lambda leaf: leaf / parts, sums), axis_name)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-accumulate", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 7}
checks.accumulate(accumulate)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import data_parallel as hidden

hidden.accumulate(accumulate)
### END HIDDEN TESTS

# %% [markdown]
# ## 9. Your own all-reduce
#
# *Difficulty: hard. Importance: high. About 45 minutes. 11 points.*
#
# How does a psum work? The naive way sends every vector to everybody. The *ring* (Patarasuk and Yuan 2009; Baidu 2017) sends each
# byte as seldom as can be. Cut each device's vector into $n$ chunks. Device $d$ only ever sends to device $d + 1$ (mod $n$).
#
# 1. *Reduce-scatter*, $n - 1$ steps. In step $s$, device $d$ sends chunk $d - s$ and receives chunk $d - s - 1$, which it *adds* to its
#    own. (All numbers mod $n$.) After the last step, device $d$ holds the finished sum of chunk $d + 1$.
# 2. *All-gather*, $n - 1$ steps. In step $s$, device $d$ sends chunk $d + 1 - s$ and receives chunk $d - s$, which *replaces* its own.
#
# Each of the $2(n-1)$ messages has $1/n$ of the bytes. A device sends $2\frac{n-1}{n}$ times its vector, hardly more with a
# thousand devices than with eight, and no algorithm sends less.
#
# `lax.ppermute(chunk, axis_name, pairs)` sends along the pairs `(source, target)`, all devices at once. The chunk's number depends
# on the device, so it is traced: read with `chunks[k]`, write with `chunks.at[k].set(...)` or `.add(...)`.
#
# <details><summary>Hint 1: an idea</summary>
#
# Two loops of size - 1 steps, alike but for the chunk's number, and adding or setting.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Reshape x to `(size, -1)`. Take `d = lax.axis_index(axis_name)`. In each step: pick the chunk to send, ppermute it along the ring, and put what came in at its place. A Python loop over steps is fine.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# Pairs: `[(i, (i + 1) % size) for i in range(size)]`. First loop: `got = lax.ppermute(chunks[(d - s) % size], axis_name, pairs)` and `.add(got)` at `(d - s - 1) % size`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "ring-all-reduce", "locked": false, "schema_version": 3, "solution": true, "task": false}
def ring_all_reduce(x: Float[Array, " m"], axis_name: str, size: int) -> Float[Array, " m"]:
    """The sum of a vector over devices, by messages to the neighbour alone. Called inside pmap or shard_map.

    Args:
        x: this device's vector; `size` divides its length m.
        axis_name: the name of the axis of devices.
        size: the number of devices n. With one device there is nothing to send.

    Returns:
        The sum over devices, shape (m,), on each device: n - 1 steps of reduce-scatter, then n - 1 of all-gather, each a
        `lax.ppermute` of one chunk of m / n numbers to the next device. No other collective.
    """
    ### BEGIN SOLUTION
    me, links = lax.axis_index(axis_name), [(source, (source + 1) % size) for source in range(size)]
    pieces = x.reshape(size, x.size // size)
    for hop in range(2 * (size - 1)):
        # From hop size - 1 on, what arrives is finished.
        arrived = lax.ppermute(pieces[(me - hop) % size], axis_name, links)
        place = pieces.at[(me - hop - 1) % size]
        pieces = place.add(arrived) if hop < size - 1 else place.set(arrived)
    return pieces.ravel()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-ring-all-reduce", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 11}
checks.ring_all_reduce(ring_all_reduce)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import data_parallel as hidden

hidden.ring_all_reduce(ring_all_reduce)
### END HIDDEN TESTS

# %% [markdown]
# **See it.** Your messages, played step by step. Devices stand in a ring, and chunks have colours. A chunk is finished when it
# holds the sum of all devices. Count the bytes against the bound.

# %%
widgets.Collectives(ring_all_reduce)

# %% [markdown]
# ## 10. Migrate: shard_map
#
# *Difficulty: medium. Importance: high. About 25 minutes. 7 points.*
#
# `jax.shard_map` says what pmap left implicit. A *mesh* names the devices. `in_specs` say how each argument is cut:
# `P("devices")` cuts the first axis, `P()` gives everybody everything. `out_specs` say how results are put together. Arrays keep
# their usual shapes, without an axis of copies: params (width, classes), x (n * b, width).
#
# **The rule of gradients is another one.** By default, with `check_vma=True`, shard_map knows which values are the same on all
# devices and which vary. Parameters that came in by `P()` are the same. The gradient with respect to them is the derivative of
# the *sum over devices* of what you differentiate: JAX puts the psum in by itself. So make the loss the mean over all devices
# first, with pmean, and differentiate that. There is nothing left to average.
#
# <details><summary>Hint 1: an idea</summary>
#
# Which loss do you want the gradient of? Write that loss, pmean included, and differentiate it.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Inside: a function of params that gives the pmean of the local loss; value and gradient; the update. Around it: `jax.shard_map` with a mesh, specs for three arguments and two results, and `jax.jit`.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `in_specs=(P(), P("devices"), P("devices"))`, `out_specs=(P(), P())`; a spec may stand for a whole tree. The loss: `lambda p: lax.pmean(loss(p, x, y), "devices")`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "shard-map-step", "locked": false, "schema_version": 3, "solution": true, "task": false}
def shard_map_step(loss, learning_rate: float, count: int):
    """One step of gradient descent on several devices, by `jax.shard_map`.

    Args:
        loss: `(params, x, y) -> the mean loss` of the examples given.
        learning_rate: the factor of the gradient.
        count: the number of devices n; the first n of `jax.devices()` are meant.

    Returns:
        A function `(params, x, y) -> (params, loss)` of the whole arrays: x shape (n * b, width), y shape (n * b,), params and
        loss without an axis of devices. Each device works on its own b rows. What is returned is made by `jax.jit`, so that
        its program can be read.
    """
    ### BEGIN SOLUTION
    row = jax.make_mesh((count,), ("devices",), axis_types=(AxisType.Auto,), devices=jax.devices()[:count])
    cut, whole = P("devices"), P()

    def advance(params, x, y):
        value, slope = jax.value_and_grad(lambda here: lax.pmean(loss(here, x, y), "devices"))(params)
        return jax.tree.map(lambda param, part: param - learning_rate * part, params, slope), value

    return jax.jit(jax.shard_map(advance, mesh=row, in_specs=(whole, cut, cut), out_specs=(whole, whole)))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-shard-map-step", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 7}
checks.shard_map_step(shard_map_step)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import data_parallel as hidden

hidden.shard_map_step(shard_map_step)
### END HIDDEN TESTS

# %% [markdown]
# ## 11. Migrate: jit and NamedSharding
#
# *Difficulty: easy. Importance: high. About 15 minutes. 5 points.*
#
# The other way says nothing about devices in the step at all. Write the step of *one* device for the whole batch. Then say how
# the arguments lie: the batch in shards, the parameters everywhere. The compiler works out who computes what, and puts in the
# collectives (GSPMD, Xu et al. 2021). This is how most large models are trained now, and lab 07 is about it.
#
# <details><summary>Hint 1: an idea</summary>
#
# No lax.p-anything. The step of lab 04, and a statement of where arrays lie.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# `jax.jit(step, in_shardings=..., out_shardings=...)` with one `NamedSharding` for shards and one for copies. A sharding may stand for a whole tree.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `everywhere = NamedSharding(mesh, P())`, `rows = NamedSharding(mesh, P("devices"))`; `in_shardings=(everywhere, rows, rows)`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "jit-step", "locked": false, "schema_version": 3, "solution": true, "task": false}
def jit_step(loss, learning_rate: float, count: int):
    """One step of gradient descent on several devices, by `jax.jit` and shardings.

    Arguments and results are those of `shard_map_step`. What is returned is made by `jax.jit`, and the shardings are part of
    it, so that its program can be read. The collectives in it are the compiler's.
    """
    ### BEGIN SOLUTION
    row = jax.make_mesh((count,), ("devices",), axis_types=(AxisType.Auto,), devices=jax.devices()[:count])
    cut, whole = (NamedSharding(row, P(*names)) for names in (["devices"], []))

    def advance(params, x, y):
        value, slope = jax.value_and_grad(loss)(params, x, y)
        return jax.tree.map(lambda param, part: param - learning_rate * part, params, slope), value

    return jax.jit(advance, in_shardings=(whole, cut, cut), out_shardings=whole)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-jit-step", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 5}
checks.jit_step(jit_step)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import data_parallel as hidden

hidden.jit_step(jit_step)
### END HIDDEN TESTS

# %% [markdown]
# **See it.** The three programs side by side: what you wrote, and what the compiler made of it. As traced, the third has no
# collective at all. As compiled, what do the three send?

# %%
plain = Start()(jax.random.key(0))
whole = (plain, jnp.asarray(images), jnp.asarray(labels))
programs = {
    "pmap": (step, (copies, parts["x"], parts["y"])),
    "shard_map": (shard_map_step(SoftmaxRegression(), 0.5, len(devices)), whole),
    "jit": (jit_step(SoftmaxRegression(), 0.5, len(devices)), whole),
}
for name, (program, arguments) in programs.items():
    lowered = program.lower(*arguments)
    for stage, text in (("traced", lowered.as_text()), ("compiled", lowered.compile().as_text())):
        found = collectives.collectives(text)
        print(f"{name:>9}, {stage}: {collectives.counts(found)}, {collectives.bytes_of(found)} bytes")

# %% [markdown]
# ## 12. What does it cost?
#
# *Difficulty: easy. Importance: high. About 15 minutes. 4 points.*
#
# A message of $m$ bytes takes $\alpha + m/\beta$ seconds: a latency, and the bytes over the bandwidth. The ring makes $2(n-1)$ steps
# of $M/n$ bytes. When each device keeps its own amount of work, $t$ seconds a step (*weak scaling*), and nothing is hidden, the
# efficiency is the part of the time that is spent on computing:
#
# $$T_{\text{ring}} = 2(n-1)\left(\alpha + \frac{M}{n\beta}\right) \qquad\qquad E = \frac{t}{t + T_{\text{ring}}}$$
#
# <details><summary>Hint 1: an idea</summary>
#
# The time of the ring first; then one quotient.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# With n = 1 the ring makes no step, and the efficiency is 1 by the formula itself.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# Steps `2 * (count - 1)`, each `latency + size / count / bandwidth`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "efficiency", "locked": false, "schema_version": 3, "solution": true, "task": false}
def efficiency(count: int, compute: float, size: float, latency: float, bandwidth: float) -> float:
    """The part of a step that devices spend computing, when a ring all-reduce follows and hides behind nothing.

    Args:
        count: the number of devices n, at least 1.
        compute: seconds of computing a step, on each device.
        size: bytes of the gradient.
        latency: seconds before the first byte of a message arrives.
        bandwidth: bytes a second from a device to the next.

    Returns:
        The efficiency, from 0 to 1.
    """
    ### BEGIN SOLUTION
    ring = (count - 1) * 2 * (size / (count * bandwidth) + latency)
    return compute / (ring + compute)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-efficiency", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 4}
checks.efficiency(efficiency)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import data_parallel as hidden

hidden.efficiency(efficiency)
### END HIDDEN TESTS

# %% [markdown]
# ### Predict: how much faster are eight devices?
#
# *Two points, for committing a number. Whether it is right does not matter.*
#
# The next cells time your pmap step with one device and with all of them, with 200 rows a device, and print how many rows a
# second each handles. Eight real accelerators handle nearly eight times as many. Emulated devices share the cores of one
# processor. What will the ratio be on the machine before you? Write `speedup_guess =` and your number.


# %% nbgrader={"grade": false, "grade_id": "speedup", "locked": false, "schema_version": 3, "solution": true, "task": false}
### BEGIN SOLUTION
speedup_guess = 1.0
### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-speedup", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 2}
checks.speedup(speedup_guess)


# %%
def rows_per_second(count):
    """How many rows a second your step handles on so many devices."""
    copies = replicate(Start(), jax.random.key(0), count)
    part, _ = shard_batch({"x": images[: 200 * count], "y": labels[: 200 * count]}, count)
    copies, loss = step(copies, part["x"], part["y"])
    loss.block_until_ready()
    began = perf_counter()
    for _ in range(50):
        copies, loss = step(copies, part["x"], part["y"])
        loss.block_until_ready()
    return 50 * 200 * count / (perf_counter() - began)


rates = {count: rows_per_second(count) for count in (1, 2, 4, 8) if count <= len(devices)}
for count, rate in rates.items():
    ideal = efficiency(count, 200 / rates[1], 2600, 2e-5, 1e10)
    print(
        f"{count} devices: {rate:8.0f} rows/s, efficiency {rate / rates[1] / count:.2f}; on a fast network {ideal:.2f}"
    )
predict.reveal(speedup_guess, rates[max(rates)] / rates[1], "speed-up with all devices")

# %% [markdown]
# A step of this classifier takes a fraction of a millisecond, so the latency of eight devices weighs heavily. With large models
# it is the bytes. The chapter works out both, up to thousands of chips.

# %% [markdown]
# ## 13. In your own words
#
# *Difficulty: medium. Importance: high. About 15 minutes. 8 points, graded by hand.*
#
# Two answers of a few sentences each.
#
# 1. A colleague moves a training step from pmap to `jax.shard_map` on eight devices and keeps the line
#    `gradients = lax.pmean(jax.grad(local_loss)(params), "devices")`. Nothing fails, but training with SGD is unstable. What are
#    the gradients now, why, and what are two ways to mend it? *(5 points: what they are, 1; why, 2; each way, 1.)*
# 2. The same colleague had used Adam, and saw nothing. Why? And which number in the log of a run would have shown it?
#    *(3 points: what Adam does with the gradients, 2; the number, 1.)*

# %% [markdown] nbgrader={"grade": true, "grade_id": "written-data-parallel", "locked": false, "schema_version": 3, "solution": true, "task": false, "points": 8}
# ### BEGIN SOLUTION
# 1. Eight times as long as the true ones (1 point). Parameters that enter by P() are unvarying, and differentiating with
#    respect to them transposes a broadcast into a psum: what grad returns is the sum already, and the mean of eight equal
#    sums is that sum (2). Average the objective inside the differentiated function (1). Or switch the tracking off and keep
#    the old line, or divide by the number of devices (1).
# 2. Adam divides by the root of the mean square, so a constant factor cancels, but for eps (2). The norm that is logged, or
#    clipped by, is eight times the norm of a single-device run (1).
# ### END SOLUTION

# %% [markdown]
# ## What you have now
#
# A step that gives the same numbers on one device and on eight, in the three ways in which JAX can say it, and an all-reduce
# of your own. Every device still holds the whole model. When the model does not fit, it is the model that must be cut: lab 07.
