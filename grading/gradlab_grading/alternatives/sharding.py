"""Correct but different implementations of lab 07, sharding large models."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding, PartitionSpec
from scipy import optimize, stats

from gradlab_grading.alternatives import alternative

Spec = PartitionSpec


@alternative(of="memory_per_device")
def memory_with_a_loop():
    """A table of first stages, and `math.ceil`; the activations in nested functions."""

    def held(parameters, devices, zero_stage, parameter_bytes=2, gradient_bytes=2, optimizer_bytes=12):
        found = {}
        table = (
            ("parameters", 3, parameter_bytes),
            ("gradients", 2, gradient_bytes),
            ("optimizer", 1, optimizer_bytes),
        )
        for kind, stage, size in table:
            found[kind] = size * math.ceil(parameters / (devices if zero_stage >= stage else 1))
        return found

    def kept(batch, sequence, width, heads, layers, tensor=1, recompute="none"):
        plain = sequence * batch * width
        if recompute == "full":
            return 2.0 * layers * plain
        scores = 5 * heads * sequence**2 * batch / tensor if recompute == "none" else 0
        return layers * (10 * plain + 24 * plain / tensor + scores)

    return held, kept


@alternative(of="memory_per_device")
def memory_by_numpy():
    """Vectors of the three kinds; NumPy scalars come back."""

    def held(parameters, devices, zero_stage, parameter_bytes=2, gradient_bytes=2, optimizer_bytes=12):
        cut = np.array([3, 2, 1]) <= zero_stage
        shares = np.where(cut, -(-parameters // devices), parameters)
        sizes = shares * np.array([parameter_bytes, gradient_bytes, optimizer_bytes])
        return dict(zip(("parameters", "gradients", "optimizer"), sizes.tolist(), strict=True))

    def kept(batch, sequence, width, heads, layers, tensor=1, recompute="none"):
        terms = np.array([10.0, 24 / tensor, 5 * heads * sequence / width / tensor])
        on = {"none": [1, 1, 1], "selective": [1, 1, 0]}
        return layers * sequence * batch * width * (2.0 if recompute == "full" else float(terms @ on[recompute]))

    return held, kept


@alternative(of="flops_per_token")
def flops_product_by_product():
    """Adds up the products of a layer."""

    def count(layers, width, vocabulary, sequence):
        products = [width * 3 * width, width * width, width * 4 * width, 4 * width * width]
        layer = sum(products) + sequence * width + sequence * width
        return 3 * 2 * (layers * layer + width * vocabulary)

    return count, lambda rate, work, devices, peak: (rate * work) / peak / devices


@alternative(of="flops_per_token")
def flops_as_in_the_palm_appendix():
    """6 N + 12 L H Q T, with N the weights that multiply."""

    def count(layers, width, vocabulary, sequence):
        weights = 12 * layers * width * width + vocabulary * width
        return int(6 * weights + 12 * layers * width * sequence)

    return count, lambda rate, work, devices, peak: rate / (devices * peak / work)


@alternative(of="tensor_parallel_mlp")
@partial(jax.jit, static_argnames="mesh")
def mlp_with_the_bias_on_one_device(x, up, up_bias, down, down_bias, mesh):
    """Adds the last bias on the first device only, before the sum; under jit, with einsum."""

    def run(x, a, b, c, d):
        part = jnp.einsum("bi,iw->bw", jax.nn.gelu(jnp.einsum("bw,wi->bi", x, a) + b), c)
        first = jax.lax.axis_index("model") == 0
        return jax.lax.psum(part + jnp.where(first, d, 0.0), "model")

    specs = (Spec("data"), Spec(None, "model"), Spec("model"), Spec("model"), Spec())
    return jax.shard_map(run, mesh=mesh, in_specs=specs, out_specs=Spec("data"))(x, up, up_bias, down, down_bias)


@alternative(of="tensor_parallel_mlp")
def mlp_with_an_outer_bias(x, up, up_bias, down, down_bias, mesh):
    """Weights as one tree, no check of varying axes, and the last bias outside of shard_map."""

    def run(x, weights):
        return jax.lax.psum(jax.nn.gelu(jnp.dot(x, weights["a"]) + weights["b"]) @ weights["c"], axis_name="model")

    specs = {"a": Spec(None, "model"), "b": Spec("model"), "c": Spec("model", None)}
    spread = jax.shard_map(run, mesh=mesh, in_specs=(Spec("data"), specs), out_specs=Spec("data"), check_vma=False)
    return spread(x, {"a": up, "b": up_bias, "c": down}) + down_bias


@alternative(of="tensor_parallel_attention")
def attention_with_stacked_weights(x, query, key, value, out, mesh):
    """One product for queries, keys and values, and the softmax written out."""

    def run(x, qkv, o):
        q, k, v = jnp.einsum("bsw,nwhe->nbhse", x, qkv)
        scores = jnp.einsum("bhse,bhte->bhst", q, k) / math.sqrt(q.shape[-1])
        weights = jax.nn.softmax(jnp.where(jnp.tri(x.shape[1], dtype=bool), scores, -jnp.inf))
        return jax.lax.psum(jnp.einsum("bhst,bhte,hew->bsw", weights, v, o, optimize=[(0, 1), (0, 1)]), "model")

    specs = (Spec("data"), Spec(None, None, "model"), Spec("model"))
    stacked = jnp.stack([query, key, value])
    return jax.shard_map(run, mesh=mesh, in_specs=specs, out_specs=Spec("data"))(x, stacked, out)


@alternative(of="tensor_parallel_attention")
def attention_head_by_head(x, query, key, value, out, mesh):
    """`vmap` over the heads of a device, in a partial shard_map."""

    def one(x, q, k, v, o):
        q, k, v = ((x @ w)[:, :, None] for w in (q, k, v))
        return jax.nn.dot_product_attention(q, k, v, is_causal=True)[:, :, 0] @ o

    def run(x, q, k, v, o):
        heads = jax.vmap(one, in_axes=(None, 1, 1, 1, 0))(x, q, k, v, o)
        return jax.lax.psum(heads.sum(axis=0), "model")

    cut = Spec(None, "model")
    spread = jax.shard_map(
        run, mesh=mesh, in_specs=(Spec("data"), cut, cut, cut, Spec("model")), out_specs=Spec("data")
    )
    return jax.jit(spread)(x, query, key, value, out)


@alternative(of="fsdp_gradients")
def fsdp_by_hand(loss, params, x, y, mesh):
    """Gathers, differentiates the whole weights, scatters, divides."""
    count = mesh.shape["data"]

    def run(w, x, y):
        whole = {name: jax.lax.all_gather(part, "data", tiled=True) for name, part in w.items()}
        value, slopes = jax.value_and_grad(loss)(whole, x, y)
        mine = {name: jax.lax.psum_scatter(g, "data", tiled=True) / count for name, g in slopes.items()}
        return jax.lax.psum(value, "data") / count, mine

    spec = Spec("data")
    spread = jax.shard_map(run, mesh=mesh, in_specs=spec, out_specs=(Spec(), spec), check_vma=False)
    return spread(params, x, y)


@alternative(of="fsdp_gradients")
def fsdp_that_gathers_again(loss, params, x, y, mesh):
    """Under jax.checkpoint: the backward pass gathers the weights once more, as FSDP does to hold less."""

    def run(w, x, y):
        @partial(jax.checkpoint, policy=jax.checkpoint_policies.nothing_saveable)
        def mean(w):
            whole = jax.tree.map(lambda part: jax.lax.all_gather(part, "data", tiled=True), w)
            return jax.lax.pmean(loss(whole, x, y), "data")

        return jax.value_and_grad(mean)(w)

    spec = Spec("data", None)
    return jax.jit(jax.shard_map(run, mesh=mesh, in_specs=(spec, spec, spec), out_specs=(Spec(), spec)))(params, x, y)


@alternative(of="start_training")
def training_by_out_shardings():
    """Initialises under jit with the shardings of the results given; the step by optax."""

    def start(optimizer, params, specs, mesh):
        places = {name: NamedSharding(mesh, spec) for name, spec in specs.items()}
        placed = jax.device_put(params, places)
        state = jax.eval_shape(optimizer.init, placed)
        whole = NamedSharding(mesh, Spec())
        shardings = jax.tree.map(lambda leaf: leaf, state)
        shardings = optax.tree.map_params(
            optax.GradientTransformation(optimizer.init, optimizer.update),
            lambda _, place: place,
            shardings,
            places,
            transform_non_params=lambda _: whole,
        )
        return placed, jax.jit(optimizer.init, out_shardings=shardings)(placed)

    def make(loss, optimizer):
        @partial(jax.jit, donate_argnames=("params", "state"))
        def step(params, state, x, y):
            value, slopes = jax.value_and_grad(loss)(params, x, y)
            updates, state = optimizer.update(slopes, state, params)
            return value, optax.apply_updates(params, updates), state

        return step

    return start, make


@alternative(of="start_training")
def training_with_places_held():
    """Moves the finished state to its places, by the names of its leaves."""

    def start(optimizer, params, specs, mesh):
        placed = jax.tree.map(lambda w, spec: jax.device_put(w, NamedSharding(mesh, spec)), params, specs)
        raw = optimizer.init({name: jnp.asarray(w) for name, w in params.items()})

        def move(path, leaf):
            name = getattr(path[-1], "key", None)
            return jax.device_put(leaf, NamedSharding(mesh, specs.get(name, Spec())))

        return placed, jax.tree_util.tree_map_with_path(move, raw)

    def make(loss, optimizer):
        def step(params, state, x, y):
            value, slopes = jax.value_and_grad(lambda p: loss(p, x, y))(params)
            updates, new = optimizer.update(slopes, state, params)
            return value, {name: params[name] + updates[name] for name in params}, new

        return jax.jit(step, donate_argnums=[0, 1], keep_unused=True)

    return start, make


TABLE = {
    "tokens.embedding": ("model", "data"),
    "positions.embedding": (None, ("data",)),
    "blocks.qkv.kernel": (None, "data", "model", None, None),
    "blocks.qkv.bias": (None, "model", None, None),
    "blocks.up.kernel": (None, "data", "model"),
    "blocks.up.bias": (None, "model"),
    "blocks.out.kernel": (None, "model", None, "data"),
    "blocks.down.kernel": (None, "model", "data"),
}


@alternative(of="partition")
def partition_by_a_table(name, shape):
    """Full names, every entry written out."""
    return Spec(*TABLE.get(name, (None,) * len(shape)))


@alternative(of="partition")
def partition_with_both_on_one_axis(name, shape):
    """Matrices of the blocks are cut along "model" and "data" on one and the same axis; biases are whole."""
    axes = {"qkv.kernel": 2, "up.kernel": 2, "out.kernel": 1, "down.kernel": 1}
    key = name.split(".", 1)[1]
    if name.startswith("blocks.") and key in axes:
        entries = [None] * len(shape)
        entries[axes[key]] = "model" if key in ("qkv.kernel", "out.kernel") else ("model", "data")
        if key in ("qkv.kernel", "out.kernel"):
            entries[1 if key == "qkv.kernel" else len(shape) - 1] = "data"
        return Spec(*entries)
    return {"tokens.embedding": Spec(("model", "data")), "positions.embedding": Spec("data")}.get(name, Spec())


@alternative(of="deep_loss")
def deep_with_a_policy(block, layers, x, remat):
    """The policy that saves nothing, and a scan of two layers at a time."""
    policy = jax.checkpoint_policies.nothing_saveable
    apply = jax.checkpoint(block, policy=policy) if remat else block
    out = jax.lax.scan(lambda h, w: (apply(w, h), ()), x, layers, unroll=2)[0]
    return jnp.sum(out * out) / out.size


@alternative(of="deep_loss")
def deep_in_two_levels(block, layers, x, remat):
    """Checkpoints of two layers each: fewer inputs are kept."""

    def through(h, group):
        return jax.lax.scan(lambda h, w: ((jax.checkpoint(block) if remat else block)(w, h), None), h, group)

    grouped = jax.tree.map(lambda w: w.reshape(-1, 2, *w.shape[1:]), layers)
    return jnp.mean(jnp.square(jax.lax.scan(jax.remat(through) if remat else through, x, grouped)[0]))


@alternative(of="mixed_precision_step")
def step_through_the_cast(loss, masters, x, y, learning_rate):
    """Differentiates through the cast, which returns float32 slopes; updates by optax."""
    low = jnp.bfloat16

    def in_half(params):
        return loss(jax.tree.map(lambda w: w.astype(low), params), x.astype(low), y.astype(low)).astype(jnp.float32)

    slopes = jax.grad(in_half)(jax.tree.map(jnp.asarray, masters))
    return optax.apply_updates(masters, jax.tree.map(lambda g: -learning_rate * g, slopes))


@alternative(of="mixed_precision_step")
@partial(jax.jit, static_argnames=("loss",))
def step_by_optax_casts(loss, masters, x, y, learning_rate):
    """`optax.tree.cast`, under jit."""
    half, inputs, targets = optax.tree.cast((masters, x, y), jnp.bfloat16)
    slopes = optax.tree.cast(jax.grad(loss)(half, inputs, targets), jnp.float32)
    return {name: masters[name] - learning_rate * slopes[name] for name in masters}


@alternative(of="process_rows")
def rows_by_numpy():
    """`np.split` of the row numbers; the batch by a callback."""

    def rows(count, process, processes):
        mine = np.split(np.arange(count), processes)[process]  # raises ValueError where it does not divide
        return int(mine[0]), int(mine[-1]) + 1

    def batch(local, mesh):
        start = jax.process_index() * len(local)
        shape = (jax.process_count() * len(local), *local.shape[1:])

        def piece(index):
            first, last, _ = index[0].indices(shape[0])
            return local[first - start : last - start]

        return jax.make_array_from_callback(shape, NamedSharding(mesh, Spec("data")), piece)

    return rows, batch


@alternative(of="process_rows")
def rows_with_an_explicit_shape():
    """A remainder by %, and the global shape given."""

    def rows(count, process, processes):
        if count % processes != 0:
            raise ValueError("every process must have equally many rows")
        step = count // processes
        return range(0, count, step)[process], range(step, count + 1, step)[process]

    def batch(local, mesh):
        shape = (len(local) * jax.process_count(), local.shape[1])
        return jax.make_array_from_process_local_data(NamedSharding(mesh, Spec(("data",), None)), local, shape)

    return rows, batch


@alternative(of="fit_scaling_law")
def law_by_separable_least_squares():
    """For each exponent floor and factor are linear: a search over exponents, and an interval by the same slopes."""

    def linear(ratios, losses, exponent):
        design = np.stack([np.ones_like(ratios), ratios**-exponent], axis=1)
        coefficients, *_ = np.linalg.lstsq(design, losses, rcond=None)
        return coefficients, float(np.sum((design @ coefficients - losses) ** 2))

    def search(sizes, losses):
        unit = float(np.exp(np.mean(np.log(sizes))))
        ratios = np.asarray(sizes) / unit
        low, high = 0.02, 1.5
        for _ in range(6):
            grid = np.linspace(low, high, 60)
            best = int(np.argmin([linear(ratios, losses, a)[1] for a in grid]))
            low, high = grid[max(best - 1, 0)], grid[min(best + 1, 59)]
        exponent = float((low + high) / 2)
        return unit, ratios, *linear(ratios, losses, exponent)[0], exponent

    def fit(sizes, losses):
        unit, _, floor, scale, exponent = search(sizes, losses)
        return {"floor": float(floor), "factor": float(scale * unit**exponent), "exponent": exponent}

    def predict(sizes, losses, size, level=0.9):
        unit, ratios, floor, scale, exponent = search(sizes, losses)

        def slopes(r):
            return np.stack([np.ones_like(r), r**-exponent, -scale * r**-exponent * np.log(r)], axis=-1)

        noise = np.sum((floor + scale * ratios**-exponent - losses) ** 2) / (len(ratios) - 3)
        j = slopes(np.array(size / unit))
        spread = np.sqrt(noise * (1 + j @ np.linalg.inv(slopes(ratios).T @ slopes(ratios)) @ j))
        middle = float(floor + scale * (size / unit) ** -exponent)
        half = float(stats.t(len(ratios) - 3).interval(level)[1] * spread)
        return middle - half, middle, middle + half

    return fit, predict


@alternative(of="fit_scaling_law")
def law_by_logarithms():
    """Fits the logarithms of floor and factor, so that both stay positive; the interval from the Jacobian."""

    def solve(sizes, losses):
        logs, losses = np.log(sizes), np.asarray(losses)

        def residuals(p):
            return np.exp(p[0]) + np.exp(p[1] - p[2] * (logs - logs.mean())) - losses

        start = (np.log(0.8 * losses.min()), np.log(np.ptp(losses) / 2 + 0.05), 0.3)
        return logs, optimize.least_squares(residuals, start, xtol=1e-14, ftol=1e-14, gtol=1e-14)

    def fit(sizes, losses):
        logs, found = solve(sizes, losses)
        floor, scale, exponent = found.x
        factor = float(np.exp(scale + exponent * logs.mean()))
        return {"floor": float(np.exp(floor)), "factor": factor, "exponent": float(exponent)}

    def predict(sizes, losses, size, level=0.9):
        logs, found = solve(sizes, losses)
        floor, scale, exponent = found.x
        away = np.log(size) - logs.mean()
        power = np.exp(scale - exponent * away)
        slope = np.array([np.exp(floor), power, -away * power])
        noise = 2 * found.cost / (len(logs) - 3)
        variance = noise * (1 + slope @ np.linalg.pinv(found.jac.T @ found.jac) @ slope)
        half = float(np.sqrt(variance) * stats.t.ppf(0.5 + level / 2, len(logs) - 3))
        middle = float(np.exp(floor) + power)
        return middle - half, middle, middle + half

    return fit, predict
