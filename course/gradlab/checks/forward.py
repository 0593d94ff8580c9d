"""Checks of lab 02, forward.

Oracles: SciPy (`special.erf`, `special.log_softmax`), scikit-learn, `jax.lax` for the convolution, and closed forms in
float64 NumPy. The student's float32 results are compared at rtol 1e-4: some hundred rounded operations at 6e-8 each,
with a wide margin, and far below what any of the known mistakes changes. Where a case needs more room, it says why.
"""

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special
from sklearn.metrics import mean_squared_error

from gradlab.checks.case import Case
from gradlab.checks.draw import Draw
from gradlab.checks.exercise import exercise
from gradlab.checks.prediction import committed
from gradlab.metric import ClassDistance
from gradlab.seam import probe
from gradlab.seam.handle import Handle, StudentError

close = partial(Case, rtol=1e-4, atol=1e-5)
# The last digit of a float32 near 4000 is 2.4e-4: differences of such logits are no better than that.
close_large = partial(Case, rtol=1e-4, atol=1e-3)


def wide(array: Any) -> np.ndarray:
    """The numbers that the student's function is given, in float64."""
    return np.asarray(array, np.float64)


def array(draw: Draw, *shape: int, scale: float = 1.0) -> jax.Array:
    """Normal numbers as a JAX array in float32."""
    return jnp.asarray(draw.normal(*shape, scale=scale))


def unrolled(small: probe.Program, large: probe.Program) -> bool:
    """Whether a program has more lines for larger arrays: only an unrolled Python loop does that."""
    # A few operations of slack, for a library that pads or reshapes by size.
    return len(large.text.splitlines()) > len(small.text.splitlines()) + 4


@exercise(points=5, visible=2, skill="models")
def affine(draw: Draw) -> Iterator[Case]:
    d = draw.size(3, 4)
    m = d + draw.size(1, 2)
    for name, shape, outputs in (
        ("a batch", (5, d), m),
        ("as many outputs as inputs", (3, d), d),
        ("one example", (d,), m),
        ("a batch of sequences", (2, 3, d), m),
    ):
        x, weight, bias = array(draw, *shape), array(draw, d, outputs), array(draw, outputs)
        yield close(
            name,
            run=lambda affine, args=(x, weight, bias): affine(*args),
            want=np.einsum("...i,ij->...j", wide(x), wide(weight)) + wide(bias),
            because="The last axis is contracted with the weight's first; all axes before it stay as they are.",
        )


@exercise(points=3, visible=1, skill="models")
def relu(draw: Draw) -> Iterator[Case]:
    x = array(draw, 4, 5, scale=3)
    yield close("numbers of both signs", run=lambda relu: relu(x), want=np.where(wide(x) < 0, 0, wide(x)), weight=2)
    y = jnp.asarray([-np.inf, np.inf, draw.uniform(-3, -1), draw.uniform(1, 3)], jnp.float32)
    yield close(
        "infinities",
        run=lambda relu: relu(y),
        want=np.clip(wide(y), 0, None),
        because="The larger of x and 0: infinity stays, and minus infinity becomes 0.",
    )


@exercise(points=5, visible=2, skill="models")
def gelu(draw: Draw) -> Iterator[Case]:
    for name, x in (
        ("numbers near zero", array(draw, 4, 5)),
        ("where approximations differ from the definition", jnp.asarray(draw.rng.uniform(-3.5, 3.5, 20), jnp.float32)),
        ("large numbers", array(draw, 6, scale=20)),
    ):
        # 1e-5 separates the definition from the tanh form, which is off by up to 5e-4.
        yield close(
            name,
            run=lambda gelu, x=x: gelu(x),
            want=wide(x) * 0.5 * special.erfc(-wide(x) / np.sqrt(2)),
            because="x times the probability that a standard normal number is below x.",
        )


@exercise(points=10, visible=4, skill="numerics")
def log_softmax(draw: Draw) -> Iterator[Case]:
    n = draw.size(3, 5)
    matrix, cube = array(draw, n, n, scale=2), array(draw, 2, n, 3, scale=2)
    yield close(
        "the last axis, which is the default",
        run=lambda log_softmax: log_softmax(matrix),
        want=special.log_softmax(wide(matrix), axis=-1),
    )
    for name, x, axis in (("the first axis", matrix, 0), ("an axis in the middle", cube, 1)):
        yield close(
            name,
            run=lambda log_softmax, x=x, axis=axis: log_softmax(x, axis=axis),
            want=special.log_softmax(wide(x), axis=axis),
            because="Along `axis` the exponentials of the result add up to 1.",
        )
    yield close_large(
        "logits a thousand times as large",
        run=lambda log_softmax: log_softmax(1000 * matrix),
        want=special.log_softmax(wide(1000 * matrix), axis=-1),
        weight=2,
        because="exp(1000) is infinite in float32. Subtract the maximum before, and never take the log of a softmax.",
    )
    far = matrix + jnp.asarray(4000.0 * np.arange(n), jnp.float32)[:, None]
    yield close_large(
        "rows that are far apart",
        run=lambda log_softmax: log_softmax(far),
        want=special.log_softmax(wide(far), axis=-1),
        because="Each row needs its own maximum: the largest number of all is out of reach for the others.",
    )


@exercise(points=4, visible=2, skill="models")
def mse(draw: Draw) -> Iterator[Case]:
    n = draw.size(3, 5)
    for name, shape in (("several outputs an example", (n, 2)), ("one output an example", (n,))):
        prediction, target = array(draw, *shape), array(draw, *shape)
        yield close(
            name,
            run=lambda mse, args=(prediction, target): mse(*args),
            want=float(mean_squared_error(wide(target).ravel(), wide(prediction).ravel())),
            because="The mean over all numbers, examples and outputs alike.",
        )
    column, row = array(draw, n, 1), array(draw, n)
    yield Case(
        "a column against a row is refused",
        run=lambda mse: refusal(mse, column, row),
        want="ValueError",
        trivial=True,
        because="(n, 1) - (n,) broadcasts to (n, n) without a word. Raise a ValueError where the shapes differ.",
    )


def refusal(function: Handle, *args: Any) -> str:
    """The name of the exception that a call raises."""
    try:
        function(*args)
    except StudentError as error:
        if error.kind == "NotImplementedError":
            raise
        return error.kind
    return "no error"


def smoothed_cross_entropy(logits: Any, labels: Any, smoothing: float = 0.0, mask: Any = None) -> float:
    """The closed form in float64: the entropy of the smoothed targets against the softmax, averaged over the mask."""
    log_p = special.log_softmax(wide(logits), axis=-1)
    targets = np.full(log_p.shape, smoothing / log_p.shape[-1])
    np.put_along_axis(targets, np.asarray(labels)[..., None], 1 - smoothing + smoothing / log_p.shape[-1], axis=-1)
    each = -np.sum(targets * log_p, axis=-1)
    return float(each[np.ones(each.shape, bool) if mask is None else np.asarray(mask)].mean())


def _sequences(draw: Draw) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Logits of two sequences, labels, and a mask that leaves parts of different length, never all nor none."""
    c, steps = draw.size(3, 5), 5
    logits, labels = array(draw, 2, steps, c, scale=2), draw.rng.integers(0, c, (2, steps))
    lengths = np.array([draw.size(1, 2), draw.size(3, 4)])
    mask = np.arange(steps)[None] < lengths[:, None]
    return logits, jnp.asarray(labels, jnp.int32), jnp.asarray(mask)


@exercise(points=12, visible=5, skill="numerics")
def cross_entropy(draw: Draw) -> Iterator[Case]:
    c = draw.size(3, 5)
    logits, labels = array(draw, 6, c, scale=2), jnp.asarray(draw.rng.integers(0, c, 6), jnp.int32)
    smoothing = draw.uniform(0.1, 0.4)
    yield close(
        "integer labels",
        run=lambda loss: loss(logits, labels),
        want=smoothed_cross_entropy(logits, labels),
        because="The mean over the examples of minus the log-probability of the right class.",
    )
    yield close(
        "label smoothing",
        run=lambda loss: loss(logits, labels, label_smoothing=smoothing),
        want=smoothed_cross_entropy(logits, labels, smoothing),
        because="Every class gets smoothing / classes of the target, the right one included, which keeps the rest.",
    )
    yield close_large(
        "logits a thousand times as large",
        run=lambda loss: loss(1000 * logits, labels),
        want=smoothed_cross_entropy(1000 * logits, labels),
        because="Go from logits to log-probabilities in one step, with your log_softmax.",
    )
    sequence, words, mask = _sequences(draw)
    yield close(
        "sequences with a mask",
        run=lambda loss: loss(sequence, words, mask=mask),
        want=smoothed_cross_entropy(sequence, words, 0.0, mask),
        weight=2,
        because="The sum over the positions that count, divided by how many there are.",
    )
    broken = jnp.where(mask[..., None], sequence, jnp.nan)
    yield close(
        "what is masked may be anything",
        run=lambda loss: loss(broken, words, mask=mask),
        want=smoothed_cross_entropy(sequence, words, 0.0, mask),
        because="0 times nan is nan. Choose with jnp.where; do not multiply by the mask.",
    )
    yield close(
        "everything is masked",
        run=lambda loss: loss(sequence, words, mask=jnp.zeros_like(mask)),
        want=0.0,
        trivial=True,
        because="A batch of padding alone has the loss 0, not nan.",
    )
    yield close(
        "mask and smoothing inside jax.jit",
        run=lambda loss: probe.program(loss, sequence, words, label_smoothing=smoothing, mask=mask).run(),
        want=smoothed_cross_entropy(sequence, words, smoothing, mask),
        because="A training step is compiled: no Python if on an array's values, no indexing by a mask.",
    )


def normalized(x: Any, scale: Any, bias: Any, eps: float) -> np.ndarray:
    """Layer normalisation in float64, with the variance as the mean squared deviation."""
    x = wide(x)
    deviation = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(deviation).mean(axis=-1, keepdims=True)
    return wide(scale) * deviation * (variance + eps) ** -0.5 + wide(bias)


def unit_spread(x: jax.Array) -> jax.Array:
    """The same means over the last axis, and deviations from them of standard deviation 1.

    Three numbers that are nearly the same would be normalized to little more than their rounding errors.
    """
    mean = x.mean(axis=-1, keepdims=True)
    return mean + (x - mean) / x.std(axis=-1, keepdims=True)


@exercise(points=8, visible=3, skill="models")
def layer_norm(draw: Draw) -> Iterator[Case]:
    d = draw.size(3, 5)
    x, scale, bias = unit_spread(array(draw, d, d)), array(draw, d), array(draw, d)
    eps = draw.uniform(0.2, 0.6)
    for name, given, settings, compare in (
        ("a batch, with the default eps", x + 2, {}, close),
        ("an eps that is not small", x, {"eps": eps}, close),
        ("a batch of sequences", unit_spread(array(draw, 2, 3, d)), {}, close),
        # A mean of 4000 leaves float32 numbers with an error of 1e-4, which the scale multiplies.
        ("a mean far larger than the spread", x + 4000, {}, partial(Case, rtol=1e-3, atol=1e-2)),
    ):
        yield compare(
            name,
            run=lambda norm, given=given, settings=settings: norm(given, scale, bias, **settings),
            want=normalized(given, scale, bias, settings.get("eps", 1e-5)),
            because="Mean and variance over the last axis, of each position by itself; the variance divides by d.",
        )
    yield close(
        "numbers that are all the same",
        run=lambda norm: norm(jnp.full((2, d), 3.0), scale, bias),
        want=np.tile(wide(bias), (2, 1)),
        because="The variance is 0, and eps keeps the division from it.",
    )


def lax_convolution(images: Any, kernel: Any, stride: int, padding: int) -> np.ndarray:
    """The library's convolution, NHWC and HWIO, with as much zero padding on each side."""
    sides = [(padding, padding)] * 2
    layout = ("NHWC", "HWIO", "NHWC")
    found = jax.lax.conv_general_dilated(images, kernel, (stride, stride), sides, dimension_numbers=layout)
    return np.asarray(found)


@exercise(points=10, visible=4, skill="models")
def conv2d(draw: Draw) -> Iterator[Case]:
    h, c = draw.size(5, 6), 2
    images = array(draw, 2, h, h + 2, c)
    tall, square = array(draw, 3, 2, c, c + 1), array(draw, 3, 3, c, c)
    for name, kernel, stride, padding in (
        ("no padding, stride 1", tall, 1, 0),
        ("as many channels out as in", square, 1, 0),
        ("padding with zeros", square, 1, 1),
        ("a stride of 2", tall, 2, 0),
    ):
        yield close(
            name,
            run=lambda conv, args=(images, kernel, stride, padding): conv(*args),
            want=lax_convolution(images, kernel, stride, padding),
            because="y[b, i, j, o] = sum over u, v, c of padded[b, i stride + u, j stride + v, c] kernel[u, v, c, o].",
        )
    small, large = array(draw, 1, 4, 5, c), array(draw, 1, 6, 7, c)
    yield Case(
        "no loop over the pixels",
        run=lambda conv: unrolled(probe.program(conv, small, square), probe.program(conv, large, square)),
        want=False,
        trivial=True,
        because="A Python loop over the positions of the image is unrolled. Loop over the kernel's few, and slice.",
    )


def attended(query: Any, key: Any, value: Any) -> np.ndarray:
    """Causal attention in float64, one query at a time: each sees a prefix, and so needs no mask."""
    query, key, value = wide(query), wide(key), wide(value)
    rows = []
    for t in range(query.shape[-2]):
        scores = np.einsum("...d,...sd->...s", query[..., t, :], key[..., : t + 1, :]) / query.shape[-1] ** 0.5
        rows.append(np.einsum("...s,...sv->...v", special.softmax(scores, axis=-1), value[..., : t + 1, :]))
    return np.stack(rows, axis=-2)


@exercise(points=12, visible=5, skill="models")
def causal_attention(draw: Draw) -> Iterator[Case]:
    steps, d = draw.size(4, 5), draw.size(3, 4)
    one = (array(draw, steps, d), array(draw, steps, d), array(draw, steps, d + 2))
    many = (array(draw, 2, 3, steps, d), array(draw, 2, 3, steps, d), array(draw, 2, 3, steps, d))
    # The last position's score for the longest key is 300: its exponential is more than float32 can hold.
    longest = one[1][jnp.argmax(jnp.linalg.norm(one[1], axis=-1))]
    queries = (60 * one[0]).at[-1].set(300 * d**0.5 * longest / (longest @ longest))
    sharp = (queries, one[1], one[2])
    for name, args, weight in (
        ("one sequence", one, 2),
        ("a batch of sequences with several heads", many, 1),
        # Scores in the hundreds round to 1e-5, which the softmax turns into a relative error of as much.
        ("scores in the hundreds", sharp, 1),
    ):
        yield close_large(
            name,
            run=lambda attend, args=args: attend(*args),
            want=attended(*args),
            weight=weight,
            because="Position t is a weighted mean of the values up to t, with weights that add up to 1.",
        )
    cut = steps - 2
    later = tuple(part.at[cut:].set(array(draw, *part[cut:].shape)) for part in one)
    yield Case(
        "the future cannot be seen",
        run=lambda attend: np.allclose(attend(*one)[:cut], attend(*later)[:cut], rtol=0, atol=1e-5),
        want=True,
        trivial=True,
        because="Other keys and values at later positions must leave the earlier outputs as they are.",
    )


def layers(draw: Draw, sizes: list[int]) -> list[dict[str, jax.Array]]:
    """Parameters of a multi-layer perceptron, as the lab defines them, with biases that are not zero."""
    pairs = itertools.pairwise(sizes)
    return [{"weight": array(draw, n, m), "bias": array(draw, m)} for n, m in pairs]


def perceptron(params: list[dict[str, jax.Array]], x: Any) -> list[np.ndarray]:
    """What each layer puts out before its activation, in float64."""
    signals, given = [], wide(x)
    for layer in params:
        signals.append(given @ wide(layer["weight"]) + wide(layer["bias"]))
        given = np.where(signals[-1] > 0, signals[-1], 0)
    return signals


@exercise(points=7, visible=3, skill="models")
def mlp_forward(draw: Draw) -> Iterator[Case]:
    d = draw.size(3, 4)
    for name, sizes, shape in (
        ("two layers", [d, 6, 2], (4, d)),
        ("four layers of one width", [d] * 5, (4, d)),
        ("one layer", [d, 2], (4, d)),
        ("one example", [d, 6, 2], (d,)),
    ):
        params, x = layers(draw, sizes), array(draw, *shape)
        yield close(
            name,
            run=lambda forward, params=params, x=x: forward(params, x),
            want=perceptron(params, x)[-1],
            weight=1 if name == "one layer" else 2,
            because="ReLU after every layer but the last: the last one gives the logits.",
        )
    yield Case(
        "the parameters are as they were",
        run=lambda forward: probe.leaves_arguments(forward, params, x),
        want=True,
        trivial=True,
        because="Whoever holds the parameters calls you again with them: change neither the list nor its arrays.",
    )


@exercise(points=5, visible=2, skill="frameworks")
def map_examples(draw: Draw) -> Iterator[Case]:
    d, classes = draw.size(3, 4), draw.size(2, 3)
    root = draw.normal(d, d)
    params = {"centers": array(draw, classes, d), "precision": jnp.asarray(root @ root.T)}

    def batch(count: int) -> tuple:
        labels = draw.rng.integers(0, classes, count)
        return ClassDistance(), params, array(draw, count, d), jnp.asarray(labels, jnp.int32)

    args, more = batch(4), batch(8)
    offset = wide(args[2]) - wide(params["centers"])[np.asarray(args[3])]
    yield close(
        "the result of each example",
        run=lambda map_examples: map_examples(*args),
        want=np.einsum("ni,ij,nj->n", offset, wide(params["precision"]), offset),
        because="The parameters are shared; the examples and their labels are mapped over their first axis.",
    )
    yield Case(
        "all examples at once, in a program that does not depend on their number",
        run=lambda map_examples: _loops(map_examples, args, more),
        want="neither",
        trivial=True,
        because="A Python loop makes a copy for each example, and lax.map or scan takes them one after the other.",
    )


def _loops(map_examples: Handle, small: tuple, large: tuple) -> str:
    """Which kind of loop the program has: one that was unrolled, one that runs, or neither."""
    few, many = (probe.program(map_examples, *args) for args in (small, large))
    if unrolled(few, many):
        return "a copy of the function for each example"
    return "a loop over the examples" if few.operations("stablehlo.while") else "neither"


def log_growth(params: Any, x: Any) -> np.ndarray:
    """How much the mean square of each layer's signal has grown, as log10: zeros where the variance is kept.

    The signal is what a layer puts out before ReLU. With weights of variance 2/d_in its mean square is twice that of
    the network's input, in every layer (He et al. 2015).
    """
    with np.errstate(divide="ignore"):
        return np.log10([np.mean(signal**2) / (2 * np.mean(wide(x) ** 2)) for signal in perceptron(params, x)])


def similarity(one: Any, other: Any) -> float:
    """The absolute cosine between two arrays; 1 where either is zero."""
    one, other = wide(one).ravel(), wide(other).ravel()
    length = np.linalg.norm(one) * np.linalg.norm(other)
    return float(abs(one @ other) / length) if length else 1.0


@exercise(points=7, visible=3, skill="numerics")
def init_params(draw: Draw) -> Iterator[Case]:
    key, other = (jax.random.key(int(seed)) for seed in draw.rng.choice(2**31, 2, replace=False))
    sizes, deep, uneven = [5, 7, 3], [128] * 21, [64, 512, 64]
    yield Case(
        "a list of layers, each with its weight and its bias",
        run=lambda init: [(layer["weight"].shape, layer["bias"].shape) for layer in init(key, sizes)],
        want=[((5, 7), (7,)), ((7, 3), (3,))],
        trivial=True,
    )
    yield Case(
        "the biases start at zero",
        run=lambda init: [layer["bias"] for layer in init(key, sizes)],
        want=[np.zeros(7), np.zeros(3)],
        trivial=True,
    )
    x = array(draw, 16, 128)
    # Chance alone spreads the log by 0.4 (one standard deviation) after 20 layers of 128 units, where a forgotten
    # factor of 2 makes -6; and by 0.03 in the uneven network, where outputs counted for inputs make 0.9.
    yield Case(
        "the signal's variance through 20 layers, as log10 of its growth",
        run=lambda init: log_growth(init(key, deep), x),
        want=np.zeros(20),
        rtol=0,
        atol=3.0,
        weight=3,
        because="ReLU halves the mean square, and a sum over d_in inputs multiplies it by d_in Var(w).",
    )
    yield Case(
        "layers that widen and narrow, as log10 of the growth",
        run=lambda init: log_growth(init(key, uneven), x[:, :64]),
        want=np.zeros(2),
        rtol=0,
        atol=0.4,
        weight=2,
        because="What counts is the number of inputs of a layer, not of its outputs.",
    )
    yield Case(
        "each layer draws its own numbers, and another key draws others",
        run=lambda init: _repeats(init(key, [32] * 3), init(other, [32] * 3)),
        want="neither",
        because="Split the key, once for each layer: a key that is used twice gives the same numbers twice.",
    )


def _repeats(params: Any, others: Any) -> str:
    """What repeats: 1024 independent numbers have a cosine of 0.03, and 0.3 is ten times as much."""
    if similarity(params[0]["weight"], params[1]["weight"]) > 0.3:
        return "two layers have the same weights"
    same = similarity(params[0]["weight"], others[0]["weight"]) > 0.3
    return "another key gives the same weights" if same else "neither"


@exercise(points=2, visible=2, skill="models", arguments=("loss_guess",))
def initial_loss(draw: Draw) -> Iterator[Case]:
    yield committed()
