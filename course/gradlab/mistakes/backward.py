"""Known mistakes of lab 03, backward."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradlab.checks.mistake import mistake

each = jax.tree.map


# --- numerical_grad and gradient_errors


def _quotients(function: Any, x: Any, ahead: float, behind: float, width: float) -> Any:
    base = np.asarray(x)
    units = np.eye(base.size, dtype=base.dtype).reshape(base.size, *base.shape)
    rises = [function(jnp.asarray(base + ahead * e)) - function(jnp.asarray(base - behind * e)) for e in units]
    return jnp.asarray(rises).reshape(base.shape) / width


@mistake(of="numerical_grad")
def only_looking_ahead(function, x, h=1e-2):
    """One step forward is enough to see the slope.

    The one-sided difference has an error proportional to h. Looking to both sides makes it proportional to h squared.
    """
    return _quotients(function, x, h, 0.0, h)


@mistake(of="numerical_grad")
def divided_by_one_step(function, x, h=1e-2):
    """The two points are one step apart.

    They are two steps apart, from x - h to x + h: divide by 2h.
    """
    return _quotients(function, x, h, h, h)


@mistake(of="numerical_grad")
def all_entries_moved_together(function, x, h=1e-2):
    """x + h moves x, so the quotient is the gradient.

    Adding h to the whole array moves all entries at once and measures the sum of the slopes. Move one entry at a time.
    """
    return (function(x + h) - function(x - h)) / (2 * h) * jnp.ones_like(x)


@mistake(of="numerical_grad")
def only_the_slope_along_the_axes_summed(function, x, h=1e-2):
    """The gradient is one number: the slope.

    The gradient has one entry for each entry of x, and the shape of x.
    """
    return jnp.sum(_quotients(function, x, h, h, 2 * h))


@mistake(of="numerical_grad")
def half_the_step(function, x, h=1e-2):
    """h is the whole distance between the two points.

    Here h is the distance to each side. With half of it the result is nearly the same, and not the one asked for.
    """
    return _quotients(function, x, h / 2, h / 2, h)


@mistake(of="numerical_grad")
def a_row_of_slopes(function, x, h=1e-2):
    """The gradient is a list of slopes.

    It has the shape of x: a matrix of variables has a matrix of slopes. Give the list that shape.
    """
    return _quotients(function, x, h, h, 2 * h).ravel()


@mistake(of="numerical_grad")
def only_the_first_axis(function, x, h=1e-2):
    """len(x) is the number of variables.

    It is the number of rows: moving a row moves all its entries at once. np.ndindex(x.shape) walks through all places.
    """
    rises = [function(x.at[i].add(h)) - function(x.at[i].add(-h)) for i in range(len(x))]
    return jnp.asarray(rises) / (2 * h)


@mistake(of="numerical_grad")
def moved_to_h_not_by_h(function, x, h=1e-2):
    """x.at[place].set(h) moves an entry by h.

    It puts h in its place, and the slope is measured at 0. Use add.
    """
    base = jnp.ravel(x)
    ends = [[function(base.at[i].set(end).reshape(x.shape)) for end in (h, -h)] for i in range(base.size)]
    return jnp.asarray([a - b for a, b in ends]).reshape(x.shape) / (2 * h)


@mistake(of="numerical_grad")
def step_written_down(function, x, h=1e-2):
    """h is 0.01.

    By default. The next exercise asks for many steps: use the argument.
    """
    return _quotients(function, x, 0.01, 0.01, 0.02)


def _error(function: Any, gradient: Any, x: Any, h: float) -> tuple[Any, Any]:
    return _quotients(function, x, h, h, 2 * h), gradient(x)


@mistake(of="gradient_errors")
def absolute_errors(function, gradient, x, steps):
    """The error is the norm of the difference.

    A difference of 0.1 is large for a gradient of 0.2 and nothing for one of a thousand: divide by the gradient's norm.
    """
    pairs = [_error(function, gradient, x, h) for h in steps]
    return jnp.stack([jnp.sqrt(jnp.sum((a - b) ** 2)) for a, b in pairs])


@mistake(of="gradient_errors")
def relative_to_the_measured_gradient(function, gradient, x, steps):
    """It makes no difference which gradient one divides by.

    It does when they differ much, and that is when it matters. Here the exact one is the measure.
    """
    pairs = [_error(function, gradient, x, h) for h in steps]
    return jnp.stack([jnp.sqrt(jnp.sum((a - b) ** 2) / jnp.sum(a**2)) for a, b in pairs])


@mistake(of="gradient_errors")
def difference_of_the_norms(function, gradient, x, steps):
    """Two gradients agree when their lengths agree.

    They may point in different directions. Take the norm of the difference, not the difference of the norms.
    """
    pairs = [_error(function, gradient, x, h) for h in steps]
    return jnp.stack([jnp.sqrt(jnp.sum(a**2) / jnp.sum(b**2)) - 1 for a, b in pairs])


@mistake(of="gradient_errors")
def only_the_last_step(function, gradient, x, steps):
    """One number says how good the gradient is.

    One number for each step was asked for: how it changes with the step tells truncation from a wrong formula.
    """
    a, b = _error(function, gradient, x, steps[-1])
    return jnp.sqrt(jnp.sum((a - b) ** 2) / jnp.sum(b**2))


@mistake(of="gradient_errors")
def errors_averaged_over_the_entries(function, gradient, x, steps):
    """The relative error of a gradient is the mean of its entries' errors.

    An entry near zero has a huge relative error that matters to nobody. First the norms over all entries, then their
    quotient.
    """
    pairs = [_error(function, gradient, x, h) for h in steps]
    return jnp.stack([jnp.mean(jnp.abs(a - b) / jnp.abs(b)) for a, b in pairs])


@mistake(of="gradient_errors")
def error_of_the_worst_entry(function, gradient, x, steps):
    """A gradient is as wrong as its worst entry.

    An entry near zero has a huge relative error that matters to nobody. First the norms over all entries, then their
    quotient.
    """
    pairs = [_error(function, gradient, x, h) for h in steps]
    return jnp.stack([jnp.max(jnp.abs(a - b) / jnp.abs(b)) for a, b in pairs])


# --- the scalar engine


def _through(node: "_Node") -> None:
    """Pushes a node's gradient with the rules of its own engine."""
    for parent, slope in node.slopes():
        node.rules.give(parent, slope * node.grad)


def _accumulate(node: "_Node", share: float) -> None:
    node.grad += share


def _assign(node: "_Node", share: float) -> None:
    node.grad = share


def _ordered(root: "_Node") -> list["_Node"]:
    """The graph with every node after its parents, in the order that the exercise describes."""
    found: dict[int, _Node] = {}
    known: set[int] = set()

    def visit(node: "_Node") -> None:
        if id(node) not in known:
            known.add(id(node))
            for parent in node.parents:
                visit(parent)
            found[id(node)] = node

    visit(root)
    return list(found.values())


def _sweep(root: "_Node") -> None:
    nodes = _ordered(root)
    for node in nodes:
        node.grad = 0.0
    root.grad = 1.0
    for node in nodes[::-1]:
        node.push()


@dataclass(frozen=True)
class _Rules:
    """An engine: how a share is added, the slopes of each operation, and the walk. Each mistake changes one.

    `made` is told of each new node that has parents.
    """

    give: Callable[[Any, float], None] = _accumulate
    plus: Callable[..., tuple] = lambda a, b, z: (1.0, 1.0)
    times: Callable[..., tuple] = lambda a, b, z: (b, a)
    tanh: Callable[..., tuple] = lambda a, z: (1 - z**2,)
    push: Callable[[Any], None] = _through
    walk: Callable[[Any], None] = _sweep
    late: bool = False
    made: Callable[[Any], None] = lambda node: None


class _Node:
    """A node of an engine that may be wrong."""

    def __init__(self, data: float, rules: _Rules, parents: tuple = (), slopes: Callable[..., tuple] | None = None):
        self.data, self.grad, self.parents, self.rules = data, 0.0, parents, rules
        self._slopes, self._saved = slopes, (*(parent.data for parent in parents), data)
        if parents:
            rules.made(self)

    @property
    def operation(self) -> Callable[..., tuple] | None:
        """Which slopes it has."""
        return self._slopes

    def slopes(self) -> list[tuple["_Node", float]]:
        """Each parent with the local derivative."""
        values = (*(parent.data for parent in self.parents), self.data) if self.rules.late else self._saved
        return list(zip(self.parents, self._slopes(*values), strict=True)) if self._slopes else []

    def push(self) -> None:
        """Hands the gradient on."""
        self.rules.push(self)

    def backward(self) -> None:
        """Walks through the graph."""
        self.rules.walk(self)

    def _join(self, other: Any, data: Callable, slopes: Callable) -> "_Node":
        other = other if isinstance(other, _Node) else _Node(other, self.rules)
        return _Node(data(self.data, other.data), self.rules, (self, other), slopes)

    def __add__(self, other: Any) -> "_Node":
        return self._join(other, lambda a, b: a + b, self.rules.plus)

    def __mul__(self, other: Any) -> "_Node":
        return self._join(other, lambda a, b: a * b, self.rules.times)

    __radd__, __rmul__ = __add__, __mul__

    def tanh(self) -> "_Node":
        """The hyperbolic tangent."""
        return _Node(math.tanh(self.data), self.rules, (self,), self.rules.tanh)


@mistake(of="value")
def overwritten_gradient(data):
    """A node's gradient is what its child hands to it.

    A number that is used twice gets two shares. Add with `+=`; an assignment throws the earlier share away.
    """
    return _Node(data, _Rules(give=_assign))


def _overwriting(slopes: Callable[..., tuple]) -> Callable[[_Node], None]:
    """A push that assigns where a node has these slopes, and adds elsewhere."""

    def push(node: _Node) -> None:
        give = _assign if node.operation is slopes else _accumulate
        for parent, slope in node.slopes():
            give(parent, slope * node.grad)

    return push


@mistake(of="value")
def product_overwrites(data):
    """A product's gradients are assigned, since it comes first.

    Nobody knows what came first. Every rule adds with `+=`, the product's too.
    """
    return _Node(data, _Rules(push=_overwriting(_Rules.times)))


@mistake(of="value")
def tanh_overwrites(data):
    """A function of one number has one share to give, so it may assign.

    The number may be used elsewhere as well. Every rule adds with `+=`, that of tanh too.
    """
    return _Node(data, _Rules(push=_overwriting(_Rules.tanh)))


@mistake(of="value")
def sum_overwrites(data):
    """A sum hands on its gradient, so it assigns it.

    It hands on a share, to which others add theirs. Every rule adds with `+=`, the sum's too.
    """
    return _Node(data, _Rules(push=_overwriting(_Rules.plus)))


@mistake(of="value")
def gradient_read_when_made(data):
    """The gradient can be looked up when the node is made.

    It is 0 then, and so is all that is pushed. Read the new node's `grad` inside of `push`.
    """

    def push(node: _Node) -> None:
        for parent, _ in node.slopes():
            parent.grad += 0.0

    return _Node(data, _Rules(push=push))


@mistake(of="value")
def push_stored_in_the_parent(data):
    """`push` belongs to the number that is operated on.

    It belongs to the result, whose gradient it hands on: store it there. A parent that is used twice would lose one.
    """

    def misplaced(node: _Node) -> None:
        node.parents[0].push = lambda: _through(node)
        node.push = lambda: None

    return _Node(data, _Rules(made=misplaced))


@mistake(of="value")
def product_hands_back_its_own_factor(data):
    """In a product each factor gets its own value times the gradient.

    The derivative of x y with respect to x is y: each factor gets the *other* one's value.
    """
    return _Node(data, _Rules(times=lambda a, b, z: (a, b)))


@mistake(of="value")
def upstream_forgotten(data):
    """`push` adds the local derivative.

    The chain rule multiplies: the local derivative times the node's own gradient.
    """

    def push(node: _Node) -> None:
        for parent, slope in node.slopes():
            parent.grad += slope

    return _Node(data, _Rules(push=push))


@mistake(of="value")
def tanh_slope_from_its_input(data):
    """The derivative of tanh is 1 - x squared.

    It is one minus the square of the *result*, of tanh(x).
    """
    return _Node(data, _Rules(tanh=lambda a, z: (1 - a**2,)))


@mistake(of="value")
def tanh_slope_not_squared(data):
    """The derivative of tanh is 1 - tanh.

    It is 1 - tanh squared; check it at a negative number, where 1 - tanh would be larger than 1.
    """
    return _Node(data, _Rules(tanh=lambda a, z: (1 - z,)))


@mistake(of="value")
def sum_shared_out(data):
    """A sum divides its gradient between its parents.

    Each parent, moved by a little, moves the sum by as much: each gets the whole gradient.
    """
    return _Node(data, _Rules(plus=lambda a, b, z: (0.5, 0.5)))


@mistake(of="value")
def values_read_too_late(data):
    """`push` can look up the parents' data when it runs.

    By then an optimizer may have changed them (a saved value was mutated). Save the numbers in local variables when
    the node is made.
    """
    return _Node(data, _Rules(late=True))


def _clean(root: _Node) -> list[_Node]:
    nodes = _ordered(root)
    for node in nodes:
        node.grad = 0.0
    root.grad = 1.0
    return nodes


@mistake(of="backward")
def level_by_level(data):
    """Breadth first: first the root's parents, then their parents, and so on.

    A node that is used early and late is reached too soon. Push only when everything that used it has pushed.
    """

    def walk(root: _Node) -> None:
        _clean(root)
        queue, known = [root], {id(root)}
        for node in queue:
            node.push()
            fresh = [parent for parent in node.parents if id(parent) not in known]
            known.update(map(id, fresh))
            queue += dict.fromkeys(fresh)

    return _Node(data, _Rules(walk=walk))


@mistake(of="backward")
def pushing_on_the_way_down(data):
    """Push a node when it is visited, then visit its parents.

    Then a node pushes when the first path reaches it, and what the other paths bring stays behind. Make the list first.
    """

    def walk(root: _Node) -> None:
        _clean(root)
        known: set[int] = set()

        def descend(node: _Node) -> None:
            if id(node) not in known:
                known.add(id(node))
                node.push()
                for parent in node.parents:
                    descend(parent)

        descend(root)

    return _Node(data, _Rules(walk=walk))


@mistake(of="backward")
def once_for_every_path(data):
    """Every path from the root to a leaf has its own share, so no node needs to be remembered.

    A node's gradient already holds the shares of all paths, and pushing it once a path counts them several times.
    Remember which nodes have been visited.
    """

    def walk(root: _Node) -> None:
        _clean(root)

        def descend(node: _Node) -> None:
            node.push()
            for parent in node.parents:
                descend(parent)

        descend(root)

    return _Node(data, _Rules(walk=walk))


@mistake(of="backward")
def from_the_leaves_to_the_root(data):
    """The list is in the right order as it is.

    In the list parents come before what they are used in. Backwards means: read it from the end.
    """

    def walk(root: _Node) -> None:
        for node in _clean(root):
            node.push()

    return _Node(data, _Rules(walk=walk))


@mistake(of="backward")
def root_without_a_gradient(data):
    """All gradients start at zero.

    All but the root's. The derivative of the root with respect to itself is 1, and without it everything stays zero.
    """

    def walk(root: _Node) -> None:
        nodes = _clean(root)
        root.grad = 0.0
        for node in nodes[::-1]:
            node.push()

    return _Node(data, _Rules(walk=walk))


@mistake(of="backward")
def old_gradients_kept(data):
    """Gradients are zero when a node is made, and that is enough.

    After the first call they are not zero any more, and a second call adds to them. Set them to 0 first.
    """

    def walk(root: _Node) -> None:
        root.grad = 1.0
        for node in _ordered(root)[::-1]:
            node.push()

    return _Node(data, _Rules(walk=walk))


@mistake(of="backward")
def shares_that_replace_each_other(data):
    """A node's gradient is what its child hands to it.

    Where paths meet, the shares add up. One of the three operations assigns to `grad`.
    """
    return _Node(data, _Rules(give=_assign))


@mistake(of="backward")
def cleared_while_walking(data):
    """Each node clears its parents' gradients before it pushes.

    Then what others have pushed into them is lost. Clear the whole graph first, and push afterwards.
    """

    def walk(root: _Node) -> None:
        root.grad = 1.0
        for node in _ordered(root)[::-1]:
            for parent in node.parents:
                parent.grad = 0.0
            node.push()

    return _Node(data, _Rules(walk=walk))


# --- unbroadcast


def _collapse(cotangent: Any, shape: Any, how: Callable) -> Any:
    extra = cotangent.ndim - len(shape)
    axes = [k for k in range(cotangent.ndim) if k < extra or shape[k - extra] == 1]
    return how(cotangent, tuple(axes)).reshape(shape)


@mistake(of="unbroadcast")
def averaged_over_the_copies(cotangent, shape):
    """The copies share the gradient, so take the mean.

    Every copy acts on the result with its full weight. The shares add up: sum.
    """
    return _collapse(cotangent, shape, jnp.mean)


@mistake(of="unbroadcast")
def the_first_copy_speaks_for_all(cotangent, shape):
    """All copies are equal, so one of them is enough.

    Their values are equal, and their cotangents are not.
    """
    first = tuple(slice(0, 1) for _ in range(cotangent.ndim))
    extra = cotangent.ndim - len(shape)
    keep = [s if k < extra or shape[k - extra] == 1 else slice(None) for k, s in enumerate(first)]
    return cotangent[tuple(keep)].reshape(shape)


@mistake(of="unbroadcast")
def stretched_axes_left_alone(cotangent, shape):
    """Broadcasting only puts axes in front.

    It also stretches axes of length 1. Sum over these too, and keep them.
    """
    return jnp.sum(cotangent, axis=tuple(range(cotangent.ndim - len(shape))))


@mistake(of="unbroadcast")
def new_axes_left_alone(cotangent, shape):
    """Only axes of length 1 are stretched.

    Broadcasting also puts axes in front. Sum over these first, until the number of axes is right.
    """
    extra = cotangent.ndim - len(shape)
    axes = tuple(k + extra for k, n in enumerate(shape) if n == 1)
    return cotangent.sum(axis=axes, keepdims=True)


@mistake(of="unbroadcast")
def summed_axes_dropped(cotangent, shape):
    """An axis that is summed over is gone.

    An axis of length 1 must still be there afterwards, or the shape is not the input's: keepdims=True.
    """
    extra = cotangent.ndim - len(shape)
    return cotangent.sum(axis=tuple(k for k in range(cotangent.ndim) if k < extra or shape[k - extra] == 1))


@mistake(of="unbroadcast")
def shapes_aligned_at_the_left(cotangent, shape):
    """Shapes are compared from the left, and axes are added at the end.

    NumPy aligns shapes at the right. The axes that broadcasting adds are in front.
    """
    total = cotangent.sum(axis=tuple(range(len(shape), cotangent.ndim)))
    return total.sum(axis=tuple(k for k, n in enumerate(shape) if n == 1), keepdims=True)


@mistake(of="unbroadcast")
def only_the_first_axis_summed(cotangent, shape):
    """A broadcast goes over the batch, so the sum over axis 0 undoes it.

    Axes that were stretched may stand anywhere, and there may be several. Sum over all of them, and over no other.
    """
    return cotangent.sum(0).reshape(shape)


# --- affine_vjp and relu_vjp


@mistake(of="affine_vjp")
def bias_not_summed(x, weight, bias, cotangent):
    """The bias is added, so its cotangent is the cotangent of the sum.

    It was added to every row, by broadcasting. Its cotangent is the sum over the rows.
    """
    return jnp.einsum("bm,nm->bn", cotangent, weight), jnp.einsum("bn,bm->nm", x, cotangent), cotangent


@mistake(of="affine_vjp")
def averaged_over_the_batch(x, weight, bias, cotangent):
    """Gradients of parameters are means over the batch.

    The mean belongs to the loss, and its 1/B has already come back through the cotangent. Here it is a sum.
    """
    mean = jnp.einsum("bn,bm->nm", x, cotangent) / len(x)
    return jnp.einsum("bm,nm->bn", cotangent, weight), mean, jnp.mean(cotangent, axis=0)


@mistake(of="affine_vjp")
def weight_not_transposed(x, weight, bias, cotangent):
    """The cotangent goes back through the same matrix.

    It goes back through the transpose. On square matrices the wrong one raises no error.
    """
    return cotangent @ weight, jnp.einsum("bn,bm->nm", x, cotangent), jnp.sum(cotangent, 0)


@mistake(of="affine_vjp")
def outer_product_transposed(x, weight, bias, cotangent):
    """The weight's cotangent is the cotangent transposed times x.

    That is its transpose. The shape must be the weight's own: x transposed times the cotangent.
    """
    return jnp.einsum("bm,nm->bn", cotangent, weight), jnp.einsum("bn,bm->mn", x, cotangent), jnp.sum(cotangent, 0)


@mistake(of="affine_vjp")
def cotangents_in_another_order(x, weight, bias, cotangent):
    """The parameters come first.

    The order is that of the inputs: x, weight, bias.
    """
    back = jnp.einsum("bm,nm->bn", cotangent, weight)
    return jnp.einsum("bn,bm->nm", x, cotangent), jnp.sum(cotangent, 0), back


@mistake(of="relu_vjp")
def open_at_zero(x, cotangent):
    """At zero the rectifier lets the gradient pass.

    That is a possible convention, and not the one of JAX: the slope at 0 is 0. Compare with >, not with >=.
    """
    return cotangent * (x >= 0)


@mistake(of="relu_vjp")
def cotangent_rectified(x, cotangent):
    """The backward pass of a rectifier rectifies the cotangent.

    The sign of the *input* decides. A negative cotangent passes where the input was positive.
    """
    return jnp.maximum(cotangent, 0)


@mistake(of="relu_vjp")
def both_rectified(x, cotangent):
    """Only positive gradients go through positive units.

    That is "guided backpropagation", a picture and not a derivative. The input's sign alone decides.
    """
    return jnp.maximum(cotangent, 0) * (x > 0)


@mistake(of="relu_vjp")
def slope_instead_of_cotangent(x, cotangent):
    """The backward rule returns the derivative: 0 or 1.

    It returns the derivative times the cotangent that comes in.
    """
    return jnp.asarray(x > 0, jnp.float32)


@mistake(of="relu_vjp")
def written_into_the_cotangent(x, cotangent):
    """Setting entries to zero in place saves memory.

    With NumPy arrays it changes what the caller still holds. Compute a new array.
    """
    if isinstance(cotangent, np.ndarray):
        cotangent[x <= 0] = 0
        return cotangent
    return cotangent * (x > 0)


@mistake(of="affine_vjp")
def cotangent_of_x_turned(x, weight, bias, cotangent):
    """The weight comes first, as in the book.

    The book's examples are columns. Here they are rows: cotangent times weight transposed, or the result is turned.
    """
    turned = jnp.einsum("bm,nm->nb", cotangent, weight)
    return turned, jnp.einsum("bn,bm->nm", x, cotangent), jnp.sum(cotangent, 0)


@mistake(of="affine_vjp")
def bias_with_an_axis_too_many(x, weight, bias, cotangent):
    """The summed axis is kept, as it always is.

    The bias has one axis, and so has its cotangent. Here the axis was put in front by broadcasting: let it go.
    """
    back = jnp.einsum("bm,nm->bn", cotangent, weight)
    return back, jnp.einsum("bn,bm->nm", x, cotangent), jnp.sum(cotangent, 0, keepdims=True)


@mistake(of="affine_vjp")
def ones_for_the_bias(x, weight, bias, cotangent):
    """The derivative of a sum with respect to what is added is 1.

    Times the cotangent, and summed over the rows that the bias went to.
    """
    back = jnp.einsum("bm,nm->bn", cotangent, weight)
    return back, jnp.einsum("bn,bm->nm", x, cotangent), jnp.ones_like(bias)


@mistake(of="relu_vjp")
def result_times_cotangent(x, cotangent):
    """The rule multiplies the cotangent by the result of the forward pass.

    By its derivative, which is 1 or 0, not by the value.
    """
    return jnp.maximum(x, 0) * cotangent


@mistake(of="relu_vjp")
def half_at_zero(x, cotangent):
    """At zero the slope is one half, between the two sides.

    That is possible, and not the convention of JAX: the slope at 0 is 0.
    """
    return cotangent * (jnp.sign(x) + 1) / 2


# --- log_softmax_cross_entropy_vjp


def _shares(logits: Any) -> Any:
    raised = jnp.exp(logits - logits.max(1, keepdims=True))
    return raised / raised.sum(1, keepdims=True)


def _marks(logits: Any, labels: Any) -> Any:
    return (jnp.arange(logits.shape[1])[None, :] == labels[:, None]) * 1.0


@mistake(of="log_softmax_cross_entropy_vjp")
def batch_mean_forgotten(logits, labels, cotangent):
    """Each example has its own loss, and its gradient is softmax minus one-hot.

    The loss is the mean over B examples, so each has a weight of 1/B.
    """
    return cotangent * (_shares(logits) - _marks(logits, labels))


@mistake(of="log_softmax_cross_entropy_vjp")
def only_the_right_class(logits, labels, cotangent):
    """Only the logit of the right class appears in the loss, so only it has a gradient.

    The softmax couples all classes: the others are in its denominator. Every class gets its probability.
    """
    marks = _marks(logits, labels)
    return cotangent * (_shares(logits) - 1) * marks / len(labels)


@mistake(of="log_softmax_cross_entropy_vjp")
def towards_the_wrong_classes(logits, labels, cotangent):
    """The gradient is one-hot minus softmax.

    That is the direction in which to step. The gradient points to where the loss grows: softmax minus one-hot.
    """
    return cotangent * (_marks(logits, labels) - _shares(logits)) / len(labels)


@mistake(of="log_softmax_cross_entropy_vjp")
def loss_cotangent_ignored(logits, labels, cotangent):
    """The loss is the end of the computation, so its cotangent is 1.

    It may be scaled or added to another loss. Multiply by the cotangent that comes in.
    """
    return (_shares(logits) - _marks(logits, labels)) / len(labels)


@mistake(of="log_softmax_cross_entropy_vjp")
def softmax_that_overflows(logits, labels, cotangent):
    """exp(z) over its sum is the softmax.

    On paper. In float32 exp(89) is infinite, and infinite over infinite is nan. Subtract the row's maximum first.
    """
    raised = jnp.exp(logits)
    return cotangent * (raised / raised.sum(1, keepdims=True) - _marks(logits, labels)) / len(labels)


@mistake(of="log_softmax_cross_entropy_vjp")
def mean_over_classes_too(logits, labels, cotangent):
    """The mean runs over all entries of the logits.

    The loss is a mean over examples. The classes of one example are added up inside the softmax, not averaged.
    """
    return cotangent * (_shares(logits) - _marks(logits, labels)) / logits.size


@mistake(of="log_softmax_cross_entropy_vjp")
def softmax_twice(logits, labels, cotangent):
    """The logits are made into probabilities first, then the rule is applied.

    The rule contains the softmax already. Twice makes the distribution flat.
    """
    return cotangent * (_shares(_shares(logits)) - _marks(logits, labels)) / len(labels)


@mistake(of="log_softmax_cross_entropy_vjp")
def through_the_probabilities(logits, labels, cotangent):
    """First the rule of the logarithm, then that of the softmax.

    On paper. Where the right class has a probability of 0 in float32, 1/p is infinite, and infinity times 0 is nan.
    Written as one formula nothing is divided.
    """
    p, marks = _shares(logits), _marks(logits, labels)
    on_p = jnp.where(marks > 0, -1 / p, 0.0) / len(labels)
    return cotangent * p * (on_p - (on_p * p).sum(1, keepdims=True))


@mistake(of="log_softmax_cross_entropy_vjp")
def log_probabilities_for_probabilities(logits, labels, cotangent):
    """The derivative of the loss is the log-softmax minus one-hot.

    The derivative of a log of a sum of exponentials is the softmax itself, a probability.
    """
    return cotangent * (jnp.log(_shares(logits)) - _marks(logits, labels)) / len(labels)


@mistake(of="log_softmax_cross_entropy_vjp")
def softmax_down_the_columns(logits, labels, cotangent):
    """The softmax runs over the first axis.

    That is the batch. The probabilities of the classes of one example add up to 1: the last axis.
    """
    return cotangent * (_shares(logits.T).T - _marks(logits, labels)) / len(labels)


# --- layer_norm_vjp


def _normalised(x: Any, eps: float, *, missing: int = 0) -> tuple[Any, Any]:
    """The normalised rows and the divisor; `missing` degrees of freedom in the variance."""
    deviation = x - x.mean(1)[:, None]
    divisor = ((deviation**2).sum(1) / (x.shape[1] - missing) + eps)[:, None] ** 0.5
    return deviation / divisor, divisor


def _rows(inner: Any, normal: Any, divisor: Any, *, mean: float = 1.0, stretch: float = 1.0) -> Any:
    level = inner.mean(1)[:, None] * mean
    return (inner - level - stretch * normal * (inner * normal).mean(1)[:, None]) / divisor


@mistake(of="layer_norm_vjp")
def statistics_are_constants(x, scale, shift, cotangent, eps=1e-5):
    """Mean and variance are statistics, and statistics have no gradient.

    They are computed from x, so x acts through them too. Two more terms are missing.
    """
    normal, divisor = _normalised(x, eps)
    down = jnp.einsum("bd,d->bd", cotangent, scale)
    return _rows(down, normal, divisor, mean=0, stretch=0), (cotangent * normal).sum(0), cotangent.sum(0)


@mistake(of="layer_norm_vjp")
def variance_is_a_constant(x, scale, shift, cotangent, eps=1e-5):
    """Only the mean depends on x; the variance hardly changes.

    It changes as much as the mean does. The term with normalised * mean(inner * normalised) is missing.
    """
    normal, divisor = _normalised(x, eps)
    down = jnp.einsum("bd,d->bd", cotangent, scale)
    return _rows(down, normal, divisor, stretch=0), (cotangent * normal).sum(0), cotangent.sum(0)


@mistake(of="layer_norm_vjp")
def scale_left_out_on_the_way_back(x, scale, shift, cotangent, eps=1e-5):
    """The scale is applied after the normalisation, so the input does not see it.

    What comes back to the normalised row has passed through the scale: multiply by it first.
    """
    normal, divisor = _normalised(x, eps)
    return _rows(cotangent, normal, divisor), (cotangent * normal).sum(0), cotangent.sum(0)


@mistake(of="layer_norm_vjp")
def scale_multiplied_the_raw_input(x, scale, shift, cotangent, eps=1e-5):
    """The scale's cotangent is the sum of cotangent times x.

    The scale multiplied the *normalised* row.
    """
    normal, divisor = _normalised(x, eps)
    down = jnp.einsum("bd,d->bd", cotangent, scale)
    return _rows(down, normal, divisor), (cotangent * x).sum(0), cotangent.sum(0)


@mistake(of="layer_norm_vjp")
def scale_and_shift_not_summed(x, scale, shift, cotangent, eps=1e-5):
    """Scale and shift get one cotangent for each row.

    They were broadcast over the rows: sum.
    """
    normal, divisor = _normalised(x, eps)
    down = jnp.einsum("bd,d->bd", cotangent, scale)
    return _rows(down, normal, divisor), cotangent * normal, cotangent


@mistake(of="layer_norm_vjp")
def eps_outside_the_root(x, scale, shift, cotangent, eps=1e-5):
    """It makes no difference whether eps is added before or after the root.

    It belongs to the variance, under the root.
    """
    deviation = x - x.mean(1)[:, None]
    divisor = (deviation**2).mean(1)[:, None] ** 0.5 + eps
    down = jnp.einsum("bd,d->bd", cotangent, scale)
    normal = deviation / divisor
    return _rows(down, normal, divisor), (cotangent * normal).sum(0), cotangent.sum(0)


@mistake(of="layer_norm_vjp")
def unbiased_variance(x, scale, shift, cotangent, eps=1e-5):
    """The variance divides by d - 1.

    In statistics, to estimate. Here the variance of these d numbers is meant: divide by d.
    """
    normal, divisor = _normalised(x, eps, missing=1)
    down = jnp.einsum("bd,d->bd", cotangent, scale)
    return _rows(down, normal, divisor), (cotangent * normal).sum(0), cotangent.sum(0)


@mistake(of="layer_norm_vjp")
def mean_is_a_constant(x, scale, shift, cotangent, eps=1e-5):
    """Only the variance depends on x; the mean is subtracted and gone.

    Moving one entry moves the mean, and with it all other entries. The term with mean(inner) is missing.
    """
    normal, divisor = _normalised(x, eps)
    down = jnp.einsum("bd,d->bd", cotangent, scale)
    return _rows(down, normal, divisor, mean=0), (cotangent * normal).sum(0), cotangent.sum(0)


@mistake(of="layer_norm_vjp")
def never_divided_on_the_way_back(x, scale, shift, cotangent, eps=1e-5):
    """The root belongs to the forward pass.

    What was divided going forward is divided going back: all three terms, by the same root.
    """
    normal, divisor = _normalised(x, eps)
    down = jnp.einsum("bd,d->bd", cotangent, scale)
    return _rows(down, normal, divisor) * divisor, (cotangent * normal).sum(0), cotangent.sum(0)


@mistake(of="layer_norm_vjp")
def sums_for_means(x, scale, shift, cotangent, eps=1e-5):
    """The two terms that are subtracted are sums.

    The mean and the variance divide by d, and their derivatives do: both are means along the row.
    """
    normal, divisor = _normalised(x, eps)
    down, d = jnp.einsum("bd,d->bd", cotangent, scale), x.shape[1]
    return _rows(down, normal, divisor, mean=d, stretch=d), (cotangent * normal).sum(0), cotangent.sum(0)


@mistake(of="layer_norm_vjp")
def means_over_the_whole_batch(x, scale, shift, cotangent, eps=1e-5):
    """The two means are over all entries.

    Each row has its own: reduce the last axis alone, and keep it.
    """
    normal, divisor = _normalised(x, eps)
    down = jnp.einsum("bd,d->bd", cotangent, scale)
    on_x = (down - down.mean() - normal * (down * normal).mean()) / divisor
    return on_x, (cotangent * normal).sum(0), cotangent.sum(0)


# --- attention_vjp


def _looks(query: Any, key: Any, *, masked: bool = True) -> Any:
    marks = jnp.einsum("td,sd->ts", query, key) / query.shape[1] ** 0.5
    hidden = jnp.arange(len(query))[:, None] < jnp.arange(len(key))[None, :]
    return _shares(jnp.where(hidden, -1e30, marks) if masked else marks)


def _uncoupled(looks: Any, arriving: Any) -> Any:
    return looks * arriving


def _coupled(looks: Any, arriving: Any) -> Any:
    return looks * arriving - looks * jnp.einsum("ts,ts->t", looks, arriving)[:, None]


def _back(query: Any, key: Any, looks: Any, value: Any, cotangent: Any, softmax_rule: Callable = _coupled) -> tuple:
    slopes = softmax_rule(looks, jnp.einsum("tv,sv->ts", cotangent, value)) / query.shape[1] ** 0.5
    return (
        jnp.einsum("ts,sd->td", slopes, key),
        jnp.einsum("ts,td->sd", slopes, query),
        jnp.einsum("ts,tv->sv", looks, cotangent),
    )


@mistake(of="attention_vjp")
def softmax_coupling_missing(query, key, value, cotangent):
    """Each score acts on its own weight alone.

    A row of weights sums to 1: raising one lowers the others. Subtract the row's sum of weight times cotangent.
    """
    return _back(query, key, _looks(query, key), value, cotangent, _uncoupled)


@mistake(of="attention_vjp")
def diagonal_of_the_softmax_only(query, key, value, cotangent):
    """The derivative of a softmax is p (1 - p).

    That is the diagonal of its Jacobian. Off the diagonal stands -p_i p_j.
    """
    return _back(query, key, _looks(query, key), value, cotangent, lambda p, g: p * (1 - p) * g)


@mistake(of="attention_vjp")
def root_of_d_forgotten_on_the_way_back(query, key, value, cotangent):
    """The scale belongs to the forward pass.

    Whatever multiplied going forward multiplies the cotangent going back: 1 / sqrt(d).
    """
    parts, root = _back(query, key, _looks(query, key), value, cotangent), query.shape[1] ** 0.5
    return parts[0] * root, parts[1] * root, parts[2]


@mistake(of="attention_vjp")
def looking_ahead(query, key, value, cotangent):
    """The mask only matters for the prediction, not for the gradient.

    The weights of the forward pass are used going back, and they were made with the mask.
    """
    return _back(query, key, _looks(query, key, masked=False), value, cotangent)


@mistake(of="attention_vjp")
def scores_not_transposed_for_the_key(query, key, value, cotangent):
    """Query and key are treated alike.

    The scores have a row for each query and a column for each key: the key needs their transpose.
    """
    parts = _back(query, key, _looks(query, key), value, cotangent)
    slopes = _coupled(_looks(query, key), jnp.einsum("tv,sv->ts", cotangent, value)) / query.shape[1] ** 0.5
    return parts[0], jnp.einsum("ts,sd->td", slopes, query), parts[2]


@mistake(of="attention_vjp")
def weights_not_transposed_for_the_value(query, key, value, cotangent):
    """The value's cotangent is the weights times the cotangent.

    It is the transpose of the weights: position s collects from all positions t that looked at it.
    """
    looks = _looks(query, key)
    parts = _back(query, key, looks, value, cotangent)
    return parts[0], parts[1], jnp.einsum("ts,sv->tv", looks, cotangent)


@mistake(of="attention_vjp")
def coupling_down_the_columns(query, key, value, cotangent):
    """The softmax's sum runs over the first axis.

    Each *row* of weights sums to 1, and the coupling is along the row.
    """

    def rule(looks: Any, arriving: Any) -> Any:
        return looks * (arriving - jnp.einsum("ts,ts->s", looks, arriving)[None, :])

    return _back(query, key, _looks(query, key), value, cotangent, rule)


@mistake(of="attention_vjp")
def query_and_key_exchanged(query, key, value, cotangent):
    """The scores' cotangent meets the query for the query, and the key for the key.

    A product hands each factor the other one: the query gets the key, and the key gets the query.
    """
    slopes = _coupled(_looks(query, key), jnp.einsum("tv,sv->ts", cotangent, value)) / query.shape[1] ** 0.5
    on_value = _back(query, key, _looks(query, key), value, cotangent)[2]
    return jnp.einsum("ts,sd->td", slopes, query), jnp.einsum("ts,td->sd", slopes, key), on_value


@mistake(of="attention_vjp")
def scores_never_divided(query, key, value, cotangent):
    """The root of d is a detail of the forward pass that can be left out on both ways.

    Then it is the gradient of another function. Divide the scores by the root of d, and their cotangent too.
    """
    root = query.shape[1] ** 0.25
    on_query, on_key, on_value = _back(root * query, root * key, _looks(root * query, root * key), value, cotangent)
    return root * on_query, root * on_key, on_value


@mistake(of="attention_vjp")
def mask_after_the_softmax(query, key, value, cotangent):
    """The weights of later positions are set to zero.

    They have taken their part of the sum by then. The mask acts on the scores, before the softmax, going back too.
    """
    looks = jnp.tril(_looks(query, key, masked=False))
    return _back(query, key, looks, value, cotangent)


# --- mlp_backward


def _layers(params: Any, x: Any) -> tuple[list, list]:
    """What goes into each layer, and what its product gives."""
    enters, leaves = [jnp.asarray(x)], []
    for layer in params:
        leaves.append(jnp.einsum("bn,nm->bm", enters[-1], layer["weight"]) + layer["bias"][None])
        enters.append(jnp.where(leaves[-1] > 0, leaves[-1], 0))
    return enters, leaves


def _surprise(logits: Any, labels: Any) -> Any:
    return -jnp.mean(jnp.log(_shares(logits))[jnp.arange(len(labels)), labels])


def _gradients(params: Any, x: Any, labels: Any, *, first: Callable, gate: Callable, bias: Callable) -> tuple:
    enters, leaves = _layers(params, x)
    back, found = first(_shares(leaves[-1]) - _marks(leaves[-1], labels)), []
    for k in range(len(params) - 1, -1, -1):
        found.append({"weight": jnp.einsum("bn,bm->nm", enters[k], back), "bias": bias(back)})
        back = gate(k, enters, leaves, jnp.einsum("bm,nm->bn", back, params[k]["weight"]))
    return _surprise(leaves[-1], labels), found[::-1]


def _open(k: int, enters: list, leaves: list, back: Any) -> Any:
    return back


def _gated(k: int, enters: list, leaves: list, back: Any) -> Any:
    return back * (leaves[k - 1] > 0) if k else back


def _column_sum(back: Any) -> Any:
    return back.sum(0)


@mistake(of="mlp_backward")
def sum_for_mean(params, x, labels):
    """The gradient of the loss is the sum over the batch.

    The loss is a mean: its cotangent reaches each example with a weight of 1/B.
    """
    return _gradients(params, x, labels, first=lambda e: e, gate=_gated, bias=_column_sum)


@mistake(of="mlp_backward")
def rectifiers_forgotten_on_the_way_back(params, x, labels):
    """Going back, only the matrices matter.

    A rectifier that was closed stops the gradient. Multiply by its slope between two layers.
    """
    return _gradients(params, x, labels, first=lambda e: e / len(e), gate=_open, bias=_column_sum)


@mistake(of="mlp_backward")
def gate_of_the_wrong_layer(params, x, labels):
    """The cotangent of a layer's input passes the gate of what entered that layer's input.

    It passes the rectifier directly in front of the layer, whose argument is the result of the layer before.
    """

    def gate(k: int, enters: list, leaves: list, back: Any) -> Any:
        reach = leaves[max(k - 2, 0)]
        return back * (reach > 0) if k and reach.shape == back.shape else _gated(k, enters, leaves, back)

    return _gradients(params, x, labels, first=lambda e: e / len(e), gate=gate, bias=_column_sum)


@mistake(of="mlp_backward")
def biases_averaged(params, x, labels):
    """The bias gets the mean of the cotangents of the rows.

    The 1/B of the loss is in the cotangent already. The bias gets the sum.
    """
    return _gradients(params, x, labels, first=lambda e: e / len(e), gate=_gated, bias=lambda back: back.mean(0))


@mistake(of="mlp_backward")
def biases_not_summed(params, x, labels):
    """The bias gets the cotangent of the layer's result.

    It was broadcast over the batch: sum over the rows.
    """
    return _gradients(params, x, labels, first=lambda e: e / len(e), gate=_gated, bias=lambda back: back)


@mistake(of="mlp_backward")
def gradients_in_the_order_of_the_walk(params, x, labels):
    """The first gradient that is found belongs to the first layer.

    The walk begins with the last layer. Turn the list round.
    """
    loss, found = _gradients(params, x, labels, first=lambda e: e / len(e), gate=_gated, bias=_column_sum)
    return loss, found[::-1]


@mistake(of="mlp_backward")
def logits_rectified(params, x, labels):
    """Every layer ends in a rectifier.

    Not the last: its results are the logits, and they may be negative.
    """
    enters, leaves = _layers(params, x)
    loss, pull = jax.vjp(lambda z: _surprise(jnp.where(z > 0, z, 0), labels), leaves[-1])
    back, found = pull(jnp.ones_like(loss))[0], []
    for k in range(len(params) - 1, -1, -1):
        found.append({"weight": jnp.einsum("bn,bm->nm", enters[k], back), "bias": back.sum(0)})
        back = _gated(k, enters, leaves, jnp.einsum("bm,nm->bn", back, params[k]["weight"]))
    return loss, found[::-1]


@mistake(of="mlp_backward")
def saved_input_mutated(params, x, labels):
    """Rectifying in place saves memory.

    With NumPy arrays the caller's input is changed, and with it what the backward pass will read.
    """
    answer = _gradients(params, x, labels, first=lambda e: e / len(e), gate=_gated, bias=_column_sum)
    if isinstance(x, np.ndarray):
        np.maximum(x, 0, out=x)
    return answer


@mistake(of="mlp_backward")
def gate_behind_the_last_layer(params, x, labels):
    """Going back, each layer begins with its rectifier.

    The last layer has none: where its logits are negative, their gradients pass all the same.
    """
    enters, leaves = _layers(params, x)
    back, found = (_shares(leaves[-1]) - _marks(leaves[-1], labels)) / len(labels), []
    for k in range(len(params) - 1, -1, -1):
        back = back * (leaves[k] > 0)
        found.append({"weight": jnp.einsum("bn,bm->nm", enters[k], back), "bias": back.sum(0)})
        back = jnp.einsum("bm,nm->bn", back, params[k]["weight"])
    return _surprise(leaves[-1], labels), found[::-1]


@mistake(of="mlp_backward")
def loss_summed_gradients_averaged(params, x, labels):
    """The loss is the sum of the losses of the examples.

    Its gradients are those of the mean. Both must belong to one loss: the mean.
    """
    loss, found = _gradients(params, x, labels, first=lambda e: e / len(e), gate=_gated, bias=_column_sum)
    return loss * len(labels), found


# --- log1pexp and straight_through_round


@mistake(of="log1pexp")
def formula_as_it_stands(x):
    """What is right on paper is right in float32.

    exp(100) is infinite. The value becomes infinite, and its derivative nan.
    """
    return jnp.log(1.0 + jnp.exp(x))


@mistake(of="log1pexp")
def input_clipped(x):
    """Clipping the input at 50 keeps the exponential finite.

    Beyond 50 the value stops growing and the derivative is 0. It should be x and 1.
    """
    return jnp.log1p(jnp.exp(jnp.minimum(x, 50.0)))


@jax.custom_vjp
def _soft(x: Any) -> Any:
    return jnp.logaddexp(x, 0.0)


_soft.defvjp(lambda x: (jnp.logaddexp(x, 0.0), x), lambda x, g: (1 / (1 + jnp.exp(-x)),))


@mistake(of="log1pexp")
def cotangent_left_out(x):
    """The backward function returns the derivative.

    It returns the derivative *times the cotangent*. With a cotangent of 1 nobody sees the difference.
    """
    return _soft(x)


@jax.custom_vjp
def _mirrored(x: Any) -> Any:
    return jnp.logaddexp(x, 0.0)


_mirrored.defvjp(lambda x: (jnp.logaddexp(x, 0.0), x), lambda x, g: (g / (1 + jnp.exp(x)),))


@mistake(of="log1pexp")
def sigmoid_turned_round(x):
    """The derivative is 1 / (1 + exp(x)).

    That is the sigmoid of -x. For large x the function is x, so its derivative must go to 1.
    """
    return _mirrored(x)


@jax.custom_vjp
def _of_the_value(x: Any) -> Any:
    return jnp.logaddexp(x, 0.0)


_of_the_value.defvjp(lambda x: (_of_the_value(x),) * 2, lambda y, g: (g / (1 + jnp.exp(-y)),))


@mistake(of="log1pexp")
def value_kept_for_the_input(x):
    """The residual is the result of the forward pass.

    What is kept must fit the rule: this rule needs x. (In terms of the result y it would be 1 - exp(-y).)
    """
    return _of_the_value(x)


@jax.custom_vjp
def _half_safe(x: Any) -> Any:
    return jnp.log(1.0 + jnp.exp(x))


_half_safe.defvjp(lambda x: (jnp.log(1.0 + jnp.exp(x)), x), lambda x, g: (jax.nn.sigmoid(x) * g,))


@mistake(of="log1pexp")
def only_the_derivative_made_safe(x):
    """The custom rule cures it.

    It cures the derivative. The value is still log(1 + exp(x)), infinite from 89 on: rearrange it too.
    """
    return _half_safe(x)


@jax.custom_vjp
def _other_half_safe(x: Any) -> Any:
    return jnp.logaddexp(x, 0.0)


_other_half_safe.defvjp(lambda x: (jnp.logaddexp(x, 0.0), x), lambda x, g: (g * jnp.exp(x) / (1 + jnp.exp(x)),))


@mistake(of="log1pexp")
def only_the_value_made_safe(x):
    """exp(x) / (1 + exp(x)) is the derivative, so it can be computed.

    From 89 on it is infinity over infinity, which is nan. jax.nn.sigmoid is safe on both sides.
    """
    return _other_half_safe(x)


@jax.custom_vjp
def _bare(x: Any) -> Any:
    return jnp.logaddexp(x, 0.0)


_bare.defvjp(lambda x: (jnp.logaddexp(x, 0.0), x), lambda x, g: jax.nn.sigmoid(x) * g)


@mistake(of="log1pexp")
def not_in_a_tuple(x):
    """The backward function returns the cotangent.

    It returns a tuple with one cotangent for each argument, even where there is one argument.
    """
    return _bare(x)


@mistake(of="straight_through_round")
def derivative_of_rounding(x):
    """JAX knows the derivative of round.

    It does, and it is 0. Nothing is learned through it. State the rule of the identity with jax.custom_vjp.
    """
    return jnp.round(x)


@mistake(of="straight_through_round")
def nothing_rounded(x):
    """The identity in both directions.

    Only the backward pass pretends. The forward pass rounds.
    """
    return x * 1.0


def _rounding(rule: Callable) -> Callable:
    rounded = jax.custom_vjp(lambda x: jnp.round(x))
    rounded.defvjp(lambda x: (jnp.round(x), x), rule)
    return rounded


_kept = _rounding(lambda x, g: (x,))
_ones = _rounding(lambda x, g: (jnp.ones_like(g),))
_rounds_back = _rounding(lambda x, g: (jnp.round(g),))
_clips = _rounding(lambda x, g: (g * (abs(x) <= 1),))


@mistake(of="straight_through_round")
def cotangent_replaced_by_ones(x):
    """The slope of the identity is 1, so the backward function returns ones.

    It returns 1 times the cotangent, which is the cotangent.
    """
    return _ones(x)


@mistake(of="straight_through_round")
def cotangent_rounded_too(x):
    """What rounds forward rounds backward.

    The cotangent passes as it came. Rounded, all small gradients would be lost.
    """
    return _rounds_back(x)


@mistake(of="straight_through_round")
def stopped_outside_of_one(x):
    """Gradients pass where the input lies between -1 and 1.

    That variant is for the sign function. Here the gradient passes everywhere.
    """
    return _clips(x)


@mistake(of="straight_through_round")
def input_handed_back(x):
    """What was kept is what is returned.

    The cotangent of the result is: it passes as it came. Nothing needs to be kept.
    """
    return _kept(x)


_floor = jax.custom_vjp(lambda x: jnp.floor(x))
_floor.defvjp(lambda x: (jnp.floor(x), None), lambda _, g: (g,))


@mistake(of="straight_through_round")
def rounded_down(x):
    """Rounding takes the whole part.

    That is the floor. Rounding goes to the nearest whole number: jnp.round.
    """
    return _floor(x)


# --- hvp


@mistake(of="hvp")
def gradient_times_direction(loss, params, direction):
    """The Hessian times v is the gradient times v.

    The gradient has to be differentiated once more. The product, entry by entry, contains no curvature.
    """
    return each(jnp.multiply, jax.grad(loss)(params), direction)


@mistake(of="hvp")
def curvature_along_the_direction(loss, params, direction):
    """The result is how much the loss curves along v.

    That is the number v'Hv. What is asked for is the vector Hv.
    """
    moved = lambda r: loss(each(lambda p, d: p + r * d, params, direction))  # noqa: E731
    return jax.grad(jax.grad(moved))(0.0)


@mistake(of="hvp")
def slope_along_the_direction(loss, params, direction):
    """jvp of the loss gives the product.

    jvp of the *loss* gives its slope along v, a number. Apply it to the gradient of the loss.
    """
    return jax.jvp(loss, (params,), (direction,))[1]


@mistake(of="hvp")
def whole_hessian_built(loss, params, direction):
    """jax.hessian gives the matrix, and a product with it is all that is needed.

    It works for ten parameters. For a million the matrix has 10^12 entries. Differentiate the gradient along v.
    """
    flat, restore = jax.flatten_util.ravel_pytree(params)
    matrix = jax.hessian(lambda q: loss(restore(q)))(flat)
    return restore(matrix @ jax.flatten_util.ravel_pytree(direction)[0])


@mistake(of="hvp")
def difference_of_gradients(loss, params, direction):
    """The gradients at the two ends of v show the change.

    They show the mean change over a long way. The Hessian is the change at the point itself: differentiate.
    """
    there = jax.grad(loss)(each(jnp.add, params, direction))
    return each(jnp.subtract, there, jax.grad(loss)(params))


@mistake(of="hvp")
def the_gradient_itself(loss, params, direction):
    """jax.jvp returns the derivative first.

    It returns the value first, here the gradient, and then its derivative along the direction.
    """
    return jax.grad(loss)(params)


# --- gradient_flow and deep_init


def _one_layer_back(cotangent: Any, slope: Any, matrix: Any) -> Any:
    return jnp.einsum("bm,nm->bn", cotangent * slope, matrix)


def _flow(
    weights: Any,
    x: Any,
    cotangent: Any,
    activation: str,
    *,
    size: Callable,
    turn: bool,
    slope: Callable,
    back: Callable = _one_layer_back,
) -> Any:
    active = {"tanh": jnp.tanh, "relu": jax.nn.relu}[activation]
    products = []
    for matrix in weights:
        products.append(jnp.einsum("bn,nm->bm", x, matrix))
        x = active(products[-1])
    found = [size(cotangent)]
    for matrix, product in zip(reversed(list(weights)), reversed(products), strict=True):
        cotangent = back(cotangent, slope(active, product), matrix)
        found.append(size(cotangent))
    return jnp.stack(found[::-1] if turn else found)


def _rms(array: Any) -> Any:
    return jnp.mean(jnp.square(array)) ** 0.5


def _slope(active: Callable, product: Any) -> Any:
    return jax.jvp(active, (product,), (jnp.ones_like(product),))[1]


@mistake(of="gradient_flow")
def activation_slope_forgotten(weights, x, cotangent, activation):
    """Going back, only the matrices multiply.

    So does the slope of the activation: 1 - tanh^2, or 0 and 1.
    """
    return _flow(weights, x, cotangent, activation, size=_rms, turn=True, slope=lambda active, product: 1.0)


@mistake(of="gradient_flow")
def output_first(weights, x, cotangent, activation):
    """The sizes are listed in the order in which they are found.

    The walk begins at the output. Entry 0 belongs to the input.
    """
    return _flow(weights, x, cotangent, activation, size=_rms, turn=False, slope=_slope)


@mistake(of="gradient_flow")
def norm_instead_of_root_mean_square(weights, x, cotangent, activation):
    """The size of a gradient is its norm.

    A norm grows with the number of entries. The root mean square does not, so layers of all widths can be compared.
    """
    return _flow(weights, x, cotangent, activation, size=jnp.linalg.norm, turn=True, slope=_slope)


@mistake(of="gradient_flow")
def mean_of_the_absolute_values(weights, x, cotangent, activation):
    """The mean absolute value is as good a size as any.

    It is another one. Variances add up and multiply along the layers, so the mean *square* is what theory predicts.
    """
    return _flow(weights, x, cotangent, activation, size=lambda g: jnp.mean(abs(g)), turn=True, slope=_slope)


@mistake(of="gradient_flow")
def mean_square_without_its_root(weights, x, cotangent, activation):
    """The mean of the squares is the size.

    It is the square of the size. Take the root, so that the size has the unit of the gradient.
    """
    return _flow(weights, x, cotangent, activation, size=lambda g: jnp.mean(g * g), turn=True, slope=_slope)


@mistake(of="gradient_flow")
def back_through_the_same_matrix(weights, x, cotangent, activation):
    """The cotangent goes back through the weight.

    Through its transpose. On square matrices the wrong one raises no error.
    """
    return _flow(
        weights, x, cotangent, activation, size=_rms, turn=True, slope=_slope, back=lambda g, s, w: (g * s) @ w
    )


@mistake(of="gradient_flow")
def slope_after_the_product(weights, x, cotangent, activation):
    """The slope multiplies when the matrix has been passed.

    Going forward the activation comes after the matrix, so going back its slope comes before it.
    """
    return _flow(
        weights, x, cotangent, activation, size=_rms, turn=True, slope=_slope, back=lambda g, s, w: s * (g @ w.T)
    )


def _drawn(key: Any, depth: int, width: int, variance: float) -> Any:
    return variance**0.5 * jax.random.normal(key, (depth, width, width))


@mistake(of="deep_init")
def ones_all_over(key, depth, width, activation):
    """Standard normal weights are the neutral choice.

    A sum of n of them has variance n. Every layer multiplies by the root of n, and the gradient explodes.
    """
    return _drawn(key, depth, width, 1.0)


@mistake(of="deep_init")
def divided_by_the_width(key, depth, width, activation):
    """The weights' standard deviation is 1 over the width.

    Variances add up, not deviations: it is the *variance* that is 1 over the width. Here the gradient vanishes.
    """
    return _drawn(key, depth, width, width**-2.0)


@mistake(of="deep_init")
def the_same_variance_for_relu(key, depth, width, activation):
    """Variance 1/n works for every activation.

    Half of the rectifiers are closed, which halves the mean square in every layer. relu needs 2/n.
    """
    return _drawn(key, depth, width, 1 / width)


@mistake(of="deep_init")
def one_matrix_for_all_layers(key, depth, width, activation):
    """One good matrix is good for every layer.

    Then the network applies one matrix again and again, and a power vanishes or explodes. Draw each layer afresh.
    """
    matrix = _drawn(key, 1, width, (2 if activation == "relu" else 1) / width)
    return jnp.tile(matrix, (depth, 1, 1))


@mistake(of="deep_init")
def the_key_is_not_used(key, depth, width, activation):
    """Any key is as good as another.

    The caller's key makes a run repeatable, and another key makes it another run. Draw from the one that is given.
    """
    return _drawn(jax.random.key(0), depth, width, (2 if activation == "relu" else 1) / width)
