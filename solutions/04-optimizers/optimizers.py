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
# # Lab 04: Optimizers
#
# Every large model was trained by a loop of a few lines: compute a gradient, make a step, repeat. The gradient says
# which way is down. The *optimizer* decides how far to go and what to remember. In this lab you write the optimizers
# that trained the models you know, one after the other. Each one mends a fault of the one before.
#
# You need about four hours. The [chapter](../../course/chapters/04-optimizers.md) has the derivations; you can do the lab
# without them.
#
# **How to work.** Each exercise has a function to write, a check, and often a picture. Replace
# `raise NotImplementedError` by your code, run the cell, and run the check below it. The check says what it called,
# what came back, and what was wanted. Run it as often as you like. Hidden checks ask the same questions with other
# numbers when the lab is graded. Hints are folded: open them one at a time.
#
# All functions work on *pytrees*: a model's parameters are a dictionary of arrays, perhaps nested.
# `jax.tree.map(f, a, b)` applies `f` to each pair of arrays and keeps the structure.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree

from gradlab import predict, widgets
from gradlab.checks import optimizers as checks
from gradlab.landscapes import Quadratic, SoftmaxRegression, digits
from gradlab.optim import train_on_digits

# %% [markdown]
# ## 1. Gradient descent
#
# *Difficulty: easy. Importance: high. About 20 minutes. 10 points.*
#
# Gradient descent is the root of everything that follows. From a point $x_t$ it steps against the gradient:
#
# $$x_{t+1} = x_t - \eta \, \nabla f(x_t)$$
#
# $\eta$ is the learning rate. You want to see the whole path, so the function returns the starting point and every point
# after it, as the rows of one array.
#
# JAX traces a Python loop step by step, and a thousand steps become a program of a thousand copies. `jax.lax.scan` traces
# one step and repeats it. It takes a function `(carry, x) -> (carry, y)`; the carry goes from step to step, and the `y`s
# are stacked. (Cauchy 1847; `jax.lax.scan` in the JAX documentation.)
#
# <details><summary>Hint 1: an idea</summary>
#
# The carry is the current point. What you want to collect on the way is also the point.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Write `step(point, _)` that returns the next point twice: as the carry and as what is collected. Scan it with
# `xs=None, length=steps`. The start is not collected by the scan: put it in front.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `_, points = jax.lax.scan(step, start, None, length=steps)`, then `jnp.concatenate([start[None], points])`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "gradient-descent", "locked": false, "schema_version": 3, "solution": true, "task": false}
def gradient_descent(
    gradient, start: Float[Array, " n"], learning_rate: float, steps: int
) -> Float[Array, "steps+1 n"]:
    """The path of gradient descent, the starting point included.

    Args:
        gradient: a function from a point, shape (n,), to the gradient there, shape (n,).
        start: the first point, shape (n,).
        learning_rate: the factor of the gradient in each step.
        steps: how many steps to make; 0 gives the start alone.

    Returns:
        All points, shape (steps + 1, n): row t is the point after t steps. Made with `jax.lax.scan`.
    """

    ### BEGIN SOLUTION
    def advance(point, _):
        arrived = point - learning_rate * gradient(point)
        return arrived, arrived

    _, later = jax.lax.scan(advance, start, None, length=steps)
    return jnp.concatenate([start[None], later])
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-gradient-descent", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 10}
checks.gradient_descent(gradient_descent)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import optimizers as hidden

hidden.gradient_descent(gradient_descent)
### END HIDDEN TESTS

# %% [markdown]
# ### Predict: how large may the learning rate be?
#
# *Two points, for committing a number. Whether it is right does not matter.*
#
# Take the quadratic $f(x) = \tfrac12 x^\top A x$ with eigenvalues 0.5 and 4. In the direction of an eigenvector
# with eigenvalue $\lambda$, one step multiplies the distance to the minimum by $1 - \eta\lambda$. With a small $\eta$
# both factors lie between -1 and 1 and the path converges. Make $\eta$ larger, and at some point it does not.
#
# What is the largest $\eta$ for which gradient descent still converges? In the next cell, write `limit_guess =` and your
# number, and run it before you go on.

# %% nbgrader={"grade": false, "grade_id": "stability-limit", "locked": false, "schema_version": 3, "solution": true, "task": false}
### BEGIN SOLUTION
limit_guess = 0.5
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "test-stability-limit", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 2}
checks.stability_limit(limit_guess)

# %%
bowl = Quadratic(np.diag([0.5, 4.0]).astype(np.float32), np.zeros(2, np.float32))
rates = np.linspace(0.02, 0.8, 79)
last_points = jax.vmap(lambda rate: gradient_descent(bowl.gradient, jnp.ones(2), rate, 200)[-1])(rates)  # all at once
measured_limit = max(rates[jax.vmap(bowl)(last_points) < bowl(jnp.ones(2))])
predict.reveal(limit_guess, measured_limit, "the largest learning rate that converges")

# %% [markdown]
# The limit is $2/L$, where $L$ is the largest eigenvalue. Every optimizer below is, in one way or another, an answer to
# this: the steepest direction limits the step, and the flattest direction needs a long one.

# %% [markdown]
# ## 2. Stochastic gradient descent
#
# *Difficulty: medium. Importance: high. About 25 minutes. 10 points.*
#
# The loss of a model is a mean over all examples, and there may be billions of them. A small random batch $B$ estimates
# the gradient for a small part of the price (Robbins and Monro 1951):
#
# $$\theta \leftarrow \theta - \eta \, \frac{1}{|B|} \sum_{i \in B} \nabla \ell_i(\theta)$$
#
# One pass over the data is an *epoch*. The examples are visited in a given random order, cut into batches. When the batch
# size does not divide the number of examples, the last batch is short. It still counts.
#
# `gradient(params, x, y)` gives the gradient of the *mean* loss of the examples it gets.
#
# <details><summary>Hint 1: an idea</summary>
#
# Walk through `order` in strides of `batch_size`. Each slice is a list of row numbers.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# For each slice: take those rows of `x` and of `y`, compute the gradient at the *current* parameters, and make a step
# with `jax.tree.map`. Python slicing gives a short last slice by itself.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `for first in range(0, len(order), batch_size): rows = order[first:first + batch_size]`, then
# `gradient(params, x[rows], y[rows])`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "sgd", "locked": false, "schema_version": 3, "solution": true, "task": false}
def sgd(
    gradient,
    params: PyTree[Float[Array, "..."]],
    x: Float[Array, "examples d"],
    y: Int[Array, " examples"],
    order: Int[Array, " examples"],
    batch_size: int,
    learning_rate: float,
) -> PyTree[Float[Array, "..."]]:
    """One epoch of stochastic gradient descent.

    Args:
        gradient: a function `(params, x, y) -> gradient` of the mean loss over the examples given, shaped like params.
        params: the parameters at the beginning of the epoch.
        x, y: inputs and labels; row i of both is example i.
        order: the row numbers in the order in which they are to be visited.
        batch_size: examples a step; the last batch has what is left over.
        learning_rate: the factor of the gradient in each step.

    Returns:
        The parameters after the epoch, in the structure of `params`.
    """
    ### BEGIN SOLUTION
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        batch_gradient = gradient(params, x[chosen], y[chosen])
        params = jax.tree.map(lambda param, slope: param - learning_rate * slope, params, batch_gradient)
    return params
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-sgd", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 10}
checks.sgd(sgd)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import optimizers as hidden

hidden.sgd(sgd)
### END HIDDEN TESTS

# %% [markdown]
# **See it.** Your `sgd` trains a linear classifier of handwritten digits. An epoch costs the same whatever the batch size.
# With batches of 32 it makes eight times as many steps as with batches of 256, each with a noisier gradient. Which gets
# further in three epochs?

# %%
images, labels = digits()
model = SoftmaxRegression()
blank = {"weight": jnp.zeros((64, 10)), "bias": jnp.zeros(10)}
slope_of = jax.jit(model.gradient)
for batch_size in (32, 256):
    trained, losses = blank, []
    for epoch in range(3):
        shuffled = jax.random.permutation(jax.random.key(epoch), len(images))
        trained = sgd(slope_of, trained, jnp.asarray(images), jnp.asarray(labels), shuffled, batch_size, 0.5)
        losses.append(round(float(model(trained, jnp.asarray(images), jnp.asarray(labels))), 3))
    print(f"batches of {batch_size}: loss after each epoch {losses}")

# %% [markdown]
# ## 3. Momentum
#
# *Difficulty: easy. Importance: high. About 15 minutes. 7 points.*
#
# In a long narrow valley the gradient points across it, and gradient descent zigzags. A heavy ball would not: what
# cancels from step to step cancels in its velocity, and what agrees builds up (Polyak 1964).
#
# $$v \leftarrow \beta v + g \qquad\qquad \theta \leftarrow \theta - \eta v$$
#
# There are several conventions. Here, as in PyTorch and optax, the gradient is added whole, and the learning rate
# multiplies the velocity.
#
# From now on every optimizer has the same form. It gets parameters, gradients and its state, and returns new parameters
# and new state. It changes nothing in place.
#
# <details><summary>Hint 1: an idea</summary>
#
# Two `jax.tree.map`s: one for the velocity, one for the parameters.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# First the new velocity from the old one and the gradients. Then the parameters, with the *new* velocity.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `new = jax.tree.map(lambda v, g: decay * v + g, velocity, gradients)`; return the moved parameters and `new`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "momentum", "locked": false, "schema_version": 3, "solution": true, "task": false}
def momentum(
    params: PyTree[Float[Array, "..."]],
    gradients: PyTree[Float[Array, "..."]],
    velocity: PyTree[Float[Array, "..."]],
    learning_rate: float,
    decay: float = 0.9,
) -> tuple[PyTree[Float[Array, "..."]], PyTree[Float[Array, "..."]]]:
    """One step with momentum: `v <- decay v + g`, then `params <- params - learning_rate v`.

    Args:
        params, gradients: pytrees of one structure.
        velocity: the state, in the same structure; zeros at the start of training.
        learning_rate: the factor of the velocity.
        decay: what is kept of the velocity from one step to the next, from 0 to 1.

    Returns:
        The new parameters and the new velocity.
    """
    ### BEGIN SOLUTION
    velocity = jax.tree.map(lambda speed, slope: decay * speed + slope, velocity, gradients)
    return jax.tree.map(lambda param, speed: param - learning_rate * speed, params, velocity), velocity
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-momentum", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 7}
checks.momentum(momentum)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import optimizers as hidden

hidden.momentum(momentum)
### END HIDDEN TESTS

# %% [markdown]
# ## 4. Nesterov's look-ahead
#
# *Difficulty: medium. Importance: medium. About 15 minutes. 7 points.*
#
# A ball with momentum overshoots, since it brakes only when it is already on the other slope. Nesterov's idea (1983) is
# to take the gradient where the ball is *about to be*. Written for the parameters at which the gradient is computed
# (Sutskever et al. 2013), it becomes
#
# $$v \leftarrow \beta v + g \qquad\qquad \theta \leftarrow \theta - \eta \, (g + \beta v)$$
#
# with the *new* $v$ in the second formula. The state is the velocity alone.
#
# <details><summary>Hint 1: an idea</summary>
#
# The velocity is exactly that of momentum. Only the step differs.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Compute the new velocity. Then map over parameters, gradients and new velocity together.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `jax.tree.map(lambda p, g, v: p - learning_rate * (g + decay * v), params, gradients, new_velocity)`
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "nesterov", "locked": false, "schema_version": 3, "solution": true, "task": false}
def nesterov(
    params: PyTree[Float[Array, "..."]],
    gradients: PyTree[Float[Array, "..."]],
    velocity: PyTree[Float[Array, "..."]],
    learning_rate: float,
    decay: float = 0.9,
) -> tuple[PyTree[Float[Array, "..."]], PyTree[Float[Array, "..."]]]:
    """One step of Nesterov's momentum: `v <- decay v + g`, then `params <- params - learning_rate (g + decay v)`.

    Arguments and results are those of `momentum`.
    """
    ### BEGIN SOLUTION
    velocity = jax.tree.map(lambda speed, slope: decay * speed + slope, velocity, gradients)
    ahead = jax.tree.map(lambda slope, speed: slope + decay * speed, gradients, velocity)
    return jax.tree.map(lambda param, move: param - learning_rate * move, params, ahead), velocity
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-nesterov", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 7}
checks.nesterov(nesterov)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import optimizers as hidden

hidden.nesterov(nesterov)
### END HIDDEN TESTS

# %% [markdown]
# **See it.** Below, your optimizers race over a surface. The thin grey line beside each is the library's. Drag the start,
# or move it with the arrow keys. Move the learning rate until one of them diverges. On the narrow quadratic, who wins,
# and at which learning rate?


# %% nbgrader={"grade": false, "grade_id": "descent", "locked": true, "schema_version": 3, "solution": false, "task": false}
def descent(params, gradients, state, learning_rate):
    """Gradient descent in the form of the others: it has no state to change."""
    return jax.tree.map(lambda param, gradient: param - learning_rate * gradient, params, gradients), state


# %%
widgets.OptimizerRace({"gradient descent": descent, "momentum": momentum, "nesterov": nesterov})

# %% [markdown]
# ## 5. RMSProp
#
# *Difficulty: medium. Importance: high. About 15 minutes. 7 points.*
#
# One learning rate for all parameters cannot suit all of them: the gradients of an embedding and of a bias may differ by
# factors of a thousand. RMSProp (Tieleman and Hinton 2012) keeps a running mean of each gradient's square and divides by
# its root:
#
# $$s \leftarrow \beta s + (1 - \beta) \, g^2 \qquad\qquad \theta \leftarrow \theta - \eta \, \frac{g}{\sqrt{s} + \epsilon}$$
#
# All operations are elementwise. $\epsilon$ stands *outside* the root; it keeps a parameter whose gradients are zero from
# a division by zero.
#
# <details><summary>Hint 1: an idea</summary>
#
# $s$ is a mean, so its two weights add up to 1.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# New square first, with weights `decay` and `1 - decay`. Then the step, divided by the root of the *new* square plus
# `eps`.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `p - learning_rate * g / (jnp.sqrt(s) + eps)` inside a `jax.tree.map` over params, gradients and the new square.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "rmsprop", "locked": false, "schema_version": 3, "solution": true, "task": false}
def rmsprop(
    params: PyTree[Float[Array, "..."]],
    gradients: PyTree[Float[Array, "..."]],
    square: PyTree[Float[Array, "..."]],
    learning_rate: float,
    decay: float = 0.9,
    eps: float = 1e-8,
) -> tuple[PyTree[Float[Array, "..."]], PyTree[Float[Array, "..."]]]:
    """One step of RMSProp: `s <- decay s + (1 - decay) g^2`, `params <- params - learning_rate g / (sqrt(s) + eps)`.

    Args:
        params, gradients: pytrees of one structure.
        square: the state, a running mean of squared gradients in the same structure; zeros at the start.
        learning_rate: the length of a step in which the gradient is as large as usual.
        decay: what is kept of the running mean, from 0 to 1.
        eps: added to the root, outside of it.

    Returns:
        The new parameters and the new running mean.
    """
    ### BEGIN SOLUTION
    square = jax.tree.map(lambda usual, slope: decay * usual + (1 - decay) * slope**2, square, gradients)
    moved = jax.tree.map(
        lambda param, slope, usual: param - learning_rate * slope / (jnp.sqrt(usual) + eps),
        params,
        gradients,
        square,
    )
    return moved, square
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-rmsprop", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 7}
checks.rmsprop(rmsprop)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import optimizers as hidden

hidden.rmsprop(rmsprop)
### END HIDDEN TESTS

# %% [markdown]
# ## 6. Adam
#
# *Difficulty: medium. Importance: high. About 30 minutes. 10 points.*
#
# Adam (Kingma and Ba 2015) takes both: a running mean $m$ of the gradients in place of the velocity, and a running mean
# $s$ of their squares.
#
# $$m \leftarrow \beta_1 m + (1 - \beta_1) g \qquad s \leftarrow \beta_2 s + (1 - \beta_2) g^2$$
#
# Both start at zero and are too small at first. If all gradients were equal to $g$, then after $t$ steps
# $m = (1 - \beta_1^t) g$: a geometric sum. So Adam divides that factor out:
#
# $$\hat m = \frac{m}{1 - \beta_1^t} \qquad \hat s = \frac{s}{1 - \beta_2^t} \qquad
# \theta \leftarrow \theta - \eta \, \frac{\hat m}{\sqrt{\hat s} + \epsilon}$$
#
# $t$ counts the steps from 1. The state holds $t$, $m$ and $s$ as they are, *before* correction.
#
# Adam trains nearly every large model, with small changes. At 16 bytes a parameter (weight, gradient, $m$, $s$, four
# bytes each) it is also why training needs so much memory. Lab 07 comes back to that.
#
# <details><summary>Hint 1: an idea</summary>
#
# The state comes in with the number of steps made so far. This step is one more.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Take `count, mean, square` out of the state and add 1 to the count. Compute the new mean and square, then the
# corrected copies, then the step. Return the uncorrected ones.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `mean_hat = jax.tree.map(lambda m: m / (1 - b1**count), mean)`, the same for the square with `b2`, and
# `return new_params, (count, mean, square)`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "adam", "locked": false, "schema_version": 3, "solution": true, "task": false}
def adam(
    params: PyTree[Float[Array, "..."]],
    gradients: PyTree[Float[Array, "..."]],
    state: tuple[int, PyTree[Float[Array, "..."]], PyTree[Float[Array, "..."]]],
    learning_rate: float,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> tuple[PyTree[Float[Array, "..."]], tuple]:
    """One step of Adam.

    Args:
        params, gradients: pytrees of one structure.
        state: `(count, mean, square)`: steps made so far, and the running means of gradients and of their squares,
            both uncorrected. `(0, zeros, zeros)` at the start.
        learning_rate: about the length of a step in each parameter.
        b1, b2: what is kept of the mean and of the mean square, from 0 to 1.
        eps: added to the root of the corrected mean square, outside of it.

    Returns:
        The new parameters, and the new state in the same form.
    """
    ### BEGIN SOLUTION
    made, mean, square = state
    made = made + 1
    mean = jax.tree.map(lambda usual, slope: b1 * usual + (1 - b1) * slope, mean, gradients)
    square = jax.tree.map(lambda usual, slope: b2 * usual + (1 - b2) * slope**2, square, gradients)

    def advance(param, first, second):
        first, second = first / (1 - b1**made), second / (1 - b2**made)
        return param - learning_rate * first / (jnp.sqrt(second) + eps)

    return jax.tree.map(advance, params, mean, square), (made, mean, square)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-adam", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 10}
checks.adam(adam)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import optimizers as hidden

hidden.adam(adam)
### END HIDDEN TESTS

# %% [markdown]
# ## 7. AdamW: decay that is decoupled
#
# *Difficulty: medium. Importance: high. About 15 minutes. 7 points.*
#
# Weight decay pulls every weight towards zero and keeps a model from relying on a few large ones. For gradient descent it
# is the same as a penalty $\tfrac{\lambda}{2} \lVert\theta\rVert^2$ in the loss. For Adam it is not: a penalty's gradient is
# divided by $\sqrt{\hat s}$ with all the rest, and weights with large gradients hardly decay. AdamW (Loshchilov and Hutter
# 2019) takes the decay out of the moments and puts it beside the step:
#
# $$\theta \leftarrow \theta - \eta \left( \frac{\hat m}{\sqrt{\hat s} + \epsilon} + \lambda \theta \right)$$
#
# Both terms use the $\theta$ that came in. You may call your `adam`.
#
# <details><summary>Hint 1: an idea</summary>
#
# The moments never see the decay.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Let `adam` make its step. Then subtract `learning_rate * weight_decay * params`, with the *old* parameters.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `jax.tree.map(lambda new, old: new - learning_rate * weight_decay * old, stepped, params)`
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "adamw", "locked": false, "schema_version": 3, "solution": true, "task": false}
def adamw(
    params: PyTree[Float[Array, "..."]],
    gradients: PyTree[Float[Array, "..."]],
    state: tuple[int, PyTree[Float[Array, "..."]], PyTree[Float[Array, "..."]]],
    learning_rate: float,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> tuple[PyTree[Float[Array, "..."]], tuple]:
    """One step of AdamW: Adam's step, and `learning_rate * weight_decay * params` subtracted beside it.

    Arguments and results are those of `adam`; `weight_decay` is the decay's rate, and it acts on the parameters that
    came in.
    """
    ### BEGIN SOLUTION
    stepped, state = adam(params, gradients, state, learning_rate, b1, b2, eps)
    pull = learning_rate * weight_decay
    return jax.tree.map(lambda arrived, before: arrived - pull * before, stepped, params), state
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-adamw", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 7}
checks.adamw(adamw)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import optimizers as hidden

hidden.adamw(adamw)
### END HIDDEN TESTS

# %% [markdown]
# **See it.** All of your optimizers on one surface. On the narrow quadratic, which one does not care about the condition
# number? On the saddle, who leaves first? Choose the slice of the digits loss, where nobody knows the answer beforehand.

# %%
widgets.OptimizerRace(
    {
        "gradient descent": descent,
        "momentum": momentum,
        "nesterov": nesterov,
        "rmsprop": rmsprop,
        "adam": adam,
        "adamw": adamw,
    }
)

# %% [markdown]
# ## 8. Clipping by global norm
#
# *Difficulty: easy. Importance: high. About 15 minutes. 7 points.*
#
# Now and then a batch has a gradient a hundred times longer than usual, and one such step can undo a day of training.
# Clipping shortens it and keeps its direction (Pascanu et al. 2013). The norm is taken over *all* leaves together:
#
# $$\lVert g \rVert = \sqrt{\sum_{\text{leaves}} \sum_i g_i^2} \qquad\qquad
# g \leftarrow g \cdot \min\!\left(1, \frac{c}{\lVert g \rVert}\right)$$
#
# A gradient within the limit $c$ stays as it is. A gradient of zero stays zero: mind the division.
#
# <details><summary>Hint 1: an idea</summary>
#
# One number for the whole tree, then one factor for every leaf.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# `jax.tree.leaves` gives the arrays. Add up their squares, take the root. To be safe at zero, divide by
# the larger of norm and limit.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `scale = max_norm / jnp.maximum(norm, max_norm)` is 1 for short gradients, and never divides by zero.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "clip-by-global-norm", "locked": false, "schema_version": 3, "solution": true, "task": false}
def clip_by_global_norm(gradients: PyTree[Float[Array, "..."]], max_norm: float) -> PyTree[Float[Array, "..."]]:
    """Gradients whose norm over all leaves is at most `max_norm`, in the same direction.

    Args:
        gradients: a pytree of arrays.
        max_norm: the limit, positive.

    Returns:
        The gradients, scaled by one factor that is at most 1. Zero stays zero.
    """
    ### BEGIN SOLUTION
    norm = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradients)))
    factor = max_norm / jnp.maximum(norm, max_norm)
    return jax.tree.map(lambda leaf: factor * leaf, gradients)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-clip-by-global-norm", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 7}
checks.clip_by_global_norm(clip_by_global_norm)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import optimizers as hidden

hidden.clip_by_global_norm(clip_by_global_norm)
### END HIDDEN TESTS

# %% [markdown]
# ## 9. Warm-up and cosine
#
# *Difficulty: medium. Importance: high. About 20 minutes. 7 points.*
#
# A learning rate that suits the beginning does not suit the end. At the start, weights are random and Adam's means are
# built from a few gradients: the rate rises slowly from zero (Goyal et al. 2017). At the end, noise keeps the parameters
# from settling: the rate falls along half a cosine (Loshchilov and Hutter 2017). With warm-up $w$, total $T$, peak $p$ and
# floor $f$:
#
# $$\eta(t) = \begin{cases} p \, t / w & t < w \\[2pt]
# f + \tfrac12 (p - f) \left(1 + \cos \pi \frac{t - w}{T - w}\right) & w \le t \le T \\[2pt] f & t > T \end{cases}$$
#
# The function is called inside a jitted training step, where `step` is a tracer. A Python `if` cannot look at it.
# With $w = 0$ there is no warm-up, and the rate starts at the peak.
#
# <details><summary>Hint 1: an idea</summary>
#
# Compute the way up and the way down for every step, and choose with `jnp.where`.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# `progress = (step - warmup_steps) / (total_steps - warmup_steps)`, kept between 0 and 1 by `jnp.clip`, is all that the
# cosine needs. Guard the division by `warmup_steps` for the case that it is 0.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `rise = peak * step / max(warmup_steps, 1)`, and `jnp.where(step < warmup_steps, rise, fall)`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "warmup-cosine", "locked": false, "schema_version": 3, "solution": true, "task": false}
def warmup_cosine(
    step: Int[Array, ""], peak: float, warmup_steps: int, total_steps: int, floor: float = 0.0
) -> Float[Array, ""]:
    """The learning rate at a step: linear warm-up from 0 to `peak`, then half a cosine down to `floor`.

    Args:
        step: the step, counted from 0; a number or a traced scalar.
        peak: the rate at step `warmup_steps`.
        warmup_steps: the length of the warm-up, which may be 0.
        total_steps: the step at which the floor is reached; later steps stay there.
        floor: the last rate.

    Returns:
        The rate, a scalar.
    """
    ### BEGIN SOLUTION
    progress = jnp.clip((step - warmup_steps) / (total_steps - warmup_steps), 0.0, 1.0)
    descending = floor + 0.5 * (peak - floor) * (1 + jnp.cos(jnp.pi * progress))
    return jnp.where(step < warmup_steps, peak * step / max(warmup_steps, 1), descending)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-warmup-cosine", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 7}
checks.warmup_cosine(warmup_cosine)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import optimizers as hidden

hidden.warmup_cosine(warmup_cosine)
### END HIDDEN TESTS

# %% [markdown]
# ## 10. Your optimizers in optax
#
# *Difficulty: medium. Importance: medium. About 20 minutes. 8 points.*
#
# optax builds optimizers from parts. A part is a `GradientTransformation` of two functions:
#
# - `init(params) -> state`
# - `update(gradients, state, params) -> (updates, state)`
#
# The caller *adds* the updates to the parameters. `optax.chain(a, b)` feeds the updates of `a` into `b` as gradients. When
# your optimizers speak this language, they work with everything that optax has.
#
# Write the adapter once for all of them. A step function of yours returns new parameters; from them and the old ones you
# get the updates.
#
# <details><summary>Hint 1: an idea</summary>
#
# If new = old + update, what is the update?
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Define `update(gradients, state, params)` inside. It calls `step(params, gradients, state, **settings)` and returns the
# differences and the new state. `init` is `initial_state` itself.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `optax.GradientTransformation(initial_state, update)`, with
# `jax.tree.map(lambda new, old: new - old, stepped, params)` as the updates.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "as-transformation", "locked": false, "schema_version": 3, "solution": true, "task": false}
def as_transformation(step, initial_state, **settings) -> optax.GradientTransformation:
    """An optimizer step of this lab as an optax gradient transformation.

    Args:
        step: `(params, gradients, state, **settings) -> (params, state)`.
        initial_state: `params -> state`, for the beginning of training; `Zeros()` and `ZeroMoments()` are two.
        **settings: what else the step takes, `learning_rate` for one.

    Returns:
        A transformation whose updates, added to the parameters, give what `step` returns.
    """

    ### BEGIN SOLUTION
    def update(gradients, state, params=None):
        stepped, state = step(params, gradients, state, **settings)
        return jax.tree.map(lambda arrived, before: arrived - before, stepped, params), state

    return optax.GradientTransformation(init=initial_state, update=update)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-as-transformation", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 8}
checks.as_transformation(as_transformation, adam)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import optimizers as hidden

hidden.as_transformation(as_transformation, adam)
### END HIDDEN TESTS

# %% [markdown]
# ## 11. Tune it
#
# *Difficulty: open. Importance: high. About 20 minutes. 8 points.*
#
# Sixty steps with batches of 128, a linear classifier of the digits, and one question: how low can the loss get? Reach
# **0.16** or less. The check trains by your recipe with another start and other batches, so a recipe that only works
# by luck will be found out. The grader does so once more. A start alone moves the loss by a twentieth, so there 0.18 is
# enough.
#
# Change one thing at a time. Search learning rates by factors of three, not by steps of 0.01.
#
# <details><summary>Hint 1: an idea</summary>
#
# Which optimizer keeps its step length whatever the size of the gradient? Try that one first.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Try Adam with learning rates 0.01, 0.03, 0.1, 0.3, 1, and look at the last loss of each. Then ask whether a short
# warm-up helps.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# A loop over rates that prints `train_on_digits(recipe, steps=60)[-1]` finds it in a minute.
#
# </details>

# %%
trial = {"optimizer": "sgd", "learning_rate": 0.1, "warmup_steps": 0, "max_norm": None}
for seed in (1, 2):
    print(f"seed {seed}: loss {train_on_digits(trial, steps=60, seed=seed)[-1]:.3f} after 60 steps")


# %% nbgrader={"grade": false, "grade_id": "digits-recipe", "locked": false, "schema_version": 3, "solution": true, "task": false}
def digits_recipe() -> dict:
    """The recipe that you found.

    Returns:
        A dictionary with the keys `optimizer` (sgd, momentum, nesterov, rmsprop, adam or adamw), `learning_rate` (the
        peak of a warm-up and cosine schedule), `warmup_steps` (0 to 59) and `max_norm` (a limit for clipping, or None).
    """
    ### BEGIN SOLUTION
    return {"optimizer": "adam", "learning_rate": 0.3, "warmup_steps": 5, "max_norm": None}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-digits-recipe", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 8}
checks.digits_recipe(digits_recipe)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import optimizers as hidden

hidden.digits_recipe(digits_recipe)
### END HIDDEN TESTS

# %% [markdown]
# ## 12. In your own words
#
# *Difficulty: medium. Importance: high. About 15 minutes. 10 points, graded by hand.*
#
# Two answers of a few sentences each.
#
# 1. A colleague trains with Adam and adds an L2 penalty to the loss. The weights of the embedding hardly shrink, those of
#    the biases do. Explain why, and say what to change. *(5 points: the way that the penalty's gradient takes, 2;
#    why it acts unequally, 2; the remedy, 1.)*
# 2. On a quadratic with condition number 10,000, gradient descent needs about 10,000 steps to shrink the error to a third.
#    About how many does well-tuned momentum need, and what property of the surface decides? *(5 points: the number of
#    steps, 2; what limits the learning rate, 1; what sets the pace, 1; what momentum does about it, 1.)*

# %% [markdown] nbgrader={"grade": true, "grade_id": "written-optimizers", "locked": false, "schema_version": 3, "solution": true, "task": false, "points": 10}
# ### BEGIN SOLUTION
# 1. The gradient of the penalty is added to the gradient of the loss, so it goes through both running means (2) and is
#    divided by the root of the mean square. Weights with large gradients, as in the embedding, have a large divisor, and
#    their decay is divided by it too (2). AdamW takes the decay out of the moments: every weight then shrinks by the same
#    factor (1).
# 2. About the root of the condition number, 100 steps (2). The largest curvature limits the learning rate (1), and with that
#    rate the flattest direction moves by one part in 10,000 a step (1). Momentum adds up the small gradients along the flat
#    direction (1).
# ### END SOLUTION

# %% [markdown]
# ## What you have now
#
# Six optimizers that agree with the library, a schedule, clipping, and a recipe for digits. In lab 05 they train a
# network, in lab 06 on eight devices at once, and in lab 07 the state of Adam becomes what does not fit into memory.
