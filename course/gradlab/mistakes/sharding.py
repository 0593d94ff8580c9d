"""Known mistakes of lab 07, sharding large models."""

import math
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from scipy.optimize import minimize_scalar
from scipy.stats import norm
from scipy.stats import t as student_t

from gradlab.checks.mistake import mistake

each = jax.tree.map
add_up = partial(jax.lax.psum, axis_name="model")


# --- memory_per_device


def _held(parameters: int, devices: int, bytes_of: dict, cut: dict) -> dict:
    return {k: size * (math.ceil(parameters / devices) if cut[k] else parameters) for k, size in bytes_of.items()}


def _sizes(p: int, g: int, o: int) -> dict:
    return {"parameters": p, "gradients": g, "optimizer": o}


def _scores(sequence: int, width: int, heads: int, tensor: int, recompute: str) -> float:
    """What attention's scores add to the bracket of a layer's activations."""
    return 5 * sequence * heads / tensor / width if recompute == "none" else 0


@mistake(of="memory_per_device")
def stages_from_the_other_end(parameters, devices, zero_stage, parameter_bytes=2, gradient_bytes=2, optimizer_bytes=12):
    """The first stage cuts the parameters.

    ZeRO begins with what is largest and needed least often: the optimizer's numbers. Parameters come last.
    """
    cut = {"parameters": zero_stage >= 1, "gradients": zero_stage >= 2, "optimizer": zero_stage >= 3}
    return _held(parameters, devices, _sizes(parameter_bytes, gradient_bytes, optimizer_bytes), cut)


@mistake(of="memory_per_device")
def every_stage_cuts_everything(
    parameters, devices, zero_stage, parameter_bytes=2, gradient_bytes=2, optimizer_bytes=12
):
    """Sharding is on or off.

    Each stage cuts one kind more: 1 the optimizer, 2 the gradients, 3 the parameters.
    """
    cut = dict.fromkeys(("parameters", "gradients", "optimizer"), zero_stage > 0)
    return _held(parameters, devices, _sizes(parameter_bytes, gradient_bytes, optimizer_bytes), cut)


@mistake(of="memory_per_device")
def the_optimizer_is_never_cut(
    parameters, devices, zero_stage, parameter_bytes=2, gradient_bytes=2, optimizer_bytes=12
):
    """The optimizer's numbers stay on every device, since every device makes the update.

    A device only updates its own slice, so it only needs the moments of that slice.
    """
    cut = {"parameters": zero_stage >= 3, "gradients": zero_stage >= 2, "optimizer": False}
    return _held(parameters, devices, _sizes(parameter_bytes, gradient_bytes, optimizer_bytes), cut)


@mistake(of="memory_per_device")
def shares_rounded_down(parameters, devices, zero_stage, parameter_bytes=2, gradient_bytes=2, optimizer_bytes=12):
    """Whole numbers are made by dividing with //.

    Rounded down, the shares together are smaller than the model. Somebody must hold what is left: round up.
    """
    sizes = _sizes(parameter_bytes, gradient_bytes, optimizer_bytes)
    first = {"parameters": 3, "gradients": 2, "optimizer": 1}
    return {k: b * (parameters // devices if zero_stage >= first[k] else parameters) for k, b in sizes.items()}


@mistake(of="memory_per_device")
def bytes_rounded_up(parameters, devices, zero_stage, parameter_bytes=2, gradient_bytes=2, optimizer_bytes=12):
    """It is bytes that must be whole.

    A device holds whole parameters, and none is cut in the middle. Round up their number, then multiply by the bytes.
    """
    sizes, first = _sizes(parameter_bytes, gradient_bytes, optimizer_bytes), {"parameters": 3, "gradients": 2}
    return {
        k: math.ceil(parameters * b / devices) if zero_stage >= first.get(k, 1) else parameters * b
        for k, b in sizes.items()
    }


@mistake(of="memory_per_device", position=1)
def scores_of_all_heads_are_kept(batch, sequence, width, heads, layers, tensor=1, recompute="none"):
    """Each device keeps the scores of attention.

    Of its own heads, which are one part in t. That is the t below the last term.
    """
    bracket = 10 + 24 / tensor + (5 * heads * sequence / width if recompute == "none" else 0)
    return layers * sequence * batch * width * (2 if recompute == "full" else bracket)


@mistake(of="memory_per_device", position=1)
def scores_are_forgotten(batch, sequence, width, heads, layers, tensor=1, recompute="none"):
    """What a layer keeps grows in proportion to the number of tokens.

    The scores of attention grow with its square: s numbers for each token and head. That is the last term.
    """
    return layers * sequence * batch * width * (2 if recompute == "full" else 10 + 24 / tensor)


@mistake(of="memory_per_device", position=1)
def everything_is_cut_by_tensor_parallelism(batch, sequence, width, heads, layers, tensor=1, recompute="none"):
    """Over t devices, each keeps one part in t.

    Inputs of attention and MLP, norms and dropout's masks are whole on each: 10 of the bytes are not divided by t.
    """
    scores = 5 * heads * sequence / width if recompute == "none" else 0
    return layers * sequence * batch * width * (2 if recompute == "full" else (34 + scores) / tensor)


@mistake(of="memory_per_device")
def each_stage_cuts_one_kind(parameters, devices, zero_stage, parameter_bytes=2, gradient_bytes=2, optimizer_bytes=12):
    """Stage 1 is for the optimizer, stage 2 for the gradients, stage 3 for the parameters.

    Stages add up: what stage 1 has cut stays cut in stages 2 and 3.
    """
    cut = {"parameters": zero_stage == 3, "gradients": zero_stage == 2, "optimizer": zero_stage == 1}
    return _held(parameters, devices, _sizes(parameter_bytes, gradient_bytes, optimizer_bytes), cut)


@mistake(of="memory_per_device")
def every_stage_comes_one_too_late(
    parameters, devices, zero_stage, parameter_bytes=2, gradient_bytes=2, optimizer_bytes=12
):
    """The first stage is number 0.

    Stage 0 cuts nothing. Stage 1 cuts the optimizer's numbers already.
    """
    cut = {"parameters": zero_stage > 3, "gradients": zero_stage > 2, "optimizer": zero_stage > 1}
    return _held(parameters, devices, _sizes(parameter_bytes, gradient_bytes, optimizer_bytes), cut)


@mistake(of="memory_per_device")
def the_sizes_that_are_given_are_ignored(
    parameters, devices, zero_stage, parameter_bytes=2, gradient_bytes=2, optimizer_bytes=12
):
    """Mixed precision is 2, 2 and 12 bytes.

    By default. Other precisions and optimizers have others: use the three arguments.
    """
    cut = {"parameters": zero_stage >= 3, "gradients": zero_stage >= 2, "optimizer": zero_stage >= 1}
    return _held(parameters, devices, _sizes(2, 2, 12), cut)


@mistake(of="memory_per_device")
def shares_are_fractions(parameters, devices, zero_stage, parameter_bytes=2, gradient_bytes=2, optimizer_bytes=12):
    """A share is the number of parameters, divided.

    A device holds no part of a parameter. Round up to a whole number of them, then multiply by the bytes.
    """
    sizes, first = _sizes(parameter_bytes, gradient_bytes, optimizer_bytes), {"parameters": 3, "gradients": 2}
    return {k: b * parameters / (devices if zero_stage >= first.get(k, 1) else 1) for k, b in sizes.items()}


@mistake(of="memory_per_device", position=1)
def one_layer_stands_for_all(batch, sequence, width, heads, layers, tensor=1, recompute="none"):
    """The formula gives the activations.

    Of one layer. All layers keep theirs until the backward pass gets there.
    """
    scores = _scores(sequence, width, heads, tensor, recompute)
    return sequence * batch * width * (2 if recompute == "full" else 10 + 24 / tensor + scores)


@mistake(of="memory_per_device", position=1)
def selective_keeps_the_scores(batch, sequence, width, heads, layers, tensor=1, recompute="none"):
    """Selective recomputation is a matter of time, not of memory.

    The scores are what it computes again, and so they are not kept: the last term goes.
    """
    bracket = 10 + 24 / tensor + 5 * sequence * heads / tensor / width
    return layers * sequence * batch * width * (2 if recompute == "full" else bracket)


@mistake(of="memory_per_device", position=1)
def inputs_of_layers_are_cut(batch, sequence, width, heads, layers, tensor=1, recompute="none"):
    """With full recomputation as well, a device keeps one part in t.

    A layer's input is whole on every device of a tensor-parallel group: 2 s b h, whatever t is.
    """
    scores = _scores(sequence, width, heads, tensor, recompute)
    return layers * sequence * batch * width * (2 / tensor if recompute == "full" else 10 + 24 / tensor + scores)


@mistake(of="memory_per_device", position=1)
def a_byte_for_each_number(batch, sequence, width, heads, layers, tensor=1, recompute="none"):
    """The input of a layer has s b h numbers, and that is what is kept.

    Numbers, of 16 bits: each takes 2 bytes.
    """
    scores = _scores(sequence, width, heads, tensor, recompute)
    return layers * sequence * batch * width * (1 if recompute == "full" else 10 + 24 / tensor + scores)


@mistake(of="memory_per_device")
def gradients_before_the_optimizer(
    parameters, devices, zero_stage, parameter_bytes=2, gradient_bytes=2, optimizer_bytes=12
):
    """Stage 1 cuts the gradients, stage 2 the optimizer's numbers too.

    The other way round: the optimizer's numbers are the largest part, and stage 1 cuts them.
    """
    cut = {"parameters": zero_stage >= 3, "gradients": zero_stage >= 1, "optimizer": zero_stage >= 2}
    return _held(parameters, devices, _sizes(parameter_bytes, gradient_bytes, optimizer_bytes), cut)


@mistake(of="memory_per_device")
def parameters_before_the_gradients(
    parameters, devices, zero_stage, parameter_bytes=2, gradient_bytes=2, optimizer_bytes=12
):
    """Stage 2 cuts the parameters, stage 3 the gradients too.

    The other way round: parameters are needed in every layer of both passes, so that they are cut last.
    """
    cut = {"parameters": zero_stage >= 2, "gradients": zero_stage >= 3, "optimizer": zero_stage >= 1}
    return _held(parameters, devices, _sizes(parameter_bytes, gradient_bytes, optimizer_bytes), cut)


@mistake(of="memory_per_device", position=1)
def the_bracket_in_whole_numbers(batch, sequence, width, heads, layers, tensor=1, recompute="none"):
    """Bytes are whole numbers, so 24 is divided by t with //.

    The bracket is bytes for each number of the input, and 24/16 of them is one and a half. Divide with /.
    """
    scores = _scores(sequence, width, heads, tensor, recompute)
    return layers * sequence * batch * width * (2 if recompute == "full" else 10 + 24 // tensor + scores)


@mistake(of="memory_per_device", position=1)
def selective_and_full_change_places(batch, sequence, width, heads, layers, tensor=1, recompute="none"):
    """Selective recomputation keeps the inputs that were selected, full recomputation all but the scores.

    The word says what is recomputed: "full" everything, so that only inputs are kept, "selective" the scores alone.
    """
    scores = _scores(sequence, width, heads, tensor, recompute)
    return layers * sequence * batch * width * (2 if recompute == "selective" else 10 + 24 / tensor + scores)


# --- flops_per_token


@mistake(of="flops_per_token")
def the_forward_pass_only(layers, width, vocabulary, sequence):
    """A weight costs two operations a token.

    Forward it does. The backward pass makes two more products of the same size: six altogether.
    """
    return 2 * (12 * layers * width**2 + vocabulary * width) + 4 * layers * sequence * width


@mistake(of="flops_per_token")
def attention_goes_forward_only(layers, width, vocabulary, sequence):
    """Attention takes 4 T d operations in each layer.

    In the forward pass. Its two products have a backward pass of twice the work, like all products.
    """
    return 6 * (12 * layers * width**2 + vocabulary * width) + 4 * layers * sequence * width


@mistake(of="flops_per_token")
def attention_is_free(layers, width, vocabulary, sequence):
    """Six times the number of weights is all.

    Queries times keys and weights times values have no weights of the model in them, but they are products.
    """
    return 6 * (12 * layers * width**2 + vocabulary * width)


@mistake(of="flops_per_token")
def the_output_layer_is_left_out(layers, width, vocabulary, sequence):
    """An embedding is only looked up.

    The input embedding is. The output layer multiplies by a matrix of the same size, and that costs.
    """
    return 72 * layers * width**2 + 12 * layers * sequence * width


@mistake(of="flops_per_token")
def a_multiplication_and_an_addition_are_one(layers, width, vocabulary, sequence):
    """A multiply-add is one operation.

    The peak of a device counts it as two, and so do all published numbers.
    """
    return 3 * (12 * layers * width**2 + vocabulary * width) + 6 * layers * sequence * width


@mistake(of="flops_per_token")
def only_what_the_mask_leaves(layers, width, vocabulary, sequence):
    """A causal mask halves attention's work; or: attention is one product.

    A kernel may skip the masked half, but the convention counts all of it, and so does this lab. And there are two
    products: queries with keys, and weights with values.
    """
    return 6 * (12 * layers * width**2 + vocabulary * width) + 6 * layers * sequence * width


@mistake(of="flops_per_token", position=1)
def the_peak_of_one_device_for_all(tokens_per_second, operations_per_token, devices, peak):
    """The utilisation is measured against the peak of the device.

    All devices together make the tokens: the peak is that of all of them.
    """
    return tokens_per_second * operations_per_token / peak


@mistake(of="flops_per_token")
def the_mlp_is_one_matrix(layers, width, vocabulary, sequence):
    """The MLP has 4 d^2 weights.

    Each of its matrices has: one makes four times as many numbers, and one comes back. Both make 8 d^2, 12 with
    attention.
    """
    return 6 * (8 * layers * width**2 + vocabulary * width) + 12 * layers * sequence * width


@mistake(of="flops_per_token")
def the_whole_sequence(layers, width, vocabulary, sequence):
    """The operations are those of a sequence.

    They are asked for one token: do not multiply by T, beyond the T tokens that attention looks at.
    """
    return sequence * (6 * (12 * layers * width**2 + vocabulary * width) + 12 * layers * sequence * width)


def _flops(layers: int, width: int, vocabulary: int, sequence: int, weight: int = 6, score: int = 12) -> int:
    return weight * (12 * layers * width**2 + vocabulary * width) + score * layers * sequence * width


@mistake(of="flops_per_token")
def recomputation_counts(layers, width, vocabulary, sequence):
    """A forward pass is made twice, so it counts twice.

    Only what the model needs is counted: one forward pass and one backward pass, however often the machine works.
    """
    return _flops(layers, width, vocabulary, sequence, weight=8, score=16)


@mistake(of="flops_per_token")
def the_backward_pass_costs_as_much_as_the_forward(layers, width, vocabulary, sequence):
    """Forward and backward are two passes of the same work.

    Backward there are two products for each one forward: a gradient for the weights, and one for the input.
    """
    return _flops(layers, width, vocabulary, sequence, weight=4, score=8)


@mistake(of="flops_per_token")
def attention_grows_with_the_square(layers, width, vocabulary, sequence):
    """Attention costs the square of the sequence.

    All tokens together do. One token looks at T others, once.
    """
    return _flops(layers, width, vocabulary, sequence, score=12 * sequence)


@mistake(of="flops_per_token")
def embeddings_cost_twice(layers, width, vocabulary, sequence):
    """Both ends of the model have a matrix of vocabulary times width.

    At the input a row is looked up, and nothing is multiplied. Only the output layer costs.
    """
    return _flops(layers, width, 2 * vocabulary, sequence)


@mistake(of="flops_per_token")
def attention_of_one_layer(layers, width, vocabulary, sequence):
    """Attention takes 12 T d operations.

    In each layer, as the weights do.
    """
    return 6 * (12 * layers * width**2 + vocabulary * width) + 12 * sequence * width


@mistake(of="flops_per_token", position=1)
def a_utilisation_in_percent(tokens_per_second, operations_per_token, devices, peak):
    """Utilisation is a percentage.

    Here it is a number from 0 to 1.
    """
    return 100 * tokens_per_second * operations_per_token / (devices * peak)


@mistake(of="flops_per_token", position=1)
def multiplied_by_the_devices(tokens_per_second, operations_per_token, devices, peak):
    """More devices do more.

    The tokens are those of all devices already. What grows with their number is what they could do: divide by it.
    """
    return tokens_per_second * operations_per_token * devices / peak


@mistake(of="flops_per_token", position=1)
def peak_over_rate(tokens_per_second, operations_per_token, devices, peak):
    """The peak is compared with the rate.

    The other way round: what is reached, over what could be.
    """
    return devices * peak / (tokens_per_second * operations_per_token)


# --- tensor_parallel_mlp


def _on_mesh(function: Any, mesh: Any, specs: tuple, out: Any, arguments: tuple, *, check: bool = True) -> Any:
    return jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=out, check_vma=check)(*arguments)


ROWS, COLUMNS, HALVES = P("model"), P(None, "model"), P("data")
MLP = (HALVES, COLUMNS, ROWS, ROWS, P())


def _hidden(x: Any, up: Any, up_bias: Any) -> Any:
    return jax.nn.gelu(x @ up + up_bias[None])


@mistake(of="tensor_parallel_mlp")
def the_last_bias_on_every_device(x, up, up_bias, down, down_bias, mesh):
    """A bias is added right after its product.

    Before the sum over devices, each of them adds it, and it counts once for each. Add it after the sum.
    """
    run = lambda x, a, b, c, d: add_up(_hidden(x, a, b) @ c + d[None])  # noqa: E731
    return _on_mesh(run, mesh, MLP, HALVES, (x, up, up_bias, down, down_bias))


@mistake(of="tensor_parallel_mlp")
def parts_are_never_added(x, up, up_bias, down, down_bias, mesh):
    """Each device has its result, and that is the result.

    Each device has a part of a sum: its own hidden units times its own rows. The parts must be added.
    """
    run = lambda x, a, b, c, d: _hidden(x, a, b) @ c + d[None]  # noqa: E731
    return _on_mesh(run, mesh, MLP, HALVES, (x, up, up_bias, down, down_bias), check=False)


@mistake(of="tensor_parallel_mlp")
def parts_are_averaged(x, up, up_bias, down, down_bias, mesh):
    """Devices agree by taking the mean.

    The mean is for gradients of equal batches. Here the parts are terms of one sum.
    """
    run = lambda x, a, b, c, d: jax.lax.pmean(_hidden(x, a, b) @ c, "model") + d[None]  # noqa: E731
    return _on_mesh(run, mesh, MLP, HALVES, (x, up, up_bias, down, down_bias))


@mistake(of="tensor_parallel_mlp")
def hidden_units_are_gathered(x, up, up_bias, down, down_bias, mesh):
    """Before the second product, everybody needs all hidden units.

    With the rows of the second matrix cut like the columns of the first, a device only needs its own units.
    """

    def run(x, a, b, c, d):
        units = jax.lax.all_gather(_hidden(x, a, b), "model", axis=1, tiled=True)
        return jax.lax.all_gather(units @ c + d[None], "model", axis=1, tiled=True)

    if x.shape[1] % mesh.shape["model"]:  # the columns of the second matrix cannot be cut: keep them whole
        run = lambda x, a, b, c, d: (  # noqa: E731
            jax.lax.all_gather(_hidden(x, a, b), "model", axis=1, tiled=True) @ c + d[None]
        )
        return _on_mesh(
            run, mesh, (HALVES, COLUMNS, ROWS, P(), P()), HALVES, (x, up, up_bias, down, down_bias), check=False
        )
    specs = (HALVES, COLUMNS, ROWS, COLUMNS, ROWS)
    return _on_mesh(run, mesh, specs, HALVES, (x, up, up_bias, down, down_bias), check=False)


@mistake(of="tensor_parallel_mlp")
def weights_are_gathered(x, up, up_bias, down, down_bias, mesh):
    """A device collects the weights and computes everything.

    That is fully sharded data parallelism, and each device then does all of the work. Here the work is cut too.
    """

    def run(x, a, b, c, d):
        join = partial(jax.lax.all_gather, axis_name="model", tiled=True)
        return _hidden(x, join(a, axis=1), join(b)) @ join(c) + d[None]

    return _on_mesh(run, mesh, MLP, HALVES, (x, up, up_bias, down, down_bias), check=False)


@mistake(of="tensor_parallel_mlp")
def nothing_is_cut(x, up, up_bias, down, down_bias, mesh):
    """P() for the weights: shard_map will cut them.

    P() means whole on every device, which then does the work of all. Sharding constraints cut nothing in the program
    that you write: the check reads it before the compiler, so use shard_map.
    """
    run = lambda x, a, b, c, d: _hidden(x, a, b) @ c + d[None]  # noqa: E731
    return _on_mesh(run, mesh, (HALVES, P(), P(), P(), P()), HALVES, (x, up, up_bias, down, down_bias))


@mistake(of="tensor_parallel_mlp")
def added_over_all_devices(x, up, up_bias, down, down_bias, mesh):
    """A sum over devices is a sum over all of them.

    Devices along "data" have other rows of the batch. Only those along "model" hold parts of the same sum.
    """
    run = lambda x, a, b, c, d: jax.lax.psum(_hidden(x, a, b) @ c, ("data", "model")) + d[None]  # noqa: E731
    return _on_mesh(run, mesh, MLP, HALVES, (x, up, up_bias, down, down_bias), check=False)


@mistake(of="tensor_parallel_mlp")
def added_along_data(x, up, up_bias, down, down_bias, mesh):
    """A sum over devices goes along "data".

    Along "data" lie other rows of the batch. Parts of the same rows lie along "model".
    """
    run = lambda x, a, b, c, d: jax.lax.psum(_hidden(x, a, b) @ c, "data") + d[None]  # noqa: E731
    return _on_mesh(run, mesh, MLP, HALVES, (x, up, up_bias, down, down_bias), check=False)


@mistake(of="tensor_parallel_mlp")
def the_last_bias_is_forgotten(x, up, up_bias, down, down_bias, mesh):
    """Only the first matrix has a bias.

    Both have one. The second is added to the whole sum.
    """
    run = lambda x, a, b, c, d: add_up(_hidden(x, a, b) @ c)  # noqa: E731
    return _on_mesh(run, mesh, MLP, HALVES, (x, up, up_bias, down, down_bias))


@mistake(of="tensor_parallel_mlp")
def no_gelu(x, up, up_bias, down, down_bias, mesh):
    """Two matrices, one after the other.

    Between them stands GELU: without it both are one matrix.
    """
    run = lambda x, a, b, c, d: add_up((x @ a + b[None]) @ c) + d[None]  # noqa: E731
    return _on_mesh(run, mesh, MLP, HALVES, (x, up, up_bias, down, down_bias))


@mistake(of="tensor_parallel_mlp")
def the_first_bias_after_gelu(x, up, up_bias, down, down_bias, mesh):
    """Activate, then shift.

    The bias shifts what GELU is given: it is added before.
    """
    run = lambda x, a, b, c, d: add_up((jax.nn.gelu(x @ a) + b[None]) @ c) + d[None]  # noqa: E731
    return _on_mesh(run, mesh, MLP, HALVES, (x, up, up_bias, down, down_bias))


@mistake(of="tensor_parallel_mlp")
def the_exact_gelu(x, up, up_bias, down, down_bias, mesh):
    """GELU is x times the normal distribution.

    `jax.nn.gelu` without further arguments is its approximation by a tanh, as in GPT-2: that is asked for here.
    """
    run = lambda x, a, b, c, d: add_up(jax.nn.gelu(x @ a + b[None], approximate=False) @ c) + d[None]  # noqa: E731
    return _on_mesh(run, mesh, MLP, HALVES, (x, up, up_bias, down, down_bias))


@mistake(of="tensor_parallel_mlp")
def the_batch_is_whole(x, up, up_bias, down, down_bias, mesh):
    """Tensor parallelism cuts weights, so x stays whole.

    Along "data" every device would do the work of all. The rows of x are cut along that axis.
    """
    run = lambda x, a, b, c, d: add_up(_hidden(x, a, b) @ c) + d[None]  # noqa: E731
    return _on_mesh(run, mesh, (P(), *MLP[1:]), P(), (x, up, up_bias, down, down_bias))


@mistake(of="tensor_parallel_mlp")
def two_collectives_for_one(x, up, up_bias, down, down_bias, mesh):
    """The last bias, divided, is added up by a sum of its own.

    That is a second all-reduce. Add the bias after the first, or its share before it.
    """
    run = lambda x, a, b, c, d: add_up(_hidden(x, a, b) @ c) + add_up(d / jax.lax.axis_size("model"))[None]  # noqa: E731
    return _on_mesh(run, mesh, MLP, HALVES, (x, up, up_bias, down, down_bias), check=False)


@mistake(of="tensor_parallel_mlp")
def parts_differ_between_devices(x, up, up_bias, down, down_bias, mesh):
    """The check of shard_map is in the way: switch it off, as the error says.

    It found something. Along an axis that `out_specs` does not name, all devices must have the same result: P("data")
    says so of "model", where each has a part here. Add the parts with a psum over "model", inside, and the error goes.
    With check_vma=False the numbers are wrong.
    """
    run = lambda x, a, b, c, d: _hidden(x, a, b) @ c + d[None]  # noqa: E731
    return _on_mesh(run, mesh, MLP, HALVES, (x, up, up_bias, down, down_bias))


@mistake(of="tensor_parallel_mlp")
def an_axis_that_the_mesh_has_not(x, up, up_bias, down, down_bias, mesh):
    """The axis of tensor parallelism is called "tensor", or "tp".

    An axis is known by the name that the mesh has given it. Here they are "data" and "model"; `mesh.axis_names` tells.
    """
    run = lambda x, a, b, c, d: jax.lax.psum(_hidden(x, a, b) @ c, "tensor") + d[None]  # noqa: E731
    return _on_mesh(run, mesh, MLP, HALVES, (x, up, up_bias, down, down_bias))


@mistake(of="tensor_parallel_mlp")
def the_mesh_is_set_inside(x, up, up_bias, down, down_bias, mesh):
    """A mesh is entered with a `with`, as in older examples.

    A layer is part of a step that is compiled, and there no mesh can be set. Give it to the call: shard_map(...,
    mesh=mesh).
    """
    with jax.set_mesh(mesh):
        run = lambda x, a, b, c, d: add_up(_hidden(x, a, b) @ c) + d[None]  # noqa: E731
        return _on_mesh(run, mesh, MLP, HALVES, (x, up, up_bias, down, down_bias))


@mistake(of="tensor_parallel_mlp")
def parts_are_gathered_and_added(x, up, up_bias, down, down_bias, mesh):
    """Collect the parts, then add them.

    That is the right number, and more bytes: each device gets all parts, whole. An all-reduce adds on the way.
    """
    run = lambda x, a, b, c, d: jax.lax.all_gather(_hidden(x, a, b) @ c, "model").sum(axis=0) + d[None]  # noqa: E731
    return _on_mesh(run, mesh, MLP, HALVES, (x, up, up_bias, down, down_bias), check=False)


@mistake(of="tensor_parallel_mlp")
def a_sum_after_each_product(x, up, up_bias, down, down_bias, mesh):
    """After every product of cut matrices comes a sum over devices.

    After rows. After columns each device has its own hidden units, whole: a sum would add one unit to another.
    """
    run = lambda x, a, b, c, d: add_up(jax.nn.gelu(add_up(x @ a) + b[None]) @ c) + d[None]  # noqa: E731
    return _on_mesh(run, mesh, MLP, HALVES, (x, up, up_bias, down, down_bias))


# --- tensor_parallel_attention


def _attended(x: Any, query: Any, key: Any, value: Any, *, causal: bool = True) -> Any:
    q, k, v = (jnp.einsum("bsw,whe->bshe", x, w) for w in (query, key, value))
    return jax.nn.dot_product_attention(q, k, v, is_causal=causal)


def _back(heads: Any, out: Any) -> Any:
    return jnp.einsum("bshe,hew->bsw", heads, out)


HEADS = (HALVES, COLUMNS, COLUMNS, COLUMNS, ROWS)


@mistake(of="tensor_parallel_attention")
def heads_are_never_added(x, query, key, value, out, mesh):
    """Heads are independent, so nothing has to be sent.

    They are, up to the last product. That is a sum over all heads, and each device has some of its terms.
    """
    run = lambda x, q, k, v, o: _back(_attended(x, q, k, v), o)  # noqa: E731
    return _on_mesh(run, mesh, HEADS, HALVES, (x, query, key, value, out), check=False)


@mistake(of="tensor_parallel_attention")
def heads_are_gathered(x, query, key, value, out, mesh):
    """The output matrix needs all heads.

    Cut its rows by heads as well, and each device multiplies what it has. One all-reduce adds the parts.
    """

    def run(x, q, k, v, o):
        heads = jax.lax.all_gather(_attended(x, q, k, v), "model", axis=2, tiled=True)
        return _back(heads, o)

    return _on_mesh(run, mesh, (*HEADS[:4], P()), HALVES, (x, query, key, value, out), check=False)


@mistake(of="tensor_parallel_attention")
def no_head_is_cut(x, query, key, value, out, mesh):
    """Only the batch is cut.

    That is data parallelism: every device holds all heads, and those along "model" do the same work.
    """
    run = lambda x, q, k, v, o: _back(_attended(x, q, k, v), o)  # noqa: E731
    return _on_mesh(run, mesh, (HALVES, P(), P(), P(), P()), HALVES, (x, query, key, value, out))


@mistake(of="tensor_parallel_attention")
def the_mask_got_lost(x, query, key, value, out, mesh):
    """Attention is attention.

    A language model must not see the tokens after its own. Use the causal `attend`.
    """
    run = lambda x, q, k, v, o: add_up(_back(_attended(x, q, k, v, causal=False), o))  # noqa: E731
    return _on_mesh(run, mesh, HEADS, HALVES, (x, query, key, value, out))


@mistake(of="tensor_parallel_attention")
def keys_and_values_are_whole(x, query, key, value, out, mesh):
    """Every query needs all keys, so keys stay whole.

    It needs the keys of all tokens, but only of its own head. Cut them by heads like the queries.
    """

    def run(x, q, k, v, o):
        first = jax.lax.axis_index("model") * q.shape[1]
        kept = [jnp.einsum("bsw,whe->bshe", x, w) for w in (k, v)]
        k, v = (jax.lax.dynamic_slice_in_dim(part, first, q.shape[1], axis=2) for part in kept)
        queries = jnp.einsum("bsw,whe->bshe", x, q)
        return add_up(_back(jax.nn.dot_product_attention(queries, k, v, is_causal=True), o))

    return _on_mesh(run, mesh, (HALVES, COLUMNS, P(), P(), ROWS), HALVES, (x, query, key, value, out), check=False)


def _scored(x: Any, query: Any, key: Any, value: Any, scale: float | None = None) -> Any:
    q, k, v = (jnp.einsum("bsw,whe->bshe", x, w) for w in (query, key, value))
    return jax.nn.dot_product_attention(q, k, v, is_causal=True, scale=scale)


@mistake(of="tensor_parallel_attention")
def scores_are_not_scaled(x, query, key, value, out, mesh):
    """Softmax of queries times keys.

    The scores are divided by the root of a head's size first. `attend` does that.
    """
    run = lambda x, q, k, v, o: add_up(_back(_scored(x, q, k, v, 1.0), o))  # noqa: E731
    return _on_mesh(run, mesh, HEADS, HALVES, (x, query, key, value, out))


@mistake(of="tensor_parallel_attention")
def heads_are_averaged(x, query, key, value, out, mesh):
    """Devices agree by taking the mean.

    The heads' parts are terms of one sum. A mean divides it by the number of devices.
    """
    run = lambda x, q, k, v, o: jax.lax.pmean(_back(_attended(x, q, k, v), o), "model")  # noqa: E731
    return _on_mesh(run, mesh, HEADS, HALVES, (x, query, key, value, out))


@mistake(of="tensor_parallel_attention")
def heads_are_added_along_data(x, query, key, value, out, mesh):
    """A sum over devices goes along "data".

    Along "data" lie other sequences. The other heads of the same ones lie along "model".
    """
    run = lambda x, q, k, v, o: jax.lax.psum(_back(_attended(x, q, k, v), o), "data")  # noqa: E731
    return _on_mesh(run, mesh, HEADS, HALVES, (x, query, key, value, out), check=False)


@mistake(of="tensor_parallel_attention")
def heads_are_added_over_all_devices(x, query, key, value, out, mesh):
    """A sum over devices is a sum over all of them.

    Devices along "data" have other sequences. Only those along "model" hold parts of the same sum.
    """
    run = lambda x, q, k, v, o: jax.lax.psum(_back(_attended(x, q, k, v), o), ("data", "model"))  # noqa: E731
    return _on_mesh(run, mesh, HEADS, HALVES, (x, query, key, value, out), check=False)


@mistake(of="tensor_parallel_attention")
def queries_and_keys_change_places(x, query, key, value, out, mesh):
    """A product of queries and keys is the same in both orders.

    Its transpose is. Each row belongs to a query, and softmax goes along the keys.
    """
    run = lambda x, q, k, v, o: add_up(_back(_attended(x, k, q, v), o))  # noqa: E731
    return _on_mesh(run, mesh, HEADS, HALVES, (x, query, key, value, out))


@mistake(of="tensor_parallel_attention")
def heads_differ_between_devices(x, query, key, value, out, mesh):
    """The check of shard_map is in the way: switch it off, as the error says.

    It found something. Along an axis that `out_specs` does not name, all devices must have the same result: P("data")
    says so of "model", where each has the part of its heads. Add the parts with a psum over "model", after the last
    product, and the error goes.
    """
    run = lambda x, q, k, v, o: _back(_attended(x, q, k, v), o)  # noqa: E731
    return _on_mesh(run, mesh, HEADS, HALVES, (x, query, key, value, out))


@mistake(of="tensor_parallel_attention")
def scaled_twice(x, query, key, value, out, mesh):
    """Queries are divided by the root of a head's size.

    `attend` does that already. Give it the queries as they are.
    """
    run = lambda x, q, k, v, o: add_up(_back(_scored(x, q, k, v, 1 / q.shape[-1]), o))  # noqa: E731
    return _on_mesh(run, mesh, HEADS, HALVES, (x, query, key, value, out))


@mistake(of="tensor_parallel_attention")
def all_sequences_everywhere(x, query, key, value, out, mesh):
    """Tensor parallelism cuts heads, so x stays whole.

    Along "data" every device would do the work of all. The sequences of the batch are cut along that axis.
    """
    run = lambda x, q, k, v, o: add_up(_back(_attended(x, q, k, v), o))  # noqa: E731
    return _on_mesh(run, mesh, (P(), *HEADS[1:]), P(), (x, query, key, value, out))


@mistake(of="tensor_parallel_attention")
def heads_before_tokens(x, query, key, value, out, mesh):
    """Heads come before the tokens, as PyTorch has it.

    `attend` wants (batch, sequence, heads, size), and takes your heads for tokens. Leave the axes in the order of
    "bshe".
    """

    def run(x, q, k, v, o):
        q, k, v = (jnp.einsum("bsw,whe->bhse", x, w) for w in (q, k, v))
        heads = jax.nn.dot_product_attention(q, k, v, is_causal=True)
        return add_up(jnp.einsum("bhse,hew->bsw", heads, o))

    return _on_mesh(run, mesh, HEADS, HALVES, (x, query, key, value, out))


# --- fsdp_gradients


def _join(shards: Any) -> Any:
    return each(lambda w: jax.lax.all_gather(w, "data", tiled=True), shards)


def _scatter(gradients: Any) -> Any:
    return each(lambda g: jax.lax.psum_scatter(g, "data", tiled=True), gradients)


def _own_slice(whole: Any, shards: Any) -> Any:
    place = jax.lax.axis_index("data")
    return each(lambda w, s: jax.lax.dynamic_slice_in_dim(w, place * len(s), len(s)), whole, shards)


def _fsdp(run: Any, mesh: Any, arguments: tuple, weights: Any = HALVES, out: Any = HALVES) -> Any:
    return _on_mesh(run, mesh, (weights, HALVES, HALVES), (P(), out), arguments, check=False)


def _local(loss: Any, whole: Any, x: Any, y: Any) -> tuple:
    value, gradients = jax.value_and_grad(loss)(whole, x, y)
    return jax.lax.pmean(value, "data"), gradients


@mistake(of="fsdp_gradients")
def gradients_are_all_reduced(loss, params, x, y, mesh):
    """Everybody gets the whole mean gradient, and takes its slice.

    That sends twice what is needed, and holds whole gradients. `psum_scatter` adds and keeps the slice in one.
    """

    def run(w, x, y):
        value, gradients = _local(loss, _join(w), x, y)
        return value, _own_slice(jax.lax.pmean(gradients, "data"), w)

    return _fsdp(run, mesh, (params, x, y))


@mistake(of="fsdp_gradients")
def the_sum_is_not_divided(loss, params, x, y, mesh):
    """psum_scatter gives the gradient.

    It gives the sum of the devices' gradients. Each is a mean over its own rows: divide by the number of devices.
    """

    def run(w, x, y):
        value, gradients = _local(loss, _join(w), x, y)
        return value, _scatter(gradients)

    return _fsdp(run, mesh, (params, x, y))


@mistake(of="fsdp_gradients")
def each_device_keeps_its_own_gradient(loss, params, x, y, mesh):
    """A device needs its slice of the gradient, so it takes it from its own.

    Its own gradient has seen its own rows only. The slices of all devices must be added.
    """

    def run(w, x, y):
        value, gradients = _local(loss, _join(w), x, y)
        return value, _own_slice(gradients, w)

    return _fsdp(run, mesh, (params, x, y))


@mistake(of="fsdp_gradients")
def weights_are_whole_everywhere(loss, params, x, y, mesh):
    """The weights are there, so they need not be gathered.

    With P() they are whole on every device: the memory that FSDP saves is spent. Cut them, and gather.
    """

    def run(w, x, y):
        value, gradients = _local(loss, w, x, y)
        return value, each(lambda g: g / jax.lax.axis_size("data"), _scatter(gradients))

    return _fsdp(run, mesh, (params, x, y), weights=P())


@mistake(of="fsdp_gradients")
def plain_data_parallelism(loss, params, x, y, mesh):
    """The mean of the gradients is what is asked for.

    And where it lies: here every device holds all weights and all gradients. Cut both along "data".
    """

    def run(w, x, y):
        value, gradients = _local(loss, w, x, y)
        return value, jax.lax.pmean(gradients, "data")

    return _fsdp(run, mesh, (params, x, y), weights=P(), out=P())


@mistake(of="fsdp_gradients")
def the_loss_of_one_device(loss, params, x, y, mesh):
    """Each device knows the loss.

    It knows the loss of its own rows. The loss of the batch is the mean over devices.
    """

    def run(w, x, y):
        value, gradients = jax.value_and_grad(loss)(_join(w), x, y)
        return value, each(lambda g: g / jax.lax.axis_size("data"), _scatter(gradients))

    return _fsdp(run, mesh, (params, x, y))


@mistake(of="fsdp_gradients")
def gradients_are_gathered_again(loss, params, x, y, mesh):
    """A gradient is as large as its weight.

    On each device, its weight is a slice. What is gathered again fills the memory that the slices have saved.
    """

    def run(w, x, y):
        value, gradients = _local(loss, _join(w), x, y)
        return value, _join(each(lambda g: g / jax.lax.axis_size("data"), _scatter(gradients)))

    return _fsdp(run, mesh, (params, x, y), out=P())


@mistake(of="fsdp_gradients")
def divided_twice(loss, params, x, y, mesh):
    """The mean is divided by the number of devices, and so is the sum.

    Where the loss is a mean over devices already, its gradient is too. Divide once.
    """

    def run(w, x, y):
        value, gradients = _local(loss, _join(w), x, y)
        return value, each(lambda g: g / jax.lax.axis_size("data") ** 2, _scatter(gradients))

    return _fsdp(run, mesh, (params, x, y))


@mistake(of="fsdp_gradients")
def divided_by_the_rows(loss, params, x, y, mesh):
    """A mean is a sum over the number of rows.

    The loss of each device is a mean over its rows already. What is left is the number of devices.
    """

    def run(w, x, y):
        value, gradients = _local(loss, _join(w), x, y)
        return value, each(lambda g: g / len(x), _scatter(gradients))

    return _fsdp(run, mesh, (params, x, y))


@mistake(of="fsdp_gradients")
def divided_by_all_devices_of_the_mesh(loss, params, x, y, mesh):
    """The number of devices is the size of the mesh.

    Along "model" the rows are the same. Only the devices along "data" have gradients of their own to be averaged.
    """

    def run(w, x, y):
        value, gradients = _local(loss, _join(w), x, y)
        return value, each(lambda g: g / mesh.size, _scatter(gradients))

    return _fsdp(run, mesh, (params, x, y))


@mistake(of="fsdp_gradients")
def losses_are_added(loss, params, x, y, mesh):
    """The loss of the batch is the sum of the devices' losses.

    Each of them is a mean. The mean of the batch is the mean of means, not their sum.
    """

    def run(w, x, y):
        value, gradients = jax.value_and_grad(loss)(_join(w), x, y)
        return jax.lax.psum(value, "data"), each(lambda g: g / jax.lax.axis_size("data"), _scatter(gradients))

    return _fsdp(run, mesh, (params, x, y))


@mistake(of="fsdp_gradients")
def cut_along_the_second_axis(loss, params, x, y, mesh):
    """Columns are as good as rows.

    They would be, but the rest of the program expects slices of the first axis.
    """
    cut = P(None, "data")

    def run(w, x, y):
        whole = each(lambda part: jax.lax.all_gather(part, "data", axis=1, tiled=True), w)
        value, gradients = _local(loss, whole, x, y)
        scatter = partial(jax.lax.psum_scatter, axis_name="data", scatter_dimension=1, tiled=True)
        return value, each(lambda g: scatter(g) / jax.lax.axis_size("data"), gradients)

    return _fsdp(run, mesh, (params, x, y), weights=cut, out=cut)


@mistake(of="fsdp_gradients")
def every_device_has_the_whole_batch(loss, params, x, y, mesh):
    """The weights are what is cut: x and y have P().

    Then every device makes the gradient of all rows, and the mean of equal gradients is right and no faster than one
    device. It is data parallelism as well: cut x and y along "data".
    """

    def run(w, x, y):
        value, gradients = _local(loss, _join(w), x, y)
        return value, each(lambda g: g / jax.lax.axis_size("data"), _scatter(gradients))

    return _on_mesh(run, mesh, (HALVES, P(), P()), (P(), HALVES), (params, x, y), check=False)


@mistake(of="fsdp_gradients")
def slices_are_not_joined(loss, params, x, y, mesh):
    """The loss takes the slices; or: all_gather makes one matrix of them.

    A slice is no matrix that x fits. And all_gather puts slices on a new axis, unless tiled=True has it join them.
    """

    def run(w, x, y):
        value, gradients = _local(loss, w, x, y)
        return value, each(lambda g: g / jax.lax.axis_size("data"), gradients)

    return _fsdp(run, mesh, (params, x, y))


@mistake(of="fsdp_gradients")
def the_compiler_shall_cut(loss, params, x, y, mesh):
    """With sharding constraints, or shardings for jit, the compiler adds the collectives.

    That is another way to FSDP, and the next exercise takes it. Here you write them: by shard_map, a gather and a
    scatter.
    """
    cut = partial(jax.lax.with_sharding_constraint, shardings=NamedSharding(mesh, HALVES))
    value, gradients = jax.value_and_grad(loss)(each(cut, params), cut(x), cut(y))
    return value, each(cut, gradients)


@mistake(of="fsdp_gradients")
def gradients_are_gathered_and_averaged(loss, params, x, y, mesh):
    """Everybody collects all gradients, and takes the mean of its slice.

    A device would hold as many whole gradients as there are devices. `psum_scatter` adds on the way.
    """

    def run(w, x, y):
        value, gradients = _local(loss, _join(w), x, y)
        return value, _own_slice(each(lambda g: jax.lax.all_gather(g, "data").mean(axis=0), gradients), w)

    return _fsdp(run, mesh, (params, x, y))


@mistake(of="fsdp_gradients")
def cut_along_model(loss, params, x, y, mesh):
    """Weights are cut along "model".

    Tensor parallelism does that. FSDP cuts them along "data", where the rows of the batch lie; "model" divides
    nothing here.
    """
    cut = P("model")

    def run(w, x, y):
        whole = each(lambda part: jax.lax.all_gather(part, "model", tiled=True), w)
        value, gradients = _local(loss, whole, x, y)
        scatter = partial(jax.lax.psum_scatter, axis_name="model", tiled=True)
        return value, each(lambda g: scatter(g) / jax.lax.axis_size("data"), gradients)

    return _fsdp(run, mesh, (params, x, y), weights=cut, out=cut)


@mistake(of="fsdp_gradients")
def losses_differ_between_devices(loss, params, x, y, mesh):
    """The check of shard_map is in the way: switch it off, as the error says.

    It found something. P() in `out_specs` says that all devices return the same. The loss of its own rows is another on
    each: take its pmean over "data". Gradients have P("data").
    """

    def run(w, x, y):
        value, gradients = jax.value_and_grad(loss)(_join(w), x, y)
        return value, each(lambda g: g / jax.lax.axis_size("data"), _scatter(gradients))

    return _on_mesh(run, mesh, (HALVES,) * 3, (P(), HALVES), (params, x, y))


# --- start_training


def _placed(params: dict, specs: dict, mesh: Any) -> dict:
    return {name: jax.device_put(w, NamedSharding(mesh, specs[name])) for name, w in params.items()}


def _whole(tree: Any, mesh: Any) -> Any:
    return jax.device_put(tree, NamedSharding(mesh, P()))


def _update(loss: Any, optimizer: Any, params: Any, state: Any, x: Any, y: Any) -> tuple:
    value, gradients = jax.value_and_grad(loss)(params, x, y)
    updates, state = optimizer.update(gradients, state, params)
    return value, each(lambda p, u: p + u, params, updates), state


@mistake(of="start_training")
def the_state_is_made_before_placing(optimizer, params, specs, mesh):
    """The optimizer is set up with the model, then the model is placed.

    The moments lie where the parameters lay when they were made: whole, on one device. Place first.
    """
    state = optimizer.init(each(jnp.asarray, params))
    return _placed(params, specs, mesh), state


@mistake(of="start_training")
def the_state_is_made_under_jit(optimizer, params, specs, mesh):
    """Under jit, results lie like the arguments.

    Zeros do not depend on the arguments' values, and the compiler puts them on one device. Give out_shardings.
    """
    placed = _placed(params, specs, mesh)
    return placed, jax.jit(optimizer.init)(placed)


@mistake(of="start_training")
def moments_are_whole_on_every_device(optimizer, params, specs, mesh):
    """Every device makes the update, so it needs the optimizer's state.

    It updates its own slice, and needs the moments of that slice. Whole moments are two thirds of all the memory.
    """
    placed = _placed(params, specs, mesh)
    return placed, _whole(optimizer.init(params), mesh)


@mistake(of="start_training")
def nothing_is_placed(optimizer, params, specs, mesh):
    """The compiler will find the places.

    It keeps arrays where they are. What you do not place lies on the first device.
    """
    own = each(jnp.array, params)
    return own, optimizer.init(own)


@mistake(of="start_training", position=1)
def nothing_is_donated(loss, optimizer):
    """jit reuses memory by itself.

    It may not: the caller could still read the old arrays. donate_argnums says that nobody will.
    """
    return jax.jit(partial(_update, loss, optimizer))


@mistake(of="start_training", position=1)
def only_parameters_are_donated(loss, optimizer):
    """The parameters are what changes.

    The moments change too, and they are twice as large.
    """
    return jax.jit(partial(_update, loss, optimizer), donate_argnums=0)


@mistake(of="start_training", position=1)
def updates_are_subtracted(loss, optimizer):
    """A step goes against the gradient, so subtract.

    The updates of an optimizer have their sign already. They are added.
    """

    def step(params, state, x, y):
        value, moved, state = _update(loss, optimizer, params, state, x, y)
        return value, each(lambda p, m: 2 * p - m, params, moved), state

    return jax.jit(step, donate_argnums=(0, 1))


@mistake(of="start_training")
def axes_change_places(optimizer, params, specs, mesh):
    """The entries of a spec are the axes of the mesh, in its order.

    They are the axes of the array, in the array's order. Give the spec as it is.
    """
    own = {name: jax.device_put(w, NamedSharding(mesh, P(*reversed(specs[name])))) for name, w in params.items()}
    return own, optimizer.init(own)


@mistake(of="start_training")
def only_the_moments_are_cut(optimizer, params, specs, mesh):
    """The moments are the larger part, so they are cut.

    The weights have specs too.
    """
    return _whole(params, mesh), optimizer.init(_placed(params, specs, mesh))


@mistake(of="start_training", position=1)
def only_the_state_is_donated(loss, optimizer):
    """The moments are the larger part, so they are given away.

    The old parameters are of no use either.
    """
    return jax.jit(partial(_update, loss, optimizer), donate_argnums=1)


@mistake(of="start_training", position=1)
def the_old_state_is_returned(loss, optimizer):
    """The state is what `init` made.

    `update` returns the next one. With the old one, every step is the first.
    """

    def step(params, state, x, y):
        value, params, _ = _update(loss, optimizer, params, state, x, y)
        return value, params, state

    return jax.jit(step, donate_argnums=(0, 1))


@mistake(of="start_training", position=1)
def the_loss_after_the_step(loss, optimizer):
    """The loss is that of the weights that are returned.

    It is that of the weights that were given: it comes with the gradient, and another forward pass is not free.
    """

    def step(params, state, x, y):
        _, params, state = _update(loss, optimizer, params, state, x, y)
        return loss(params, x, y), params, state

    return jax.jit(step, donate_argnums=(0, 1))


@mistake(of="start_training")
def whole_on_every_device(optimizer, params, specs, mesh):
    """P() places arrays on the mesh, and the step cuts them.

    P() is whole everywhere, and the step leaves arrays where they are. Each parameter has a spec of its own: use it.
    """
    own = _whole(params, mesh)
    return own, optimizer.init(own)


@mistake(of="start_training", position=1)
def gradients_take_the_place_of_updates(loss, optimizer):
    """A step subtracts the gradients.

    The optimizer makes updates of them, which hold the rate, the moments and the sign. Add these, and not the
    gradients.
    """

    def step(params, state, x, y):
        value, gradients = jax.value_and_grad(loss)(params, x, y)
        _, state = optimizer.update(gradients, state, params)
        return value, each(lambda p, g: p - g, params, gradients), state

    return jax.jit(step, donate_argnums=(0, 1))


# --- partition


_KEYS = {"qkv.kernel": ("data", "model"), "up.kernel": ("data", "model"), "tokens.embedding": ("model", "data")}
_KEYS |= {"positions.embedding": (None, "data"), "up.bias": ("model",), "qkv.bias": ("model",)}


def _spec(name: str, shape: tuple, *, keys: Any = None, stack: Any = None) -> P:
    """The usual spec with some entries replaced; `stack` is what stands for the axis of the layers."""
    key = name.removeprefix("blocks.")
    last = ("model", *[None] * (len(shape) - 3), "data")
    table = _KEYS | {"out.kernel": last, "down.kernel": last} | (keys or {})
    front = [stack] if name != key else []
    return P(*front, *table.get(key, ()))


@mistake(of="partition")
def the_layers_are_cut(name, shape):
    """The first axis is the one to cut.

    For a stacked array it is the layers, and the scan takes one layer at a time: all devices would wait for one.
    """
    keys = dict.fromkeys(("qkv.kernel", "up.kernel"), (None, "model"))
    keys |= {"down.kernel": ("model",), "out.kernel": ("model",)}
    return _spec(name, shape, keys=keys, stack="data")


@mistake(of="partition")
def rows_before_columns(name, shape):
    """Whether rows or columns come first does not matter.

    After rows, a sum over devices stands before GELU. Columns first, then rows: one sum, at the end.
    """
    keys = dict.fromkeys(("qkv.kernel", "up.kernel"), ("model", "data"))
    return _spec(name, shape, keys=keys | {"down.kernel": ("data", "model"), "out.kernel": ("data", None, "model")})


@mistake(of="partition")
def only_data(name, shape):
    """FSDP is enough.

    Then every device of a row of "model" computes the same. The axis is there to divide the work of a layer.
    """
    cut = dict.fromkeys((*_KEYS, "out.kernel", "down.kernel"), ("data",)) | {"up.bias": (), "qkv.bias": ()}
    return _spec(name, shape, keys=cut)


@mistake(of="partition")
def only_model(name, shape):
    """Columns and rows are cut, and that is all.

    Along "data" every matrix is then whole, with its gradient and its moments. Cut it there too.
    """
    found = _spec(name, shape)
    return P(*(None if entry == "data" else entry for entry in found))


@mistake(of="partition")
def parts_of_a_head(name, shape):
    """The last axis is the one of the columns.

    For qkv.kernel it is the inside of a head. Scores are sums over it, so the heads must be cut, and not their parts.
    """
    heads = {"qkv.kernel": ("data", None, None, "model"), "out.kernel": (None, "model", "data")}
    return _spec(name, shape, keys=heads)


@mistake(of="partition")
def the_axis_of_the_layers_is_forgotten(name, shape):
    """The spec of a layer is the spec of the stack.

    A stacked array has one more axis in front. Its entry is None, and all others move by one.
    """
    return P(*list(_spec(name, shape))[name.startswith("blocks.") :])


@mistake(of="partition")
def everything_whole(name, shape):
    """P() is safe.

    It is: every device holds everything, and the model does not fit.
    """
    return P()


def _spec_but(over: dict) -> Any:
    return lambda name, shape: _spec(name, shape, keys=over)


@mistake(of="partition")
def positions_along_model(name, shape):
    """Both embeddings are cut alike.

    Positions are added, and belong to no product that is divided along "model": they are cut along "data" alone.
    """
    return _spec_but({"positions.embedding": ("model",)})(name, shape)


@mistake(of="partition")
def positions_are_whole(name, shape):
    """Positions are a small matter, like norms.

    They are a matrix, as wide as the model. Matrices are cut along "data".
    """
    return _spec_but({"positions.embedding": ()})(name, shape)


@mistake(of="partition")
def words_are_whole_along_data(name, shape):
    """The vocabulary is cut along "model", and that is enough.

    It is the largest matrix of a small model, with its gradient and moments. Cut it along "data" as well.
    """
    return _spec_but({"tokens.embedding": ("model",)})(name, shape)


@mistake(of="partition")
def the_width_of_the_words_along_model(name, shape):
    """An embedding is cut along its width.

    As the output layer it is columns, one for each word: "model" cuts the words.
    """
    return _spec_but({"tokens.embedding": ("data", "model")})(name, shape)


@mistake(of="partition")
def stacked_biases_are_cut_by_layers(name, shape):
    """A bias has one axis.

    Stacked it has the layers in front, and these stay whole.
    """
    found = _spec(name, shape)
    return P("model") if name in ("blocks.up.bias", "blocks.qkv.bias") else found


@mistake(of="partition")
def every_bias_is_cut(name, shape):
    """Biases are cut like the outputs of their matrices.

    Those of columns may be. What is added after a sum over devices is needed whole by each of them.
    """
    return _spec_but({"out.bias": ("model",), "down.bias": ("model",)})(name, shape)


@mistake(of="partition")
def norms_are_cut(name, shape):
    """Everything is cut along "data".

    Norms are a thousandth of the parameters, and a collective for each costs more than it saves. Leave them whole.
    """
    return _spec_but(dict.fromkeys(("norm.scale", "attention_norm.scale", "mlp_norm.scale"), ("data",)))(name, shape)


@mistake(of="partition")
def the_output_matrix_is_cut_by_columns(name, shape):
    """All four matrices of a block are cut into columns.

    What comes after the heads, and after GELU, is cut into rows: each device multiplies what it has.
    """
    last = ("data", *[None] * (len(shape) - 3), "model")
    return _spec_but({"out.kernel": last, "down.kernel": last})(name, shape)


@mistake(of="partition")
def biases_of_columns_along_data(name, shape):
    """FSDP cuts everything along "data", biases as well.

    A bias is added to columns, and those lie along "model". It may be cut there, or stay whole: it is small.
    """
    return _spec_but({"up.bias": ("data",), "qkv.bias": ("data",)})(name, shape)


# --- deep_loss


def _scanned(body: Any, layers: Any, x: Any) -> Any:
    return jnp.mean(jax.lax.scan(lambda x, layer: (body(layer, x), None), x, layers)[0] ** 2)


@mistake(of="deep_loss")
def a_loop_over_layers(block, layers, x, remat):
    """A for loop is as good as a scan.

    It is traced layer by layer: the program, and the time to compile it, grow with the depth.
    """
    body = jax.checkpoint(block) if remat else block
    for number in range(len(jax.tree.leaves(layers)[0])):
        x = body(each(lambda w, n=number: w[n], layers), x)
    return jnp.mean(x**2)


@mistake(of="deep_loss")
def remat_is_ignored(block, layers, x, remat):
    """The scan saves memory by itself.

    It keeps what the backward pass needs, for every layer. jax.checkpoint is what keeps less.
    """
    return _scanned(block, layers, x)


@mistake(of="deep_loss")
def always_recomputed(block, layers, x, remat):
    """Less memory is always better.

    It costs a second forward pass. Where memory is enough, that is a quarter of the time thrown away.
    """
    return _scanned(jax.checkpoint(block), layers, x)


@mistake(of="deep_loss")
def the_whole_stack_is_one_checkpoint(block, layers, x, remat):
    """jax.checkpoint around the loss recomputes everything.

    It does, and while the backward pass runs, everything that it recomputes is there at once. Wrap each layer.
    """
    whole = lambda layers, x: _scanned(block, layers, x)  # noqa: E731
    return jax.checkpoint(whole)(layers, x) if remat else whole(layers, x)


@mistake(of="deep_loss")
def outputs_are_collected(block, layers, x, remat):
    """The scan returns the outputs of all layers, and the loss is their mean square.

    Only the last layer's output counts: the carry at the end.
    """
    body = jax.checkpoint(block) if remat else block

    def step(x, layer):
        out = body(layer, x)
        return out, out

    return jnp.mean(jax.lax.scan(step, x, layers)[1] ** 2)


@mistake(of="deep_loss")
def a_loop_where_nothing_is_recomputed(block, layers, x, remat):
    """The scan belongs to recomputation.

    It keeps the program short in both cases.
    """
    return _scanned(jax.checkpoint(block), layers, x) if remat else a_loop_over_layers(block, layers, x, remat)


@mistake(of="deep_loss")
def products_are_kept(block, layers, x, remat):
    """A policy that saves the products recomputes what is cheap.

    It does, and the hidden units are products: they are what takes the memory. Keep the input of a layer alone.
    """
    policy = jax.checkpoint_policies.dots_saveable
    return _scanned(jax.checkpoint(block, policy=policy) if remat else block, layers, x)


@mistake(of="deep_loss")
def the_last_layer_first(block, layers, x, remat):
    """The order of a scan does not matter.

    Each layer sees what the one before it made.
    """
    return _scanned(jax.checkpoint(block) if remat else block, each(lambda w: w[::-1], layers), x)


@mistake(of="deep_loss")
def a_sum_of_squares(block, layers, x, remat):
    """The loss is the sum of the squares.

    It is their mean: a sum grows with the batch.
    """
    return _scanned(jax.checkpoint(block) if remat else block, layers, x) * jnp.size(x)


@mistake(of="deep_loss")
def the_root_of_the_mean(block, layers, x, remat):
    """The size of an output is the root of its mean square.

    The mean of the squares is asked for, without the root.
    """
    return jnp.sqrt(_scanned(jax.checkpoint(block) if remat else block, layers, x))


@mistake(of="deep_loss")
def recomputed_where_memory_is_enough(block, layers, x, remat):
    """remat=True means: keep everything.

    The other way round. With remat the backward pass computes again, and jax.checkpoint is what has it do so.
    """
    return _scanned(block if remat else jax.checkpoint(block), layers, x)


@mistake(of="deep_loss")
def every_layer_sees_the_input(block, layers, x, remat):
    """Each layer is applied to x.

    To what the layer before it has made of x: the carry. The x outside of the scan is the input of the first layer
    alone.
    """
    body = jax.checkpoint(block) if remat else block
    return jnp.mean(jax.lax.scan(lambda _, layer: (body(layer, x), None), x, layers)[0] ** 2)


# --- mixed_precision_step


def _cast(tree: Any, dtype: Any = jnp.bfloat16) -> Any:
    return each(lambda leaf: jnp.asarray(leaf).astype(dtype), tree)


@mistake(of="mixed_precision_step")
def updated_in_bfloat16(loss, masters, x, y, learning_rate):
    """Cast at the beginning, cast back at the end.

    The sum of a weight and a small update is the weight, in bfloat16. Add to the masters.
    """
    half = _cast(masters)
    slopes = jax.grad(loss)(half, _cast(x), _cast(y))
    return _cast(each(lambda w, g: w - jnp.bfloat16(learning_rate) * g, half, slopes), jnp.float32)


@mistake(of="mixed_precision_step")
def the_masters_come_back_in_bfloat16(loss, masters, x, y, learning_rate):
    """Training in bfloat16 means that all is bfloat16.

    The weights that are kept from step to step are float32. Only their copies in a step are not.
    """
    slopes = jax.grad(loss)(_cast(masters), _cast(x), _cast(y))
    return _cast(each(lambda w, g: w - learning_rate * g.astype(jnp.float32), masters, slopes))


@mistake(of="mixed_precision_step")
def a_side_of_the_product_stays_float32(loss, masters, x, y, learning_rate):
    """Casting one side of a product is enough; or: its default precision is.

    A product of bfloat16 and float32 is promoted to float32, and float32 costs several times as much on an accelerator.
    Cast weights, x and y, and use what `astype` returns: it changes nothing in place.
    """
    slopes = jax.grad(loss)(_cast(masters), x, y)
    return each(lambda w, g: w - learning_rate * g.astype(jnp.float32), masters, slopes)


@mistake(of="mixed_precision_step")
def half_precision_of_the_other_kind(loss, masters, x, y, learning_rate):
    """Sixteen bits are sixteen bits.

    float16 has a small range: gradients fall to zero in it, and its loss must be scaled. Use bfloat16.
    """
    slopes = jax.grad(loss)(_cast(masters, jnp.float16), _cast(x, jnp.float16), _cast(y, jnp.float16))
    return each(lambda w, g: w - learning_rate * g.astype(jnp.float32), masters, slopes)


@mistake(of="mixed_precision_step")
def masters_are_rounded(loss, masters, x, y, learning_rate):
    """The weights are those that were used.

    What bfloat16 has rounded off is lost for good. The update is added to the float32 weights as they were.
    """
    half = _cast(masters)
    slopes = jax.grad(loss)(half, _cast(x), _cast(y))
    return each(lambda w, g: w.astype(jnp.float32) - learning_rate * g.astype(jnp.float32), half, slopes)


@mistake(of="mixed_precision_step")
def a_step_uphill(loss, masters, x, y, learning_rate):
    """The gradient is added.

    It points to where the loss grows: go against it.
    """
    slopes = jax.grad(loss)(_cast(masters), _cast(x), _cast(y))
    return each(lambda w, g: w + learning_rate * g.astype(jnp.float32), masters, slopes)


@mistake(of="mixed_precision_step")
def the_rate_is_forgotten(loss, masters, x, y, learning_rate):
    """A step is the gradient.

    It is the gradient times the learning rate.
    """
    slopes = jax.grad(loss)(_cast(masters), _cast(x), _cast(y))
    return each(lambda w, g: w - g.astype(jnp.float32), masters, slopes)


@mistake(of="mixed_precision_step")
def a_scale_that_stays(loss, masters, x, y, learning_rate):
    """In half precision the loss is scaled up.

    In float16, and the gradient is scaled down again. bfloat16 has the range of float32 and needs neither.
    """
    slopes = jax.grad(lambda half: 1024 * loss(half, _cast(x), _cast(y)))(_cast(masters))
    return each(lambda w, g: w - learning_rate * g.astype(jnp.float32), masters, slopes)


# --- process_rows


@mistake(of="process_rows")
def every_process_reads_everything(rows, process, processes):
    """Each process needs the batch.

    It needs its own rows. If all read all, they read n times too much, and each row counts n times.
    """
    if rows % processes:
        raise ValueError("the rows cannot be divided")
    return 0, rows


@mistake(of="process_rows")
def what_is_left_is_dropped(rows, process, processes):
    """Integer division gives the share.

    Rows that are left are read by nobody, in every step, and nothing says so. Raise an error.
    """
    return process * (rows // processes), (process + 1) * (rows // processes)


@mistake(of="process_rows")
def processes_are_counted_from_one(rows, process, processes):
    """The first process is number 1.

    JAX counts processes from 0: the first rows are then read by nobody, and the last ones are not there.
    """
    if rows % processes:
        raise ValueError("the rows cannot be divided")
    return (process - 1) * (rows // processes), process * (rows // processes)


@mistake(of="process_rows", position=1)
def the_batch_is_whole_on_every_device(local, mesh):
    """Every device gets the batch.

    Then every device computes the same gradient. Cut the rows along "data".
    """
    return jax.make_array_from_process_local_data(NamedSharding(mesh, P()), np.asarray(local))


@mistake(of="process_rows", position=1)
def rows_are_cut_over_all_devices(local, mesh):
    """Each device has its own rows.

    Those along "model" work on the same rows, with other parts of the weights. Cut along "data" alone.
    """
    return jax.make_array_from_process_local_data(NamedSharding(mesh, P(("data", "model"))), np.asarray(local))


@mistake(of="process_rows", position=1)
def the_batch_stays_on_one_device(local, mesh):
    """jnp.asarray makes an array, and the step will distribute it.

    It lies on the first device of this process, and other processes know nothing of it.
    """
    return jnp.asarray(local)


@mistake(of="process_rows", position=1)
def rows_are_cut_along_model(local, mesh):
    """Rows go along "model".

    Devices along "model" work on the same rows, with other parts of the weights. Rows are data: cut them along "data".
    """
    return jax.make_array_from_process_local_data(NamedSharding(mesh, P("model")), np.asarray(local))


def _shared(rows: int, processes: int) -> int:
    if rows % processes:
        raise ValueError("the rows cannot be divided")
    return rows // processes


@mistake(of="process_rows")
def the_last_row_is_included(rows, process, processes):
    """The second number is the last row.

    It is the first row that is no longer read, as in a slice: else a row of each process is lost.
    """
    share = _shared(rows, processes)
    return process * share, (process + 1) * share - 1


@mistake(of="process_rows")
def start_and_how_many(rows, process, processes):
    """A range is where it starts, and how long it is.

    Here the second number is where it stops.
    """
    share = _shared(rows, processes)
    return process * share, share


@mistake(of="process_rows")
def the_last_rows_first(rows, process, processes):
    """Who reads which rows does not matter.

    The rows of the array are in the order of the processes: process 0 has the first ones.
    """
    share = _shared(rows, processes)
    return rows - (process + 1) * share, rows - process * share


@mistake(of="process_rows")
def rows_that_are_no_whole_numbers(rows, process, processes):
    """What divides evenly may be divided by /.

    The result is a float, and a slice takes none.
    """
    share = _shared(rows, processes) / 1
    return process * share, (process + 1) * share


@mistake(of="process_rows")
def an_assertion_refuses(rows, process, processes):
    """An assert is an error as good as any.

    Python leaves asserts out when it is told to optimise. Raise the ValueError that the docstring names.
    """
    if rows % processes:
        raise AssertionError("the rows cannot be divided")
    return process * (rows // processes), (process + 1) * (rows // processes)


# --- fit_scaling_law


def _line(sizes: Any, losses: Any, floor: float) -> dict:
    slope, start = np.polyfit(np.log(sizes), np.log(np.asarray(losses) - floor), 1)
    return {"floor": floor, "factor": float(np.exp(start)), "exponent": float(-slope)}


def _best(sizes: Any, losses: Any) -> dict:
    """The exponent by a search; floor and factor are linear. All mistakes see the same runs: these are fitted once."""
    return dict(_searched(tuple(map(float, sizes)), tuple(map(float, losses))))


@lru_cache(maxsize=256)
def _searched(sizes: tuple, losses: tuple) -> tuple:
    ratios = np.asarray(sizes) / sizes[0]

    def solved(exponent: float) -> tuple:
        terms = np.stack([ratios**0.0, ratios**-exponent], axis=-1)
        found = np.linalg.lstsq(terms, np.asarray(losses), rcond=None)[0]
        return found, float(np.sum((terms @ found - losses) ** 2))

    best = minimize_scalar(lambda a: solved(a)[1], bounds=(0.01, 2.0), method="bounded", options={"xatol": 1e-10})
    (floor, scale), exponent = solved(best.x)[0], float(best.x)
    return ("floor", float(floor)), ("factor", float(scale * sizes[0] ** exponent)), ("exponent", exponent)


def _at(fit: dict, size: Any) -> Any:
    return fit["floor"] + fit["factor"] * np.asarray(size) ** -fit["exponent"]


@mistake(of="fit_scaling_law")
def a_law_without_a_floor(sizes, losses):
    """A power law is a straight line of logarithms.

    Without a floor it is. Text has an entropy that no model gets below, and near it the line bends.
    """
    return _line(sizes, losses, 0.0)


@mistake(of="fit_scaling_law")
def the_smallest_loss_is_the_floor(sizes, losses):
    """The floor is the best loss that was seen.

    Then the best run would already be at the end of all progress. The floor lies below, and is fitted.
    """
    return _line(sizes, losses, 0.999 * float(np.min(losses)))


@mistake(of="fit_scaling_law")
def the_exponent_has_the_other_sign(sizes, losses):
    """The exponent of the law is the slope.

    The law is written with a minus in the exponent, so the slope is minus the exponent.
    """
    fit = _best(sizes, losses)
    return fit | {"exponent": -fit["exponent"]}


@mistake(of="fit_scaling_law", position=1)
def an_interval_of_the_residuals_alone(sizes, losses, size, level=0.9):
    """The scatter of the points is the uncertainty.

    It is that of the points. Far from them, what they leave open about floor and exponent is the larger part.
    """
    fit = _best(sizes, losses)
    half = float(np.std(_at(fit, sizes) - losses) / np.sqrt(len(sizes)))
    return float(_at(fit, size)) - half, float(_at(fit, size)), float(_at(fit, size)) + half


@mistake(of="fit_scaling_law", position=1)
def the_last_loss_goes_on(sizes, losses, size, level=0.9):
    """The largest run is the best guess.

    The law says how much further it goes. Use it.
    """
    last = float(losses[-1])
    return last - 0.02, last, last + 0.02


@mistake(of="fit_scaling_law", position=1)
def from_nothing_to_everything(sizes, losses, size, level=0.9):
    """A wide interval is a safe one.

    It says nothing. Nobody can plan a run with it.
    """
    return 0.0, float(_at(_best(sizes, losses), size)), float(np.max(losses))


@mistake(of="fit_scaling_law")
def the_factor_at_the_unit_size(sizes, losses):
    """The factor of the fit is the factor of the law.

    Sizes were divided by a unit for the fit. The factor is B times the unit to the power of alpha.
    """
    fit = _best(sizes, losses)
    return fit | {"factor": fit["factor"] * float(np.median(sizes)) ** -fit["exponent"]}


def _interval(
    sizes: Any, losses: Any, size: float, times: Any, *, noise: float = 1.0, unit: float = 1.0
) -> tuple[float, float, float]:
    """Around the fit, `times(degrees of freedom)` standard deviations of the law and of `noise` times the scatter.

    Where the run is to come, the slope by the exponent has the logarithm of `unit` times the ratio in it.
    """
    fit, sizes = _best(sizes, losses), np.asarray(sizes)
    a, freedom, middle = fit["exponent"], len(sizes) - 3, np.median(sizes)
    slopes = lambda at, unit: np.stack([at**0.0, at**-a, at**-a * np.log(unit * at)], axis=-1)  # noqa: E731
    runs, here = slopes(sizes / middle, 1.0), slopes(np.asarray(size / middle), unit)
    scatter = float(np.sum((_at(fit, sizes) - losses) ** 2)) / freedom
    half = times(freedom) * np.sqrt(scatter * (here @ np.linalg.pinv(runs.T @ runs) @ here + noise))
    return float(_at(fit, size) - half), float(_at(fit, size)), float(_at(fit, size) + half)


@mistake(of="fit_scaling_law", position=1)
def the_law_and_not_the_run(sizes, losses, size, level=0.9):
    """The interval is that of the law.

    A run lies beside the law, as the others did. Add the noise of one run to the variance.
    """
    return _interval(sizes, losses, size, lambda n: student_t.ppf((1 + level) / 2, n), noise=0.0)


@mistake(of="fit_scaling_law", position=1)
def the_level_is_ignored(sizes, losses, size, level=0.9):
    """An interval is one of 90 %.

    By default. Another level has another quantile.
    """
    return _interval(sizes, losses, size, lambda n: student_t.ppf(0.95, n))


@mistake(of="fit_scaling_law", position=1)
def two_standard_deviations(sizes, losses, size, level=0.9):
    """An interval is two standard deviations wide, on each side.

    That is 95 % where the noise is known. The quantile depends on the level, and on how few points there are.
    """
    return _interval(sizes, losses, size, lambda n: 2.0)


@mistake(of="fit_scaling_law", position=1)
def the_quantile_of_one_side(sizes, losses, size, level=0.9):
    """The quantile of the level makes the interval.

    Then all that is left out lies on one side of each end: 10 % above and 10 % below. Halve it.
    """
    return _interval(sizes, losses, size, lambda n: student_t.ppf(level, n))


@mistake(of="fit_scaling_law", position=1)
def a_normal_quantile(sizes, losses, size, level=0.9):
    """The quantile is that of the normal distribution.

    It is where the noise is known. Here a few runs tell how large it is, and Student's t allows for that.
    """
    return _interval(sizes, losses, size, lambda n: norm.ppf((1 + level) / 2))


@mistake(of="fit_scaling_law", position=1)
def the_noise_over_all_points(sizes, losses, size, level=0.9):
    """The noise is the mean of the squared residuals.

    Three numbers were fitted to the points, which takes three of them away: divide by the number of points less three.
    """
    less = 1 - 3 / len(sizes)
    return _interval(sizes, losses, size, lambda n: student_t.ppf((1 + level) / 2, n), noise=less)


@mistake(of="fit_scaling_law", position=1)
def the_sum_of_the_squares_is_the_noise(sizes, losses, size, level=0.9):
    """The noise is the sum of the squared residuals.

    That grows with every run. Divide it by the number of points less three.
    """
    sums = len(sizes) - 3
    return _interval(sizes, losses, size, lambda n: student_t.ppf((1 + level) / 2, n), noise=float(sums))


@mistake(of="fit_scaling_law", position=1)
def the_logarithm_of_the_size_itself(sizes, losses, size, level=0.9):
    """The slope by the exponent has the logarithm of the size in it.

    Of the ratio that was fitted, N / N0, as all slopes do: the covariance belongs to the law of ratios.
    """
    times = lambda n: student_t.ppf((1 + level) / 2, n)  # noqa: E731
    return _interval(sizes, losses, size, times, unit=float(np.median(sizes)))
