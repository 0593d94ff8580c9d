"""Checks of lab 06, data parallelism.

Oracles: the same step on all the data at once, in NumPy and float64, and the ring's arithmetic. float32 results are
compared at rtol 1e-4: sums over eight devices come in another order. How devices talk is read from the program's text.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradlab.checks import talk
from gradlab.checks.case import Case
from gradlab.checks.draw import Draw
from gradlab.checks.exercise import exercise
from gradlab.checks.prediction import committed
from gradlab.landscapes import SoftmaxRegression
from gradlab.replicas import ExampleLosses, Start
from gradlab.seam import probe
from gradlab.seam.handle import Handle

close = partial(Case, rtol=1e-4, atol=1e-5)
# Half of the devices, and another name of their axis than the one that every example has: both are the caller's choice.
DEVICES, FEWER, AXIS = 8, 4, "replicas"
LOSS = SoftmaxRegression()
STEPS = 5


def classification(draw: Draw, rows: int) -> tuple[dict, np.ndarray, np.ndarray]:
    """Parameters, inputs and labels of a small classifier, as NumPy arrays."""
    width, classes = draw.size(3, 5), draw.size(3, 4)
    params = {"weight": draw.normal(width, classes), "bias": draw.normal(classes)}
    return params, draw.normal(rows, width), draw.rng.integers(0, classes, rows).astype(np.int32)


def exact(params: dict, x: np.ndarray, y: np.ndarray, mask: Any = None) -> tuple[float, dict]:
    """Loss and gradient of the mean over the examples in the mask, in float64: the error is p - one-hot."""
    keep = np.ones(len(x), bool) if mask is None else np.asarray(mask, bool).ravel()
    x, y = np.asarray(x, np.float64)[keep], np.asarray(y)[keep]
    scores = x @ np.asarray(params["weight"], np.float64) + np.asarray(params["bias"], np.float64)
    log_p = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    error = np.exp(log_p) - np.eye(scores.shape[1])[y]
    loss = -log_p[np.arange(len(y)), y].mean()
    return loss, {"weight": x.T @ error / len(x), "bias": error.mean(axis=0)}


def descended(params: dict, x: np.ndarray, y: np.ndarray, rate: float) -> list[tuple[dict, float]]:
    """Parameters after each of `STEPS` steps on all the data, and the loss before it."""
    found = []
    for _ in range(STEPS):
        loss, slope = exact(params, x, y)
        params = {name: np.asarray(params[name], np.float64) - rate * slope[name] for name in params}
        found.append((params, loss))
    return found


def everywhere(tree: Any, count: int) -> Any:
    """Each leaf with an axis of `count` copies in front."""
    return jax.tree.map(lambda leaf: np.broadcast_to(leaf, (count, *np.shape(leaf))).copy(), tree)


def split(array: np.ndarray, count: int) -> np.ndarray:
    """The rows of an array shared out in order: (rows, ...) becomes (count, rows / count, ...)."""
    return array.reshape(count, len(array) // count, *array.shape[1:])


def arrays(tree: Any) -> Any:
    """Each leaf as an array of JAX."""
    return jax.tree.map(jnp.asarray, tree)


def pair(answer: Any, names: str) -> list:
    """The two results of a function. Raises ValueError, which the report shows, for anything else."""
    if isinstance(answer, Handle):  # a named tuple, say, which stays where it is
        return [answer[0], answer[1]]
    if not isinstance(answer, (tuple, list)):
        raise ValueError(f"two results are wanted, {names}, and this is one {type(answer).__name__}")
    if len(answer) != 2:
        raise ValueError(f"two results are wanted, {names}, and these are {len(answer)}")
    return list(answer)


@exercise(points=7, visible=3, skill="distributed")
def shard_batch(draw: Draw) -> Iterator[Case]:
    for name, rows, count in (("an even batch", 12, 4), ("a batch with a remainder", draw.size(17, 21), DEVICES)):
        batch = {"x": draw.normal(rows, 2, draw.size(2, 4)), "y": draw.rng.integers(1, 9, rows).astype(np.int32)}
        # A real row may look like filling.
        batch["x"][1], batch["y"][1] = 0, 0
        yield close(
            name,
            run=lambda shard, batch=batch, count=count: pair(shard(arrays(batch), count), "(batch, mask)"),
            want=list(padded(batch, count)),
            weight=1 if rows % count == 0 else 3,
            because="Device d gets the d-th run of ceil(rows / count) rows; zeros fill the end, and the mask is False"
            " exactly there.",
        )
    yield Case(
        "kinds of numbers",
        run=lambda shard: _kinds(pair(shard(arrays(batch), DEVICES), "(batch, mask)")),
        want=_kinds(padded(batch, DEVICES)),
        trivial=True,
        because="Filling changes no dtype: labels stay whole numbers. The mask is of True and False.",
    )


def _kinds(tree: Any) -> list:
    """In place of each array the name of its dtype."""
    return jax.tree.map(lambda leaf: str(np.asarray(leaf).dtype), list(tree))


def padded(batch: dict, count: int) -> tuple[dict, np.ndarray]:
    """The batch shared out over `count` devices, zeros where rows are missing, and the mask of those that are not."""
    rows = len(batch["y"])
    each = -(-rows // count)

    def fill(leaf: np.ndarray) -> np.ndarray:
        full = np.zeros((each * count, *leaf.shape[1:]), leaf.dtype)
        full[:rows] = leaf
        return split(full, count)

    return {name: fill(leaf) for name, leaf in batch.items()}, fill(np.ones(rows, bool))


@exercise(points=5, visible=2, skill="distributed")
def replicate(draw: Draw) -> Iterator[Case]:
    init, count = Start(draw.size(2, 5), draw.size(2, 4)), DEVICES
    key = jax.random.key(int(draw.rng.integers(1000)))
    yield close(
        "the same parameters for each device",
        run=lambda replicate: replicate(init, key, count),
        want=everywhere(jax.tree.map(np.asarray, init(key)), count),
        because="Every device must start from the same parameters: the steps keep them equal and cannot make them so.",
    )
    yield Case(
        "a copy on each device",
        run=lambda replicate: talk.copies(probe.placement(replicate, init, key, count), count),
        want=talk.COPIES,
        because="The leading axis is to be laid out over the devices, so that each one holds its own copy.",
        trivial=True,
    )


@exercise(points=10, visible=4, skill="distributed")
def make_train_step(draw: Draw) -> Iterator[Case]:
    params, x, y = classification(draw, 3 * DEVICES)
    rate = draw.uniform(0.3, 0.8)
    want = descended(params, x, y, rate)

    def start(count: int) -> Any:
        return arrays((everywhere(params, count), split(x, count), split(y, count)))

    def steps(make: Handle, count: int) -> list:
        step, (copies, *data) = make(LOSS, rate), start(count)
        losses = []
        for _ in range(STEPS):
            copies, loss = pair(step(copies, *data), "(params, loss)")
            losses.append(loss)
        return [copies, losses]

    yield close(
        "five steps, on every device",
        run=lambda make: steps(make, DEVICES)[0],
        want=everywhere(want[-1][0], DEVICES),
        weight=3,
        because="The step is that of one device with all the data: the gradient is the mean over all examples.",
    )
    yield close(
        "the loss of all the data, on four devices",
        run=lambda make: steps(make, FEWER)[1],
        want=[np.full(FEWER, loss) for _, loss in want],
        because="Each device knows the loss of its own part. What is reported is the mean over all that take part: here"
        " the arrays have four rows, for the first four devices.",
    )
    yield Case(
        "all devices work",
        run=lambda make: talk.reduces(probe.program(make(LOSS, rate), *start(DEVICES)).text, DEVICES),
        want=talk.REDUCES,
        because="The program is one for eight devices, which add up their gradients.",
    )


@exercise(points=7, visible=3, skill="distributed")
def mean_gradients(draw: Draw) -> Iterator[Case]:
    n, m = draw.size(2, 4), draw.size(2, 4)
    tree = {"layer": [draw.normal(FEWER, n, m), draw.normal(FEWER, m)], "scale": draw.normal(FEWER, 1)}
    yield from _mean_cases(tree)


def _mean_cases(tree: Any) -> Iterator[Case]:
    def mapped(mean: Handle) -> Handle:
        return probe.pmap(mean, axis_name=AXIS, static_broadcasted_argnums=(1,))

    yield close(
        "the mean over devices",
        run=lambda mean: mapped(mean)(arrays(tree), AXIS),
        want=jax.tree.map(lambda leaf: everywhere(leaf.astype(np.float64).mean(axis=0), FEWER), tree),
        because="Each leaf comes back in its own shape, and holds the mean over the devices of the axis: here four.",
    )
    size = sum(leaf[0].nbytes for leaf in jax.tree.leaves(tree))
    yield Case(
        "one message for the whole tree",
        run=lambda mean: talk.summary(probe.lowered(mapped(mean), arrays(tree), AXIS)),
        want={"all-reduce": 1, "bytes": size},
        because="The program, before the compiler puts collectives together, is to have one all-reduce of one vector.",
    )


@exercise(points=10, visible=4, skill="distributed")
def weighted_gradient(draw: Draw) -> Iterator[Case]:
    params, x, y = classification(draw, 3 * DEVICES)
    mask = draw.rng.random(len(x)) < 0.6
    mask[:3], mask[3:6] = True, [True, False, False]
    yield _weighted_case("devices with unequal numbers of examples", params, x, y, mask)
    some = mask.copy()
    some[-6:] = False
    yield _weighted_case("devices that have none", params, x, y, some)


def _weighted_case(name: str, params: dict, x: np.ndarray, y: np.ndarray, mask: np.ndarray) -> Case:
    def run(weigh: Handle) -> Any:
        mapped = probe.pmap(
            weigh, axis_name=AXIS, in_axes=(None, None, 0, 0, 0, None), static_broadcasted_argnums=(0, 5)
        )
        data = [split(part, DEVICES) for part in (x, y, mask)]
        return pair(mapped(ExampleLosses(), *arrays([params, *data]), AXIS), "(loss, gradient)")

    return close(
        name,
        run=run,
        want=everywhere(list(exact(params, x, y, mask)), DEVICES),
        weight=2,
        because="Every example counts alike, wherever it lies: sum of losses over number of examples, both over all"
        " devices.",
    )


@exercise(points=7, visible=3, skill="distributed")
def dropout(draw: Draw) -> Iterator[Case]:
    # Far from a half, so that dropping at the rate and keeping at the rate differ.
    rate, seed = draw.uniform(0.2, 0.35), int(draw.rng.integers(1000))
    x = draw.uniform(1, 3) * np.ones((DEVICES, 8, 16), np.float32)
    run_key, other_key = jax.random.key(seed), jax.random.key(seed + 1000)

    def masks(drop: Handle, *draws: tuple, rate: float = rate) -> list[np.ndarray]:
        mapped = probe.pmap(
            drop, axis_name=AXIS, in_axes=(0, None, None, None, None), static_broadcasted_argnums=(1, 4)
        )
        return [np.asarray(mapped(jnp.asarray(x), rate, key, jnp.asarray(step), AXIS)) for key, step in draws]

    def all_masks(drop: Handle) -> str:
        *steps, other = masks(drop, *((run_key, step) for step in range(3)), (other_key, 0))
        return talk.masks_differ(steps, other)

    def again(drop: Handle) -> str:
        # At a rate that hardly differs JAX traces anew, as a run that resumes does.
        draws = masks(drop, (run_key, 2)) + masks(drop, (run_key, 2), rate=rate * (1 + 1e-5))
        return talk.mask_repeats(*draws)

    yield Case(
        "what is kept, and how large",
        run=lambda drop: talk.dropped(masks(drop, (run_key, 0))[0] / x, rate),
        want=talk.DROPPED,
        because="Each entry is dropped with probability `rate`, by its own choice, or divided by 1 - rate.",
    )
    yield Case(
        "a mask of its own for each key, step and device",
        run=all_masks,
        want=talk.MASKS,
        weight=2,
        because="With one mask for all, eight devices make one random choice where the large batch makes eight.",
    )
    yield Case(
        "the same again for the same key and step",
        run=again,
        want=talk.REPEATS,
        trivial=True,
        because="A run that resumes must draw what it would have drawn.",
    )


@exercise(points=10, visible=4, skill="distributed")
def sync_batch_norm(draw: Draw) -> Iterator[Case]:
    # Never as many rows as devices: a division by the one would look like a division by the other.
    rows, features = draw.size(5, 7), draw.size(2, 4)
    x = draw.normal(FEWER, rows, features) + draw.normal(FEWER, 1, features)
    eps = draw.uniform(0.05, 0.2)

    def mapped(norm: Handle) -> Handle:
        return probe.pmap(norm, axis_name=AXIS, in_axes=(0, None, None), static_broadcasted_argnums=(1, 2))

    yield close(
        "statistics of the whole batch",
        run=lambda norm: mapped(norm)(jnp.asarray(x), AXIS, eps),
        want=normalized(x, eps),
        weight=3,
        because="Mean and variance are those of all examples on all devices; eps is added to the variance.",
    )
    yield Case(
        "one small collective",
        run=lambda norm: talk.one_small(
            probe.lowered(mapped(norm), jnp.asarray(x), AXIS, eps), 2 * FEWER * 4 * features
        ),
        want=talk.ONE_SMALL,
        because="Sum and sum of squares fit into one array, and one array is one message.",
    )


def normalized(x: np.ndarray, eps: float) -> np.ndarray:
    """Batch normalisation over devices and rows, in float64."""
    wide = x.astype(np.float64)
    mean, variance = wide.mean(axis=(0, 1)), wide.var(axis=(0, 1))
    return (wide - mean) / np.sqrt(variance + eps)


@exercise(points=7, visible=3, skill="distributed")
def accumulate(draw: Draw) -> Iterator[Case]:
    # Never as many parts as devices, nor as a part has rows.
    parts = 2 * draw.size(1, 2) + 1
    params, x, y = classification(draw, 2 * parts * FEWER)

    def mapped(add: Handle) -> Handle:
        axes = (None, None, 0, 0, None, None)
        return probe.pmap(add, axis_name=AXIS, in_axes=axes, static_broadcasted_argnums=(0, 4, 5))

    args = (LOSS, params, split(x, FEWER), split(y, FEWER), parts, AXIS)

    def ready() -> tuple:
        return (LOSS, *arrays(args[1:4]), parts, AXIS)

    yield close(
        "equal to the large batch",
        run=lambda add: pair(mapped(add)(*ready()), "(loss, gradient)"),
        want=everywhere(list(exact(params, x, y)), FEWER),
        weight=2,
        because="The mean over parts of equal size, and over devices, is the mean over all examples.",
    )
    yield Case(
        "devices talk once",
        run=lambda add: talk.once(probe.lowered(mapped(add), *ready()), arrays=3),
        want=talk.ONCE,
        because="The parts are added up on each device. The collective comes after the last of them.",
    )
    yield Case(
        "one part at a time",
        run=lambda add: talk.part_by_part(probe.lowered(mapped(add), *ready()), len(x) // FEWER, parts),
        want=talk.PART_BY_PART,
        because="The point is memory: a device holds the activations of one part, and never those of all its rows.",
    )


@exercise(points=11, visible=4, skill="distributed")
def ring_all_reduce(draw: Draw) -> Iterator[Case]:
    for size in (DEVICES, draw.size(3, 5)):
        x = draw.normal(size, size * draw.size(1, 3))
        yield close(
            f"the sum over {size} devices",
            run=lambda ring, x=x, size=size: on_a_ring(ring, size)(jnp.asarray(x), AXIS, size),
            want=everywhere(x.astype(np.float64).sum(axis=0), size),
            weight=2,
        )
    x = draw.normal(DEVICES, 2 * DEVICES)
    yield Case(
        "messages, bytes and links",
        run=lambda ring: talk.ring(probe.lowered(on_a_ring(ring, DEVICES), jnp.asarray(x), AXIS, DEVICES), DEVICES),
        want={"messages": 14, "bytes": 14 * 8, "links": talk.RING},
        weight=2,
        because="2 (8 - 1) messages to the neighbour, each of one chunk: an eighth of the vector. No other collective.",
    )


def on_a_ring(ring: Handle, size: int) -> Handle:
    """The student's all-reduce, mapped over `size` devices."""
    return probe.pmap(ring, axis_name=AXIS, in_axes=(0, None, None), static_broadcasted_argnums=(1, 2))


def whole_steps(draw: Draw) -> tuple[tuple, float, list]:
    """Parameters, inputs and labels; a learning rate; and what `descended` gives for them."""
    params, x, y = classification(draw, 3 * DEVICES)
    rate = draw.uniform(0.3, 0.8)
    return (params, x, y), rate, descended(params, x, y, rate)


def _five(step: Handle, data: tuple) -> list:
    params, *batch = arrays(data)
    losses = []
    for _ in range(STEPS):
        params, loss = pair(step(params, *batch), "(params, loss)")
        losses.append(loss)
    return [params, losses]


def _five_case(make_name: str, data: tuple, rate: float, want: list) -> Case:
    return close(
        "five steps and their losses",
        run=lambda make: _five(make(LOSS, rate, DEVICES), data),
        want=[want[-1][0], [loss for _, loss in want]],
        weight=2,
        because=f"{make_name} takes and gives parameters without an axis of copies. The step is the same as before.",
    )


@exercise(points=7, visible=3, skill="distributed")
def shard_map_step(draw: Draw) -> Iterator[Case]:
    data, rate, want = whole_steps(draw)
    yield _five_case("shard_map", data, rate, want)
    yield Case(
        "each device works on its own rows",
        run=lambda make: talk.own_rows(
            probe.program(make(LOSS, rate, DEVICES), *arrays(data)).text, len(data[1]), DEVICES
        ),
        want=talk.OWN_ROWS,
        because="in_specs say what each device gets: P('devices') a share of the rows, P() everything.",
    )


@exercise(points=5, visible=2, skill="distributed")
def jit_step(draw: Draw) -> Iterator[Case]:
    data, rate, want = whole_steps(draw)
    yield _five_case("jit", data, rate, want)
    yield Case(
        "the compiler has put in the all-reduce",
        run=lambda make: talk.reduces(probe.compiled(make(LOSS, rate, DEVICES), *arrays(data)), DEVICES),
        want=talk.REDUCES,
        because="When the batch lies in shards, the compiler must add up what the shards give. It does so by itself.",
    )


@exercise(points=4, visible=2, skill="performance")
def efficiency(draw: Draw) -> Iterator[Case]:
    compute, size = draw.uniform(0.01, 0.1), 1e6 * draw.integer(100, 900)
    latency, bandwidth = 1e-6 * draw.integer(20, 90), 1e9 * draw.integer(20, 90)
    # A large model on a fast network, and a tiny one where latency is all.
    situations = {"bandwidth decides": (64, size), "latency decides": (512, 1e3), "one device": (1, size)}
    for name, (count, volume) in situations.items():
        ring = 2 * (count - 1) * (latency + volume / count / bandwidth)
        yield close(
            name,
            run=lambda efficiency, c=count, v=volume: float(efficiency(c, compute, v, latency, bandwidth)),
            want=compute / (compute + ring),
            weight=1 if count == 1 else 2,
            trivial=count == 1,
            because="The ring makes 2(n - 1) steps, each of one latency and one n-th of the bytes.",
        )


@exercise(points=2, visible=2, skill="performance", arguments=("speedup_guess",))
def speedup(draw: Draw) -> Iterator[Case]:
    yield committed()
