"""Checks of lab 07, sharding large models.

Oracles: published formulas and numbers, NumPy in float64, SciPy, and the compiler's own counts. What decides is the
program: which collectives it has, how many bytes they move, what one device computes and holds. Float32 results are
compared at rtol 1e-3: sums over devices are taken in another order than NumPy's, and no known mistake is that close.
"""

import math
from collections.abc import Iterator
from functools import partial
from operator import index
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P

from gradlab.checks import sharding_oracles as oracles
from gradlab.checks import sharding_verdicts as verdicts
from gradlab.checks.case import Case
from gradlab.checks.draw import Draw
from gradlab.checks.exercise import exercise
from gradlab.checks.prediction import committed
from gradlab.checks.programs import once, product_flops, product_types, run, sent
from gradlab.seam import probe
from gradlab.seam.handle import Handle, StudentError, to_numpy
from gradlab.shards import Block, Placement, SquaredError, Start, TwoSteps, grid, lies, shard_shapes

close = partial(Case, rtol=1e-3, atol=1e-5)
# Adam's, in the trial steps.
EPS = 0.01
# A loss or a count that is summed over devices costs nothing; weights and activations are larger.
SMALL = 64


# --- memory and work


@exercise(points=9, visible=4, skill="scaling", arguments=("memory_per_device", "activation_bytes"))
def memory_per_device(draw: Draw) -> Iterator[Case]:
    # Rajbhandari et al. 2020, table 1: GB a device in stages 0 to 3, by billions of parameters and number of devices.
    published = {
        (7.5, 4): [120, 52.5, 41.3, 30],
        (7.5, 16): [120, 35.6, 21.6, 7.5],
        (7.5, 64): [120, 31.4, 16.6, 1.88],
        (128, 4): [2048, 896, 704, 512],
        (128, 16): [2048, 608, 368, 128],
        (128, 64): [2048, 536, 284, 32],
    }
    rows = [list(published)[int(place)] for place in draw.rng.permutation(len(published))[:3]]
    yield Case(
        "three rows of the ZeRO paper's table, stages 0 to 3, in GB",
        run=lambda held, _: [
            [sum(held(round(billions * 1e9), many, stage).values()) / 1e9 for stage in range(4)]
            for billions, many in rows
        ],
        want=[[float(size) for size in published[row]] for row in rows],
        rtol=1e-3,  # the paper rounds
        atol=0.06,
        because="Stage 1 cuts the optimizer, stage 2 the gradients too, stage 3 the parameters too.",
    )
    size, widths = 8 * draw.size(20, 90), {"parameter_bytes": 4, "gradient_bytes": 4, "optimizer_bytes": 8}
    yield Case(
        "what the compiler plans for one of eight devices",
        run=lambda held, _: [sum(held(size, 8, stage, **widths).values()) for stage in range(4)],
        want=[oracles.planned_bytes(size, stage) for stage in range(4)],
        because="Arrays of float32 were cut by stage over eight devices, and memory_analysis() asked.",
    )
    uneven, count = 6 * draw.integer(100, 900) + 1, 6
    share = math.ceil(uneven / count)
    yield Case(
        "a share that is no whole number, kind by kind, stages 1 to 3",
        run=lambda held, _: [held(uneven, count, stage, 2, 4, 8) for stage in (1, 2, 3)],
        want=[
            dict(zip(oracles.KINDS, sizes, strict=True))
            for sizes in (
                (2 * uneven, 4 * uneven, 8 * share),
                (2 * uneven, 4 * share, 8 * share),
                (2 * share, 4 * share, 8 * share),
            )
        ],
        because="Devices hold whole parameters: the share is rounded up, then multiplied by the bytes of each kind.",
    )
    # Two layers would make a layer's bytes and half of them the same; 24 is no multiple of sixteen devices.
    heads, layers = 16 * draw.integer(1, 3), draw.integer(3, 9)
    batch, length = draw.integer(2, 7), 8 * draw.integer(2, 7)
    shape = {"batch": batch, "sequence": length, "width": 16 * heads, "heads": heads, "layers": layers}
    for recompute in ("none", "selective", "full"):
        for tensor in (1, 16):
            yield Case(
                f"activations, recompute {recompute}" + (", cut over sixteen devices" if tensor > 1 else ""),
                run=lambda _, kept, how=(tensor, recompute): kept(**shape, tensor=how[0], recompute=how[1]),
                want=float(oracles.saved_activations(**shape, tensor=tensor, recompute=recompute)),
                rtol=1e-9,  # arithmetic in float64
                weight=0.5,
                because="Korthikanti et al. 2022, table 2: s b h (10 + 24/t + 5 a s/(h t)) a layer.",
            )


@exercise(points=1, visible=1, skill="scaling", arguments=("devices_guess",))
def fewest_devices(draw: Draw) -> Iterator[Case]:
    yield committed()


@exercise(points=8, visible=4, skill="scaling", arguments=("flops_per_token", "utilisation"))
def flops_per_token(draw: Draw) -> Iterator[Case]:
    heads = draw.integer(1, 2)
    sizes = {"layers": draw.integer(3, 4), "width": 8 * heads, "vocabulary": draw.integer(17, 30)}
    # Odd lengths: where one is a multiple of half the width, a product that is left out weighs as much as attention.
    for length in (7, 13):
        yield Case(
            f"a GPT of {sizes['layers']} layers, {length} tokens: counted in its gradient's program",
            run=lambda count, _, length=length: count(**sizes, sequence=length),
            want=product_flops(oracles.gpt_gradient_text(**sizes, heads=heads, sequence=length)) // length,
            weight=2,
            because="Every matrix product of the traced training step was counted, forward and backward.",
        )
    rate, work, peak = 1000 * draw.uniform(2, 9), 1e6 * draw.uniform(2, 9), 1e12
    for devices in (1, 4):
        yield close(
            f"utilisation of {devices} device{'s' * (devices > 1)}",
            run=lambda _, used, devices=devices: used(rate, work, devices, peak),
            want=rate * work / peak / devices,
            because="Operations done in a second, over what all devices together could do.",
        )


# --- one program on many devices


def _spread(arguments: tuple, mesh: Any, want: np.ndarray, work: int, reduced: int, title: str = "") -> Iterator[Case]:
    """The cases of a tensor-parallel layer: result, collective, and what one device computes."""
    program = once(lambda layer: probe.program(layer, *arguments, mesh))
    yield close(
        f"the result{title}",
        run=lambda layer: to_numpy(run(program(layer), mesh)),
        want=want,
        weight=2,
        because="Every device has a part of the last sum; together they are the whole. Each bias counts once.",
    )
    yield Case(
        f"one all-reduce of the outputs, in bytes{title}",
        run=lambda layer: sent(program(layer)),
        want={"all-reduce": (reduced,)},
        weight=2,
        because="Columns, then rows: only the last product is a sum over devices. Nothing else needs to be sent.",
    )
    yield Case(
        f"operations of one device{title}",
        run=lambda layer: product_flops(program(layer).text),
        want=work // mesh.size,
        because="The work is divided over all devices. Inside shard_map each sees its own shards.",
    )


def mlp_cases(draw: Draw, data: int, model: int, title: str = "") -> Iterator[Case]:
    """The cases of the tensor-parallel MLP on a mesh of that shape."""
    batch, width, inner = data * draw.size(2, 3), draw.size(3, 7), model * draw.size(2, 4)
    x, up, up_bias = draw.normal(batch, width), draw.normal(width, inner), draw.normal(inner)
    arguments = (x, up, up_bias, draw.normal(inner, width), draw.normal(width))
    work, reduced = 4 * batch * width * inner, 4 * (batch // data) * width
    yield from _spread(arguments, grid(data, model), oracles.mlp(*arguments), work, reduced, title)


@exercise(points=10, visible=4, skill="parallelism")
def tensor_parallel_mlp(draw: Draw) -> Iterator[Case]:
    yield from mlp_cases(draw, 2, 4)


def attention_cases(draw: Draw, data: int, model: int, title: str = "") -> Iterator[Case]:
    """The cases of tensor-parallel attention on a mesh of that shape."""
    batch, length, heads = data * draw.size(1, 2), draw.size(3, 5), model * draw.size(1, 2)
    width, size = draw.size(5, 8), draw.size(2, 4)
    query, key, value = (draw.normal(width, heads, size, scale=0.5) for _ in range(3))
    out = draw.normal(heads, size, width, scale=0.5)
    arguments = (draw.normal(batch, length, width), query, key, value, out)
    work = batch * length * heads * size * (8 * width + 4 * length)
    reduced = 4 * (batch // data) * length * width
    yield from _spread(arguments, grid(data, model), oracles.attention(*arguments), work, reduced, title)


@exercise(points=8, visible=3, skill="parallelism")
def tensor_parallel_attention(draw: Draw) -> Iterator[Case]:
    yield from attention_cases(draw, 2, 4)


def fsdp_cases(draw: Draw, data: int, model: int, title: str = "") -> Iterator[Case]:
    """The cases of fully sharded data parallelism on a mesh of that shape."""
    mesh, width, inner = grid(data, model), data * draw.size(1, 2), data * draw.size(2, 3)
    params = {"hidden": draw.normal(width, inner), "output": draw.normal(inner, width)}
    x, y = draw.normal(2 * data, width), draw.normal(2 * data, width)
    program = once(lambda fsdp: probe.program(fsdp, SquaredError(), params, x, y, mesh))
    done = once(lambda fsdp: run(program(fsdp), mesh))
    each = 4 * width * inner
    loss, gradients = oracles.squared_error(params, x, y)
    yield close(f"the mean loss{title}", run=lambda fsdp: to_numpy(done(fsdp)[0]), want=loss)
    yield close(
        f"the gradients of the mean{title}",
        run=lambda fsdp: to_numpy(done(fsdp)[1]),
        want=gradients,
        weight=2,
        because="The mean over the batch is the mean of the devices' means: sum, and divide by their number.",
    )
    yield Case(
        f"weights are gathered, gradients reduce-scattered, nothing is all-reduced{title}",
        run=lambda fsdp: _traffic(sent(program(fsdp), above=SMALL), each),
        want="weights gathered, gradients scattered",
        weight=3,
        because="Only a number as small as the loss may be all-reduced.",
    )
    # Two products forward and three backward, each of two rows.
    least = 5 * 2 * (2 * width * inner)
    yield Case(
        f"what one device multiplies{title}",
        run=lambda fsdp: _work(product_flops(program(fsdp).text), least),
        want="its own rows",
        because='The batch is divided over the devices of "data", x and y both: each works on its own rows alone.',
    )
    yield Case(
        f"what one device holds of the gradients{title}",
        run=lambda fsdp: shard_shapes(done(fsdp)[1]),
        want=[(width // data, inner), (inner // data, width)],
        weight=2,
        because="Each device keeps the slice of the gradient that belongs to its slice of the weight.",
    )


def _traffic(found: dict[str, tuple[int, ...]], each: int) -> str:
    """What is wrong with FSDP's collectives for two matrices of `each` bytes; gathering again backwards is right."""
    if not found:
        return "nothing is sent"
    if "all-reduce" in found:
        return "an all-reduce of more than the loss"
    if "all-gather" not in found:
        return "the weights are not gathered"
    if found["all-gather"] not in ((each,) * 2, (each,) * 4, (2 * each,), (2 * each,) * 2):
        return "gathered is not each weight, once or once forward and once backward, and nothing else"
    if found.get("reduce-scatter") not in ((each,) * 2, (2 * each,)):
        return "the gradients are not reduce-scattered once"
    return "weights gathered, gradients scattered" if len(found) == 2 else "another collective is in the program"


def _work(found: int, least: int) -> str:
    """Whose rows a device works on, by its operations; a second forward pass, for less memory, is right."""
    if found < least:
        return "less than its own rows need"
    return "its own rows" if found <= 2 * least else "rows of other devices too"


@exercise(points=12, visible=5, skill="parallelism")
def fsdp_gradients(draw: Draw) -> Iterator[Case]:
    yield from fsdp_cases(draw, 8, 1)


@exercise(points=8, visible=4, skill="parallelism", arguments=("start_training", "make_step"))
def start_training(draw: Draw) -> Iterator[Case]:
    axes, specs = (2, 4), {"hidden": P("data", "model"), "output": P("model", "data")}
    width, inner = 8 * draw.size(1, 2), 8 * draw.size(2, 3)
    params = {"hidden": draw.normal(width, inner), "output": draw.normal(inner, width)}
    x, y = draw.normal(4, width), draw.normal(4, width)
    # Two questions apart: a known mistake may stand in for one of the functions, on another side of the seam.
    started = once(lambda start: probe.apply(start, Start(specs, axes), params))
    stepped = once(lambda make: probe.apply(make, TwoSteps(specs, axes, EPS), params, x, y))
    parts = {name: oracles.shard_shape(params[name].shape, specs[name], axes) for name in params}
    places = [lies(parts[name], math.prod(axes)) for name in ("hidden", "output")]
    held = 3 * 4 * sum(math.prod(shape) for shape in parts.values())
    losses, trained = oracles.two_steps(params, x, y, EPS)
    yield Case(
        "where the parameters lie at the start",
        run=lambda start, _: started(start)["params"],
        want=places,
        because="Each parameter is cut by its own spec.",
    )
    yield Case(
        "where the moments lie at the start, and the bytes of one device",
        run=lambda start, _: [started(start)[name] for name in ("moments", "bytes")],
        want=[2 * places, held],
        weight=2,
        because="Both moments of a parameter lie like it. One device holds three slices of each parameter.",
    )
    yield close(
        "the parameters are the same numbers", run=lambda start, _: started(start)["values"], want=params, trivial=True
    )
    yield Case(
        "where everything lies after two steps",
        run=lambda _, make: [stepped(make)[name] for name in ("params", "moments", "bytes")],
        want=[places, 2 * places, held],
        because="A step must leave everything where it was.",
    )
    yield Case(
        "the old arrays were given away",
        run=lambda _, make: stepped(make)["donated"],
        want=[True] * 6,
        weight=2,
        because="Parameters and state are donated, so that new and old are never in memory together.",
    )
    yield close(
        "losses and parameters of two steps",
        run=lambda _, make: [stepped(make)[name] for name in ("losses", "values")],
        want=[losses, trained],
        weight=2,
        because="Cutting changes where numbers lie, and not what they are.",
    )


# --- partition specs


def gpt_shapes(layers: int, width: int, heads: int, vocabulary: int, context: int) -> dict[str, tuple[int, ...]]:
    """The parameters of `gradlab.gpt` by name; those of all blocks are stacked on a first axis."""
    size, inner = width // heads, 4 * width
    block = {
        "attention_norm.scale": (width,),
        "qkv.kernel": (width, heads, 3, size),
        "qkv.bias": (heads, 3, size),
        "out.kernel": (heads, size, width),
        "out.bias": (width,),
        "mlp_norm.scale": (width,),
        "up.kernel": (width, inner),
        "up.bias": (inner,),
        "down.kernel": (inner, width),
        "down.bias": (width,),
    }
    whole = {"tokens.embedding": (vocabulary, width), "positions.embedding": (context, width), "norm.scale": (width,)}
    return whole | {f"blocks.{name}": (layers, *shape) for name, shape in block.items()}


@exercise(points=7, visible=3, skill="parallelism")
def partition(draw: Draw) -> Iterator[Case]:
    sizes = {
        "layers": 8 * draw.size(1, 3),
        "width": 64 * draw.size(1, 3),
        "heads": 8,
        "vocabulary": 8 * draw.size(20, 40),
    }
    shapes = gpt_shapes(**sizes, context=16 * draw.size(1, 4))
    # The axis of the whole shape that tensor parallelism cuts.
    places = {"qkv.kernel": 2, "out.kernel": 1, "up.kernel": 2, "down.kernel": 1}
    yield Case(
        'where "model" cuts the four matrices of a block',
        run=lambda spec: {
            key: verdicts.cut_along(spec(f"blocks.{key}", shapes[f"blocks.{key}"]), "model", shapes[f"blocks.{key}"])
            for key in places
        },
        want={key: verdicts.on_axis(axis) for key, axis in places.items()},
        weight=3,
        because="Columns of what enters a sum over devices, rows of what is summed; heads, never parts of a head.",
    )
    embeddings = {k: v for k, v in shapes.items() if k.endswith(".embedding")}
    yield Case(
        'where "model" cuts the two embeddings',
        run=lambda spec: {k: verdicts.cut_along(spec(k, shape), "model", shape) for k, shape in embeddings.items()},
        want={"tokens.embedding": verdicts.on_axis(0), "positions.embedding": verdicts.on_axis(None)},
        because="The output layer's columns are the words of the vocabulary. Positions belong to no product.",
    )
    matrices = {k: v for k, v in shapes.items() if k.endswith((".kernel", "tokens.embedding"))}
    yield Case(
        "every matrix is cut over all devices",
        run=lambda spec: verdicts.cut_by(spec, matrices, 8),
        want=verdicts.EVENLY_CUT,
        weight=2,
        because='A matrix is cut along "data" too, as FSDP does, and not along its layers: a scan takes one at a time.',
    )
    yield Case(
        'positions.embedding is cut along "data"',
        run=lambda spec: verdicts.cut_by(spec, {k: v for k, v in embeddings.items() if k.startswith("positions")}, 2),
        want=verdicts.EVENLY_CUT,
        because='It is as wide as the model, and what is cut along "data" is gathered when it is used.',
    )
    yield Case(
        "biases of columns are whole, or cut as their columns are",
        run=lambda spec: verdicts.biases(spec, {k: shapes[f"blocks.{k}"] for k in ("qkv.bias", "up.bias")}),
        want=verdicts.LIKE_COLUMNS,
        trivial=True,
        because="A stacked bias has the axis of the layers in front as well: it stays whole.",
    )
    small = {k: v for k, v in shapes.items() if "norm" in k or k in ("blocks.out.bias", "blocks.down.bias")}
    yield Case(
        "norms, and biases that are added after a sum, are whole",
        run=lambda spec: verdicts.all_whole(spec, small),
        want=verdicts.WHOLE,
        trivial=True,
        because="They are a thousandth of the parameters, and every device of a row adds them after the all-reduce.",
    )


# --- recomputation and precision


def _layers(draw: Draw, count: int, width: int, inner: int) -> dict[str, np.ndarray]:
    return {"up": draw.normal(count, width, inner, scale=0.2), "down": draw.normal(count, inner, width, scale=0.2)}


@exercise(points=10, visible=4, skill="efficiency")
def deep_loss(draw: Draw) -> Iterator[Case]:
    rows, width = 8 * draw.size(3, 5), 8 * draw.size(1, 2)
    few, many = (_layers(draw, count, width, 4 * width) for count in (4, 8))
    x = draw.normal(rows, width)
    # JAX arrays: a loop takes layers out of them by a traced number, which NumPy's do not allow.
    stack, start = jax.tree.map(jnp.asarray, (few, x))
    for remat in (False, True):
        yield close(
            f"the loss, remat={remat}",
            run=lambda deep, remat=remat: deep(Block(), stack, start, remat),
            want=oracles.deep_loss(few, x),
        )
    yield Case(
        "the program does not grow with depth",
        run=lambda deep: _grows(deep, few, many, x),
        want="as long for 8 layers as for 4",
        weight=2,
        trivial=True,
        because="Lines of the traced program. A Python loop makes a copy for each layer, jax.lax.scan makes one.",
    )
    # A layer keeps about 27 arrays of the size of x where nothing is recomputed, 6 of them four times as wide.
    # With it, the plan has room for two copies of one layer's weights.
    most = len(many["up"]) + 30 + 16 * width // rows
    yield Case(
        "with remat, one input a layer is kept",
        run=lambda deep: _planned(deep, many, x, True),
        judge=lambda kept: (
            None
            if isinstance(kept, float) and kept <= most
            else f"the compiler plans {kept:.0f} arrays of the size of x, and {most} are enough"
        ),
        want=f"at most {most} arrays of the size of x: the input of each layer, and all of the one layer at work",
        rtol=0.05,  # the same mistake in other words keeps one array more
        weight=2,
        trivial=True,
        because="memory_analysis() of the gradient. What is recomputed need not be kept.",
    )
    yield Case(
        "without remat, the backward pass recomputes nothing",
        run=lambda deep: _planned(deep, many, x, False) > 2 * most,
        want=True,
        because="Each layer then keeps its hidden units too, and the compiler plans for them.",
    )


def _grows(deep: Handle, few: dict, many: dict, x: np.ndarray) -> str:
    for remat in (True, False):
        short, long = (len(probe.jaxpr(deep, Block(), layers, x, remat).splitlines()) for layers in (few, many))
        if long > short + 4:
            return "longer with every layer"
    return "as long for 8 layers as for 4"


def _planned(deep: Handle, layers: dict, x: np.ndarray, remat: bool) -> float:
    """What the compiler plans beside arguments and results for the gradient, in arrays of the size of x."""
    return probe.memory(probe.grad(deep, argnums=1), Block(), layers, x, remat)["temp"] / x.nbytes


@exercise(points=1, visible=1, skill="efficiency", arguments=("factor_guess",))
def remat_factor(draw: Draw) -> Iterator[Case]:
    yield committed()


@exercise(points=6, visible=3, skill="numerics")
def mixed_precision_step(draw: Draw) -> Iterator[Case]:
    width, inner = draw.size(5, 8), draw.size(6, 9)
    params = {"hidden": draw.normal(width, inner, scale=0.5), "output": draw.normal(inner, width, scale=0.5)}
    x, y = draw.normal(12, width), draw.normal(12, width)
    masters = jax.tree.map(jnp.asarray, params)
    slopes = oracles.squared_error(params, x, y)[1]
    largest = max(float(np.abs(slope).max()) for slope in slopes.values())
    for title, rate in (("a step", 0.5), ("a step that is smaller than bfloat16 can add", 2e-4 / largest)):
        yield Case(
            f"{title}: how far the weights moved",
            run=lambda step, rate=rate: _moved(step(SquaredError(), masters, x, y, rate), params, rate),
            want=slopes,
            rtol=0.05,  # the slopes themselves are computed with 8 bits of mantissa
            atol=0.05 * largest,
            weight=2,
            because="Slopes may be rough. The weights that they are added to must keep what is small.",
        )
    program = once(lambda step: probe.program(step, SquaredError(), params, x, y, 0.1))
    yield Case(
        "every matrix product is one of bfloat16",
        run=lambda step: sorted(product_types(program(step).text)),
        want=["bf16"],
        because="Weights and inputs are both cast: a product of bfloat16 and float32 is one of float32.",
    )
    yield Case(
        "the weights that come back are float32",
        run=lambda step: sorted({str(leaf.dtype) for leaf in step(SquaredError(), params, x, y, 0.1).values()}),
        want=["float32"],
        trivial=True,
    )


def _moved(after: Any, before: dict, rate: float) -> dict:
    if not isinstance(after, dict) or set(after) != set(before):
        raise TypeError("return the new weights alone, in the form of the masters")
    return {name: (before[name].astype(float) - np.asarray(after[name], float)) / rate for name in before}


# --- processes


@exercise(points=6, visible=3, skill="parallelism", arguments=("process_rows", "global_batch"))
def process_rows(draw: Draw) -> Iterator[Case]:
    processes, each = draw.size(2, 5), draw.size(2, 6)
    yield Case(
        f"the rows of each of {processes} processes",
        # Whole numbers: rows are taken by a slice.
        run=lambda rows, _: [_range(rows(processes * each, p, processes)) for p in range(processes)],
        want=[(p * each, (p + 1) * each) for p in range(processes)],
        weight=2,
        because="One block of rows after the other: every row once, in the order of the processes.",
    )
    yield Case(
        "a batch that cannot be divided",
        run=lambda rows, _: _refusal(rows, processes * each + 1, processes),
        want="ValueError",
        because="Rows that nobody has, or two have, change the gradient without a word.",
    )
    batch = draw.normal(8 * draw.size(1, 2), draw.size(3, 5))
    for axes in ((4, 2), (2, 1)):
        wanted = oracles.shard_shape(batch.shape, P("data"), axes)
        yield Case(
            f"a global batch on a mesh of {axes[0]} x {axes[1]}",
            run=lambda _, make, axes=axes: probe.apply(make, Placement(axes), batch),
            want={"value": batch, "shards": [wanted] * math.prod(axes), "devices": math.prod(axes)},
            weight=2,
            because='Rows are cut along "data", and lie whole along "model", on every device of the mesh.',
        )


def _range(found: Any) -> tuple[int, ...]:
    if not isinstance(found, (tuple, list)):
        kind = probe.kind(found) if isinstance(found, Handle) else type(found).__name__
        raise TypeError(f"return two whole numbers, start and stop, not a {kind}")
    return tuple(map(index, found))


def _refusal(rows: Handle, batch: int, processes: int) -> str:
    try:
        rows(batch, 0, processes)
    except StudentError as error:
        return error.kind
    return "no error"


# --- scaling laws


@exercise(points=6, visible=3, skill="scaling", arguments=("fit_scaling_law", "predict_loss"))
def fit_scaling_law(draw: Draw) -> Iterator[Case]:
    # Apart, so that no number of the visible law is near to one of a hidden law.
    ranges = ((1.2, 1.5), (8, 12), (0.33, 0.4)) if draw.visible else ((1.7, 2.0), (14, 20), (0.25, 0.31))
    law = dict(zip(("floor", "factor", "exponent"), (draw.uniform(*it) for it in ranges), strict=True))
    sizes = np.geomspace(2e3, 2e5, 7)
    exact = oracles.power_law(sizes, **law)
    for name in law:
        yield Case(
            f"the {name} of an exact law",
            run=lambda fit, _, name=name: _part(fit(sizes, exact), name),
            want=law[name],
            rtol=0.02,  # where the optimiser stops
            because="The points lie on floor + factor * size ** -exponent without noise.",
        )
    target, spread = 2e6, 0.01
    trials = [oracles.power_law(np.append(sizes, target), **law) + spread * draw.normal(8) for _ in range(20)]
    asked = once(lambda predict: [predict(sizes, np.array(trial[:-1]), target) for trial in trials])
    yield Case(
        "the middle of the interval, over 20 noisy experiments",
        run=lambda _, predict: float(np.median([middle for _, middle, _ in asked(predict)])),
        want=float(oracles.power_law(np.array(target), **law)),
        rtol=0.03,  # ten times the size is far to see
        because="The law that was fitted to the small sizes, at the large one.",
    )
    yield Case(
        "intervals of 90 % that hold the truth, over 20 noisy experiments",
        run=lambda _, predict: _coverage(asked(predict), [float(trial[-1]) for trial in trials], spread),
        want="the truth in most, and not by width alone",
        weight=2,
        because="The interval must allow for the noise and for what the small sizes leave open.",
    )
    among, levels = 2e4, (0.9, 0.5)
    places = [(target, 0.9), (target, 0.5), (among, 0.9)]
    scattered = oracles.scattered(sizes, spread / 5, draw.normal(len(sizes)), **law)
    yield Case(
        "how wide the interval of seven runs is: ten times as far, at 90 % and at 50 %, and among them",
        run=lambda _, predict: [_width([predict(sizes, scattered, *place)]) for place in places],
        want=[oracles.interval_width(sizes, size, spread / 5, level, **law) for size, level in places],
        rtol=0.1,  # where the optimiser stops; the noise is made so that its size is known
        weight=2,
        because="The variance is that of the law and of one more run, with the noise over n - 3, as for Student's t.",
    )
    many = np.geomspace(2e3, 2e5, 30)
    noisy = [oracles.power_law(many, **law) + spread * draw.normal(30) for _ in range(10)]
    yield Case(
        "how wide the interval is among thirty runs, at 90 % and at 50 %",
        run=lambda _, predict: [_width([predict(many, losses, among, level) for losses in noisy]) for level in levels],
        want=[oracles.interval_width(many, among, spread, level, **law) for level in levels],
        rtol=0.25,  # the noise of 30 runs is known to 14 %, the median of ten to 6 %
        weight=2,
        because="A new run scatters as the others do. A level of 50 % leaves out half, a quarter on each side.",
    )


def _part(found: Any, name: str) -> Any:
    if not isinstance(found, dict) or name not in found:
        raise TypeError('return a dictionary with the keys "floor", "factor" and "exponent"')
    return found[name]


def _width(intervals: list) -> float:
    return float(np.median([high - low for low, _, high in intervals]))


def _coverage(intervals: list, truths: list[float], spread: float) -> str:
    held = sum(low <= truth <= high for (low, _, high), truth in zip(intervals, truths, strict=True))
    # Of 20 intervals that hold the truth with 0.9 each, fewer than 12 do in one of 14,000 experiments.
    if held < 12:
        return "the truth is often outside"
    width = _width(intervals)
    return "so wide that they say nothing" if width > 40 * spread else "the truth in most, and not by width alone"
