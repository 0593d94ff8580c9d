"""What the checks of lab 07 compare with: closed forms, NumPy in float64, and what JAX's compiler plans."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from scipy.stats import t as student_t

from gradlab.shards import grid

KINDS = ("parameters", "gradients", "optimizer")
Wide = np.float64


def planned_bytes(size: int, stage: int) -> int:
    """The bytes of arguments that the compiler plans for one of eight devices: weights, gradients and two moments."""
    mesh = grid(8, 1)

    def described(first_stage: int) -> jax.ShapeDtypeStruct:
        spec = P("data") if stage >= first_stage else P()
        return jax.ShapeDtypeStruct((size,), jnp.float32, sharding=NamedSharding(mesh, spec))

    arrays = (described(3), described(2), described(1), described(1))
    kept = jax.jit(lambda *_: jnp.zeros(()), keep_unused=True)
    analysis = kept.lower(*arrays).compile().memory_analysis()
    return int(getattr(analysis, "argument_size_in_bytes", 0))


def saved_activations(
    batch: int, sequence: int, width: int, heads: int, layers: int, tensor: int, recompute: str
) -> float:
    """Bytes, added up item by item as in section 4 of Korthikanti et al. 2022."""
    block = sequence * batch * width
    scores = heads * sequence**2 * batch
    # Two bytes for what a product needs, one for a dropout's mask.
    attention = {"input": 2 * block, "mask": block, "queries, keys": 4 * block / tensor, "values": 2 * block / tensor}
    attention |= {"for the output": 2 * block / tensor}
    softmax = {"softmax": 2 * scores / tensor, "its mask": scores / tensor, "its dropout": 2 * scores / tensor}
    mlp = {"input": 2 * block, "mask": block, "gelu": 8 * block / tensor, "for the output": 8 * block / tensor}
    kept = [attention, mlp, {"two norms": 4 * block}] + ([softmax] if recompute == "none" else [])
    return layers * (2 * block if recompute == "full" else sum(sum(part.values()) for part in kept))


def gpt_gradient_text(layers: int, width: int, vocabulary: int, heads: int, sequence: int) -> str:
    """The traced loss and gradient of a GPT without biases, one sequence, as StableHLO text."""
    size = width // heads

    def loss(weights: dict, tokens: jax.Array) -> jax.Array:
        x = weights["table"][tokens]
        for layer in weights["layers"]:
            q, k, v = (jnp.einsum("td,dhe->the", x, w) for w in layer["qkv"])
            seen = jax.nn.softmax(jnp.einsum("the,she->hts", q, k))
            x = x + jnp.einsum("the,hed->td", jnp.einsum("hts,she->the", seen, v), layer["out"])
            x = x + jax.nn.gelu(x @ layer["up"]) @ layer["down"]
        scores = jax.nn.log_softmax(x @ weights["table"].T)
        return -jnp.take_along_axis(scores, tokens[:, None], axis=1).mean()

    def shape(*lengths: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(lengths, jnp.float32)

    layer = {"qkv": [shape(width, heads, size)] * 3, "out": shape(heads, size, width)}
    layer |= {"up": shape(width, 4 * width), "down": shape(4 * width, width)}
    weights = {"table": shape(vocabulary, width), "layers": [layer] * layers}
    tokens = jax.ShapeDtypeStruct((sequence,), jnp.int32)
    return jax.jit(jax.value_and_grad(loss)).lower(weights, tokens).as_text()


def gelu(x: np.ndarray) -> np.ndarray:
    """The approximation by a hyperbolic tangent that `jax.nn.gelu` takes by default."""
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def mlp(x: np.ndarray, up: np.ndarray, up_bias: np.ndarray, down: np.ndarray, down_bias: np.ndarray) -> np.ndarray:
    """The MLP on one device, in float64."""
    x, up, up_bias, down, down_bias = (part.astype(Wide) for part in (x, up, up_bias, down, down_bias))
    return gelu(x @ up + up_bias) @ down + down_bias


def attention(x: np.ndarray, query: np.ndarray, key: np.ndarray, value: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Causal attention on one device, in float64."""
    x, out = x.astype(Wide), out.astype(Wide)
    q, k, v = (np.einsum("bsw,whe->bhse", x, part.astype(Wide)) for part in (query, key, value))
    scores = np.einsum("bhse,bhte->bhst", q, k) / math.sqrt(query.shape[2])
    scores = np.where(np.tri(x.shape[1], dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return np.einsum("bhst,bhte,hew->bsw", weights, v, out)


def squared_error(params: dict, x: np.ndarray, y: np.ndarray) -> tuple[float, dict]:
    """Loss and gradients of `gradlab.shards.SquaredError`, written out in float64."""
    hidden, output, x, y = (part.astype(Wide) for part in (params["hidden"], params["output"], x, y))
    units = np.tanh(x @ hidden)
    error = units @ output - y
    slope = 2 * error / error.size
    return float(np.mean(error**2)), {
        "hidden": x.T @ (slope @ output.T * (1 - units**2)),
        "output": units.T @ slope,
    }


def two_steps(params: dict, x: np.ndarray, y: np.ndarray, eps: float) -> tuple[list[float], dict]:
    """The losses of two steps of Adam (rate 0.01, optax's other defaults) and the parameters after them, in float64."""
    params = {name: part.astype(Wide) for name, part in params.items()}
    mean = square = dict.fromkeys(params, 0.0)
    losses = []
    for t in (1, 2):
        loss, slopes = squared_error(params, x, y)
        losses.append(loss)
        mean = {name: 0.9 * mean[name] + 0.1 * slope for name, slope in slopes.items()}
        square = {name: 0.999 * square[name] + 0.001 * slope**2 for name, slope in slopes.items()}
        for name in params:
            step = mean[name] / (1 - 0.9**t) / (np.sqrt(square[name] / (1 - 0.999**t)) + eps)
            params = params | {name: params[name] - 0.01 * step}
    return losses, params


def shard_shape(shape: tuple[int, ...], spec: P, axes: tuple[int, int]) -> tuple[int, ...]:
    """The shape of a shard on a mesh of `axes` devices along "data" and "model", by division."""
    sizes = {"data": axes[0], "model": axes[1]}
    names: list[Any] = [*spec, *[None] * (len(shape) - len(spec))]
    per_axis = [(name,) if isinstance(name, str) else name or () for name in names]
    return tuple(n // math.prod(sizes[name] for name in cut) for n, cut in zip(shape, per_axis, strict=True))


def deep_loss(layers: dict, x: np.ndarray) -> float:
    """The mean square of what `gradlab.shards.Block` makes of x, layer after layer, in float64."""
    x = x.astype(Wide)
    for up, down in zip(layers["up"].astype(Wide), layers["down"].astype(Wide), strict=True):
        x = x + gelu(x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + 1e-6) @ up) @ down
    return float(np.mean(x**2))


def power_law(sizes: np.ndarray, floor: float, factor: float, exponent: float) -> np.ndarray:
    """`floor + factor * size ** -exponent`."""
    return floor + factor * np.asarray(sizes, Wide) ** -exponent


def interval_width(
    sizes: np.ndarray, size: float, spread: float, level: float, *, floor: float, factor: float, exponent: float
) -> float:
    """How wide the interval of a new run's loss is where the noise has the standard deviation `spread`.

    Only the span of the law's slopes counts, so that floor and factor, which scale them, do not.
    """
    del floor, factor
    basis, here = np.linalg.qr(_slopes(np.asarray(sizes), exponent).T).R, _slopes(np.array(size), exponent)
    new_run = math.sqrt(1 + float(np.sum(np.linalg.solve(basis.T, here) ** 2)))
    return 2 * float(student_t.ppf((1 + level) / 2, len(sizes) - 3)) * spread * new_run


def scattered(sizes: np.ndarray, spread: float, noise: np.ndarray, **law: float) -> np.ndarray:
    """Losses about a power law to which the law itself is closest, and whose noise comes out as `spread` exactly.

    From `noise` is taken what a change of the law would explain; the rest is scaled.
    """
    basis = np.linalg.qr(_slopes(np.asarray(sizes), law["exponent"]).T).Q
    rest = noise.astype(Wide) - basis @ (basis.T @ noise)
    return power_law(sizes, **law) + rest * spread * math.sqrt((len(sizes) - 3) / float(np.sum(rest**2)))


def _slopes(at: np.ndarray, exponent: float) -> np.ndarray:
    """The span of a power law's slopes by its three numbers."""
    return np.stack([np.ones_like(at), at**-exponent, at**-exponent * np.log(at)])
