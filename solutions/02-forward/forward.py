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
# # Lab 02: Forward
#
# A model is a function. Numbers go in, numbers come out, and everything between is a handful of operations: a matrix
# product, something that bends, a softmax, a normalisation, a convolution, attention. In this lab you write each of them,
# so that it is right for small numbers and for large ones, and put them together to a network.
#
# None of these formulas is long. What is hard is that a wrong one often runs. A softmax over the wrong axis gives
# probabilities. A transposed weight passes where the layer is square. Such a model trains, only worse, and nobody sees why.
# The checks of this lab look for exactly that.
#
# You need about four hours and a half. The [chapter](../../course/chapters/02-forward.md) has the derivations; you can do
# the lab without them.
#
# **How to work.** Each exercise has a function to write, a check, and often a picture. Replace
# `raise NotImplementedError` by your code, run the cell, and run the check below it. The check says what it called,
# what came back, and what was wanted. Run it as often as you like. Hidden checks ask the same questions with other
# numbers when the lab is graded. Hints are folded: open them one at a time.
#
# JAX has most of these functions. Use `jnp` as you like, and write the function itself: you will need to know what is in it.
#
# **Shapes.** The last axis holds the features of one example. All axes before it (examples, positions, heads) are carried
# along. In a signature they are written `...`.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from gradlab import predict, widgets
from gradlab.checks import forward as checks
from gradlab.heatmaps import Heatmaps
from gradlab.landscapes import digits
from gradlab.metric import ClassDistance

# %% [markdown]
# ## 1. The affine layer
#
# *Difficulty: easy. Importance: high. About 10 minutes. 5 points.*
#
# Most of the arithmetic of a large model is this one operation: every output is a weighted sum of all inputs, plus a bias.
#
# $$y_j = \sum_i x_i W_{ij} + b_j$$
#
# The weight has one *row for each input* and one *column for each output*, shape `(d_in, d_out)`, as in JAX and Flax. PyTorch
# stores the transpose. Mixing the two up gives an error, unless the layer is square. Then it gives wrong numbers.
#
# <details><summary>Hint 1: an idea</summary>
#
# The last axis of `x` meets the first axis of the weight.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# `@` treats all axes but the last two as a batch, and a vector as a row. The bias has the shape of the last axis of the result, so broadcasting puts it in the right place.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `x @ weight`, and then the bias.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "affine", "locked": false, "schema_version": 3, "solution": true, "task": false}
def affine(
    x: Float[Array, "... d_in"], weight: Float[Array, "d_in d_out"], bias: Float[Array, " d_out"]
) -> Float[Array, "... d_out"]:
    """The affine map `y = x W + b`.

    Args:
        x: inputs; the last axis holds the features, and there may be any number of axes before it, none for one example.
        weight: row i holds what input i contributes to each output.
        bias: one number for each output.

    Returns:
        The outputs, with the leading axes of `x`.
    """
    ### BEGIN SOLUTION
    return x @ weight + bias
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-affine", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 5}
checks.affine(affine)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import forward as hidden

hidden.affine(affine)
### END HIDDEN TESTS

# %% [markdown]
# ## 2. ReLU
#
# *Difficulty: easy. Importance: high. About 5 minutes. 3 points.*
#
# Affine layers after one another are one affine layer. Something between them must bend. The rectified linear unit
# (Nair and Hinton 2010) is the simplest thing that does:
#
# $$\operatorname{relu}(x) = \max(x, 0)$$
#
# It also has to be right for infinities: $\operatorname{relu}(\infty) = \infty$ and $\operatorname{relu}(-\infty) = 0$. An
# operation in the middle of a network should not turn a large number into nan.
#
# <details><summary>Hint 1: an idea</summary>
#
# There is a function for the larger of two numbers.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Compare each number with 0 and keep the larger one. Do not multiply by a mask: $-\infty \cdot 0$ is nan, unless the
# compiler happens to make a choice of the product.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `jnp.maximum(x, ...)`
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "relu", "locked": false, "schema_version": 3, "solution": true, "task": false}
def relu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The larger of x and 0, number by number; minus infinity gives 0."""
    ### BEGIN SOLUTION
    return jnp.maximum(x, 0)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-relu", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 3}
checks.relu(relu)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import forward as hidden

hidden.relu(relu)
### END HIDDEN TESTS

# %% [markdown]
# ## 3. GELU
#
# *Difficulty: easy. Importance: high. About 10 minutes. 5 points.*
#
# BERT and GPT-2 bend more softly. The Gaussian error linear unit (Hendrycks and Gimpel 2016) weights $x$ by the
# probability that a standard normal number is smaller than $x$:
#
# $$\operatorname{gelu}(x) = x \, \Phi(x) \qquad\qquad
# \Phi(x) = \tfrac12 \left(1 + \operatorname{erf} \frac{x}{\sqrt 2}\right)$$
#
# You will meet a formula with $\tanh$ and the number 0.044715. It is an approximation from the same paper, off by up to
# 0.0005. Models that were trained with the one should not be run with the other. Here the definition is asked for.
#
# <details><summary>Hint 1: an idea</summary>
#
# `jax.scipy.special.erf` is the error function.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Compute the probability from the formula. Then multiply it by `x`.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `0.5 * (1 + jax.scipy.special.erf(x / jnp.sqrt(2)))` is the probability.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "gelu", "locked": false, "schema_version": 3, "solution": true, "task": false}
def gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The Gaussian error linear unit, x times the standard normal distribution function at x, without approximation."""
    ### BEGIN SOLUTION
    return 0.5 * x * (1 + jax.scipy.special.erf(x / jnp.sqrt(2.0)))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-gelu", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 5}
checks.gelu(gelu)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import forward as hidden

hidden.gelu(gelu)
### END HIDDEN TESTS

# %% [markdown]
# ## 4. Log-softmax
#
# *Difficulty: medium. Importance: high. About 25 minutes. 10 points.*
#
# A network's last layer gives one number for each class, the *logits* $z$. The softmax makes probabilities of them. Nearly
# always it is the log of the probability that is needed, and that has a form of its own:
#
# $$\log p_k = \log \frac{e^{z_k}}{\sum_j e^{z_j}} = z_k - \log \sum_j e^{z_j}$$
#
# Computed like that it fails. $e^{89}$ is already infinite in float32, and infinity over infinity is nan. The way out is
# exact: subtract the same number $m$ from all logits. Top and bottom of the fraction both lose a factor of $e^m$, so the
# result stays. With $m = \max_j z_j$ the largest exponential is 1, and nothing overflows.
#
# Do not compute the softmax first and its log afterwards. A probability of $e^{-200}$ is 0 in float32, and its log is
# $-\infty$. The right answer, $-200$, is an ordinary number.
#
# `axis` says along which axis the classes are. Each slice along it is a distribution by itself, with its own maximum.
#
# <details><summary>Hint 1: an idea</summary>
#
# Write $s = z - \max z$. What is the formula in terms of $s$?
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Take the maximum along `axis`, subtract it, and from that subtract the log of the sum of exponentials. Keep the reduced axis (`keepdims=True`), so that the shapes line up for every `axis`.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `shifted = x - jnp.max(x, axis=axis, keepdims=True)`; the log of the sum of `jnp.exp(shifted)` is what remains to subtract.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "log-softmax", "locked": false, "schema_version": 3, "solution": true, "task": false}
def log_softmax(x: Float[Array, "..."], axis: int = -1) -> Float[Array, "..."]:
    """The logs of the softmax probabilities.

    Args:
        x: logits, of any finite size; minus infinity excludes a class.
        axis: the axis of the classes. Along it, the exponentials of the result add up to 1.

    Returns:
        Log-probabilities in nats, shaped like `x`, finite wherever `x` is.
    """
    ### BEGIN SOLUTION
    lowered = x - x.max(axis=axis, keepdims=True)
    total = jnp.exp(lowered).sum(axis=axis, keepdims=True)
    return lowered - jnp.log(total)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-log-softmax", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 10}
checks.log_softmax(log_softmax)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import forward as hidden

hidden.log_softmax(log_softmax)
### END HIDDEN TESTS

# %% [markdown]
# **See it.** Your `log_softmax` beside the formula as it stands, for logits that grow. Where does the formula end?

# %%
direction = jnp.asarray([1.0, 0.0, -1.0])
for factor in (1, 10, 80, 100, 1000):
    logits = factor * direction
    plain = jnp.log(jnp.exp(logits) / jnp.sum(jnp.exp(logits)))
    print(f"logits {np.asarray(logits)!s:24} yours {np.asarray(log_softmax(logits))!s:32} formula {np.asarray(plain)}")

# %% [markdown]
# ## 5. Mean squared error
#
# *Difficulty: easy. Importance: medium. About 10 minutes. 4 points.*
#
# For numbers in place of classes, the loss is the mean of the squared differences, over all entries:
#
# $$L = \frac1N \sum_{i=1}^N (p_i - t_i)^2$$
#
# There is one trap, and it costs somebody a day every week. A network with one output gives shape `(n, 1)`. The targets have
# shape `(n,)`. Their difference is legal. Broadcasting makes it an `(n, n)` table of all pairs, and the mean of its squares
# is a number that looks like a loss. Your function refuses to compare different shapes.
#
# <details><summary>Hint 1: an idea</summary>
#
# A mean of squares; and a question to the shapes before it.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Compare `prediction.shape` with `target.shape`. Raise `ValueError` with a message that names both.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `if prediction.shape != target.shape: raise ValueError(...)`, then the mean of the squared difference.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "mse", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mse(prediction: Float[Array, "..."], target: Float[Array, "..."]) -> Float[Array, ""]:
    """The mean squared error over all entries.

    Raises ValueError where the shapes differ: they would be broadcast, and all pairs compared.
    """
    ### BEGIN SOLUTION
    comparable = prediction.shape == target.shape
    if not comparable:
        raise ValueError(f"predictions of shape {prediction.shape} cannot be compared with targets of {target.shape}")
    return jnp.mean((prediction - target) ** 2)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-mse", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 4}
checks.mse(mse)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import forward as hidden

hidden.mse(mse)
### END HIDDEN TESTS

# %% [markdown]
# ## 6. Cross-entropy
#
# *Difficulty: medium. Importance: high. About 30 minutes. 12 points.*
#
# This is the loss of every classifier and every language model. For one example with label $y$ it is
# $-\log p_y$: how surprised the model is by what happened, in nats. A batch has the mean.
#
# Two additions make it fit for work.
#
# *Label smoothing* (Szegedy et al. 2016) asks for a little less than certainty. With smoothing $\epsilon$ and $C$ classes,
# the target is no longer 1 for the right class and 0 for the others, but
#
# $$q_k = (1 - \epsilon)\,[k = y] + \frac{\epsilon}{C} \qquad\qquad L = -\sum_k q_k \log p_k$$
#
# Every class gets $\epsilon / C$, the right one too.
#
# A *mask* says which positions count. Sentences have different lengths; the short ones are filled up, and what fills them
# must not change the loss. The mean is then over the positions that count, in the whole batch:
#
# $$L = \frac{\sum_i m_i L_i}{\max(1, \sum_i m_i)}$$
#
# What stands at a masked position may be anything, nan included. Zero times nan is nan: so choose with `jnp.where`, do not
# multiply. (XLA turns a product with a *boolean* mask into a choice now and then. Nothing promises it.) If nothing counts,
# the loss is 0.
#
# The function runs inside a compiled training step. There, a mask's values are not known, so `losses[mask]` does not work.
# `mask is None` does.
#
# <details><summary>Hint 1: an idea</summary>
#
# First the loss of each position, as an array shaped like `labels`. Then its mean over those that count.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Log-probabilities from your `log_softmax`. `jax.nn.one_hot(labels, classes)` gives the target without smoothing. Build the smoothed one, multiply, sum over the last axis. For the mean: `jnp.where(mask, losses, 0)`, a sum, and a count of at least 1.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `targets = (1 - label_smoothing) * jax.nn.one_hot(labels, classes) + label_smoothing / classes`; with a mask, return `jnp.sum(jnp.where(mask, losses, 0)) / jnp.maximum(jnp.sum(mask), 1)`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "cross-entropy", "locked": false, "schema_version": 3, "solution": true, "task": false}
def cross_entropy(
    logits: Float[Array, "... classes"],
    labels: Int[Array, "..."],
    label_smoothing: float = 0.0,
    mask: Bool[Array, "..."] | None = None,
) -> Float[Array, ""]:
    """The mean cross-entropy between labels and the softmax of the logits, in nats.

    Args:
        logits: one number for each class, on the last axis, of any size.
        labels: the index of the right class at each position, from 0 to classes - 1.
        label_smoothing: the part of the target that is spread evenly over all classes, from 0 to 1.
        mask: True where a position counts; None if all do. What stands elsewhere has no influence.

    Returns:
        The mean over the positions that count; 0 if none does.
    """
    ### BEGIN SOLUTION
    count = logits.shape[-1]
    certain = jax.nn.one_hot(labels, count)
    smooth = certain + label_smoothing * (1 / count - certain)
    losses = -jnp.sum(smooth * log_softmax(logits), axis=-1)
    if mask is None:
        return jnp.mean(losses)
    return jnp.sum(jnp.where(mask, losses, 0)) / jnp.maximum(jnp.sum(mask), 1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-cross-entropy", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 12}
checks.cross_entropy(cross_entropy)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import forward as hidden

hidden.cross_entropy(cross_entropy)
### END HIDDEN TESTS

# %% [markdown]
# ## 7. Layer normalisation
#
# *Difficulty: medium. Importance: high. About 20 minutes. 8 points.*
#
# In a deep network, signals drift: each layer makes them a little larger or smaller, and twenty layers make that a lot.
# Layer normalisation (Ba, Kiros and Hinton 2016) sets each position back to mean 0 and variance 1, and lets the model learn
# a scale $\gamma$ and a bias $\beta$:
#
# $$\mu = \frac1d \sum_i x_i \qquad \sigma^2 = \frac1d \sum_i (x_i - \mu)^2 \qquad
# y_i = \gamma_i \, \frac{x_i - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta_i$$
#
# Three details decide. The statistics are over the *last axis*, one pair for each position, and never over the batch. The
# variance divides by $d$, not by $d - 1$. And $\epsilon$ stands *under* the root.
#
# The variance is also $E[x^2] - E[x]^2$. Do not compute it so: where the mean is large, two large numbers nearly cancel, and
# in float32 nothing is left of the difference.
#
# <details><summary>Hint 1: an idea</summary>
#
# `jnp.mean` and `jnp.var` along the last axis.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Keep the reduced axis with `keepdims=True`. Subtract the mean, divide by the root of variance plus eps, then scale and bias.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `(x - mean) / jnp.sqrt(variance + eps)`, where `variance = jnp.var(x, axis=-1, keepdims=True)`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "layer-norm", "locked": false, "schema_version": 3, "solution": true, "task": false}
def layer_norm(
    x: Float[Array, "... d"], scale: Float[Array, " d"], bias: Float[Array, " d"], eps: float = 1e-5
) -> Float[Array, "... d"]:
    """Each position of `x` with mean 0 and variance 1 over the last axis, then scaled and shifted.

    Args:
        x: any number of positions of d features.
        scale, bias: one number for each feature.
        eps: added to the variance, under the root. A position whose features are all equal gives `bias`.

    Returns:
        The normalised features, shaped like `x`.
    """
    ### BEGIN SOLUTION
    mean = jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean((x - mean) ** 2, axis=-1, keepdims=True)
    return scale * (x - mean) / jnp.sqrt(variance + eps) + bias
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-layer-norm", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 8}
checks.layer_norm(layer_norm)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import forward as hidden

hidden.layer_norm(layer_norm)
### END HIDDEN TESTS

# %% [markdown]
# ## 8. Convolution
#
# *Difficulty: hard. Importance: high. About 35 minutes. 10 points.*
#
# An image has neighbours, and a thing is the same thing wherever it stands. A convolution uses both: one small kernel is
# laid on every place of the image, with the same weights everywhere (LeCun et al. 1989).
#
# $$y_{b,i,j,o} = \sum_{u,v,c} x_{b,\; i s + u,\; j s + v,\; c} \; K_{u,v,c,o}$$
#
# $s$ is the stride. The sum is over the kernel's rows $u$, its columns $v$ and the input channels $c$. In mathematics this is
# a cross-correlation; a convolution would turn the kernel around. Deep learning does not, and neither do you. Before all,
# `padding` rows and columns of zeros are put on each side of the image. From a padded height $H$ and a kernel of $k$ rows come
#
# $$\left\lfloor \frac{H - k}{s} \right\rfloor + 1 \text{ rows.}$$
#
# The layout is the one of Flax: images `(batch, height, width, channels)`, kernels `(rows, columns, in, out)`.
#
# Do not loop over the image. A Python loop is written out into the program, and an image has a million pixels. Loop over the
# *kernel*, which has nine: each of its entries sees the whole image, shifted.
#
# <details><summary>Hint 1: an idea</summary>
#
# Fix $u$ and $v$. The pixels that this entry of the kernel meets form a strided slice of the padded image. It has the size of the output.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Pad with `jnp.pad`. Compute the numbers of rows and columns of the output. For each u and v take `padded[:, u : u + rows * stride : stride, ...]`; mind the end of the slice. Multiply it by `kernel[u, v]`, a matrix from input to output channels, and add everything up.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# With its ends written out, a slice is `padded[:, u : u + (rows - 1) * stride + 1 : stride, v : v + (columns - 1) * stride + 1 : stride] @ kernel[u, v]`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "conv2d", "locked": false, "schema_version": 3, "solution": true, "task": false}
def conv2d(
    images: Float[Array, "b h w c_in"], kernel: Float[Array, "kh kw c_in c_out"], stride: int = 1, padding: int = 0
) -> Float[Array, "b rows columns c_out"]:
    """The two-dimensional convolution of deep learning: a cross-correlation, summed over the input channels.

    Args:
        images: a batch of images, channels last.
        kernel: `kernel[u, v]` is a matrix from input to output channels.
        stride: by how many pixels the kernel moves, in both directions.
        padding: how many rows and columns of zeros go around the image, on each of its four sides.

    Returns:
        Shape (b, (h + 2 padding - kh) // stride + 1, (w + 2 padding - kw) // stride + 1, c_out). The program that JAX
        traces has the same length for any size of image.
    """
    ### BEGIN SOLUTION
    around = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    framed = jnp.pad(images, around)
    height, width = kernel.shape[:2]
    rows = (framed.shape[1] - height) // stride + 1
    columns = (framed.shape[2] - width) // stride + 1
    total = 0.0
    for u in range(height):
        for v in range(width):
            down, across = u + (rows - 1) * stride + 1, v + (columns - 1) * stride + 1
            total = total + framed[:, u:down:stride, v:across:stride] @ kernel[u, v]
    return total
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-conv2d", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 10}
checks.conv2d(conv2d)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import forward as hidden

hidden.conv2d(conv2d)
### END HIDDEN TESTS

# %% [markdown]
# **See it.** Two kernels on handwritten digits: one answers to horizontal edges, the other to vertical ones. Which strokes of
# the digit light up in which picture?

# %%
pictures = jnp.asarray(digits()[0][:2]).reshape(2, 8, 8, 1)
sobel = jnp.asarray([[1.0, 2.0, 1.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -1.0]])
edges = conv2d(pictures, jnp.stack([sobel, sobel.T], axis=-1)[:, :, None, :], padding=1)
Heatmaps(
    {
        f"{name}, digit {i}": picture
        for i in range(2)
        for name, picture in (
            ("image", pictures[i, :, :, 0]),
            ("horizontal", edges[i, :, :, 0]),
            ("vertical", edges[i, :, :, 1]),
        )
    },
    "Two digits, and what kernels for horizontal and vertical edges make of them.",
)

# %% [markdown]
# ## 9. Causal attention
#
# *Difficulty: hard. Importance: high. About 35 minutes. 12 points.*
#
# Attention (Vaswani et al. 2017) lets each position of a sequence look things up at others. It has a *query* for what it
# looks for. Every position has a *key*, for what it offers, and a *value*, for what it gives. The inner products of query and
# keys go through a softmax, and the result is the mean of the values with those weights:
#
# $$Y = \operatorname{softmax}\!\left( \frac{Q K^\top}{\sqrt d} + M \right) V \qquad\qquad
# M_{ts} = \begin{cases} 0 & s \le t \\ -\infty & s > t \end{cases}$$
#
# *The root of d.* The inner product of two vectors of $d$ independent numbers of variance 1 has variance $d$. Without the
# division the scores grow with the model, the softmax picks a single key, and its gradient vanishes.
#
# *The mask.* A language model predicts the next token, so position $t$ may see positions up to $t$, itself included. The mask
# acts on the *scores*, before the softmax: $e^{-\infty} = 0$. If you set the weights to zero afterwards, the forbidden
# positions have already taken their share of the sum.
#
# <details><summary>Hint 1: an idea</summary>
#
# The scores are one matrix product, shape `(..., t, t)`: row t belongs to query t. The mask is a lower triangle.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Scores from `query @ jnp.swapaxes(key, -1, -2)`, divided by the root of d. A boolean triangle from `jnp.tril`, and `jnp.where` with `-jnp.inf`. Softmax over the last axis; your `log_softmax` and `jnp.exp` make one. Then `@ value`.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `allowed = jnp.tril(jnp.ones((steps, steps), bool))`; `weights = jnp.exp(log_softmax(jnp.where(allowed, scores, -jnp.inf)))`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "causal-attention", "locked": false, "schema_version": 3, "solution": true, "task": false}
def causal_attention(
    query: Float[Array, "... t d"], key: Float[Array, "... t d"], value: Float[Array, "... t d_v"]
) -> Float[Array, "... t d_v"]:
    """Scaled dot-product attention in which no position sees a later one.

    Args:
        query, key, value: one row for each position; axes before the last two (examples, heads) are carried along.

    Returns:
        Row t is the mean of the values at positions 0 to t, weighted by the softmax of query t's inner products with
        their keys, over the root of d.
    """
    ### BEGIN SOLUTION
    steps, d = query.shape[-2:]
    scores = query @ jnp.swapaxes(key, -1, -2) / jnp.sqrt(d)
    past = jnp.tril(jnp.ones((steps, steps), dtype=bool))
    log_weights = log_softmax(jnp.where(past, scores, -jnp.inf))
    return jnp.exp(log_weights) @ value
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-causal-attention", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 12}
checks.causal_attention(causal_attention)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import forward as hidden

hidden.causal_attention(causal_attention)
### END HIDDEN TESTS

# %% [markdown]
# **See it.** With the identity as values, the outputs *are* the weights. Row t shows where position t looks. In the first
# picture the queries equal the keys. In the second they are four times as long. In the third, query t is the key of the
# position before. Why is the first row the same in all three?

# %%
keys = jax.random.normal(jax.random.key(3), (8, 16))
Heatmaps(
    {
        "query = key": causal_attention(keys, keys, jnp.eye(8)),
        "four times as long": causal_attention(4 * keys, keys, jnp.eye(8)),
        "query = key before": causal_attention(4 * jnp.roll(keys, 1, axis=0), keys, jnp.eye(8)),
    },
    "Attention weights: row t shows how much position t takes from each position.",
)

# %% [markdown]
# ## 10. A network
#
# *Difficulty: easy. Importance: high. About 15 minutes. 7 points.*
#
# Now put layers together. The parameters of a multi-layer perceptron are a *pytree*: a list with one dictionary for each
# layer, `{"weight": (d_in, d_out), "bias": (d_out,)}`. JAX can differentiate, copy, average and save such a tree without
# knowing what is in it. That is why a model in JAX is a function of `(params, x)`, and why it holds nothing itself.
#
# $$h_0 = x \qquad h_{k} = \operatorname{relu}(h_{k-1} W_k + b_k) \qquad \text{logits} = h_{n-1} W_n + b_n$$
#
# The last layer has no ReLU. Logits may be negative.
#
# <details><summary>Hint 1: an idea</summary>
#
# A loop over the list, and a question whether this is the last layer.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# Take the last layer apart: `*hidden, last = params`. Run the hidden ones with your `affine` and `relu`, then the last with `affine` alone.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `for layer in params[:-1]: x = relu(affine(x, layer["weight"], layer["bias"]))`
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "mlp-forward", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mlp_forward(params: list[dict[str, Float[Array, "..."]]], x: Float[Array, "... d"]) -> Float[Array, "... classes"]:
    """The logits of a multi-layer perceptron.

    Args:
        params: one dictionary for each layer, with `weight` of shape (d_in, d_out) and `bias` of shape (d_out,). There is
            at least one layer.
        x: inputs, with any number of axes before the last.

    Returns:
        What the last layer puts out. ReLU stands between layers, and not after the last.
    """
    ### BEGIN SOLUTION
    *inner, last = params
    for each in inner:
        x = relu(affine(x, **each))
    return affine(x, **last)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-mlp-forward", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 7}
checks.mlp_forward(mlp_forward)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import forward as hidden

hidden.mlp_forward(mlp_forward)
### END HIDDEN TESTS

# %% [markdown]
# ## 11. From one example to a batch
#
# *Difficulty: easy. Importance: high. About 15 minutes. 5 points.*
#
# Some functions are easiest to write for *one* example. `ClassDistance` in the setup cell is one: the distance of one vector
# from the centre of its class. Called on a batch it fails, or worse, mixes the examples.
#
# A Python loop over the examples would work. JAX traces it example by example, and a batch of a thousand becomes a program of
# a thousand copies. `jax.vmap` adds the axis to every operation inside instead: one program, whose matrix-vector product
# has become a matrix product. `in_axes` says, for each argument, which axis holds the examples, and `None` for what they
# share. (`jax.vmap` in the JAX documentation.)
#
# The check reads the program that JAX makes of your function. It has to be the same for 4 examples and for 8, without a loop.
#
# <details><summary>Hint 1: an idea</summary>
#
# The parameters are shared. `x` and `labels` have their examples on axis 0.
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# `jax.vmap(function, in_axes=...)` is a new function. Call it with the three arguments.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `in_axes=(None, 0, 0)`
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "map-examples", "locked": false, "schema_version": 3, "solution": true, "task": false}
def map_examples(
    function, params: PyTree[Float[Array, "..."]], x: Float[Array, "b ..."], labels: Int[Array, " b"]
) -> Float[Array, " b"]:
    """`function(params, x[i], labels[i])` for every example i, all at once.

    Args:
        function: takes the parameters, one example and its label, and returns a scalar.
        params: shared by all examples.
        x, labels: one entry for each example on the first axis.

    Returns:
        One number for each example. The traced program has no loop and does not grow with the batch.
    """
    ### BEGIN SOLUTION
    return jax.vmap(function, in_axes=(None, 0, 0))(params, x, labels)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-map-examples", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 5}
checks.map_examples(map_examples)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import forward as hidden

hidden.map_examples(map_examples)
### END HIDDEN TESTS

# %% [markdown]
# **See it.** The distance of every digit from the centre of its class, all 1797 in one call. The four that are farthest away
# look strange indeed.

# %%
images, labels = (jnp.asarray(part) for part in digits())
distances = map_examples(ClassDistance(), ClassDistance().fit(images, labels, 10), images, labels)
farthest = np.argsort(-np.asarray(distances))[:4]
Heatmaps(
    {f"a {labels[i]}, at {distances[i]:.0f}": images[i].reshape(8, 8) for i in farthest},
    "The four digits that are farthest from the centre of their class, with the squared distance.",
)

# %% [markdown]
# ## 12. Where the weights start
#
# *Difficulty: medium. Importance: high. About 25 minutes. 7 points.*
#
# Weights start as random numbers. How large may they be? Follow the mean square of the signal through a layer. An output is
# a sum of $d_\text{in}$ products of independent numbers, and the weights have mean 0. So
#
# $$E[z^2] = d_\text{in} \operatorname{Var}(w) \, E[h^2]$$
#
# ReLU sets the negative half to zero, so $E[h^2] = \tfrac12 E[z^2]$ for the next layer. Together: each layer multiplies the
# mean square by $\tfrac12 d_\text{in} \operatorname{Var}(w)$. Twenty layers multiply it by the twentieth power. Only one variance
# keeps it (He et al. 2015):
#
# $$\operatorname{Var}(w) = \frac{2}{d_\text{in}}$$
#
# The biases start at zero. The *shape* of the distribution does not matter, normal or uniform. Its variance does.
#
# Random numbers in JAX come from a key, and a key is a value: used twice, it gives the same numbers twice. Split it, one for
# each layer.
#
# <details><summary>Hint 1: an idea</summary>
#
# `jax.random.normal(key, shape)` has variance 1. What must it be multiplied by?
#
# </details>
#
# <details><summary>Hint 2: a plan</summary>
#
# `zip(sizes[:-1], sizes[1:])` gives the sizes of each layer, `jax.random.split(key, n)` gives n keys. Make one dictionary for each layer. Use the root of the variance as the factor.
#
# </details>
#
# <details><summary>Hint 3: nearly the code</summary>
#
# `weight = jnp.sqrt(2 / d_in) * jax.random.normal(own_key, (d_in, d_out))`
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "init-params", "locked": false, "schema_version": 3, "solution": true, "task": false}
def init_params(key: Key[Array, ""], sizes: list[int]) -> list[dict[str, Float[Array, "..."]]]:
    """Parameters for `mlp_forward` that keep the variance of the signal from layer to layer.

    Args:
        key: a JAX random key; the same key gives the same parameters.
        sizes: the number of inputs, of units in each hidden layer, and of outputs.

    Returns:
        `len(sizes) - 1` layers, the last included: weights with mean 0 and variance 2/d_in, all drawn independently,
        and biases of zero.
    """
    ### BEGIN SOLUTION
    own_keys = jax.random.split(key, len(sizes) - 1)
    return [
        {"weight": jnp.sqrt(2 / d_in) * jax.random.normal(own, (d_in, d_out)), "bias": jnp.zeros(d_out)}
        for own, d_in, d_out in zip(own_keys, sizes[:-1], sizes[1:], strict=True)
    ]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-init-params", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 7}
checks.init_params(init_params)
### BEGIN HIDDEN TESTS
from gradlab_grading.hidden import forward as hidden

hidden.init_params(init_params)
### END HIDDEN TESTS

# %% [markdown]
# **See it.** The mean square of the signal after 1, 5, 10 and 20 layers of 256 units: with your weights, and with weights that
# are a little smaller or larger. A tenth more in each layer is nothing. In twenty layers it is not.

# %%
deep = init_params(jax.random.key(0), [256] * 21)
signal = jax.random.normal(jax.random.key(1), (64, 256))
for factor in (0.5, 0.9, 1.0, 1.1, 2.0):
    scaled = jax.tree.map(lambda leaf, factor=factor: factor * leaf, deep)
    squares = [float(jnp.mean(mlp_forward(scaled[:depth], signal) ** 2)) for depth in (1, 5, 10, 20)]
    print(f"weights x {factor}: " + "  ".join(f"{square:9.3g}" for square in squares))

# %% [markdown]
# ### Predict: the loss before training
#
# *Two points, for committing a number. Whether it is right does not matter.*
#
# Your network, with your initial weights, has seen nothing. It gets images of the ten digits, and your `cross_entropy` measures
# its surprise at the labels. A model that knows nothing should give every class the same probability.
#
# What is the loss, in nats? In the next cell, write `loss_guess =` and your number, and run it before you go on. No
# calculator is needed.

# %% nbgrader={"grade": false, "grade_id": "initial-loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
### BEGIN SOLUTION
loss_guess = 2.303
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "test-initial-loss", "locked": true, "schema_version": 3, "solution": false, "task": false, "points": 2}
checks.initial_loss(loss_guess)

# %%
starts = [init_params(jax.random.key(seed), [64, 128, 128, 10]) for seed in range(5)]
first_losses = [float(cross_entropy(mlp_forward(start, images), labels)) for start in starts]
print("five keys:", [round(loss, 3) for loss in first_losses])
predict.reveal(loss_guess, float(np.mean(first_losses)), "the loss before training, in nats")

# %% [markdown]
# With equal probabilities the loss is $-\log \tfrac1C = \ln C$, here $\ln 10 = 2.303$. Yours is a little larger, since random
# logits are not quite equal: if they spread with variance $\sigma^2$, the loss is about $\ln C + \sigma^2/2$. Many people set
# the last layer's weights to zero at the start, and then it is $\ln C$ exactly.
#
# Remember the number. A training run whose first loss is far from $\ln C$ has a fault, and you have found it before the first
# step: labels that are shifted, logits that are too large, a softmax too many.

# %%
silent = [*starts[0][:-1], jax.tree.map(jnp.zeros_like, starts[0][-1])]
print(f"last layer zero: {float(cross_entropy(mlp_forward(silent, images), labels)):.6f}, ln 10 = {np.log(10):.6f}")

# %% [markdown]
# ## 13. Look inside
#
# *Nothing to write. About 15 minutes.*
#
# Here is your `mlp_forward` at work, with two inputs, so that everything it computes can be drawn. The large map shows which
# class it predicts at each of 100 x 100 points, and how surely. The small maps show the hidden units, one each: what comes out
# of your function when the layers after it are left away. Press *play* to train it by gradient descent on your
# `cross_entropy`.
#
# - Before you train: each unit of the first layer is a straight fold. Where does its line run, and what do its two weights and
#   its bias say about that? Change one and look.
# - Train, and look at the units of the second layer. Which of them does the decision boundary owe its corners to?
# - Paint a few points of one class into the middle of the other, and train on. Which loss goes down, and which one up?

# %%
widgets.Behaviour(mlp_forward, init_params(jax.random.key(2), [2, 6, 6, 2]), loss=cross_entropy)

# %% [markdown]
# ## 14. In your own words
#
# *Difficulty: medium. Importance: high. About 15 minutes. 10 points, graded by hand.*
#
# Two answers of a few sentences each.
#
# 1. A colleague's attention sets the weights above the diagonal to zero *after* the softmax. The loss falls during training,
#    and lower than yours does. When the model writes text, it writes nonsense. Explain both observations, and name a test
#    that would have found the fault without any training. *(5 points: the way by which later tokens still act, 2; the
#    difference between training and writing, 1; a test that can fail, 2.)*
# 2. A layer with its weight transposed passes all tests of a class, since they all use layers of 64 x 64 units. A network of
#    20 layers starts with weights of standard deviation 1 in place of variance 2/d_in. For each of the two, say what one sees
#    when the model runs, and describe a cheap test that fails. *(5 points: for the first, what one sees, 1, and a test, 1;
#    for the second, what happens in one layer, 1, and in all of them, 1, and a test, 1.)*

# %% [markdown] nbgrader={"grade": true, "grade_id": "written-forward", "locked": false, "schema_version": 3, "solution": true, "task": false, "points": 10}
# ### BEGIN SOLUTION
# 1. Each row of the softmax is divided by a sum over all positions, later ones included. What is left of a row is small when a
#    later key fits the query well, so the output tells something about tokens that should be unknown (2). In training these
#    tokens are in the batch, and the model uses the hint. When it writes, they do not exist yet: the sums are others than it
#    was trained with (1). Test: change the last tokens and compare the outputs before them, which must be equal (2).
# 2. With square weights the transposed product runs and gives wrong numbers, so nobody sees anything (1). A test with d_in
#    different from d_out fails at once, as does one that compares with a sum written out by hand (1). With a standard
#    deviation of 1, each layer of 64 units multiplies the root mean square by the root of 64/2, about 5.7 (1); after 20
#    layers it is about 10^15, and the first loss is huge (1). Compare the first loss with ln C, or the mean square after 20
#    layers with that after one (1).
# ### END SOLUTION

# %% [markdown]
# ## What you have now
#
# Every part of a forward pass, right for small and large numbers, and a network with a sound start. In lab 03 you take the
# same functions backward and compute their gradients by hand. In lab 04 the gradients make steps, and in lab 05 a network
# trains to the end.
