# ---
# jupyter:
#   jupytext:
#     notebook_metadata_filter: -jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lab 03: Backward
#
# A network with a billion parameters learns from a billion derivatives. It gets them for the price of about two more
# forward passes. The method is *reverse-mode differentiation*, or *backpropagation*: walk through the computation
# backwards, and carry along how much the loss would change. In this lab you build it three times. First for single
# numbers, in forty lines. Then for arrays, rule by rule, up to attention. Then for a whole network. After that you know
# what `jax.grad` does, and where it needs your help.
#
# You need about seven hours: take two or three sittings. The [chapter](../../course/chapters/03-backward.md) has the
# derivations; you can do the lab without them.
#
# **How to work.** Each exercise has a function to write, a check, and often a picture. Replace
# `raise NotImplementedError` by your code, run the cell, and run the check below it. The check says what it called,
# what came back, and what was wanted. Run it as often as you like. Hidden checks ask the same questions with other
# numbers when the lab is graded. Hints are folded: open them one at a time.
#
# **A word.** The *cotangent* of an array $z$ is the array $\bar z = \partial L / \partial z$: entry by entry, how much
# the loss $L$ changes when that entry of $z$ does. It always has the shape of $z$.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from gradlab import predict, widgets
from gradlab.checks import backward as checks
from gradlab.curves import Waves
from gradlab.divergence import first_divergence, silent
from gradlab.tapped import careless_mlp_backward, mlp_loss, named, random_mlp

# %% [markdown]
# ## 1. A gradient by measurement
#
# *Difficulty: easy. Importance: high. About 20 minutes. 5 points.*
#
# Before you derive anything, get an instrument that tells you when you are wrong. A derivative can be measured: move one
# variable a little to both sides, and see how the function changes.
#
# $$\frac{\partial f}{\partial x_i} \approx \frac{f(x + h e_i) - f(x - h e_i)}{2h}$$
#
# $e_i$ is 1 at entry $i$ and 0 elsewhere. Looking to both sides pays: the error of this *central difference* falls with
# $h^2$, that of a one-sided difference only with $h$. It needs two calls for each variable. That is hopeless for a
# billion of them, and just right for a test. (Nocedal and Wright 2006, section 8.1.)
#
# <details><summary>Hint 1: an idea</summary>
#
# For each entry make a copy of `x` in which that entry alone has moved. JAX arrays cannot be assigned to;
# `x.at[place].add(h)` gives the copy.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# `np.ndindex(x.shape)` walks through all places of an array of any shape. Collect one number for each place, and give
# the list the shape of `x` at the end.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `[(function(x.at[place].add(h)) - function(x.at[place].add(-h))) / (2 * h) for place in np.ndindex(x.shape)]`
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "numerical-grad", "locked": false, "schema_version": 3, "solution": true, "task": false}
def numerical_grad(function, x: Float[Array, "..."], h: float = 1e-2) -> Float[Array, "..."]:
    """The gradient of a function by central differences.

    Args:
        function: from an array of the shape of `x` to a scalar.
        x: where to measure; an array of any shape.
        h: how far to move to each side.

    Returns:
        The gradient, in the shape of `x`.
    """
    ### BEGIN SOLUTION
    slopes = [(function(x.at[place].add(h)) - function(x.at[place].add(-h))) / (2 * h) for place in np.ndindex(x.shape)]
    return jnp.reshape(jnp.stack(slopes), x.shape)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-numerical-grad", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 5}
checks.numerical_grad(numerical_grad)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import backward as hidden

hidden.numerical_grad(numerical_grad)
### END HIDDEN TESTS

# %% [markdown]
# ### The error against the step
#
# *Difficulty: easy. Importance: medium. About 10 minutes. 3 points.*
#
# How good is a measured gradient? Compare it with an exact one by the *relative error*, with Euclidean norms over all
# entries:
#
# $$\text{error}(h) = \frac{\lVert g_\text{measured}(h) - g_\text{exact} \rVert}{\lVert g_\text{exact} \rVert}$$
#
# This one number is also the test of a gradient that you derived by hand: if no $h$ makes it small, the derivation is
# wrong. Give it for several steps. You may call `numerical_grad`.
#
# <details><summary>Hint 1: an idea</summary>
#
# One relative error for each step, in the order of `steps`.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# The exact gradient does not depend on the step: compute it once. `jnp.linalg.norm` of the flattened difference is the
# numerator.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `[jnp.linalg.norm(jnp.ravel(numerical_grad(function, x, h) - exact)) / jnp.linalg.norm(jnp.ravel(exact)) for h in steps]`
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "gradient-errors", "locked": false, "schema_version": 3, "solution": true, "task": false}
def gradient_errors(function, gradient, x: Float[Array, "..."], steps: list[float]) -> Float[Array, " steps"]:
    """The relative error of the measured gradient, for each step.

    Args:
        function: from an array to a scalar.
        gradient: a function from an array to what is claimed to be the gradient there, in the same shape.
        x: where to compare.
        steps: the values of h.

    Returns:
        One number for each step: the norm of the difference over the norm of the claimed gradient.
    """
    ### BEGIN SOLUTION
    exact = jnp.ravel(gradient(x))
    gaps = jnp.stack([jnp.ravel(numerical_grad(function, x, h)) - exact for h in steps])
    return jnp.linalg.norm(gaps, axis=1) / jnp.linalg.norm(exact)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-gradient-errors", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 3}
checks.gradient_errors(gradient_errors)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import backward as hidden

hidden.gradient_errors(gradient_errors)
### END HIDDEN TESTS

# %% [markdown]
# ### Predict: which step is best?
#
# *Two points, for committing a number. Whether it is right does not matter.*
#
# A small step has a small error of its own, proportional to $h^2$. So take $h$ as small as possible? A float32 holds
# about seven digits. $f(x+h)$ and $f(x-h)$ agree in nearly all of them, and the rounding that is left is divided by $2h$.
#
# Which $h$ gives the smallest error for the sum of five sines in float32? Write
# `best_step_guess = ` and your number into the next cell, and run it before you go on.

# %% nbgrader={"grade": false, "grade_id": "best-step", "locked": false, "schema_version": 3, "solution": true, "task": false}
### BEGIN SOLUTION
best_step_guess = 0.005
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "test-best-step", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 2}
checks.best_step(best_step_guess)

# %%
waves, somewhere = Waves(np.ones(5, np.float32)), jnp.linspace(0.3, 1.3, 5)
steps = [10.0**exponent for exponent in np.arange(-6, 0.1, 0.5)]
errors = gradient_errors(waves, waves.gradient, somewhere, steps)
for h, error in zip(steps, errors, strict=True):
    print(f"h = {h:7.0e}   relative error {error:7.0e}  " + "#" * max(0, int(8 * (math.log10(error + 1e-9) + 6))))
predict.reveal(best_step_guess, steps[int(np.argmin(errors))], "the best step in float32")

# %% [markdown]
# Two slopes: from the right the error falls with $h^2$, from the left with $1/h$. They meet where truncation and rounding
# are equal, near the cube root of the rounding error: $(6 \cdot 10^{-8})^{1/3} \approx 4 \cdot 10^{-3}$. With float64 the
# best step is near $10^{-5}$. Even the best measurement has only about five of seven digits.
#
# ## 2. Numbers that remember
#
# *Difficulty: medium. Importance: high. About 35 minutes. 8 points.*
#
# Reverse mode needs a record of what was computed. So wrap each number in a *node* that knows its value (`data`), the
# nodes it was made from (`parents`), and how to hand its own gradient on to them (`push`). The rules are the chain rule,
# one operation at a time. For a node $z$ with gradient $\bar z$:
#
# $$z = x + y: \quad \bar x \mathrel{+}= \bar z, \; \bar y \mathrel{+}= \bar z \qquad
# z = xy: \quad \bar x \mathrel{+}= y \bar z, \; \bar y \mathrel{+}= x \bar z \qquad
# z = \tanh x: \quad \bar x \mathrel{+}= (1 - z^2) \, \bar z$$
#
# Every rule *adds* to the gradient. A number that was used twice gets two shares, and neither may be lost.
#
# One thing is easy to overlook. Between the forward pass and the backward pass somebody may change `data` (an optimizer
# does). The rule for the product must use the values of the moment when the node was made. Save them in local variables.
# (Wengert 1964; Linnainmaa 1976; the form with `push` is that of Karpathy's micrograd.)
#
# <details><summary>Hint 1: an idea</summary>
#
# Each operation makes a new node. Then it defines a small function without arguments, which reads the new node's
# `grad` and adds to the parents' `grad`, and stores it as the new node's `push`.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# In `__mul__`: turn a plain number into a node, save both values in local variables, make the result with its parents,
# define `push`, and store it in the result. The other two are the same with other factors.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `left, right = self.data, other.data`, then in `push`: `self.grad += right * result.grad` and
# `other.grad += left * result.grad`. The addition of `+=` also makes `x * x` right.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "value", "locked": false, "schema_version": 3, "solution": true, "task": false}
class Value:
    """A number that remembers how it was made.

    Attributes:
        data: the number.
        grad: the derivative of the root with respect to it; 0.0 until somebody pushes.
        parents: the nodes it was made from, in order; an empty tuple for a leaf.
        push: a function without arguments that adds this node's share to `grad` of each parent, with the values that
            the parents had when the node was made; for a leaf it does nothing.
    """

    def __init__(self, data: float, parents: tuple = ()):
        self.data, self.parents = data, parents
        self.grad = 0.0
        self.push = lambda: None

    def __add__(self, other):
        """The sum with another node or a plain number, a new node."""
        other = other if isinstance(other, Value) else Value(other)
        ### BEGIN SOLUTION
        total = Value(self.data + other.data, (self, other))

        def push():
            self.grad += total.grad
            other.grad += total.grad

        total.push = push
        return total
        ### END SOLUTION

    def __mul__(self, other):
        """The product with another node or a plain number, a new node."""
        other = other if isinstance(other, Value) else Value(other)
        ### BEGIN SOLUTION
        mine, theirs = self.data, other.data
        product = Value(mine * theirs, (self, other))

        def push():
            self.grad += theirs * product.grad
            other.grad += mine * product.grad

        product.push = push
        return product
        ### END SOLUTION

    def tanh(self):
        """The hyperbolic tangent, a new node."""
        ### BEGIN SOLUTION
        height = math.tanh(self.data)
        squashed = Value(height, (self,))

        def push():
            self.grad += (1 - height * height) * squashed.grad

        squashed.push = push
        return squashed
        ### END SOLUTION

    # Given: the other way round, and what follows from the three.
    def __radd__(self, other):
        return self + other

    def __rmul__(self, other):
        return self * other

    def __sub__(self, other):
        return self + (-1.0) * other

    def __repr__(self):
        return f"Value({self.data:.4g}, grad={self.grad:.4g})"


# %% nbgrader={"grade": true, "grade_id": "test-value", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 8}
checks.value(Value)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import backward as hidden

hidden.value(Value)
### END HIDDEN TESTS

# %% [markdown]
# ## 3. The order of the walk
#
# *Difficulty: hard. Importance: high. About 30 minutes. 8 points.*
#
# Now walk from the result, the *root*, back to the leaves. The root's own gradient is 1, and each node pushes once. When
# may a node push? Only when its gradient is complete: when every node that used it has pushed already. A node that pushes
# too soon hands on a part, and the rest never arrives.
#
# Such an order is a *topological order*. You get one like this: visit the root; to visit a node, first visit all its
# parents that have not been visited yet, then append the node to a list. In the list every node stands after its parents.
# Read it from the end. (Cormen et al. 2009, section 22.4.)
#
# Start clean: set the gradient of every node of the graph to 0 first. Then two calls give the same as one.
#
# <details><summary>Hint 1: an idea</summary>
#
# Two passes over the graph: one that makes the list, one that pushes. What goes wrong if you push during the first?
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Keep a set of visited nodes. A recursive inner function `visit(node)` returns at once if the node is in the set.
# After the list is there: zero all gradients, set the root's to 1, push in reversed order.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `def visit(node): if node not in seen: seen.add(node); [visit(p) for p in node.parents]; order.append(node)`, then a
# loop over `reversed(order)`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "backward", "locked": false, "schema_version": 3, "solution": true, "task": false}
def backward(root: Value) -> None:
    """Sets `grad` of every node that `root` was made from to the derivative of `root` with respect to it.

    The gradients of all nodes of the graph are set to 0 first, that of the root then to 1. Each node pushes once, after
    every node that used it.
    """
    ### BEGIN SOLUTION
    order, seen = [], set()

    def visit(node):
        if node in seen:
            return
        seen.add(node)
        for source in node.parents:
            visit(source)
        order.append(node)

    visit(root)
    for node in order:
        node.grad = 0.0
    root.grad = 1.0
    for node in reversed(order):
        node.push()
    ### END SOLUTION


Value.backward = backward

# %% nbgrader={"grade": true, "grade_id": "test-backward", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 8}
checks.backward(Value)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import backward as hidden

hidden.backward(Value)
### END HIDDEN TESTS

# %% [markdown]
# **See it.** Your nodes and your `backward`, on a small expression. Step through it with the buttons or the arrow keys.
# Each step is one write to a gradient: upstream times local derivative. Watch the first product, which the
# expression calls `a`: its gradient has two shares, and they arrive at different times. Tick *guess first* and type each gradient before you see it. If your code ever assigns where
# it should add, the walk stops there and says so.


# %%
def expression(x, w):
    """Two paths lead to a, and three to x."""
    a = x * w
    b = a + x
    return a * b + b.tanh()


widgets.Graph(Value, expression, {"x": 0.8, "w": -1.5})

# %% [markdown]
# ## 4. Undo a broadcast
#
# *Difficulty: medium. Importance: high. About 20 minutes. 6 points.*
#
# From here on nodes are arrays. The commonest operation in any program is one you do not see: *broadcasting*. In
# `x + bias` a bias of shape `(d,)` is copied to every row of `x`. One number went to many places, and all of them answer.
# So its cotangent is the sum over all the places:
#
# $$y_{bj} = \beta_j \quad\Rightarrow\quad \bar\beta_j = \sum_b \bar y_{bj}$$
#
# NumPy's rule: shapes are aligned at the right, missing axes are put in front, and axes of length 1 are stretched.
# Undoing it sums over both kinds. (NumPy documentation, *Broadcasting*.)
#
# <details><summary>Hint 1: an idea</summary>
#
# First bring the number of axes down, then the lengths.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# The cotangent has `cotangent.ndim - len(shape)` extra axes in front: sum over them. Then sum, with `keepdims=True`,
# over every axis where `shape` has a 1.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `stretched = tuple(i for i, n in enumerate(shape) if n == 1)`, then
# `jnp.sum(cotangent, axis=stretched, keepdims=True)`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "unbroadcast", "locked": false, "schema_version": 3, "solution": true, "task": false}
def unbroadcast(cotangent: Float[Array, "..."], shape: tuple[int, ...]) -> Float[Array, "..."]:
    """The cotangent of an array of shape `shape` that was broadcast to the shape of `cotangent`.

    Args:
        cotangent: of the array after broadcasting.
        shape: of the array before; it can be broadcast to `cotangent.shape`.

    Returns:
        An array of shape `shape`: sums over all places to which each entry went.
    """
    ### BEGIN SOLUTION
    cotangent = jnp.sum(cotangent, axis=tuple(range(cotangent.ndim - len(shape))))
    stretched = tuple(axis for axis, length in enumerate(shape) if length == 1)
    return jnp.sum(cotangent, axis=stretched, keepdims=True)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-unbroadcast", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 6}
checks.unbroadcast(unbroadcast)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import backward as hidden

hidden.unbroadcast(unbroadcast)
### END HIDDEN TESTS

# %% [markdown]
# ## 5. The affine layer
#
# *Difficulty: medium. Importance: high. About 20 minutes. 5 points.*
#
# A rule for arrays takes the inputs of an operation and the cotangent of its result, and gives the cotangents of the
# inputs. JAX calls it a *VJP*, a vector-Jacobian product. The Jacobian itself is never built.
#
# For $Y = XW + \mathbf{1} b^\top$, write one entry, $y_{bj} = \sum_i x_{bi} w_{ij} + b_j$, and ask of each input where it
# goes. $x_{bi}$ goes to all $y_{bj}$ with factor $w_{ij}$, and so on:
#
# $$\bar X = \bar Y W^\top \qquad \bar W = X^\top \bar Y \qquad \bar b = \sum_b \bar Y_{b \cdot}$$
#
# If you forget which factor is transposed, let the shapes decide. But beware of square matrices: there a wrong transpose
# raises no error. (Giles 2008.)
#
# <details><summary>Hint 1: an idea</summary>
#
# Each cotangent has the shape of its own input.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Two matrix products and one `unbroadcast`. Return a tuple in the order of the inputs.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `return cotangent @ weight.T, x.T @ cotangent, unbroadcast(cotangent, bias.shape)`
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "affine-vjp", "locked": false, "schema_version": 3, "solution": true, "task": false}
def affine_vjp(
    x: Float[Array, "b n"], weight: Float[Array, "n m"], bias: Float[Array, " m"], cotangent: Float[Array, "b m"]
) -> tuple[Float[Array, "b n"], Float[Array, "n m"], Float[Array, " m"]]:
    """The backward rule of `x @ weight + bias`.

    Args:
        x, weight, bias: the inputs of the forward pass.
        cotangent: of its result.

    Returns:
        The cotangents of x, weight and bias. Nothing is averaged over the batch: a mean belongs to the loss.
    """
    ### BEGIN SOLUTION
    on_x, on_weight = cotangent @ weight.T, x.T @ cotangent
    return on_x, on_weight, unbroadcast(cotangent, bias.shape)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-affine-vjp", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 5}
checks.affine_vjp(affine_vjp)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import backward as hidden

hidden.affine_vjp(affine_vjp)
### END HIDDEN TESTS

# %% [markdown]
# ## 6. The rectifier
#
# *Difficulty: easy. Importance: high. About 10 minutes. 3 points.*
#
# $\mathrm{relu}(x) = \max(x, 0)$ has the slope 1 where $x > 0$ and 0 where $x < 0$. At 0 it has none, and a convention
# must do: the slope is 0 there, as in JAX. Zeros are not rare. A bias that starts at 0 and a blank image make thousands.
#
# The input decides what passes, and the cotangent says how much. Do not write into the arrays that you were given.
#
# <details><summary>Hint 1: an idea</summary>
#
# Where `x` is positive take the cotangent, elsewhere 0.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# `jnp.where` with a condition on `x`. Think about whether it is `>` or `>=`.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `jnp.where(x > 0, cotangent, 0.0)`
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "relu-vjp", "locked": false, "schema_version": 3, "solution": true, "task": false}
def relu_vjp(x: Float[Array, "..."], cotangent: Float[Array, "..."]) -> Float[Array, "..."]:
    """The backward rule of `max(x, 0)`, with slope 0 at 0.

    Args:
        x: the input of the forward pass.
        cotangent: of its result, in the same shape.

    Returns:
        The cotangent of x, a new array.
    """
    ### BEGIN SOLUTION
    return jnp.where(x > 0, cotangent, 0.0)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-relu-vjp", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 3}
checks.relu_vjp(relu_vjp)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import backward as hidden

hidden.relu_vjp(relu_vjp)
### END HIDDEN TESTS

# %% [markdown]
# ## 7. The loss
#
# *Difficulty: medium. Importance: high. About 30 minutes. 7 points.*
#
# The loss of a classifier is the mean cross-entropy of a softmax. With logits $z$, labels $y$ and $B$ examples:
#
# $$L = \frac1B \sum_b \Big( \log \sum_k e^{z_{bk}} - z_{b y_b} \Big)$$
#
# Differentiate the logarithm of the sum: it gives the softmax $p$ itself. The two together are one of the most pleasant
# formulas of the field:
#
# $$\bar z_{bk} = \frac{\bar L}{B} \left( p_{bk} - [k = y_b] \right)$$
#
# All classes get a gradient, not only the right one, since the softmax couples them: what one class gains, the others
# lose. Each row sums to zero. Use a stable softmax: with logits of a thousand, $e^z$ is infinite. (Bridle 1990.)
#
# <details><summary>Hint 1: an idea</summary>
#
# `jax.nn.softmax` is stable, and `jax.nn.one_hot` makes the second term.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Subtract, divide by the number of examples, multiply by the cotangent of the loss, which is a single number.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `cotangent * (jax.nn.softmax(logits) - jax.nn.one_hot(labels, logits.shape[1])) / len(labels)`
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "log-softmax-cross-entropy-vjp", "locked": false, "schema_version": 3, "solution": true, "task": false}
def log_softmax_cross_entropy_vjp(
    logits: Float[Array, "b c"], labels: Int[Array, " b"], cotangent: Float[Array, ""]
) -> Float[Array, "b c"]:
    """The backward rule of the mean cross-entropy of `log_softmax(logits)` against integer labels.

    Args:
        logits: unnormalised log probabilities, of any size.
        labels: the right class of each example, from 0 to c - 1.
        cotangent: of the loss, a scalar.

    Returns:
        The cotangent of the logits; finite for all finite logits.
    """
    ### BEGIN SOLUTION
    surplus = jax.nn.softmax(logits) - jax.nn.one_hot(labels, logits.shape[1])
    return surplus * (cotangent / len(labels))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-log-softmax-cross-entropy-vjp", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 7}
checks.log_softmax_cross_entropy_vjp(log_softmax_cross_entropy_vjp)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import backward as hidden

hidden.log_softmax_cross_entropy_vjp(log_softmax_cross_entropy_vjp)
### END HIDDEN TESTS

# %% [markdown]
# ## 8. Layer normalisation
#
# *Difficulty: hard. Importance: high. About 40 minutes. 7 points.*
#
# Every block of a transformer normalises its input (Ba et al. 2016). Over the $d$ entries of each row, with mean $\mu$ and
# variance $\sigma^2$ (the mean of the squared deviations):
#
# $$\hat x = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} \qquad\qquad y = \gamma \hat x + \beta$$
#
# An input $x_i$ acts on $\hat x$ in three ways: directly, through $\mu$, and through $\sigma^2$. Collect all three, write
# $\bar{\hat x} = \gamma \bar y$, and the result is short:
#
# $$\bar x = \frac{1}{\sqrt{\sigma^2 + \epsilon}} \left( \bar{\hat x} - \mathrm{mean}(\bar{\hat x})
# - \hat x \cdot \mathrm{mean}(\bar{\hat x} \hat x) \right)$$
#
# The two means take out what the normalisation would take out anyway: a shift of the whole row, and a stretch of it.
# $\gamma$ and $\beta$ (`scale` and `shift`) were broadcast over the rows. The chapter derives the formula in section 3.5.
#
# <details><summary>Hint 1: an idea</summary>
#
# Compute the forward pass again: you need the normalised rows and the divisor.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# `shift` gets the column sums of the cotangent, `scale` those of `cotangent * normalised`. For `x` follow the formula;
# both means run along the last axis with `keepdims=True`.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `inner = cotangent * scale`, then
# `(inner - inner.mean(-1, keepdims=True) - normalised * (inner * normalised).mean(-1, keepdims=True)) / root`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "layer-norm-vjp", "locked": false, "schema_version": 3, "solution": true, "task": false}
def layer_norm_vjp(
    x: Float[Array, "b d"],
    scale: Float[Array, " d"],
    shift: Float[Array, " d"],
    cotangent: Float[Array, "b d"],
    eps: float = 1e-5,
) -> tuple[Float[Array, "b d"], Float[Array, " d"], Float[Array, " d"]]:
    """The backward rule of `(x - mean) / sqrt(variance + eps) * scale + shift`, row by row.

    Args:
        x, scale, shift: the inputs of the forward pass.
        cotangent: of its result.
        eps: added to the variance, which is the mean of the squared deviations, before the root.

    Returns:
        The cotangents of x, scale and shift.
    """
    ### BEGIN SOLUTION
    centered = x - jnp.mean(x, axis=-1, keepdims=True)
    root = jnp.sqrt(jnp.mean(centered**2, axis=-1, keepdims=True) + eps)
    normal = centered / root
    inner = cotangent * scale[None, :]
    lift = jnp.mean(inner, axis=-1, keepdims=True)
    stretch = jnp.mean(inner * normal, axis=-1, keepdims=True)
    return (inner - lift - normal * stretch) / root, jnp.sum(cotangent * normal, axis=0), jnp.sum(cotangent, axis=0)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-layer-norm-vjp", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 7}
checks.layer_norm_vjp(layer_norm_vjp)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import backward as hidden

hidden.layer_norm_vjp(layer_norm_vjp)
### END HIDDEN TESTS

# %% [markdown]
# ## 9. Attention
#
# *Difficulty: hard. Importance: high. About 45 minutes. 8 points.*
#
# One head of causal attention (Vaswani et al. 2017) over a sequence of length $T$. A position may look at itself and at
# what came before: all other scores are minus infinity before the softmax.
#
# $$S = \frac{Q K^\top}{\sqrt d} \qquad P = \mathrm{softmax}(S) \text{ row by row} \qquad O = P V$$
#
# Go back one step at a time. The last product gives $\bar V = P^\top \bar O$ and $\bar P = \bar O V^\top$. Then each row
# of the softmax:
#
# $$\bar S_{ij} = P_{ij} \Big( \bar P_{ij} - \sum_k \bar P_{ik} P_{ik} \Big)$$
#
# The sum is the *coupling*: raising one weight lowers all others of the row. And last $\bar Q = \bar S K / \sqrt d$ and
# $\bar K = \bar S^\top Q / \sqrt d$. Masked positions have $P_{ij} = 0$, so nothing comes back through them.
#
# FlashAttention (Dao et al. 2022) uses these same formulas, and computes $P$ again in pieces, so that the
# $T \times T$ matrix never has to be stored.
#
# <details><summary>Hint 1: an idea</summary>
#
# Four lines go back through four lines of forward pass. Write the forward pass first.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# The mask: `jnp.where(jnp.tri(T, dtype=bool), scores, -jnp.inf)`. After the softmax everything is a matrix product,
# apart from one row sum with `keepdims=True`.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `d_scores = weights * (d_weights - jnp.sum(d_weights * weights, axis=1, keepdims=True))`, then
# `d_scores @ key / root` and `d_scores.T @ query / root`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "attention-vjp", "locked": false, "schema_version": 3, "solution": true, "task": false}
def attention_vjp(
    query: Float[Array, "t d"], key: Float[Array, "t d"], value: Float[Array, "t v"], cotangent: Float[Array, "t v"]
) -> tuple[Float[Array, "t d"], Float[Array, "t d"], Float[Array, "t v"]]:
    """The backward rule of one head of causal attention, scores divided by the root of d.

    Args:
        query, key, value: the inputs of the forward pass, a row for each position.
        cotangent: of its result.

    Returns:
        The cotangents of query, key and value.
    """
    ### BEGIN SOLUTION
    length, root = len(query), math.sqrt(query.shape[1])
    visible = jnp.tri(length, dtype=bool)
    portion = jax.nn.softmax(jnp.where(visible, query @ key.T / root, -jnp.inf), axis=1)
    on_portion = cotangent @ value.T
    on_scores = portion * (on_portion - jnp.sum(on_portion * portion, axis=1, keepdims=True))
    return on_scores @ key / root, on_scores.T @ query / root, portion.T @ cotangent
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-attention-vjp", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 8}
checks.attention_vjp(attention_vjp)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import backward as hidden

hidden.attention_vjp(attention_vjp)
### END HIDDEN TESTS

# %% [markdown]
# ## 10. A whole network
#
# *Difficulty: hard. Importance: high. About 40 minutes. 8 points.*
#
# Put the rules together: loss and gradients of a network in one function, as `jax.value_and_grad` gives them. The network
# is a list of affine layers with a rectifier between each two of them. There is none after the last, whose results are
# the logits. The loss is the mean cross-entropy of exercise 7.
#
# Going forward, keep what the rules will ask for: the input of each layer, and what came out before its rectifier. Going
# back, start with a cotangent of 1 for the loss, and take the layers in reverse. (Rumelhart, Hinton and Williams 1986.)
#
# `tap` is for the instrument below, and you may leave it alone. `tap("before 0", z)` names a value and gives it back.
# `tap.cotangent("before 0", z_bar)` names a cotangent. The names are `before i` for the result of layer i, and `after i`
# for what comes out of its rectifier.
#
# <details><summary>Hint 1: an idea</summary>
#
# Two loops. The first appends to a list, the second reads it from the end.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Forward: save `(hidden, before)` for each layer, where `hidden` is its input. Backward: `affine_vjp` gives three
# cotangents. Two are gradients, the first goes on, through `relu_vjp` with the `before` of the layer in front.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `for i in reversed(range(len(params))): d_hidden, d_weight, d_bias = affine_vjp(inputs[i], params[i]['weight'], params[i]['bias'], d_before)`,
# and if `i > 0`: `d_before = relu_vjp(befores[i - 1], d_hidden)`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "mlp-backward", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mlp_backward(
    params: list[dict[str, Float[Array, "..."]]], x: Float[Array, "b n"], labels: Int[Array, " b"], tap=silent
) -> tuple[Float[Array, ""], list[dict[str, Float[Array, "..."]]]]:
    """Loss and gradients of an MLP, by hand.

    Args:
        params: a list of layers, each `{"weight": (n, m), "bias": (m,)}`; at least one.
        x: a batch of inputs.
        labels: the right class of each example.
        tap: names intermediate values and cotangents for `first_divergence`; by default it does nothing.

    Returns:
        The mean cross-entropy, and its gradients in the structure of `params`. Everything can be traced by `jax.jit`.
    """
    ### BEGIN SOLUTION
    inputs, befores = [], []
    carried = x
    for level, layer in enumerate(params):
        inputs.append(carried)
        befores.append(tap(f"before {level}", carried @ layer["weight"] + layer["bias"][None, :]))
        inner = level < len(params) - 1
        carried = tap(f"after {level}", jnp.maximum(befores[-1], 0.0)) if inner else befores[-1]
    log_probability = jax.nn.log_softmax(carried)
    loss = -jnp.mean(log_probability[jnp.arange(len(labels)), labels])

    gradients = []
    back = log_softmax_cross_entropy_vjp(carried, labels, jnp.ones(()))
    for level in reversed(range(len(params))):
        tap.cotangent(f"before {level}", back)
        weight, bias = params[level]["weight"], params[level]["bias"]
        further, on_weight, on_bias = affine_vjp(inputs[level], weight, bias, back)
        gradients.insert(0, {"weight": on_weight, "bias": on_bias})
        if level > 0:
            back = relu_vjp(befores[level - 1], tap.cotangent(f"after {level - 1}", further))
    return loss, gradients
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-mlp-backward", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 8}
checks.mlp_backward(mlp_backward)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import backward as hidden

hidden.mlp_backward(mlp_backward)
### END HIDDEN TESTS

# %% [markdown]
# **Find it.** When a gradient is wrong, the last number is wrong, and that tells you nothing. What helps is the *first*
# number that is wrong. `first_divergence` runs two functions that name their intermediates. It compares the values going
# forward, then the cotangents going back. It names the first node that differs and says what the difference looks like.
#
# The oracle is `mlp_loss`, a forward pass whose cotangents JAX finds. The first line below compares it with a careless
# colleague's backward pass. The second line compares it with yours. `named` names the gradients that a backward pass
# returns. If you tapped nothing, only these are compared.

# %%
net = random_mlp(seed=3, sizes=(5, 8, 6, 4))
batch, classes = jnp.ones((7, 5)) * jnp.arange(7.0)[:, None] / 3, jnp.arange(7) % 4
print("The colleague's: ", first_divergence(named(careless_mlp_backward), mlp_loss, net, batch, classes).verdict)
first_divergence(named(mlp_backward), mlp_loss, net, batch, classes)

# %% [markdown]
# ## 11. A rule of your own: safe numerics
#
# *Difficulty: medium. Importance: medium. About 20 minutes. 4 points.*
#
# JAX differentiates what you wrote, and what you wrote may be right while its derivative is not. Take
# $f(x) = \log(1 + e^x)$, which is about $x$ for large $x$. In float32 $e^{100}$ is infinite, and so is $f$. Its
# derivative becomes infinity over infinity, which is nan. Mathematically it is harmless:
#
# $$f'(x) = \frac{e^x}{1 + e^x} = \frac{1}{1 + e^{-x}}$$
#
# `jax.custom_vjp` lets you state the rule yourself. You give two functions. `forward` returns the result and whatever you
# want to keep (the *residuals*). `backward` gets the residuals and the cotangent, and returns a tuple with a cotangent for
# each input. (JAX documentation, *Custom derivative rules*, where this is the first example.)
#
# <details><summary>Hint 1: an idea</summary>
#
# A value that never overflows: the larger of $x$ and 0, plus something small.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# $\log(1 + e^x) = \max(x, 0) + \log(1 + e^{-|x|})$. Keep `x` as the residual. `jax.nn.sigmoid` is the derivative, safe
# on both sides.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `jnp.maximum(x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x)))`; backward: `return (jax.nn.sigmoid(x) * cotangent,)`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "log1pexp", "locked": false, "schema_version": 3, "solution": true, "task": false}
@jax.custom_vjp
def log1pexp(x: Float[Array, " n"]) -> Float[Array, " n"]:
    """`log(1 + exp(x))`, entry by entry, finite for all finite x, and so is its derivative."""
    ### BEGIN SOLUTION
    return jnp.maximum(x, 0.0) + jnp.log1p(jnp.exp(-jnp.abs(x)))
    ### END SOLUTION


def log1pexp_forward(x: Float[Array, " n"]) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """The value, and what the backward rule needs."""
    ### BEGIN SOLUTION
    return log1pexp(x), x
    ### END SOLUTION


def log1pexp_backward(kept: Float[Array, " n"], cotangent: Float[Array, " n"]) -> tuple[Float[Array, " n"]]:
    """The cotangent of x, in a tuple of one."""
    ### BEGIN SOLUTION
    return (jax.nn.sigmoid(kept) * cotangent,)
    ### END SOLUTION


log1pexp.defvjp(log1pexp_forward, log1pexp_backward)

# %% nbgrader={"grade": true, "grade_id": "test-log1pexp", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 4}
checks.log1pexp(log1pexp)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import backward as hidden

hidden.log1pexp(log1pexp)
### END HIDDEN TESTS

# %% [markdown]
# ## 12. A rule of your own: straight through
#
# *Difficulty: easy. Importance: medium. About 15 minutes. 3 points.*
#
# To run a model in eight bits one must round, and to train it with the rounding inside one must differentiate it. The
# derivative of rounding is 0 almost everywhere. That is correct, and it stops all learning. The *straight-through
# estimator* (Bengio et al. 2013) tells a useful lie. Forward it rounds. Backward it pretends to have done nothing:
#
# $$y = \mathrm{round}(x) \qquad\qquad \bar x = \bar y$$
#
# The three functions have the same roles as in exercise 11.
#
# <details><summary>Hint 1: an idea</summary>
#
# What must be kept for the backward pass? Nothing.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# The forward function returns the rounded numbers and an empty residual. The backward function returns the cotangent
# as it came.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# Forward: `return jnp.round(x), None`. Backward: `return (cotangent,)`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "straight-through-round", "locked": false, "schema_version": 3, "solution": true, "task": false}
@jax.custom_vjp
def straight_through_round(x: Float[Array, " n"]) -> Float[Array, " n"]:
    """`x` rounded to whole numbers; the cotangent of x is the cotangent of the result."""
    ### BEGIN SOLUTION
    return jnp.round(x)
    ### END SOLUTION


def straight_through_forward(x: Float[Array, " n"]) -> tuple:
    """The value, and what the backward rule needs."""
    ### BEGIN SOLUTION
    return jnp.round(x), ()
    ### END SOLUTION


def straight_through_backward(kept: None, cotangent: Float[Array, " n"]) -> tuple[Float[Array, " n"]]:
    """The cotangent of x, in a tuple of one."""
    ### BEGIN SOLUTION
    return (cotangent,)
    ### END SOLUTION


straight_through_round.defvjp(straight_through_forward, straight_through_backward)

# %% nbgrader={"grade": true, "grade_id": "test-straight-through-round", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 3}
checks.straight_through_round(straight_through_round)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import backward as hidden

hidden.straight_through_round(straight_through_round)
### END HIDDEN TESTS

# %% [markdown]
# ## 13. Curvature without the Hessian
#
# *Difficulty: medium. Importance: medium. About 20 minutes. 4 points.*
#
# The gradient says how steep the loss is, and the Hessian $H$ says how it curves: which learning rate is too large, which
# direction is flat. For a billion parameters $H$ has $10^{18}$ entries, and nobody ever writes it down. But its product
# with one vector costs about as much as two gradients (Pearlmutter 1994). It is a derivative of the gradient, along $v$:
#
# $$H v = \frac{\partial}{\partial r} \nabla f(\theta + r v) \Big|_{r = 0}$$
#
# A derivative along one direction is *forward* mode's business: `jax.jvp(function, primals, tangents)` returns the value
# and the derivative along the tangents. Here the function is itself a gradient: forward over reverse.
#
# <details><summary>Hint 1: an idea</summary>
#
# The function to differentiate is `jax.grad(loss)`. It maps parameters to something of their structure.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# `jax.jvp` takes tuples: the parameters in one, the direction in the other. It returns a pair, and you want the
# second.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `return jax.jvp(jax.grad(loss), (params,), (direction,))[1]`
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "hvp", "locked": false, "schema_version": 3, "solution": true, "task": false}
def hvp(
    loss, params: PyTree[Float[Array, "..."]], direction: PyTree[Float[Array, "..."]]
) -> PyTree[Float[Array, "..."]]:
    """The product of the loss's Hessian with a direction; the Hessian is never built.

    Args:
        loss: from parameters to a scalar.
        params: where to take the Hessian; an array or a pytree of arrays.
        direction: what to multiply it with, in the structure of `params`.

    Returns:
        The product, in the structure of `params`.
    """
    ### BEGIN SOLUTION
    _, change = jax.jvp(jax.grad(loss), (params,), (direction,))
    return change
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-hvp", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 4}
checks.hvp(hvp)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import backward as hidden

hidden.hvp(hvp)
### END HIDDEN TESTS

# %% [markdown]
# ## 14. Gradients through depth
#
# *Difficulty: medium. Importance: high. About 30 minutes. 4 points.*
#
# Backwards through a deep network the cotangent is multiplied by one matrix after another. If a layer shrinks it by a
# tenth, thirty layers leave 4 %, and the first layers learn nothing: the gradient *vanishes*. If a layer enlarges it by
# half, thirty layers make it 190,000 times larger: it *explodes* (Hochreiter 1991; Bengio et al. 1994).
#
# Measure it. The network here is bare, without biases: $h_{l+1} = \phi(h_l W_l)$ with $\phi$ either tanh or relu. Going
# back, $\bar h_l = \big( \bar h_{l+1} \odot \phi'(h_l W_l) \big) W_l^\top$. Report the root mean square of every
# cotangent $\bar h_l$, over all its entries.
#
# <details><summary>Hint 1: an idea</summary>
#
# It is exercise 10 without biases and without weight gradients.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Forward, keep what came out of each product. Backward, keep the root mean square of the cotangent before the first
# step and after each. At the end turn the list round.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `slope = 1 - jnp.tanh(before)**2` or `(before > 0)`; `cotangent = (cotangent * slope) @ weight.T`;
# `jnp.sqrt(jnp.mean(cotangent**2))`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "gradient-flow", "locked": false, "schema_version": 3, "solution": true, "task": false}
def gradient_flow(
    weights: Float[Array, "depth n n"], x: Float[Array, "b n"], cotangent: Float[Array, "b n"], activation: str
) -> Float[Array, " depth+1"]:
    """The size of the gradient at each activation of a deep network without biases.

    Args:
        weights: one square matrix for each layer.
        x: the input, a batch of rows.
        cotangent: of the network's output.
        activation: "tanh" or "relu", applied after every product, the last one included.

    Returns:
        The root mean square over all entries of the cotangent of each activation: entry 0 belongs to x, the last to the
        output.
    """
    ### BEGIN SOLUTION
    slopes, hidden = [], x
    for weight in weights:
        before = hidden @ weight
        hidden = jnp.tanh(before) if activation == "tanh" else jnp.maximum(before, 0.0)
        slopes.append(1 - hidden**2 if activation == "tanh" else (before > 0).astype(before.dtype))
    sizes = [jnp.sqrt(jnp.mean(cotangent**2))]
    back = cotangent
    for weight, slope in reversed(list(zip(weights, slopes, strict=True))):
        back = (back * slope) @ weight.T
        sizes.insert(0, jnp.sqrt(jnp.mean(back**2)))
    return jnp.stack(sizes)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-gradient-flow", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 4}
checks.gradient_flow(gradient_flow)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import backward as hidden

hidden.gradient_flow(gradient_flow)
### END HIDDEN TESTS

# %% [markdown]
# ### Predict: twenty layers
#
# *Two points, for committing a number. Whether it is right does not matter.*
#
# Take 20 layers of relu, 128 wide. The weights are normal with variance $1/n$, so that the *product* $h W$ keeps the size
# of $h$. By which factor is the gradient at the input smaller (or larger) than at the output? Guess the power of ten.
# Write `shrink_guess = ` and your factor, for example 0.5 or 100, into the next cell, and run it before you go on.

# %% nbgrader={"grade": false, "grade_id": "shrink", "locked": false, "schema_version": 3, "solution": true, "task": false}
### BEGIN SOLUTION
shrink_guess = 0.01
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "test-shrink", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 2}
checks.shrink(shrink_guess)

# %%
normal = jax.random.normal(jax.random.key(0), (22, 128, 128))
narrow, inputs, at_the_end = normal[:20] / math.sqrt(128), normal[20], normal[21]
sizes = gradient_flow(narrow, inputs, at_the_end, "relu")
predict.reveal(shrink_guess, float(sizes[0] / sizes[-1]), "gradient at the input over gradient at the output")

# %% [markdown]
# Half of the rectifiers are closed, so a layer passes on half of the squares: a factor of $\sqrt{1/2}$, and twenty of them
# make $2^{-10}$, a thousandth.
#
# ## 15. Start where gradients live
#
# *Difficulty: medium. Importance: high. About 20 minutes. 3 points.*
#
# The remedy is in the variance of the weights. One layer multiplies the mean square of the cotangent by
# $n \cdot \mathrm{Var}(w) \cdot \mathrm{mean}(\phi'^2)$. Choose the variance so that this is about 1. For tanh near zero
# $\phi' \approx 1$ (Glorot and Bengio 2010). For relu half of the slopes are zero (He et al. 2015).
#
# Every layer needs weights of its own. Copies of one matrix multiply like its power, and a power vanishes or explodes.
#
# <details><summary>Hint 1: an idea</summary>
#
# Which variance makes the product 1 for each of the two?
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Draw all the layers at once from the key: `jax.random.normal` takes the shape. Multiply by the standard deviation.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `scale = math.sqrt((2 if activation == "relu" else 1) / width)`
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "deep-init", "locked": false, "schema_version": 3, "solution": true, "task": false}
def deep_init(key: Array, depth: int, width: int, activation: str) -> Float[Array, "depth width width"]:
    """Weights through which the gradient neither vanishes nor explodes.

    Args:
        key: a random key; all randomness comes from it.
        depth: the number of layers.
        width: of each layer, 64 or more.
        activation: "tanh" or "relu".

    Returns:
        Random weights, a different matrix for each layer.
    """
    ### BEGIN SOLUTION
    variance = {"tanh": 1.0, "relu": 2.0}[activation] / width
    return math.sqrt(variance) * jax.random.normal(key, (depth, width, width))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-deep-init", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 3}
checks.deep_init(deep_init)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import backward as hidden

hidden.deep_init(deep_init)
### END HIDDEN TESTS

# %% [markdown]
# **See it.** Deep networks at the start of their training and during it. The map shows how large the gradient is, layer by
# layer and step by step, measured by your `gradient_flow`. Start with your `deep_init` at 30 layers, then choose weights
# that are too small or too large. Which activation forgives more? Switch the residual connections on, and see why every
# large model has them.

# %%
widgets.GradientFlow(gradient_flow, deep_init)

# %% [markdown]
# ## 16. In your own words
#
# *Difficulty: medium. Importance: high. About 15 minutes. 10 points, graded by hand.*
#
# Two answers of a few sentences each.
#
# 1. A function has a million inputs and one output. Compare the price of its gradient by central differences, by forward
#    mode and by reverse mode, in units of one evaluation. What does reverse mode pay instead, and what can be done about
#    that? *(5 points: the three prices, 3; what reverse mode pays instead, 1; the remedy, 1.)*
# 2. A colleague writes `jax.lax.stop_gradient` around the mean and the variance in layer normalisation, "since they are
#    only statistics". Training still works, but worse. What is missing from the gradient? Name a direction in which the
#    true gradient has no component and the colleague's has. *(5 points: what is missing, 2; a change of the
#    input that does not change the result, 2; the direction that follows from it, 1.)*

# %% [markdown] nbgrader={"grade": true, "grade_id": "written-backward", "locked": false, "schema_version": 3, "solution": true, "task": false, "points": 10}
# ### BEGIN SOLUTION
# 1. Central differences need two evaluations for each input, two million (1). Forward mode needs about one for each input,
#    a million (1). Reverse mode needs a small constant, about three, whatever the number of inputs (1). It pays with memory:
#    the intermediate values are kept until the backward pass has used them (1). One can keep a few and compute the others
#    again (1).
# 2. An input also acts through the mean and through the variance, and these two of three paths are cut (2). Shifting a row
#    by a constant changes nothing in the result, and stretching it changes nothing up to eps (2). So the true gradient sums
#    to zero along the row: it is orthogonal to the row of ones, and in the same way to the normalised row. The colleague's
#    gradient has both parts (1).
# ### END SOLUTION

# %% [markdown]
# ## What you have now
#
# A reverse-mode engine, the rules that make up a transformer, a network's gradients by hand, and an instrument that finds
# the first wrong number. In lab 04 optimizers put gradients to use. In lab 05 `jax.grad` takes over for good, and when
# it surprises you, you know where to look.
