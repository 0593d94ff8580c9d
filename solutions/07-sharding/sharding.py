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
# # Lab 07: Sharding large models
#
# A model of 70 billion parameters needs more than a terabyte to train. One accelerator has 80 gigabytes. So the model is
# cut up: weights, gradients, optimizer state and activations each lie in pieces on many devices, and the devices exchange
# what they miss. In this lab you compute what must be cut, cut it in the ways that large models are really trained, and
# read in the compiled program what is sent and how much.
#
# You need about six hours and a half: take two or three sittings. The [chapter](../../course/chapters/07-sharding.md) has
# the arithmetic and its sources; you can do the lab without it.
#
# Many checks here do not only compare numbers. They read your *program*: which collectives it has, how many bytes they
# move, what shape a device holds.
#
# **Eight devices.** The next cell takes eight accelerators, or makes eight devices of your processor. What you write is the
# same for both. Emulated devices show whether a program is right, and nothing about its speed. On a machine with one to
# seven accelerators, close JupyterLab and start it again with `JAX_PLATFORMS=cpu make lab`.
#
# A *mesh* gives the devices two names: here "data" and "model". A `PartitionSpec` says which axis of an array is cut along
# which axis of the mesh. On the mesh of `grid(2, 4)`, an array of shape (16, 32) with `P("data", "model")` lies in shards of
# shape (8, 8); with `P("data")` in shards of (8, 32), each of them on four devices; and with `P()` whole on every device.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, PyTree
from scipy.optimize import curve_fit
from scipy.stats import t as student_t

from gradlab import predict, rehearsal, widgets
from gradlab.checks import sharding as checks
from gradlab.corpus import standard_library
from gradlab.devices import use_devices
from gradlab.gpt.config import PRESETS, Config, Recipe
from gradlab.gpt.run import learning_curve, train
from gradlab.gpt.sharding import make_mesh
from gradlab.gpt.trainer import Trainer
from gradlab.shards import Adam, Block, attend, bytes_by_device, grid, shard_shapes

devices = use_devices(count=8)

# %%
example = jax.device_put(np.zeros((16, 32), np.float32), NamedSharding(grid(2, 4), P("data", "model")))
print(f"one shard of {example.shape}: {example.addressable_shards[0].data.shape}")
jax.debug.visualize_array_sharding(example)

# %% [markdown]
# ## 1. What a device must hold
#
# *Difficulty: easy. Importance: high. About 30 minutes. 9 points.*
#
# Training with Adam keeps, for each parameter, the parameter, its gradient, and the optimizer's numbers. In the usual mixed
# precision (Rajbhandari et al. 2020, ZeRO) these are 2 bytes for the parameter in bfloat16, 2 for the gradient, and 12 for
# the optimizer: a float32 master copy and two float32 moments. Sixteen bytes a parameter, on every device of plain data
# parallelism.
#
# ZeRO cuts them over the $n$ devices, in stages. Stage 0 cuts nothing. Stage 1 cuts the optimizer's numbers, stage 2 the
# gradients too, stage 3 (which is FSDP) the parameters too. What does not divide evenly is rounded up to a whole parameter.
#
# The *activations* come on top. Korthikanti et al. (2022) count the bytes that one transformer layer saves for its backward
# pass in 16-bit precision, with batch $b$, sequence $s$, width $h$, $a$ heads, and tensor parallelism over $t$ devices:
#
# $$s\,b\,h \left(10 + \frac{24}{t} + \frac{5\,a\,s}{h\,t}\right)$$
#
# The last term is the attention's scores. *Selective* recomputation computes them again in the backward pass and drops this
# term. *Full* recomputation keeps only the layer's input, $2\,s\,b\,h$ bytes.
#
# <details><summary>Hint 1: an idea</summary>
#
# Each of the three kinds has a stage from which on it is cut: optimizer 1, gradients 2, parameters 3.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Work out the number of parameters that a device holds of a kind: all of them, or the share rounded up. Multiply by the
# bytes. For the activations, choose the bracket by `recompute`.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `-(-parameters // devices)` divides and rounds up. With `first_stage = {"parameters": 3, ...}`, a kind is cut when
# `zero_stage >= first_stage[kind]`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "memory-per-device", "locked": false, "schema_version": 3, "solution": true, "task": false}
def memory_per_device(
    parameters: int,
    devices: int,
    zero_stage: int,
    parameter_bytes: int = 2,
    gradient_bytes: int = 2,
    optimizer_bytes: int = 12,
) -> dict[str, int]:
    """The bytes that each device holds of a model in training, without activations.

    Args:
        parameters: how many the model has.
        devices: over how many devices ZeRO cuts.
        zero_stage: 0 cuts nothing, 1 the optimizer, 2 also the gradients, 3 also the parameters.
        parameter_bytes, gradient_bytes, optimizer_bytes: bytes of each kind for one parameter.

    Returns:
        A dictionary with the keys "parameters", "gradients" and "optimizer", whole numbers of bytes. A share that is no
        whole number of parameters is rounded up to the next.
    """
    ### BEGIN SOLUTION
    share = (parameters + devices - 1) // devices
    return {
        "parameters": parameter_bytes * (share if zero_stage > 2 else parameters),
        "gradients": gradient_bytes * (share if zero_stage > 1 else parameters),
        "optimizer": optimizer_bytes * (share if zero_stage > 0 else parameters),
    }
    ### END SOLUTION


def activation_bytes(
    batch: int, sequence: int, width: int, heads: int, layers: int, tensor: int = 1, recompute: str = "none"
) -> float:
    """The bytes of activations that a device keeps for the backward pass, in 16-bit precision.

    Args:
        batch, sequence: sequences on this device, and tokens in each.
        width, heads, layers: the model's.
        tensor: over how many devices each layer is cut.
        recompute: "none" keeps everything, "selective" drops the attention's scores, "full" keeps the layers' inputs.

    Returns:
        Bytes, of all layers together.
    """
    ### BEGIN SOLUTION
    inputs = sequence * batch * width * layers
    scores = 5 * heads * sequence / (width * tensor)
    brackets = {"full": 2, "selective": 10 + 24 / tensor, "none": 10 + 24 / tensor + scores}
    return inputs * brackets[recompute]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-memory-per-device", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 9}
checks.memory_per_device(memory_per_device, activation_bytes)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import sharding as hidden

hidden.memory_per_device(memory_per_device, activation_bytes)
### END HIDDEN TESTS

# %% [markdown]
# ### Predict: how many devices only to hold it?
#
# *One point, for committing a number. Whether it is right does not matter.*
#
# A model of 70 billion parameters is trained with stage 3 on accelerators of 80 GB ($80 \cdot 10^9$ bytes). Leave the
# activations out. What is the smallest number of devices whose memory is enough? In the next cell, write `devices_guess =`
# and your number, and run it before you go on.

# %% nbgrader={"grade": false, "grade_id": "fewest-devices", "locked": false, "schema_version": 3, "solution": true, "task": false}
### BEGIN SOLUTION
devices_guess = 20
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "test-fewest-devices", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 1}
checks.fewest_devices(devices_guess)

# %%
sums = {count: sum(memory_per_device(70_000_000_000, count, 3).values()) for count in range(1, 65)}
predict.reveal(
    devices_guess, min(count for count, size in sums.items() if size <= 80e9), "devices that hold 70 billion"
)

# %% [markdown]
# ## 2. FLOPs, and how well they are used
#
# *Difficulty: medium. Importance: high. About 25 minutes. 8 points.*
#
# A matrix product of shapes $(m, k)$ and $(k, n)$ takes $2mkn$ floating-point operations: a multiplication and an addition
# for each of $mkn$ terms. The backward pass makes two products of the same size for each one of the forward pass. So a weight
# costs 6 operations for each token.
#
# A GPT of $L$ layers and width $d$ has $4d^2$ weights in a layer's attention and $8d^2$ in its MLP. Looking up an embedding
# costs nothing; the output layer is a product with $V d$ weights. Attention also multiplies queries with keys, and weights
# with values: $2Td$ operations each for a token that sees $T$ others, forward only. All of $T$ is counted, the half that a
# causal mask throws away included, as in the appendix of PaLM (Chowdhery et al. 2022).
#
# *Model FLOPs utilisation* is the part of the hardware's peak that these operations take:
#
# $$\text{MFU} = \frac{\text{tokens per second} \times \text{operations per token}}{\text{devices} \times \text{peak of one device}}$$
#
# Only operations that the model needs are counted. What is recomputed to save memory is not: it is an expense, not progress.
#
# <details><summary>Hint 1: an idea</summary>
#
# Count the weights that take part in a product. Then the two products of attention.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Weights: $12 L d^2 + V d$, six operations each. Attention: $4 T d$ forward in each layer; how much with the backward pass?
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `6 * weights + 12 * layers * sequence * width`
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "flops-per-token", "locked": false, "schema_version": 3, "solution": true, "task": false}
def flops_per_token(layers: int, width: int, vocabulary: int, sequence: int) -> int:
    """Floating-point operations of training a GPT on one token, forward and backward, matrix products only.

    Args:
        layers, width: the model's; the MLP is four times as wide inside.
        vocabulary: rows of the output layer.
        sequence: tokens that attention looks at, the masked ones included.
    """
    ### BEGIN SOLUTION
    in_layers = layers * (12 * width**2 + 2 * sequence * width)
    return 6 * (in_layers + vocabulary * width)
    ### END SOLUTION


def utilisation(tokens_per_second: float, operations_per_token: float, devices: int, peak: float) -> float:
    """Model FLOPs utilisation, from 0 to 1.

    Args:
        tokens_per_second: of all devices together.
        operations_per_token: what the model needs, as `flops_per_token` counts.
        devices: how many devices.
        peak: operations per second that one device can do at most.
    """
    ### BEGIN SOLUTION
    return tokens_per_second * operations_per_token / (devices * peak)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-flops-per-token", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 8}
checks.flops_per_token(flops_per_token, utilisation)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import sharding as hidden

hidden.flops_per_token(flops_per_token, utilisation)
### END HIDDEN TESTS

# %%
per_token = flops_per_token(layers=12, width=768, vocabulary=50257, sequence=1024)
print(f"GPT-2 small: {per_token / 1e9:.3f} billion operations a token")
print(f"100,000 tokens a second on one H100 (989e12 a second): MFU {utilisation(1e5, per_token, 1, 989e12):.1%}")

# %% [markdown]
# ## 3. A tensor-parallel MLP
#
# *Difficulty: hard. Importance: high. About 40 minutes. 10 points.*
#
# The MLP of a transformer is $\operatorname{gelu}(xA + a)\,B + b$. Megatron-LM (Shoeybi et al. 2019) cuts it so that the
# devices of the axis "model" talk once. Cut $A$ into *columns*: each device computes its own hidden units, and GELU acts on
# each unit alone. Cut $B$ into *rows*: each device multiplies its hidden units with its rows, and gets a part of the sum.
#
# $$[\,X_1 \; X_2\,] = \operatorname{gelu}\!\left(x\,[\,A_1 \; A_2\,] + [\,a_1 \; a_2\,]\right) \qquad y = X_1 B_1 + X_2 B_2 + b$$
#
# One all-reduce adds the parts. In the other order, rows first, GELU would need the whole sum: two exchanges in place of one.
#
# `jax.shard_map` runs a function on every device, on its shards. `in_specs` says how the arguments are cut and `out_specs`
# how the results are put together. Inside, `jax.lax.psum(part, "model")` adds over the devices of that axis. The rows of $x$
# are cut along "data"; every device of "model" has the same rows.
#
# <details><summary>Hint 1: an idea</summary>
#
# The function inside is the MLP as you know it, on narrower matrices, with one sum over devices in it. Ask of each bias:
# how often is it added?
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# `up` is cut on its second axis, `up_bias` like the columns, `down` on its first axis; `down_bias` is whole. Add `down_bias`
# after the sum over devices, or it is added once for each device.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `specs = (P("data"), P(None, "model"), P("model"), P("model"), P())`, then
# `jax.shard_map(one_device, mesh=mesh, in_specs=specs, out_specs=P("data"))(x, up, ...)`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "tensor-parallel-mlp", "locked": false, "schema_version": 3, "solution": true, "task": false}
def tensor_parallel_mlp(
    x: Float[Array, "batch width"],
    up: Float[Array, "width inner"],
    up_bias: Float[Array, " inner"],
    down: Float[Array, "inner width"],
    down_bias: Float[Array, " width"],
    mesh: Mesh,
) -> Float[Array, "batch width"]:
    """`gelu(x @ up + up_bias) @ down + down_bias`, each device with its share of the hidden units.

    Args:
        x: the inputs; "data" divides the batch.
        up, up_bias, down, down_bias: weights; "model" divides the inner axis.
        mesh: the devices, with the axes "data" and "model".

    Returns:
        The outputs, cut like `x`, by a `jax.shard_map` with one all-reduce and no other collective in it. GELU is
        `jax.nn.gelu`.
    """

    ### BEGIN SOLUTION
    def on_a_device(x, up, up_bias, down, down_bias):
        units = jax.nn.gelu(jnp.matmul(x, up) + up_bias[None])
        return jax.lax.psum(jnp.matmul(units, down), "model") + down_bias[None]

    cuts = (P("data", None), P(None, "model"), P("model"), P("model", None), P(None))
    spread = jax.shard_map(on_a_device, mesh=mesh, in_specs=cuts, out_specs=P("data", None))
    return spread(x, up, up_bias, down, down_bias)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-tensor-parallel-mlp", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 10}
checks.tensor_parallel_mlp(tensor_parallel_mlp)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import sharding as hidden

hidden.tensor_parallel_mlp(tensor_parallel_mlp)
### END HIDDEN TESTS

# %% [markdown]
# ## 4. Tensor-parallel attention
#
# *Difficulty: medium. Importance: high. About 30 minutes. 8 points.*
#
# Attention is made for this cut: heads do not look at each other. Each device takes some of the heads, computes their
# queries, keys and values, attends, and multiplies with its heads' rows of the output matrix. The parts of the sum are
# added, as in the MLP, by one all-reduce.
#
# Here the weights have an axis for the heads: `query`, `key` and `value` have the shape (width, heads, size), `out` has
# (heads, size, width). `attend(query, key, value)` of the first cell is causal attention for as many heads as it is given,
# with arrays of shape (batch, sequence, heads, size).
#
# <details><summary>Hint 1: an idea</summary>
#
# Which axis is "heads" in each of the four weights? That axis, and no other, is cut along "model".
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Project with `jnp.einsum("bsw,whe->bshe", x, query)`, attend, project back with "bshe,hew->bsw", and add over "model".
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `heads = P(None, "model")` is the spec of the three, `P("model")` that of `out`; x and the result have `P("data")`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "tensor-parallel-attention", "locked": false, "schema_version": 3, "solution": true, "task": false}
def tensor_parallel_attention(
    x: Float[Array, "batch sequence width"],
    query: Float[Array, "width heads size"],
    key: Float[Array, "width heads size"],
    value: Float[Array, "width heads size"],
    out: Float[Array, "heads size width"],
    mesh: Mesh,
) -> Float[Array, "batch sequence width"]:
    """Causal self-attention, each device with its share of the heads.

    Args:
        x: the inputs; "data" divides the batch.
        query, key, value, out: weights; "model" divides the heads.
        mesh: the devices, with the axes "data" and "model".

    Returns:
        The outputs, cut like `x`, by a `jax.shard_map` with one all-reduce and no other collective in it.
    """

    ### BEGIN SOLUTION
    def some_heads(x, query, key, value, out):
        projected = [jnp.einsum("bsw,whe->bshe", x, weight) for weight in (query, key, value)]
        return jax.lax.psum(jnp.einsum("bshe,hew->bsw", attend(*projected), out), "model")

    by_head = P(None, "model", None)
    cuts = (P("data", None, None), by_head, by_head, by_head, P("model", None, None))
    spread = jax.shard_map(some_heads, mesh=mesh, in_specs=cuts, out_specs=P("data", None, None))
    return spread(x, query, key, value, out)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-tensor-parallel-attention", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 8}
checks.tensor_parallel_attention(tensor_parallel_attention)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import sharding as hidden

hidden.tensor_parallel_attention(tensor_parallel_attention)
### END HIDDEN TESTS

# %% [markdown]
# ## 5. Fully sharded data parallelism
#
# *Difficulty: hard. Importance: high. About 45 minutes. 12 points.*
#
# Tensor parallelism sends activations, at every layer. FSDP sends weights instead. Each device holds a slice of every
# weight, and its own rows of the batch. When a weight is needed, the devices *gather* it from their slices, use it, and
# forget it. In the backward pass each device gets a gradient of the whole weight, from its own rows; these are *reduced* and
# *scattered*: added up, and each device keeps the slice that belongs to its slice of the weight.
#
# An all-reduce is a reduce-scatter followed by an all-gather. So FSDP with one gather moves as many bytes as plain data
# parallelism, and holds one part in $n$ of the weights, gradients and optimizer state.
#
# `loss(params, x, y)` is the mean over the rows that it is given, and every device has equally many. Inside `shard_map`,
# `jax.lax.all_gather(shard, "data", tiled=True)` joins the slices along the first axis, and
# `jax.lax.psum_scatter(gradient, "data", tiled=True)` adds and scatters along it.
#
# <details><summary>Hint 1: an idea</summary>
#
# Differentiate the loss with respect to the *gathered* weights, then scatter. Or differentiate with respect to the slices,
# through the gather: the transpose of a gather is a reduce-scatter, and JAX knows it.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# On each device: gather every weight (`jax.tree.map`), take `jax.value_and_grad(loss)` on its own rows, average the loss
# over "data" with `jax.lax.pmean`, scatter each gradient, and divide by the number of devices, since a mean is asked for.
# `jax.lax.axis_size("data")` is that number.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `whole = jax.tree.map(lambda w: jax.lax.all_gather(w, "data", tiled=True), params)`. The specs: `P("data")` for all three
# arguments and for the gradients, `P()` for the loss. One spec stands for a whole tree.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "fsdp-gradients", "locked": false, "schema_version": 3, "solution": true, "task": false}
def fsdp_gradients(
    loss,
    params: PyTree[Float[Array, "..."]],
    x: Float[Array, "batch width"],
    y: Float[Array, "batch width"],
    mesh: Mesh,
) -> tuple[Float[Array, ""], PyTree[Float[Array, "..."]]]:
    """The loss and its gradients, with every weight cut along its first axis over "data".

    Args:
        loss: `(params, x, y) -> loss`, the mean over the rows of x and y.
        params: matrices whose first axis the devices of "data" divide.
        x, y: a batch, whose rows they divide too.
        mesh: the devices, with the axes "data" and "model"; "model" divides nothing here.

    Returns:
        The mean loss over the whole batch, and its gradients, cut like `params`, by a `jax.shard_map` that gathers weights
        and reduce-scatters gradients; nothing larger than the loss is all-reduced.
    """

    ### BEGIN SOLUTION
    def joined(slices):
        return jax.tree.map(lambda piece: jax.lax.all_gather(piece, "data", axis=0, tiled=True), slices)

    def mean_loss(slices, rows, targets):
        return jax.lax.pmean(loss(joined(slices), rows, targets), "data")

    along = P("data")
    every_device = jax.value_and_grad(mean_loss)  # the gather's transpose adds up and scatters
    return jax.shard_map(every_device, mesh=mesh, in_specs=(along,) * 3, out_specs=(P(), along))(params, x, y)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-fsdp-gradients", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 12}
checks.fsdp_gradients(fsdp_gradients)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import sharding as hidden

hidden.fsdp_gradients(fsdp_gradients)
### END HIDDEN TESTS

# %% [markdown]
# ## 6. An optimizer state that is cut too
#
# *Difficulty: medium. Importance: high. About 35 minutes. 8 points.*
#
# Adam's two moments are as large as the weights, each. Cut the weights and forget the moments, and most of the memory is
# still on every device. It happens easily, and nothing fails: the numbers are right, and the memory is full.
#
# Here nobody writes a collective. The arrays are *placed*, by `jax.device_put(array, NamedSharding(mesh, spec))`, the step
# is an ordinary function under `jax.jit`, and the compiler adds the exchanges. Your part is to see that every array lies
# where it should, and stays there.
#
# Old weights and old moments are of no use after a step. *Donate* them, and the compiler writes the new ones over the old:
# without that, both are in memory at once. `jax.jit(f, donate_argnums=...)` names the arguments that are given away.
#
# An optimizer here has `init(params) -> state` and `update(gradients, state, params) -> (updates, state)`, as in optax; the
# updates are added to the parameters.
#
# <details><summary>Hint 1: an idea</summary>
#
# What decides where the moments lie: the order of placing and initialising. Print `shard_shapes(state)` for both orders.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Place the parameters. Then `optimizer.init` of the placed ones, not under jit, makes zeros that lie like them. Under
# `jax.jit` the zeros depend on nothing and would land on one device, unless `out_shardings` says otherwise.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `{name: jax.device_put(w, NamedSharding(mesh, specs[name])) for name, w in params.items()}`. The step takes
# `jax.value_and_grad(loss)`, then the update, and is jitted with `donate_argnums=(0, 1)`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "start-training", "locked": false, "schema_version": 3, "solution": true, "task": false}
def start_training(optimizer, params: dict[str, Float[Array, "..."]], specs: dict[str, P], mesh: Mesh) -> tuple:
    """Parameters and optimizer state in their places.

    Args:
        optimizer: has `init(params) -> state` and `update(gradients, state, params) -> (updates, state)`.
        params: arrays by name, not placed yet.
        specs: the partition spec of each, by the same names.
        mesh: the devices.

    Returns:
        The parameters, placed by `specs`, and the state, in which every moment lies like its parameter.
    """
    ### BEGIN SOLUTION
    placed = {name: jax.device_put(params[name], NamedSharding(mesh, spec)) for name, spec in specs.items()}
    return placed, optimizer.init(placed)
    ### END SOLUTION


def make_step(loss, optimizer):
    """A training step that is compiled, and that uses the memory of its first two arguments again.

    Args:
        loss: `(params, x, y) -> loss`.
        optimizer: as for `start_training`.

    Returns:
        `step(params, state, x, y) -> (loss, params, state)`, jitted, with params and state donated.
    """

    ### BEGIN SOLUTION
    def advance(params, state, x, y):
        value, slopes = jax.value_and_grad(loss)(params, x, y)
        changes, state = optimizer.update(slopes, state, params)
        return value, jax.tree.map(jnp.add, params, changes), state

    return jax.jit(advance, donate_argnums=(0, 1))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-start-training", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 8}
checks.start_training(start_training, make_step)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import sharding as hidden

hidden.start_training(start_training, make_step)
### END HIDDEN TESTS

# %% [markdown]
# **See it.** Bytes on one device, for a model of 2 million parameters: weights and both moments, cut in three ways.

# %%
wide = {"hidden": np.zeros((1024, 1024), np.float32), "output": np.zeros((1024, 1024), np.float32)}
for title, spec in {"whole": P(), "over data": P("data"), "over data and model": P("data", "model")}.items():
    lying = start_training(Adam(), wide, dict.fromkeys(wide, spec), grid(2, 4))
    print(
        f"{title:20} {max(bytes_by_device(lying).values()) / 2**20:5.1f} MiB a device, shards {shard_shapes(lying[0])}"
    )

# %% [markdown]
# ## 7. Specs for a whole model
#
# *Difficulty: medium. Importance: high. About 30 minutes. 7 points.*
#
# With `jit`, a whole model is cut by one function from a parameter's name to its spec. Megatron's columns and rows go along
# "model", FSDP's slices along "data", both at once:
#
# - The weights of all blocks are stacked on a first axis, the layers, since a scan goes through them. That axis stays whole.
# - `qkv.kernel` (layers, width, heads, 3, size) and `up.kernel` (layers, width, inner) are cut into columns along "model": by
#   heads, and by hidden units. Their biases, `qkv.bias` (layers, heads, 3, size) and `up.bias`, may be cut in the same way.
# - `out.kernel` (layers, heads, size, width) and `down.kernel` (layers, inner, width) are cut into rows along "model".
# - `tokens.embedding` (vocabulary, width) is also the output layer. Its words are cut along "model".
# - Every matrix is cut along "data" as well, on another axis or on the same one; `positions.embedding` along "data" alone.
# - Norms, and biases that are added after a sum over devices (`out.bias`, `down.bias`), are whole on every device.
#
# <details><summary>Hint 1: an idea</summary>
#
# The last two parts of the name decide: "blocks.up.kernel" and "up.kernel" differ by one axis in front.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# A dictionary from "up.kernel" and its like to the spec of one layer. Take away "blocks." if it is there, look up, and put
# `None` in front. What is not in the dictionary is `P()`.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `name.removeprefix("blocks.")` is the key, and `P(None, *spec)` the spec of a stacked array. For "qkv.kernel" of one layer:
# the width along "data", the heads along "model".
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "partition", "locked": false, "schema_version": 3, "solution": true, "task": false}
def partition(name: str, shape: tuple[int, ...]) -> P:
    """How a parameter of the GPT is cut on a mesh with the axes "data" and "model".

    Args:
        name: for example "tokens.embedding", "norm.scale" or "blocks.up.kernel".
        shape: the shape of the whole array; for names that begin with "blocks." the first axis is the layers.

    Returns:
        The partition spec, with at most one entry for each axis.
    """
    ### BEGIN SOLUTION
    columns, rows = {"qkv.kernel", "up.kernel"}, {"out.kernel", "down.kernel"}
    stacked, key = name.startswith("blocks."), name.removeprefix("blocks.")
    cuts = [None] * (len(shape) - stacked)
    if key in columns:
        cuts[:2] = ["data", "model"]
    elif key in rows:
        cuts[0], cuts[-1] = "model", "data"
    elif key in ("qkv.bias", "up.bias"):
        cuts[0] = "model"
    elif key.endswith("embedding"):
        cuts = ["model" if key.startswith("tokens") else None, "data"]
    return P(*[None] * stacked, *cuts)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-partition", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 7}
checks.partition(partition)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import sharding as hidden

hidden.partition(partition)
### END HIDDEN TESTS

# %% [markdown]
# **See it.** Which device holds which slice, under your own specs. Change the mesh from 8 x 1 to 1 x 8, and watch the bytes of
# a device and what it sends in a step. Then write a spec over one of yours: cut `blocks.up.kernel` into rows, say, and see
# what the compiler would have to add.

# %%
widgets.MeshExplorer(partition)

# %% [markdown]
# ## 8. Many layers: scan and recomputation
#
# *Difficulty: medium. Importance: high. About 40 minutes. 10 points.*
#
# A Python loop over layers makes a program that is as long as the model is deep, and a hundred layers compile for minutes.
# When all layers have the same shapes, stack their weights and let `jax.lax.scan` go through them: one layer is compiled,
# whatever the depth.
#
# The backward pass needs what the forward pass computed, and the scan keeps it for every layer: here the normed input, the
# hidden units before and after GELU, and more. *Recomputation* (Chen et al. 2016; `jax.checkpoint`, also called remat) keeps
# only each layer's input, and computes the rest again when the backward pass gets there. Memory falls from many arrays a
# layer to one, for one more forward pass: about a third more work.
#
# `block(layer, x) -> x` is one layer. `layers` has the same structure with one more axis in front of every array.
#
# <details><summary>Hint 1: an idea</summary>
#
# The carry of the scan is x. Nothing has to be collected. What changes with `remat` is only the function that is scanned.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Choose `jax.checkpoint(block)` or `block`. Scan over `layers`, from x; then the mean of the squares.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `last, _ = jax.lax.scan(lambda x, layer: (apply(layer, x), None), x, layers)`. Inside a scan, `jax.checkpoint` may have
# `prevent_cse=False`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "deep-loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
def deep_loss(
    block, layers: PyTree[Float[Array, "layers ..."]], x: Float[Array, "rows width"], remat: bool
) -> Float[Array, ""]:
    """The mean square of what a stack of layers makes of x.

    Args:
        block: `(layer, x) -> x`, one layer.
        layers: the weights of all layers, stacked on the first axis of each array.
        x: the input of the first layer.
        remat: whether the gradient keeps only the inputs of the layers, and recomputes the rest.

    Returns:
        The mean of the squares of the last layer's output. The traced program is as long for many layers as for few, with
        remat and without.
    """

    ### BEGIN SOLUTION
    def through(carried, weights):
        return block(weights, carried), None

    body = jax.checkpoint(through, prevent_cse=False) if remat else through
    reached, _ = jax.lax.scan(body, init=x, xs=layers)
    return jnp.square(reached).mean()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-deep-loss", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 10}
checks.deep_loss(deep_loss)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import sharding as hidden

hidden.deep_loss(deep_loss)
### END HIDDEN TESTS

# %% [markdown]
# ### Predict: how much does recomputation save?
#
# *One point, for committing a number.*
#
# Take 32 layers, each four times as wide inside as outside. By what factor does the memory fall that the compiler plans for
# the gradient, beside arguments and results? Without recomputation a layer keeps a handful of arrays as wide as its inside.
# Write `factor_guess =` and your number.

# %% nbgrader={"grade": false, "grade_id": "remat-factor", "locked": false, "schema_version": 3, "solution": true, "task": false}
### BEGIN SOLUTION
factor_guess = 10.0
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "test-remat-factor", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 1}
checks.remat_factor(factor_guess)

# %%
stack = {"up": jnp.zeros((32, 64, 256)), "down": jnp.zeros((32, 256, 64))}
planned = {}
for remat in (False, True):
    slope = jax.jit(jax.grad(lambda layers, x, remat=remat: deep_loss(Block(), layers, x, remat)))
    planned[remat] = slope.lower(stack, jnp.zeros((128, 64))).compile().memory_analysis().temp_size_in_bytes
    print(f"remat={remat}: {planned[remat] / 2**20:.1f} MiB")
predict.reveal(factor_guess, planned[False] / planned[True], "the factor by which recomputation saves memory")

# %% [markdown]
# ## 9. bfloat16, and weights that remember
#
# *Difficulty: medium. Importance: high. About 25 minutes. 6 points.*
#
# A number in bfloat16 has the range of float32 and only 8 bits of precision: between 1 and 2 its neighbours are 1/128 apart.
# Products in it are several times faster on an accelerator and take half the memory. For products that is enough. For
# weights it is not: an update is often a ten-thousandth of its weight, and in bfloat16 the sum is the weight itself.
#
# So keep *master* weights in float32 (Micikevicius et al. 2018). In each step, cast a copy to bfloat16, compute loss and
# gradient with it, cast the gradient to float32, and update the masters. float16 would need its loss scaled; bfloat16, with
# the range of float32, does not.
#
# <details><summary>Hint 1: an idea</summary>
#
# Two precisions, and one place where each is right: products in bfloat16, sums of weights and updates in float32.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Cast weights, x and y with `astype(jnp.bfloat16)`. Take the gradient with respect to the cast weights. Cast it back before
# you multiply by the learning rate.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `half = jax.tree.map(lambda w: w.astype(jnp.bfloat16), masters)`, and at the end
# `jax.tree.map(lambda w, g: w - learning_rate * g.astype(jnp.float32), masters, gradients)`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "mixed-precision-step", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mixed_precision_step(
    loss,
    masters: PyTree[Float[Array, "..."]],
    x: Float[Array, "batch width"],
    y: Float[Array, "batch width"],
    learning_rate: float,
) -> PyTree[Float[Array, "..."]]:
    """One step of gradient descent with products in bfloat16 and weights in float32.

    Args:
        loss: `(params, x, y) -> loss`; it computes in the precision of what it is given.
        masters: the weights, in float32.
        x, y: a batch, in float32.
        learning_rate: the factor of the gradient.

    Returns:
        The new weights, in float32. Every matrix product of the program has operands of bfloat16 only.
    """

    ### BEGIN SOLUTION
    def rounded(tree):
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.bfloat16), tree)

    rough = jax.grad(loss)(rounded(masters), rounded(x), rounded(y))
    return jax.tree.map(lambda kept, slope: kept - learning_rate * jnp.float32(slope), masters, rough)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-mixed-precision-step", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 6}
checks.mixed_precision_step(mixed_precision_step)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import sharding as hidden

hidden.mixed_precision_step(mixed_precision_step)
### END HIDDEN TESTS

# %% [markdown]
# ## 10. Several processes
#
# *Difficulty: medium. Importance: high. About 30 minutes. 6 points.*
#
# A large run has one process for each host. All of them run the same program, and each sees a part of the devices. An array
# is then *global*: every process knows its shape and sharding, and holds the shards of its own devices.
#
# Each process reads its own rows of the batch, and no other. `process_rows` says which. `global_batch` makes of them the
# array that all processes share: `jax.make_array_from_process_local_data(sharding, rows)` takes the rows of this process and
# puts each where it belongs. With one process, its rows are all rows, and the same code runs. `jax.device_put` does not do:
# it takes what it is given for the whole batch, and refuses it where processes give different rows.
#
# <details><summary>Hint 1: an idea</summary>
#
# If each of $n$ processes has $m$ rows, where does process $p$ begin?
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Divide with `divmod`, and raise a `ValueError` when something is left. The sharding of the batch is that of any batch: cut
# along "data".
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `NamedSharding(mesh, P("data"))` is the sharding; the function named above does the rest.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "process-rows", "locked": false, "schema_version": 3, "solution": true, "task": false}
def process_rows(rows: int, process: int, processes: int) -> tuple[int, int]:
    """The rows of the global batch that one process reads: from the first, up to but without the second number.

    Args:
        rows: rows of the global batch.
        process: the number of this process, from 0.
        processes: how many there are.

    Returns:
        Start and stop. Process 0 has the first rows; all have equally many.

    Raises:
        ValueError: the processes do not divide the rows.
    """
    ### BEGIN SOLUTION
    share, left = divmod(rows, processes)
    if left:
        raise ValueError(f"{processes} processes do not divide {rows} rows")
    return process * share, process * share + share
    ### END SOLUTION


def global_batch(local: Float[np.ndarray, "rows width"], mesh: Mesh) -> Float[Array, "all_rows width"]:
    """The batch of all processes, from the rows of this one.

    Args:
        local: the rows that this process has read.
        mesh: the devices of all processes, with the axes "data" and "model".

    Returns:
        A global array, its rows cut along "data" and in the order of the processes.
    """
    ### BEGIN SOLUTION
    places = NamedSharding(mesh, P("data", None))
    return jax.make_array_from_process_local_data(places, local)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-process-rows", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 6}
checks.process_rows(process_rows, global_batch)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import sharding as hidden

hidden.process_rows(process_rows, global_batch)
### END HIDDEN TESTS

# %% [markdown]
# **See it.** Two processes train a small network together, on the processor, with your two functions in both. Their text
# is written into a program, which is started twice; it ends in both whatever happens. (A helper of yours that they call is
# not in it: write it inside.) The losses must be those of one process: the batch is the same, only other processes read
# its rows. Sums in another order may change the last digit.

# %%
rehearsal.train_in_two(process_rows, global_batch)

# %% [markdown]
# **Kill one.** Two processes train the small GPT and save a checkpoint every ten steps. When step 25 is reported, process 1
# is killed as a lost host would be. The other one notices that its partner does not answer, says so, and stops. Started
# again, both go on from the last checkpoint, and not from the beginning.

# %%
saved = tempfile.mkdtemp()
rehearsal.lose_one(saved)

# %%
rehearsal.go_on(saved)

# %% [markdown]
# ## 11. A scaling law
#
# *Difficulty: hard. Importance: high. About 40 minutes. 6 points.*
#
# Nobody tries out a large model twice. The loss of small ones says what the large one will reach: over many orders of
# magnitude it follows a power law with a floor (Kaplan et al. 2020; Hoffmann et al. 2022, "Chinchilla"):
#
# $$L(N) = E + \frac{A}{N^{\alpha}}$$
#
# $N$ is the size, $E$ what no model of this kind gets below. A prediction without an interval is a guess: the runs are
# noisy, and a few points leave $E$ and $\alpha$ open.
#
# Fit by least squares; `scipy.optimize.curve_fit` is a good tool. It works best on numbers near one: fit
# $E + B\,(N / N_0)^{-\alpha}$ with $N_0$ among the sizes, and compute $A$ from $B$. It also returns the covariance $\Sigma$
# of the three numbers. With the slope $j$ of the prediction by those numbers, the variance of a *new run's* loss at $N$ is
# $j^\top \Sigma\, j + \sigma^2$, where $\sigma^2$ is the noise: the sum of squared residuals over the number of points less
# three. A quantile of Student's t with as many degrees of freedom makes the interval.
#
# <details><summary>Hint 1: an idea</summary>
#
# Starting values matter: the floor a bit below the smallest loss, B the rest at $N_0$, alpha about a third.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Write one helper inside each function, or repeat the fit: `curve_fit(law, sizes / n0, losses, p0=...)`. The slopes by the
# three numbers at $r = N / N_0$ are $1$, $r^{-\alpha}$ and $-B\, r^{-\alpha} \ln r$. `scipy.stats.t.ppf((1 + level) / 2, n - 3)`
# is the quantile.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `factor = B * n0**alpha`. The half width is `quantile * np.sqrt(j @ covariance @ j + noise)`, around the fitted law.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "fit-scaling-law", "locked": false, "schema_version": 3, "solution": true, "task": false}
def fit_scaling_law(sizes: Float[np.ndarray, " runs"], losses: Float[np.ndarray, " runs"]) -> dict[str, float]:
    """The law `floor + factor * size ** -exponent` that is closest to the losses, by least squares.

    Args:
        sizes: of the models, for instance their numbers of parameters; at least four.
        losses: what each of them reached.

    Returns:
        A dictionary with the keys "floor", "factor" and "exponent".
    """
    ### BEGIN SOLUTION
    unit = float(np.median(sizes))
    (floor, scale, exponent), _ = curve_fit(
        lambda ratio, e, b, a: e + b * ratio**-a,
        np.asarray(sizes) / unit,
        losses,
        p0=(0.9 * np.min(losses), np.ptp(losses) + 0.1, 0.3),
        maxfev=20_000,
    )
    return {"floor": float(floor), "factor": float(scale * unit**exponent), "exponent": float(exponent)}
    ### END SOLUTION


def predict_loss(
    sizes: Float[np.ndarray, " runs"], losses: Float[np.ndarray, " runs"], size: float, level: float = 0.9
) -> tuple[float, float, float]:
    """The loss that a new run at `size` will reach, with an interval.

    Args:
        sizes, losses: the runs that were made; at least four.
        size: the size of the run to come.
        level: how often the interval should hold the truth.

    Returns:
        The lower end, the law's own value, and the upper end.
    """

    ### BEGIN SOLUTION
    def law(ratio, e, b, a):
        return e + b * ratio**-a

    unit = float(np.median(sizes))
    ratios, start = np.asarray(sizes) / unit, (0.9 * np.min(losses), np.ptp(losses) + 0.1, 0.3)
    found, covariance = curve_fit(law, ratios, losses, p0=start, maxfev=20_000)
    freedom = len(ratios) - 3
    noise = np.sum((law(ratios, *found) - losses) ** 2) / freedom
    ratio, (_, b, a) = size / unit, found
    slope = np.array([1.0, ratio**-a, -b * ratio**-a * np.log(ratio)])
    half = student_t.ppf((1 + level) / 2, freedom) * np.sqrt(slope @ covariance @ slope + noise)
    middle = float(law(ratio, *found))
    return middle - float(half), middle, middle + float(half)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-fit-scaling-law", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 6}
checks.fit_scaling_law(fit_scaling_law, predict_loss)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import sharding as hidden

hidden.fit_scaling_law(fit_scaling_law, predict_loss)
### END HIDDEN TESTS

# %% [markdown]
# **See it.** The law holds for the number of training tokens as well. Below, a small GPT learns to write the source code of
# Python's standard library. Its loss on text that it has not seen is measured five times in the first 320 steps. From these,
# your functions predict what it will reach at 1280 steps, four times as far. Then it goes there. This takes about half a
# minute.

# %%
config = Config(context=32, width=32, layers=2, heads=2, dtype="float32")
trainer = Trainer(config, Recipe(steps=100_000, batch=32, rate=3e-3, warmup=20))
text, marks = standard_library(300_000), (80, 112, 160, 226, 320, 1280)
reached = learning_curve(trainer, text, marks, report=lambda step, loss: print(f"step {step:4}: loss {loss:.3f}"))
tokens = 32 * config.context * np.array(marks)
low, middle, high = predict_loss(tokens[:-1], np.array(reached[:-1]), tokens[-1])
print(f"predicted from the first five: {middle:.3f}, 90 % between {low:.3f} and {high:.3f}; reached {reached[-1]:.3f}")

# %% [markdown]
# Is the truth inside? The interval is wide: five points that lie close together leave the floor open. Add a point, or take
# points that are further apart, and see it shrink. Chinchilla's law was fitted to more than 400 runs. The
# [chapter](../../course/chapters/07-sharding.md) has an example in which model and text grow together: it takes minutes.

# %% [markdown]
# **On an accelerator** the next cell measures MFU of a GPT-2 with 124 million parameters, in bfloat16. On a processor it says
# so and does nothing: a processor has no peak that would be worth comparing with.

# %%
if devices[0].platform == "cpu":
    print("no accelerator here: nothing to measure")
else:
    large = PRESETS["gpt2-124m"].but(scan=False)
    run = Trainer(large, Recipe(steps=30, batch=16 * len(devices)), make_mesh(devices=devices))
    speeds = []
    train(run, text.train, report=lambda now: speeds.append(now.tokens_per_second))
    work = flops_per_token(large.layers, large.width, large.padded_vocabulary, large.context)
    print(
        f"{speeds[-1]:,.0f} tokens a second, MFU {utilisation(speeds[-1], work, len(devices), 989e12):.1%} of an H100's peak"
    )

# %% [markdown]
# ## 12. In your own words
#
# *Difficulty: medium. Importance: high. About 20 minutes. 8 points, graded by hand.*
#
# Two answers of a few sentences each. Put in numbers.
#
# 1. You have 64 accelerators of 80 GB in 8 hosts. Inside a host they exchange 450 GB/s each, between hosts 50 GB/s. A
#    model of 30 billion parameters is to be trained with Adam in mixed precision. Along which axis of the mesh do you use
#    tensor parallelism, along which FSDP, and why? *(4 points: the memory, of all and of a device, 1; where tensor
#    parallelism goes and why, 2; where FSDP goes and why, 1.)*
# 2. A colleague cuts the weights over 8 devices with FSDP and finds that the memory of a device falls by much less than a
#    factor of 8. Name two possible reasons, and how you would tell them apart. *(4 points: each reason, 1; where each is
#    seen, 1.)*

# %% [markdown] nbgrader={"grade": true, "grade_id": "written-sharding", "locked": false, "schema_version": 3, "solution": true, "task": false, "points": 8}
# ### BEGIN SOLUTION
# 1. Sixteen bytes for each parameter make 480 GB, so the state must be cut; over all 64 it is 7.5 GB a device (1 point). The
#    axis "model" lies inside a host, 8 devices: its two all-reduces a layer forward stand in the way of the computation, so
#    they need the fast links (2). The axis "data" goes across hosts with FSDP: its gathers can run while another layer is
#    computed (1).
# 2. The optimizer's moments may lie whole on every device, made before the weights were placed or under a bare jit (1): the
#    shard shapes of the state show it (1). Or activations take the memory, or the step does not donate (1):
#    memory_analysis() shows them as temporary bytes, and as output bytes that are no alias of arguments (1).
# ### END SOLUTION

# %% [markdown]
# ## What you have now
#
# You can say how much memory and work a model needs before you run it, cut a layer in three ways, and prove from the
# program what it sends. Lab 08 makes one device fast; lab 14 puts everything together.
