"""Checks of lab 03, backward.

Oracles: closed forms, and the complex step (`complex_step`), which differentiates a forward pass in float64. The
student's float32 results are compared at rtol 1e-4 and atol 1e-5: a few dozen rounded operations at 6e-8 each, with
a wide margin, and far below what any of the known mistakes changes.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from gradlab.checks.case import Case
from gradlab.checks.complex_step import ACTIVATIONS, affine, attention, cross_entropy, layer_norm, mlp_loss, pullback
from gradlab.checks.draw import Draw
from gradlab.checks.exercise import exercise
from gradlab.checks.prediction import committed
from gradlab.curves import Coupled, Scaled, Valley, Waves
from gradlab.landscapes import Quadratic
from gradlab.seam import probe
from gradlab.seam.handle import Handle

close = partial(Case, rtol=1e-4, atol=1e-5)


def untouched(*args: Any) -> Case:
    """The case that a function leaves its arguments alone."""
    return Case(
        "the arguments are as they were",
        run=lambda function: probe.leaves_arguments(function, *args),
        want=True,
        trivial=True,
        because="Compute new arrays: whoever passed these in still needs them, and so does the rest of the backward"
        " pass.",
    )


def on_device(*arrays: Any) -> tuple:
    """The arrays as JAX arrays."""
    return jax.tree.map(jnp.asarray, arrays)


# --- numerical differentiation


@exercise(points=5, visible=2, skill="differentiation")
def numerical_grad(draw: Draw) -> Iterator[Case]:
    shape = (2, draw.size(2, 4))
    waves, x = Waves(draw.normal(*shape)), draw.normal(*shape)
    for h in (draw.uniform(0.3, 0.6), draw.uniform(0.05, 0.1)):
        yield close(
            f"a matrix of variables, h = {h}",
            run=lambda grad, h=h: grad(waves, jnp.asarray(x), h),
            want=waves.amplitude * np.cos(x.astype(np.float64)) * math.sin(h) / h,
            weight=2,
            because="For a sin(x) the central difference is a cos(x) sin(h)/h, whatever h is.",
            # Rounding in float32 is 6e-8 of the function's value, here up to 10, over 2h.
            atol=5e-5,
        )
    n = draw.size(2, 4)
    bowl = Quadratic.with_condition(draw.uniform(2, 9), n, angle=draw.uniform(0.2, 1.2))
    point = draw.normal(n)
    yield close(
        "a quadratic, where the central difference is exact",
        run=lambda grad: grad(bowl, jnp.asarray(point), 0.5),
        want=bowl.matrix.astype(np.float64) @ point,
    )


@exercise(points=3, visible=1, skill="differentiation")
def gradient_errors(draw: Draw) -> Iterator[Case]:
    waves, x = Waves(draw.normal(5)), draw.normal(5)
    steps = [draw.uniform(0.5, 0.9), draw.uniform(0.2, 0.4), draw.uniform(0.08, 0.15)]
    shrink = np.array([math.sin(h) / h for h in steps])
    # atol: float32 rounding over a step of 0.08.
    yield close(
        "a correct gradient: the error of the steps",
        run=lambda errors: errors(waves, waves.gradient, jnp.asarray(x), steps),
        want=1 - shrink,
        weight=2,
        because="For a sin(x) the relative error is 1 - sin(h)/h. It falls with the square of h.",
        atol=3e-5,
    )
    # A factor for each entry: where all entries are wrong by one factor, any mean of their errors is right.
    factors, exact = draw.rng.uniform(1.5, 3.0, 5), waves.amplitude * np.cos(x.astype(np.float64))
    claimed = factors * exact
    yield close(
        "a gradient that is wrong, each entry by a factor of its own",
        run=lambda errors: errors(waves, Scaled(waves.gradient, factors), jnp.asarray(x), steps),
        want=np.linalg.norm(shrink[:, None] * exact - claimed, axis=1) / np.linalg.norm(claimed),
        because="No step makes the error of a wrong gradient small: that is how a gradient check finds it.",
        atol=3e-5,
    )


@exercise(points=2, visible=2, skill="differentiation", arguments=("best_step_guess",))
def best_step(draw: Draw) -> Iterator[Case]:
    yield committed()


@exercise(points=2, visible=2, skill="numerics", arguments=("shrink_guess",))
def shrink(draw: Draw) -> Iterator[Case]:
    yield committed()


# --- the scalar engine


def _pushed(grads: float, node: Handle, *parents: Handle) -> list[float]:
    """The parents' gradients after `node` has pushed a gradient of its own."""
    node.perform("set_attribute", "grad", grads)
    node.push()
    return [parent.grad for parent in parents]


@exercise(points=8, visible=3, skill="automatic differentiation", arguments=("Value",))
def value(draw: Draw) -> Iterator[Case]:
    a, b, g = draw.uniform(0.4, 1.2), draw.uniform(-1.4, -0.5), draw.uniform(1.3, 2.6)
    exact = partial(Case, rtol=1e-6, atol=1e-9)  # Python's own floats

    def with_two(question: Callable) -> Callable:
        return lambda Value: question(Value(a), Value(b))

    yield exact(
        "values, and the nodes they were made from",
        run=with_two(lambda x, y: [(x + y).data, (x * y).data, x.tanh().data, *_data((x * y).parents)]),
        want=[a + b, a * b, math.tanh(a), a, b],
        trivial=True,
    )
    yield exact(
        "a sum pushes its gradient to both parents",
        run=with_two(lambda x, y: _pushed(g, x + y, x, y)),
        want=[g, g],
    )
    yield exact(
        "a product pushes to each parent the other's value times its gradient",
        run=with_two(lambda x, y: _pushed(g, x * y, x, y)),
        want=[g * b, g * a],
        weight=2,
    )
    yield exact(
        "tanh pushes (1 - tanh^2) times its gradient",
        run=with_two(lambda x, _: _pushed(g, x.tanh(), x)),
        want=[g * (1 - math.tanh(a) ** 2)],
        weight=2,
    )
    yield exact(
        "one number used twice: x + x and x * x",
        run=with_two(lambda x, y: _pushed(g, x + x, x) + _pushed(g, y * y, y)),
        want=[2 * g, 2 * b * g],
        weight=2,
        because="Both uses add their share. A gradient that is assigned, not added to, loses one of them.",
    )
    yield exact(
        "three results push into one number",
        run=with_two(lambda x, y: [_pushed(2.0, x + y, x), _pushed(g, x * y, x), _pushed(g, x.tanh(), x)]),
        want=[[2.0], [2.0 + g * b], [2.0 + g * b + g * (1 - math.tanh(a) ** 2)]],
        because="What other nodes have pushed before must stay.",
    )
    yield exact(
        "plain numbers beside nodes",
        run=with_two(lambda x, y: [(x + 2.0).data, *_pushed(g, 3.0 * x, x), *_pushed(g, y * 0.5, y)]),
        want=[a + 2.0, 3.0 * g, 0.5 * g],
    )
    yield exact(
        "data that is changed between forward and backward",
        run=with_two(lambda x, y: _pushed_late(g, x, y)),
        want=[g * b, g * a, g * (1 - math.tanh(a) ** 2)],
        because="Save the numbers that push needs when the node is made: an optimizer may change data before it runs.",
    )


def _data(nodes: Any) -> list[float]:
    return [node.data for node in nodes]


def _pushed_late(grad: float, x: Handle, y: Handle) -> list[float]:
    product, squashed = x * y, x.tanh()
    for node in (x, y, squashed):
        node.perform("set_attribute", "data", 7.0)
    both = _pushed(grad, product, x, y)
    x.perform("set_attribute", "grad", 0.0)
    return both + _pushed(grad, squashed, x)


def _diamond(x: Any, y: Any) -> Any:
    a = x * y
    b = a + x
    return a * b + (np.tanh(b) if isinstance(b, np.complex128) else b.tanh())


def _short_and_long_way(x: Any, y: Any) -> Any:
    """`early` is used at once, and again behind three more nodes: whoever pushes it too soon loses the second."""
    early = x * y
    late = (early + x) * y + early * x
    return early * (late * late + early)


@exercise(points=8, visible=3, skill="automatic differentiation", arguments=("Value",))
def backward(draw: Draw) -> Iterator[Case]:
    a, b = draw.uniform(0.4, 1.1), draw.uniform(-1.2, -0.5)
    exact = partial(Case, rtol=1e-6, atol=1e-9)

    def gradients(expression: Callable, *, times: int = 1) -> Callable:
        def run(Value: Handle) -> list[float]:
            x, y = Value(a), Value(b)
            root = expression(x, y)
            for _ in range(times):
                root.backward()
            return [x.grad, y.grad]

        return run

    def slopes(expression: Callable) -> list[float]:
        return [float(d) for d in pullback(lambda x, y: expression(x[()], y[()]), (a, b), 1.0)]

    ways = {
        "a chain": (lambda x, y: x * y * 0.5 + 2.0, 1),
        "paths that part and meet again": (_diamond, 2),
        "a node that is used early and late": (_short_and_long_way, 2),
        "five doublings": (partial(_doublings, 5), 1),
    }
    for name, (expression, weight) in ways.items():
        yield exact(
            name,
            run=gradients(expression),
            want=slopes(expression),
            weight=weight,
            because="A node may push only when everything that used it has pushed. Each node pushes once.",
        )
    yield exact(
        "calling backward again gives the same gradients",
        run=gradients(_diamond, times=2),
        want=slopes(_diamond),
        because="Set the gradient of every node of the graph to 0 before you begin.",
    )
    yield exact(
        "the gradient of the root is 1",
        run=lambda Value: _root_grad(Value, a, b),
        want=1.0,
        trivial=True,
    )


def _doublings(count: int, x: Any, y: Any) -> Any:
    total = x * y
    for _ in range(count):
        total = total + total
    return total


def _root_grad(Value: Handle, a: float, b: float) -> float:
    root = Value(a) * Value(b)
    root.backward()
    return root.grad


# --- rules for arrays


@exercise(points=6, visible=2, skill="automatic differentiation")
def unbroadcast(draw: Draw) -> Iterator[Case]:
    rows, width = draw.size(2, 3), draw.size(4, 5)
    cotangent, cube = draw.normal(rows, width), draw.normal(2, rows, width)
    cases = [
        ("an axis that broadcasting put in front", cotangent, (width,), 2, False),
        ("an axis of length 1 that was stretched", cotangent, (rows, 1), 2, False),
        ("both at once", cube, (1, width), 2, False),
        ("a single number", cotangent, (), 1, False),
        ("equal lengths on different axes", draw.normal(3, 3), (3, 1), 1, False),
        ("nothing was broadcast", cotangent, (rows, width), 1, True),
    ]
    for name, array, shape, weight, trivial in cases:
        yield close(
            f"{name}: from {array.shape} to {shape}",
            run=lambda unbroadcast, array=array, shape=shape: unbroadcast(jnp.asarray(array), shape),
            # The forward pass is a broadcast, and its pullback is found number by number.
            want=pullback(lambda x, array=array: np.broadcast_to(x, array.shape), (np.zeros(shape),), array)[0],
            weight=weight,
            trivial=trivial,
            because="One number went to several places: its cotangent is the sum over all of them.",
        )


@exercise(points=5, visible=2, skill="automatic differentiation")
def affine_vjp(draw: Draw) -> Iterator[Case]:
    for name, (b, n, m) in {"a batch of 3, from 2 to 4": (3, 2, 4), "all sizes equal": (3, 3, 3)}.items():
        args = draw.normal(b, n), draw.normal(n, m), draw.normal(m)
        cotangent = draw.normal(b, m)
        yield close(
            name,
            run=lambda vjp, args=args, cotangent=cotangent: vjp(*on_device(*args, cotangent)),
            want=pullback(affine, args, cotangent),
            because="Three results, in the order and the shapes of x, weight and bias.",
            weight=2,
        )
    yield untouched(*args, cotangent)


@exercise(points=3, visible=1, skill="automatic differentiation")
def relu_vjp(draw: Draw) -> Iterator[Case]:
    x, cotangent = draw.normal(3, 4), draw.normal(3, 4)
    yield close(
        "positive and negative inputs",
        run=lambda vjp: vjp(*on_device(x, cotangent)),
        want=np.where(x > 0, cotangent, 0.0),
        weight=2,
        because="Where x is positive the cotangent passes, elsewhere it stops. The sign of x decides, not its own.",
    )
    flat = np.where(np.arange(12).reshape(3, 4) % 3, x, 0.0).astype(np.float32)
    yield close(
        "inputs that are exactly zero",
        run=lambda vjp: vjp(*on_device(flat, cotangent)),
        want=np.where(flat > 0, cotangent, 0.0),
        because="At zero any slope from 0 to 1 would do. Here it is 0, as in JAX, so that two programs agree.",
    )
    yield untouched(x, cotangent)


@exercise(points=7, visible=3, skill="automatic differentiation")
def log_softmax_cross_entropy_vjp(draw: Draw) -> Iterator[Case]:
    b, c = 3, 5
    logits, labels = draw.normal(b, c), draw.rng.integers(0, c, b).astype(np.int32)
    upstream = draw.uniform(1.5, 3.0)
    for name, scores, given, weight in (
        ("a batch, cotangent 1", logits, 1.0, 2),
        (f"a batch, cotangent {upstream}", logits, upstream, 2),
        ("logits a thousand times larger", 1000 * logits, 1.0, 1),
    ):
        yield close(
            name,
            run=lambda vjp, scores=scores, given=given: vjp(*on_device(scores, labels, np.float32(given))),
            want=pullback(partial(cross_entropy, labels), (scores,), given)[0],
            weight=weight,
            because="The cotangent of the loss, times (softmax - one-hot), over the number of examples in the batch.",
        )


@exercise(points=7, visible=3, skill="automatic differentiation")
def layer_norm_vjp(draw: Draw) -> Iterator[Case]:
    b, d, eps = 3, 4, draw.uniform(0.1, 0.3)
    args = draw.normal(b, d), 1 + draw.normal(d), draw.normal(d)
    cotangent = draw.normal(b, d)
    want = pullback(partial(layer_norm, eps), args, cotangent)
    for part, (name, weight) in enumerate({"the input": 4, "scale": 1, "shift": 1}.items()):
        yield close(
            f"the cotangent of {name}",
            run=lambda vjp, part=part: vjp(*on_device(*args, cotangent), eps)[part],
            want=want[part],
            weight=weight,
            because="Each input acts through three paths: directly, through the mean, and through the variance.",
        )
    yield untouched(*args, cotangent)


@exercise(points=8, visible=3, skill="automatic differentiation")
def attention_vjp(draw: Draw) -> Iterator[Case]:
    length, d = 4, 2
    args = draw.normal(length, d), draw.normal(length, d), draw.normal(length, 5)
    cotangent = draw.normal(length, 5)
    want = pullback(attention, args, cotangent)
    for part, (name, weight) in enumerate({"query": 2, "key": 2, "value": 1}.items()):
        yield close(
            f"the cotangent of {name}",
            run=lambda vjp, part=part: vjp(*on_device(*args, cotangent))[part],
            want=want[part],
            weight=weight,
            because="Back through four steps: the weighted sum, the softmax, the scale, and the products of q and k.",
        )
    square = draw.normal(3, 3), draw.normal(3, 3), draw.normal(3, 3)
    yield close(
        "all sizes equal",
        run=lambda vjp: vjp(*on_device(*square, square[2] + 1)),
        want=pullback(attention, square, square[2] + 1),
        because="On square matrices a transpose in the wrong place raises no error.",
    )


# --- a whole network


def random_mlp(draw: Draw, *sizes: int) -> list[dict[str, Float[np.ndarray, "..."]]]:
    """Parameters of an MLP: a list of layers, each `{"weight": (n, m), "bias": (m,)}`."""
    return [{"weight": draw.normal(n, m), "bias": draw.normal(m)} for n, m in itertools.pairwise(sizes)]


def mlp_oracle(params: list, x: np.ndarray, labels: np.ndarray) -> tuple[float, list]:
    """Loss and gradients in float64."""
    leaves = [np.asarray(layer[name], np.float64) for layer in params for name in ("weight", "bias")]
    slopes = pullback(partial(mlp_loss, labels, x.astype(np.float64)), tuple(leaves), 1.0)
    pairs = zip(slopes[0::2], slopes[1::2], strict=True)
    return float(np.real(mlp_loss(labels, x, *leaves))), [{"weight": w, "bias": b} for w, b in pairs]


@exercise(points=8, visible=3, skill="automatic differentiation")
def mlp_backward(draw: Draw) -> Iterator[Case]:
    # Of three rows, two layers' rectifiers may let the same numbers through, and a wrong gate would be a right one.
    nets = {"one layer": (3, (3, 3)), "two layers": (3, (3, 4, 3)), "three layers, all of one width": (8, (3, 3, 3, 3))}
    for weight, (name, (rows, sizes)) in enumerate(nets.items(), 1):
        x, labels = draw.normal(rows, sizes[0]), draw.rng.integers(0, sizes[-1], rows).astype(np.int32)
        params = random_mlp(draw, *sizes)
        yield close(
            name,
            run=lambda backward, given=(params, x, labels): backward(*on_device(*given)),
            want=mlp_oracle(params, x, labels),
            weight=weight,
            because="The loss, and gradients in the structure of the parameters.",
        )
    yield untouched(params, x, labels)


# --- rules of your own


@exercise(points=4, visible=2, skill="numerics")
def log1pexp(draw: Draw) -> Iterator[Case]:
    ranges = {
        "moderate": draw.normal(6, scale=2),
        "large": draw.normal(6) + np.asarray([200, -200, 500, -500, 90, 60], np.float32),
    }
    for name, x in ranges.items():
        cotangent, wide = draw.normal(6), x.astype(np.float64)
        yield close(
            f"{name} inputs: value, and cotangent of the input",
            run=lambda f, x=x, cotangent=cotangent: probe.vjp(f, *on_device(x), cotangent=jnp.asarray(cotangent)),
            want=(np.logaddexp(0, wide), ((1 + np.tanh(wide / 2)) / 2 * cotangent,)),
            because="log(1 + e^x) has the derivative 1/(1 + e^-x). Far out neither may be infinite or nan.",
        )


@exercise(points=3, visible=1, skill="automatic differentiation")
def straight_through_round(draw: Draw) -> Iterator[Case]:
    x, cotangent = draw.normal(6, scale=3), draw.normal(6, scale=2)
    yield close(
        "value, and cotangent of the input",
        run=lambda f: probe.vjp(f, *on_device(x), cotangent=jnp.asarray(cotangent)),
        want=(np.round(x), (cotangent,)),
        because="Forward it rounds. Backward it passes the cotangent on as it came, as if it had done nothing.",
    )


@exercise(points=4, visible=2, skill="automatic differentiation")
def hvp(draw: Draw) -> Iterator[Case]:
    n, b = 5, draw.uniform(1, 4)
    x, v = draw.normal(n), draw.normal(n)
    yield close(
        "a curved valley",
        run=lambda hvp: hvp(Valley(b), *on_device(x, v)),
        want=valley_hvp(b, x.astype(np.float64), v.astype(np.float64)),
        weight=2,
        rtol=1e-3,  # sums of terms of either sign
        atol=1e-3,
    )
    params, direction = ({"u": draw.normal(2), "v": draw.normal(3)} for _ in range(2))
    yield close(
        "parameters in a dictionary",
        run=lambda hvp: hvp(Coupled(), *on_device(params, direction)),
        want=_coupled_hvp(params, direction),
        rtol=1e-3,
        because="The result has the structure of the parameters, and every leaf acts on every other.",
    )
    long = draw.normal(61)
    yield Case(
        "the Hessian itself is never built",
        run=lambda hvp: "[61,61]" in probe.jaxpr(hvp, Valley(b), *on_device(long, long)),
        want=False,
        trivial=True,
        because="For a billion parameters the Hessian has 10^18 entries. One product with it costs two gradients.",
    )


def valley_hvp(b: float, x: Float[np.ndarray, " n"], v: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The Hessian of `Valley(b)`, which has three diagonals, times `v`."""
    hessian = np.zeros((len(x), len(x)))
    for i in range(len(x) - 1):
        hessian[i, i] += 12 * b * x[i] ** 2 - 4 * b * x[i + 1] + 2
        hessian[i + 1, i + 1] += 2 * b
        hessian[i, i + 1] = hessian[i + 1, i] = -4 * b * x[i]
    return hessian @ v


def _coupled_hvp(at: dict, along: dict) -> dict:
    u, v, du, dv = (tree[name].astype(np.float64) for tree in (at, along) for name in ("u", "v"))
    return {"u": du * (v @ v) + 2 * u * (v @ dv), "v": dv * (u @ u) + 2 * v * (u @ du)}


# --- gradients through depth


def flow_oracle(
    weights: np.ndarray, x: np.ndarray, cotangent: np.ndarray, activation: str
) -> Float[np.ndarray, " depth+1"]:
    """The root mean square of the cotangent of every activation, in float64, each from the network behind it."""
    sizes = []
    for first in range(len(weights) + 1):

        def rest(hidden: Any, first: int = first) -> Any:
            for weight in weights[first:]:
                hidden = ACTIVATIONS[activation](hidden @ weight)
            return hidden

        sizes.append(float(np.sqrt(np.mean(pullback(rest, (x,), cotangent)[0] ** 2))))
        if first < len(weights):
            x = ACTIVATIONS[activation](x @ weights[first].astype(np.float64))
    return np.array(sizes)


@exercise(points=4, visible=2, skill="numerics")
def gradient_flow(draw: Draw) -> Iterator[Case]:
    depth, width = draw.size(3, 4), 4
    weights, x, cotangent = draw.normal(depth, width, width), draw.normal(2, width), draw.normal(2, width)
    for activation in ("tanh", "relu"):
        yield close(
            f"{depth} layers of {activation}",
            run=lambda flow, activation=activation: flow(*on_device(weights, x, cotangent), activation),
            want=flow_oracle(weights, x, cotangent, activation),
            because="One number for each activation, the input first, the output last.",
        )


DEEP, WIDE = 20, 64


@exercise(points=3, visible=1, skill="numerics")
def deep_init(draw: Draw) -> Iterator[Case]:
    keys = [jax.random.key(int(seed)) for seed in draw.rng.choice(1000, size=2, replace=False)]
    seed = int(draw.rng.integers(1000))
    for activation in ("tanh", "relu"):
        yield Case(
            f"{DEEP} layers of {activation}",
            run=lambda init, activation=activation: _qualities(init, keys, activation, seed),
            want={"gain per layer": 0.0, "layers alike": False, "alike for another key": False},
            # A factor of 20 over all layers. tanh with the right variance loses a factor of 5 to 7, since it flattens.
            atol=0.065,
            because="The gain is the mean of log10 of the factor by which one layer multiplies the gradient. Layers"
            " must not be alike, and neither must the weights of different keys.",
        )


def _qualities(init: Handle, keys: list, activation: str, seed: int) -> dict[str, float | bool]:
    one, other = (init(key, DEEP, WIDE, activation) for key in keys)
    if np.shape(one) != (DEEP, WIDE, WIDE):
        raise ValueError(f"expected weights of shape {(DEEP, WIDE, WIDE)}, got {np.shape(one)}")
    return {
        "gain per layer": _gain(one, activation, seed),
        "layers alike": _alike(one[0], one[1]),
        "alike for another key": _alike(one[0], other[0]),
    }


def _alike(a: Float[np.ndarray, "n n"], b: Float[np.ndarray, "n n"]) -> bool:
    """Whether the cosine of the angle between two matrices is far from that of random ones, 0 +- 1/n."""
    return bool(abs(np.vdot(a, b)) > 0.5 * np.linalg.norm(a) * np.linalg.norm(b))


def _gain(weights: Float[np.ndarray, "depth n n"], activation: str, seed: int) -> float:
    rng = np.random.default_rng(seed)
    hidden, slopes = rng.standard_normal((16, WIDE)), []
    for weight in weights:
        before = hidden @ weight.astype(np.float64)
        hidden = ACTIVATIONS[activation](before)
        slopes.append(1 - hidden**2 if activation == "tanh" else before > 0)
    cotangent = rng.standard_normal(hidden.shape)
    start = np.sqrt(np.mean(cotangent**2))
    for weight, slope in zip(weights[::-1], slopes[::-1], strict=True):
        cotangent = (cotangent * slope) @ weight.T
    return float(np.log10(np.sqrt(np.mean(cotangent**2)) / start + 1e-99) / DEEP)
