"""Correct but different implementations of lab 02, forward."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import optax

from gradlab_grading.alternatives import alternative


@alternative(of="affine")
def with_einsum(x, weight, bias):
    """Names the axes."""
    return jnp.einsum("...i,io->...o", x, weight) + bias


@alternative(of="affine")
def with_a_column_of_ones(x, weight, bias):
    """The bias as a weight of an input that is always 1."""
    ones = jnp.ones((*x.shape[:-1], 1), x.dtype)
    return jnp.concatenate([x, ones], axis=-1) @ jnp.vstack([weight, bias[None]])


@alternative(of="relu")
def relu_with_where(x):
    """A choice."""
    return jnp.where(x > 0, x, jnp.zeros_like(x))


@alternative(of="relu")
def relu_with_clip(x):
    """A clip without an upper bound."""
    return jnp.clip(x, min=0)


@alternative(of="gelu")
def gelu_of_the_library(x):
    """The library's, told not to approximate."""
    return jax.nn.gelu(x, approximate=False)


@alternative(of="gelu")
def gelu_with_erfc(x):
    """The complement of the error function, which keeps the digits of the lower tail."""
    return x * jax.scipy.special.erfc(-x / jnp.sqrt(2)) / 2


@alternative(of="log_softmax")
def with_logsumexp(x, axis=-1):
    """The library's log of the sum of exponentials."""
    return x - jax.nn.logsumexp(x, axis=axis, keepdims=True)


@alternative(of="log_softmax")
def with_the_axis_moved(x, axis=-1):
    """Moves the axis to the end and back, and adds the maximum back."""
    moved = jnp.moveaxis(x, axis, -1)
    top = jnp.amax(moved, axis=-1, keepdims=True)
    total = top + jnp.log(jnp.sum(jnp.exp(moved - top), axis=-1, keepdims=True))
    return jnp.moveaxis(moved - total, -1, axis)


@alternative(of="mse")
def as_an_inner_product(prediction, target):
    """The difference with itself."""
    if len({prediction.shape, target.shape}) > 1:
        raise ValueError(f"{prediction.shape} against {target.shape}")
    gap = jnp.ravel(prediction - target)
    return gap @ gap / gap.size


@alternative(of="mse")
def by_optax(prediction, target):
    """The library's half of the square, twice."""
    if jnp.ndim(prediction) != jnp.ndim(target) or prediction.shape != target.shape:
        raise ValueError("give both the same shape")
    return 2 * jnp.mean(optax.losses.l2_loss(prediction, target))


@alternative(of="cross_entropy")
def with_targets(logits, labels, label_smoothing=0.0, mask=None):
    """Smoothed one-hot targets, and optax."""
    targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), label_smoothing)
    losses = optax.softmax_cross_entropy(logits, targets)
    return jnp.mean(losses) if mask is None else _weighted(losses, mask)


def _weighted(losses, mask):
    return jnp.nan_to_num(jnp.mean(losses, where=mask), nan=0.0)


@alternative(of="cross_entropy")
def with_logsumexp_and_a_gather(logits, labels, label_smoothing=0.0, mask=None):
    """Log Z - (1 - s) logit of the right class - s mean logit."""
    right = jnp.take_along_axis(logits, labels[..., None], axis=-1)[..., 0]
    z = jax.nn.logsumexp(logits, axis=-1)
    losses = z - (1 - label_smoothing) * right - label_smoothing * logits.mean(-1)
    counted = jnp.ones(losses.shape) if mask is None else mask.astype(losses.dtype)
    return jnp.sum(jnp.where(counted > 0, losses, 0.0)) / jnp.clip(counted.sum(), 1)


@alternative(of="layer_norm")
def one_position_at_a_time(x, scale, bias, eps=1e-5):
    """Written for one vector, and mapped over the others."""

    def one(vector):
        gap = vector - vector.mean()
        return scale * gap / jnp.sqrt(gap @ gap / gap.size + eps) + bias

    return jax.vmap(one)(x.reshape(-1, x.shape[-1])).reshape(x.shape)


@alternative(of="layer_norm")
def standardize_of_the_library(x, scale, bias, eps=1e-5):
    """The library's standardisation, which puts eps in the same place; the mean first, for the digits."""
    return jax.nn.standardize(x - x.mean(-1, keepdims=True), axis=-1, epsilon=eps) * scale + bias


@alternative(of="conv2d")
def by_the_library(images, kernel, stride=1, padding=0):
    """`jax.lax` itself."""
    return jax.lax.conv_general_dilated(
        images, kernel, (stride,) * 2, [(padding, padding)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@alternative(of="conv2d")
def as_one_matrix_product(images, kernel, stride=1, padding=0):
    """Unfolds the windows into rows (im2col), and multiplies once."""
    kh, kw, c_in, c_out = kernel.shape
    padded = jnp.pad(images, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
    b, h, w, _ = padded.shape
    rows, columns = (h - kh) // stride + 1, (w - kw) // stride + 1
    i = stride * jnp.arange(rows)[:, None] + jnp.arange(kh)[None]
    j = stride * jnp.arange(columns)[:, None] + jnp.arange(kw)[None]
    windows = padded[:, i[:, None, :, None], j[None, :, None, :]]
    product = windows.reshape(-1, kh * kw * c_in) @ kernel.reshape(-1, c_out)
    return product.reshape(b, rows, columns, c_out)


@alternative(of="causal_attention")
def attention_of_the_library(query, key, value):
    """`jax.nn.dot_product_attention`, which wants (batch, time, heads, features)."""
    lead, (steps, d) = query.shape[:-2], query.shape[-2:]
    # It takes values of the width of the keys alone, so both are padded to one width; the scale stays that of d.
    width = max(d, value.shape[-1])

    def laid(part):
        padded = jnp.pad(part.reshape(-1, steps, part.shape[-1]), [(0, 0), (0, 0), (0, width - part.shape[-1])])
        return padded[:, :, None]

    out = jax.nn.dot_product_attention(laid(query), laid(key), laid(value), is_causal=True, scale=d**-0.5)
    return out[:, :, 0, : value.shape[-1]].reshape(*lead, steps, value.shape[-1])


@alternative(of="causal_attention")
def with_a_large_negative_number(query, key, value):
    """Adds -1e9 above the diagonal, and normalises through logs."""
    scores = query @ jnp.swapaxes(key, -1, -2) * query.shape[-1] ** -0.5
    scores = scores + jnp.triu(jnp.full(scores.shape[-2:], -1e9), k=1)
    return jnp.exp(jax.nn.log_softmax(scores)) @ value


@alternative(of="mlp_forward")
def with_the_last_layer_apart(params, x):
    """Unpacks the hidden layers and the last."""
    *hidden_layers, last = params
    for layer in hidden_layers:
        x = jax.nn.relu(x @ layer["weight"] + layer["bias"])
    return x @ last["weight"] + last["bias"]


@alternative(of="mlp_forward")
def recursive(params, x):
    """The first layer, and then the rest of the network."""
    z = jnp.einsum("...i,ij->...j", x, params[0]["weight"]) + params[0]["bias"]
    return z if len(params) == 1 else recursive(params[1:], z * (z > 0))


@alternative(of="map_examples")
def with_the_parameters_bound(function, params, x, labels):
    """A partial in place of `in_axes`."""
    return jax.vmap(partial(function, params))(x, labels)


@alternative(of="map_examples")
def with_vectorize(function, params, x, labels):
    """NumPy's notation for the core dimensions."""
    return jnp.vectorize(lambda row, label: function(params, row, label), signature="(d),()->()")(x, labels)


@alternative(of="init_params")
def uniform_weights(key, sizes):
    """The same variance from a uniform distribution, whose limit is the root of 6 / d_in."""
    keys = jax.random.split(key, len(sizes) - 1)
    shapes = list(itertools.pairwise(sizes))
    limits = [(6 / n) ** 0.5 for n, _ in shapes]
    drawn = [jax.random.uniform(k, s, minval=-r, maxval=r) for k, s, r in zip(keys, shapes, limits, strict=True)]
    return [{"weight": weight, "bias": jnp.zeros(weight.shape[1])} for weight in drawn]


@alternative(of="init_params")
def by_the_librarys_initializer(key, sizes):
    """`jax.nn.initializers.he_normal`, with keys by `fold_in`."""
    make = jax.nn.initializers.he_normal()
    params = []
    for number in range(1, len(sizes)):
        weight = make(jax.random.fold_in(key, number), (sizes[number - 1], sizes[number]), jnp.float32)
        params.append({"weight": weight, "bias": jnp.zeros_like(weight[0])})
    return params
