"""Causal attention by the platform's fused kernel where it works, else by XLA."""

from functools import cache, partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Kernel = Literal["cudnn", "xla"]


def causal_attention(
    q: Float[Array, "b t h d"], k: Float[Array, "b t h d"], v: Float[Array, "b t h d"]
) -> Float[Array, "b t h d"]:
    r"""`softmax(q k' / sqrt(d)) v`, in which no position sees a later one (Vaswani et al. 2017)."""
    kernel = best_kernel(q.shape[1], q.shape[2], q.shape[3], q.dtype.name)
    attend = partial(jax.nn.dot_product_attention, is_causal=True, implementation=kernel)
    # The fused kernel keeps q, k, v and its result. XLA would keep the t x t scores of each head as well, and more of
    # their size: it computes them a second time instead.
    return attend(q, k, v) if kernel == "cudnn" else jax.checkpoint(attend, prevent_cse=False)(q, k, v)


@cache
def best_kernel(context: int, heads: int, head_width: int, dtype: str) -> Kernel:
    """`"cudnn"` (FlashAttention, Dao et al. 2022) where it compiles forward and backward for these sizes."""
    if jax.default_backend() != "gpu":
        return "xla"
    probe = jax.ShapeDtypeStruct((1, context, heads, head_width), jnp.dtype(dtype))

    def total(q: Array, k: Array, v: Array) -> Array:
        out = jax.nn.dot_product_attention(q, k, v, is_causal=True, implementation="cudnn")
        return jnp.sum(out.astype(jnp.float32))

    try:
        jax.jit(jax.grad(total, argnums=(0, 1, 2))).lower(probe, probe, probe).compile()
    except (RuntimeError, ValueError, NotImplementedError):
        return "xla"
    return "cudnn"
