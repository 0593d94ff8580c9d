"""Correct but different implementations of lab 03, backward."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from gradlab_grading.alternatives import alternative


@alternative(of="numerical_grad")
def numerical_grad_in_float64(function, x, h=1e-2):
    """NumPy: copies, flat indices, the quotient in float64."""
    slopes = np.zeros(x.size)
    for k in range(x.size):
        ends = []
        for side in (h, -h):
            moved = np.array(x)
            moved.flat[k] += side
            ends.append(float(function(jnp.asarray(moved))))
        slopes[k] = (ends[0] - ends[1]) / (2 * h)
    return slopes.reshape(x.shape)


@alternative(of="numerical_grad")
def numerical_grad_by_vmap(function, x, h=1e-2):
    """All points at once."""
    shifts = h * jnp.eye(x.size).reshape(x.size, *x.shape)
    ahead, behind = (jax.vmap(lambda e, side=side: function(x + side * e))(shifts) for side in (1, -1))
    return ((ahead - behind) / (2 * h)).reshape(x.shape)


@alternative(of="gradient_errors")
def gradient_errors_in_a_loop(function, gradient, x, steps):
    """A list of floats, each from a dot product."""
    exact, found = np.asarray(gradient(x), np.float64), []
    for h in steps:
        gap = numerical_grad_in_float64(function, x, h) - exact
        found.append(math.sqrt(np.vdot(gap, gap) / np.vdot(exact, exact)))
    return np.array(found)


@alternative(of="gradient_errors")
def gradient_errors_by_vmap_of_points(function, gradient, x, steps):
    """One norm over a table."""
    exact = gradient(x)
    table = jnp.stack([numerical_grad_by_vmap(function, x, h) - exact for h in steps])
    return jnp.sqrt(jnp.sum(table**2, axis=tuple(range(1, table.ndim))) / jnp.sum(exact**2))


class _Edges:
    """Nodes that keep a list of (parent, slope) pairs, with one push for all operations."""

    def __init__(self, data, edges=()):
        self.data, self.grad, self.edges = data, 0.0, tuple(edges)

    @property
    def parents(self):
        return tuple(parent for parent, _ in self.edges)

    def push(self):
        for parent, slope in self.edges:
            parent.grad = parent.grad + slope * self.grad

    def __add__(self, other):
        other = other if isinstance(other, _Edges) else type(self)(other)
        return type(self)(self.data + other.data, [(self, 1.0), (other, 1.0)])

    def __mul__(self, other):
        other = other if isinstance(other, _Edges) else type(self)(other)
        return type(self)(self.data * other.data, [(self, other.data), (other, self.data)])

    __radd__ = __add__
    __rmul__ = __mul__

    def tanh(self):
        grown = math.exp(2 * self.data)
        return type(self)((grown - 1) / (grown + 1), [(self, 4 * grown / (grown + 1) ** 2)])


@alternative(of="backward")
@alternative(of="value")
class CountedUses(_Edges):
    """Kahn's algorithm: a node pushes when all of its uses have."""

    def backward(self):
        uses, reached = {id(self): 0}, [self]
        for node in reached:
            node.grad = 0.0
            for behind in node.parents:
                if id(behind) not in uses:
                    uses[id(behind)] = 0
                    reached.append(behind)
                uses[id(behind)] += 1
        self.grad, ready = 1.0, [self]
        while ready:
            node = ready.pop()
            node.push()
            for behind in node.parents:
                uses[id(behind)] -= 1
                if not uses[id(behind)]:
                    ready.append(behind)


@alternative(of="backward")
@alternative(of="value")
class ByAge(_Edges):
    """Nodes carry the number of their birth: the youngest pushes first."""

    born = 0

    def __init__(self, data, edges=()):
        super().__init__(data, edges)
        ByAge.born += 1
        self.age = ByAge.born

    def backward(self):
        graph = {self}
        while more := {parent for node in graph for parent in node.parents} - graph:
            graph |= more
        for node in graph:
            node.grad = 0.0
        self.grad = 1.0
        for node in sorted(graph, key=lambda node: -node.age):
            node.push()


@alternative(of="unbroadcast")
def unbroadcast_by_jax(cotangent, shape):
    """The transpose of a broadcast, asked of JAX."""
    return jax.vjp(lambda x: jnp.broadcast_to(x, cotangent.shape), jnp.zeros(shape))[1](cotangent)[0]


@alternative(of="unbroadcast")
def unbroadcast_axis_by_axis(cotangent, shape):
    """Two loops, in NumPy."""
    found = np.asarray(cotangent)
    while found.ndim > len(shape):
        found = np.add.reduce(found, axis=0)
    for axis, length in enumerate(shape):
        if length == 1 != found.shape[axis]:
            found = np.add.reduce(found, axis=axis, keepdims=True)
    return found


@alternative(of="affine_vjp")
def affine_vjp_by_jax(x, weight, bias, cotangent):
    """The library's."""
    forward = lambda x, w, b: jnp.dot(x, w) + jnp.broadcast_to(b, cotangent.shape)  # noqa: E731
    return jax.vjp(forward, x, weight, bias)[1](cotangent)


@alternative(of="affine_vjp")
def affine_vjp_example_by_example(x, weight, bias, cotangent):
    """Outer products, added up."""
    on_weight = sum(jnp.outer(row, back) for row, back in zip(x, cotangent, strict=True))
    return jnp.stack([weight @ back for back in cotangent]), on_weight, jnp.ones(len(x)) @ cotangent


@alternative(of="relu_vjp")
def relu_vjp_by_jax(x, cotangent):
    """The library's."""
    return jax.vjp(jax.nn.relu, x)[1](cotangent)[0]


@alternative(of="relu_vjp")
def relu_vjp_by_step_function(x, cotangent):
    """Heaviside's step, 0 at 0."""
    return jnp.heaviside(x, 0.0) * cotangent


@alternative(of="log_softmax_cross_entropy_vjp")
def cross_entropy_vjp_by_optax(logits, labels, cotangent):
    """The gradient of optax's loss."""
    import optax

    mean = lambda z: cotangent * optax.softmax_cross_entropy_with_integer_labels(z, labels).mean()  # noqa: E731
    return jax.grad(mean)(logits)


@alternative(of="log_softmax_cross_entropy_vjp")
def cross_entropy_vjp_through_log_softmax(logits, labels, cotangent):
    """Two rules in a row: the mean picks entries, then the rule of log-softmax couples them."""
    count = len(labels)
    picked = jnp.zeros(logits.shape).at[jnp.arange(count), labels].set(-cotangent / count)
    return picked - jnp.exp(jax.nn.log_softmax(logits)) * picked.sum(1, keepdims=True)


@alternative(of="layer_norm_vjp")
def layer_norm_vjp_by_jax(x, scale, shift, cotangent, eps=1e-5):
    """The library's, of the forward pass."""

    def forward(x, scale, shift):
        return jax.nn.standardize(x, axis=-1, epsilon=eps) * scale[None] + shift[None]

    return jax.vjp(forward, x, scale, shift)[1](cotangent)


@alternative(of="layer_norm_vjp")
def layer_norm_vjp_step_by_step(x, scale, shift, cotangent, eps=1e-5):
    """Each step of the forward pass on its own, as Ioffe and Szegedy (2015) write it."""
    d, mean = x.shape[1], x.mean(1, keepdims=True)
    variance = ((x - mean) ** 2).sum(1, keepdims=True) / d
    inverse = (variance + eps) ** -0.5
    on_normal = cotangent * scale[None]
    on_variance = (on_normal * (x - mean)).sum(1, keepdims=True) * -0.5 * inverse**3
    on_mean = -(on_normal * inverse).sum(1, keepdims=True)
    on_x = on_normal * inverse + on_variance * 2 * (x - mean) / d + on_mean / d
    return on_x, (cotangent * (x - mean) * inverse).sum(0), cotangent.sum(0)


@alternative(of="attention_vjp")
def attention_vjp_by_jax(query, key, value, cotangent):
    """The library's fused function."""

    def forward(query, key, value):
        inputs = (a[None, :, None, :] for a in (query, key, value))
        q, k, v = inputs
        scores = jnp.einsum("btnd,bsnd->bnts", q, k) / math.sqrt(query.shape[1])
        scores = jnp.where(jnp.tril(jnp.ones_like(scores)) > 0, scores, -1e30)
        return jnp.einsum("bnts,bsnd->btnd", jax.nn.softmax(scores), v)[0, :, 0]

    return jax.vjp(forward, query, key, value)[1](cotangent)


@alternative(of="attention_vjp")
def attention_vjp_row_by_row(query, key, value, cotangent):
    """For each query the Jacobian of its softmax, over what it may see."""
    root = query.shape[1] ** 0.5
    on_query, on_key, on_value = (np.zeros(np.shape(a)) for a in (query, key, value))
    for t, q in enumerate(np.asarray(query, np.float64)):
        k, v = (np.asarray(a, np.float64)[: t + 1] for a in (key, value))
        p = np.exp(k @ q / root - np.max(k @ q / root))
        p /= p.sum()
        on_scores = (np.diag(p) - np.outer(p, p)) @ (v @ np.asarray(cotangent)[t]) / root
        on_query[t] = on_scores @ k
        on_key[: t + 1] += np.outer(on_scores, q)
        on_value[: t + 1] += np.outer(p, cotangent[t])
    return on_query, on_key, on_value


def _forward(params, x, labels):
    for inner in params[:-1]:
        x = jax.nn.relu(jnp.dot(x, inner["weight"]) + inner["bias"][None])
    scores = jax.nn.log_softmax(jnp.dot(x, params[-1]["weight"]) + params[-1]["bias"][None])
    return -jnp.take_along_axis(scores, labels[:, None], axis=1).mean()


@alternative(of="mlp_backward")
def mlp_backward_by_jax(params, x, labels):
    """What it is compared with in the title."""
    return jax.value_and_grad(_forward)(params, x, labels)


@alternative(of="mlp_backward")
def mlp_backward_recursive(params, x, labels):
    """Each layer asks the rest of the network for the cotangent of its result."""

    def descend(i, hidden):
        before = jnp.dot(hidden, params[i]["weight"]) + params[i]["bias"][None]
        if i + 1 == len(params):
            logp = jax.nn.log_softmax(before)
            loss = -logp[np.arange(len(labels)), labels].mean()
            back, rest = jnp.exp(logp).at[np.arange(len(labels)), labels].add(-1) / len(labels), []
        else:
            loss, back, rest = descend(i + 1, before * (before > 0))
            back = jnp.where(before > 0, back, 0)
        here = {"weight": jnp.einsum("bi,bj->ij", hidden, back), "bias": jnp.einsum("bj->j", back)}
        return loss, back @ params[i]["weight"].T, [here, *rest]

    loss, _, gradients = descend(0, x)
    return loss, gradients


@alternative(of="log1pexp")
def log1pexp_by_logaddexp(x):
    """The library's function, whose own rule is safe."""
    return jnp.logaddexp(0.0, x)


@alternative(of="log1pexp")
def log1pexp_with_two_branches(x):
    """`where` with arguments made safe before the branch, so that no nan can come back."""
    positive = x > 0
    low, high = jnp.where(positive, 0.0, x), jnp.where(positive, x, 0.0)
    return jnp.where(positive, high + jnp.log1p(jnp.exp(-high)), jnp.log1p(jnp.exp(low)))


@alternative(of="straight_through_round")
def straight_through_by_stop_gradient(x):
    """Adds the rounding error as a constant."""
    return x + jax.lax.stop_gradient(jnp.round(x) - x)


@alternative(of="straight_through_round")
@jax.custom_jvp
def straight_through_by_custom_jvp(x):
    """The rule for forward mode, which JAX transposes."""
    return jnp.round(x)


straight_through_by_custom_jvp.defjvp(lambda primals, tangents: (jnp.round(primals[0]), tangents[0]))


@alternative(of="hvp")
def hvp_reverse_over_reverse(loss, params, direction):
    """The gradient of the gradient's product with the direction."""

    def along(params):
        slopes = jax.grad(loss)(params)
        products = jax.tree.map(jnp.vdot, slopes, direction)
        return sum(jax.tree.leaves(products))

    return jax.grad(along)(params)


@alternative(of="hvp")
def hvp_reverse_over_forward(loss, params, direction):
    """The gradient of the slope along the direction."""
    return jax.grad(lambda p: jax.jvp(loss, (p,), (direction,))[1])(params)


@alternative(of="gradient_flow")
def gradient_flow_by_jax(weights, x, cotangent, activation):
    """A vjp for each layer, kept in a list."""
    active = getattr(jax.nn, activation)
    pulls = []
    for weight in weights:
        x, pull = jax.vjp(lambda h, w=weight: active(jnp.dot(h, w)), x)
        pulls.append(pull)
    cotangents = [cotangent]
    for pull in pulls[::-1]:
        cotangents.append(pull(cotangents[-1])[0])
    return jnp.array([jnp.linalg.norm(c) / c.size**0.5 for c in cotangents[::-1]])


@alternative(of="gradient_flow")
def gradient_flow_in_scans(weights, x, cotangent, activation):
    """Two scans, the second reversed."""

    def forward(h, w):
        out = getattr(jnp, activation, jax.nn.relu)(h @ w)
        return out, out

    def reverse(back, layer):
        w, out = layer
        back = jnp.dot(back * (1 - out**2 if activation == "tanh" else jnp.sign(out)), w.T)
        return back, jnp.var(back) + jnp.mean(back) ** 2

    _, outs = jax.lax.scan(forward, x, weights)
    _, squares = jax.lax.scan(reverse, cotangent, (weights, outs), reverse=True)
    return jnp.sqrt(jnp.append(squares, jnp.mean(cotangent**2)))


@alternative(of="deep_init")
def deep_init_uniform(key, depth, width, activation):
    """Uniform, between the bounds of the same variance."""
    bound = math.sqrt((6 if activation == "relu" else 3) / width)
    return jax.random.uniform(key, (depth, width, width), minval=-bound, maxval=bound)


@alternative(of="deep_init")
def deep_init_orthogonal(key, depth, width, activation):
    """Orthogonal matrices (Saxe et al. 2014), one key for each layer."""
    gain = jnp.sqrt(2.0) if activation == "relu" else 1.0
    make = jax.nn.initializers.orthogonal(gain)
    return jnp.stack([make(part, (width, width)) for part in jax.random.split(key, depth)])
