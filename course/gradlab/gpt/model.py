"""The transformer. Axes: b sequences, t positions, d width, h heads, v tokens of the (padded) vocabulary."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from gradlab.gpt.attention import causal_attention
from gradlab.gpt.config import Config
from gradlab.gpt.remat import remat
from gradlab.gpt.sharding import constrain

# Standard deviation of the initial weights (Radford et al. 2018).
INITIAL = 0.02


# Of element-wise work keep its input alone: its intermediates, float32 in a norm and four times as wide as the stream
# in the activation function, cost more to write and read again than to compute again.
gelu = jax.checkpoint(jax.nn.gelu, prevent_cse=False)
normalise = nnx.remat(lambda norm, x: norm(x), prevent_cse=False)


class Block(nnx.Module):
    """`x + attention(norm(x))`, then `x + mlp(norm(x))`."""

    def __init__(self, config: Config, rngs: nnx.Rngs) -> None:
        c = config
        first = nnx.initializers.normal(INITIAL)
        # What is added to the residual stream 2 L times must not make it grow (Radford et al. 2019, section 2.3).
        last = nnx.initializers.normal(INITIAL / (2 * c.layers) ** 0.5)
        linear = partial(nnx.LinearGeneral, dtype=c.dtype, rngs=rngs)
        self.attention_norm = nnx.LayerNorm(c.width, dtype=c.dtype, rngs=rngs)
        # Heads first, then query, key and value: a split over heads gives each device the three of its own.
        self.qkv = linear(c.width, (c.heads, 3, c.head_width), kernel_init=first)
        self.out = linear((c.heads, c.head_width), c.width, axis=(-2, -1), kernel_init=last)
        self.mlp_norm = nnx.LayerNorm(c.width, dtype=c.dtype, rngs=rngs)
        self.up = linear(c.width, c.hidden, kernel_init=first)
        self.down = linear(c.hidden, c.width, kernel_init=last)

    def __call__(self, x: Float[Array, "b t d"]) -> Float[Array, "b t d"]:
        qkv = self.qkv(normalise(self.attention_norm, x))  # Shape: (b, t, h, 3, d/h)
        x = x + self.out(causal_attention(qkv[..., 0, :], qkv[..., 1, :], qkv[..., 2, :]))
        x = x + self.down(gelu(self.up(normalise(self.mlp_norm, x))))
        return constrain(x, "data", None, None)


class GPT(nnx.Module):
    """Logits of the next token at each position. The parameters of all blocks are stacked on a first axis."""

    def __init__(self, config: Config, rngs: nnx.Rngs) -> None:
        self.config = config
        # In float32: the gradient of a frequent token is a sum of thousands, in which bfloat16 loses the small ones.
        embed = partial(nnx.Embed, features=config.width, embedding_init=nnx.initializers.normal(INITIAL))
        self.tokens = embed(config.padded_vocabulary, rngs=rngs)
        self.positions = embed(config.context, rngs=rngs)
        self.norm = nnx.LayerNorm(config.width, dtype=config.dtype, rngs=rngs)
        block = nnx.graphdef(nnx.eval_shape(lambda: Block(config, nnx.Rngs(0))))
        keys = jax.random.split(rngs.params(), config.layers)
        self.blocks = nnx.merge(block, jax.vmap(lambda key: nnx.state(Block(config, nnx.Rngs(key)), nnx.Param))(keys))

    def __call__(self, tokens: Int[Array, "b t"]) -> Float[Array, "b t v"]:
        """Logits in float32; those of padding are so low that their probability is zero.

        Raises ValueError for sequences longer than the context.
        """
        if tokens.shape[1] > self.config.context:
            raise ValueError(f"{tokens.shape[1]} tokens do not fit into a context of {self.config.context}")
        positions = self.positions(jnp.arange(tokens.shape[1]))
        x = constrain((self.tokens(tokens) + positions[None]).astype(self.config.dtype), "data", None, None)
        x = self.norm(self._through_blocks(x))
        # The embedding's transpose is the output layer. Its result is cast after the product, not by it: so its
        # gradient is cast back before the two products of the backward pass, a fifth of all work, which would
        # otherwise be of float32.
        logits = jnp.einsum("btd,vd->btv", x, self.tokens.embedding[...].astype(x.dtype))
        logits = constrain(logits, "data", None, "model").astype(jnp.float32)
        is_padding = jnp.arange(self.config.padded_vocabulary) >= self.config.vocabulary
        return jnp.where(is_padding[None, None], jnp.finfo(jnp.float32).min, logits)

    def _through_blocks(self, x: Float[Array, "b t d"]) -> Float[Array, "b t d"]:
        block, stacked = nnx.split(self.blocks)

        def apply(x: Float[Array, "b t d"], weights: nnx.State) -> tuple[Float[Array, "b t d"], None]:
            return nnx.merge(block, weights)(x), None

        apply = remat(apply, self.config.remat, in_loop=self.config.scan)
        if self.config.scan:
            return jax.lax.scan(apply, x, stacked)[0]
        for layer in range(self.config.layers):
            x, _ = apply(x, jax.tree.map(lambda weight, layer=layer: weight[layer], stacked))
        return x


def next_token_loss(model: GPT, tokens: Int[Array, "b t1"]) -> Float[Array, ""]:
    """Mean over all positions of `-log p(token | the tokens before it)`, in nats.

    `tokens` are one longer than what the model sees: the first is only seen, the last only predicted.
    """
    logits, wanted = model(tokens[:, :-1]), tokens[:, 1:]
    # A sum with a mask in place of a look-up: it stays on its device when the vocabulary is split.
    hit = jnp.arange(logits.shape[-1])[None, None] == wanted[..., None]
    return jnp.mean(jax.nn.logsumexp(logits, axis=-1) - jnp.sum(jnp.where(hit, logits, 0.0), axis=-1))
