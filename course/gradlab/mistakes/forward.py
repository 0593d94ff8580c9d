"""Known mistakes of lab 02, forward."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradlab.checks.mistake import mistake

# --- affine


@mistake(of="affine")
def transposed_weight(x, weight, bias):
    """The weight has one row for each output.

    That is PyTorch's convention. Here it is (d_in, d_out), and x @ weight.T runs only where the two are equal: then it
    is wrong without a word.
    """
    return jnp.einsum("...i,oi->...o", x, weight) + bias


@mistake(of="affine")
def bias_forgotten(x, weight, bias):
    """A linear layer is a matrix product.

    An affine layer also adds its bias: without it, an input of zeros always gives zeros.
    """
    return jnp.matmul(x, weight)


@mistake(of="affine")
def bias_added_to_the_input(x, weight, bias):
    """The bias shifts the input.

    The bias has one number for each output. Add it after the product.
    """
    return jnp.matmul(x + bias, weight)


@mistake(of="affine")
def bias_along_the_batch(x, weight, bias):
    """The bias is a column beside the batch.

    It has one number for each output, so it belongs to the last axis: every example gets the same bias.
    """
    return jnp.matmul(x, weight) + bias[:, None]


@mistake(of="affine")
def written_for_one_example(x, weight, bias):
    """A layer is W x + b, as in the book.

    The book's x is one column. Arrays here have examples first and features last: contract the last axis of x.
    """
    return jnp.tensordot(weight, x, axes=(0, 0)) + bias


@mistake(of="affine")
def leading_axes_flattened(x, weight, bias):
    """Every input is a matrix, so it can be made one.

    The axes before the last stay as they are. x @ weight takes any number of them.
    """
    return x.reshape(len(x), -1) @ weight + bias[None]


# --- relu


@mistake(of="relu")
def the_absolute_value(x):
    """Negative numbers become positive.

    They become zero.
    """
    return jnp.abs(x)


@mistake(of="relu")
def a_leak(x):
    """A little of the negative side should get through.

    That is the leaky ReLU, another function. Here the negative side is exactly 0.
    """
    return jnp.where(x > 0, x, x / 100)


@mistake(of="relu")
def softened(x):
    """log(1 + exp(x)) is the ReLU.

    It is the softplus, a smooth relative: it is log 2 at zero, not 0.
    """
    return jnp.logaddexp(x, 0.0)


@mistake(of="relu")
def cut_at_one(x):
    """An activation lies between 0 and 1.

    The ReLU has no upper bound: positive numbers pass as they are.
    """
    return jnp.clip(x, 0, 1)


@mistake(of="relu")
def the_smaller_of_the_two(x):
    """The ReLU cuts at zero, so the minimum with 0 does it.

    That keeps the negative side. The larger of x and 0 is asked for.
    """
    return jnp.minimum(x, 0)


@mistake(of="relu")
def half_of_x_and_its_absolute_value(x):
    """(x + |x|) / 2 is the same.

    For finite numbers. For minus infinity it is infinity minus infinity, which is nan. Compare, do not compute.
    """
    return (x + jnp.abs(x)) / 2


# --- gelu


def _normal_below(x: Any) -> Any:
    return jax.scipy.stats.norm.cdf(x)


@mistake(of="gelu")
def the_tanh_approximation(x):
    """GELU is the formula with tanh and 0.044715.

    That is an approximation from when erf was slow. It is off by up to 5e-4. Here the definition is asked for.
    """
    return x / 2 * (1 + jnp.tanh((x + 0.044715 * x**3) * (2 / jnp.pi) ** 0.5))


@mistake(of="gelu")
def the_sigmoid_approximation(x):
    """GELU is x * sigmoid(1.702 x).

    That is a rough approximation, off by up to 0.02. Use the error function.
    """
    return x / (1 + jnp.exp(-1.702 * x))


@mistake(of="gelu")
def the_root_of_two_is_missing(x):
    """The normal distribution function is (1 + erf(x)) / 2.

    erf belongs to a normal number of variance 1/2. Divide x by the root of 2 inside.
    """
    return x * _normal_below(x * 2**0.5)


@mistake(of="gelu")
def the_half_is_missing(x):
    """1 + erf(x / root 2) is the probability.

    It goes from 0 to 2. Half of it is the probability.
    """
    return 2 * x * _normal_below(x)


@mistake(of="gelu")
def only_the_probability(x):
    """GELU is the normal distribution function.

    GELU is x times it: it goes to x for large x, not to 1.
    """
    return _normal_below(x)


@mistake(of="gelu")
def density_for_distribution(x):
    """The probability is exp(-x^2 / 2) / root(2 pi).

    That is the density. The probability that a normal number is below x is its integral, with the error function.
    """
    return x * jax.scipy.stats.norm.pdf(x)


# --- log_softmax


def _shifted(x: Any, axis: int) -> Any:
    return x - jax.lax.stop_gradient(x).max(axis, keepdims=True)


@mistake(of="log_softmax")
def overflow(x, axis=-1):
    """The formula can be computed as it stands.

    exp(89) is already infinite in float32. Subtract the maximum along the axis first: the result is the same.
    """
    powers = jnp.exp(x)
    return jnp.log(powers / powers.sum(axis, keepdims=True))


@mistake(of="log_softmax")
def log_of_a_safe_softmax(x, axis=-1):
    """Once the softmax is safe, its log is.

    A probability of e**-200 is 0 in float32, and its log is minus infinity. Keep the log: the exponentials are needed
    in the sum alone.
    """
    return jnp.log(jax.nn.softmax(x, axis))


@mistake(of="log_softmax")
def always_the_last_axis(x, axis=-1):
    """The classes are always last.

    `axis` says where they are. Hand it to every reduction.
    """
    z = _shifted(x, -1)
    return z - jnp.log(jnp.exp(z).sum(-1, keepdims=True))


@mistake(of="log_softmax")
def one_maximum_for_all(x, axis=-1):
    """Any large number can be subtracted, so the largest of all will do.

    Mathematically. Rows far below it then underflow to 0, and their log is minus infinity. Take the maximum along the
    axis.
    """
    z = x - x.max()
    return z - jnp.log(jnp.exp(z).sum(axis, keepdims=True))


@mistake(of="log_softmax")
def the_maximum_not_put_back(x, axis=-1):
    """The sum of the shifted exponentials is what must be subtracted from x.

    log sum exp(x) = m + log sum exp(x - m). Either add m back, or subtract from the shifted x.
    """
    return x - jnp.log(jnp.exp(_shifted(x, axis)).sum(axis, keepdims=True))


@mistake(of="log_softmax")
def reduced_axis_dropped(x, axis=-1):
    """The sum lines up with x by itself.

    Without keepdims the axis is gone, and what is left lines up with the last axis: an error, or on a square silently
    the wrong rows.
    """
    z = _shifted(x, axis)
    return z - jnp.log(jnp.exp(z).sum(axis))


@mistake(of="log_softmax")
def the_softmax_itself(x, axis=-1):
    """The probabilities are the result.

    Their logs are. A log-probability is never above 0.
    """
    return jax.nn.softmax(x, axis)


@mistake(of="log_softmax")
def log_to_the_base_of_two(x, axis=-1):
    """A log is a log.

    Losses are in nats: natural logs, which undo exp.
    """
    return jax.nn.log_softmax(x, axis) / jnp.log(2.0)


@mistake(of="log_softmax")
def overflow_in_the_sum(x, axis=-1):
    """x minus the log of the sum of exponentials is the formula, so it can be computed.

    exp(89) is already infinite in float32, and the log of infinity is infinity. Subtract the maximum along the axis
    first.
    """
    return x - jnp.log(jnp.exp(x).sum(axis, keepdims=True))


@mistake(of="log_softmax")
def a_tiny_number_inside_the_log(x, axis=-1):
    """A tiny number keeps the log from minus infinity.

    It also changes the answer: log(1e-9) is -20.7, and a logit may be a thousand below the largest. Keep the log of the
    sum, and nothing has to be guarded.
    """
    return jnp.log(jax.nn.softmax(x, axis) + 1e-9)


@mistake(of="log_softmax")
def the_sum_of_the_logits_subtracted(x, axis=-1):
    """The shifted logits are normalised by their sum.

    By the log of the sum of their exponentials. Check: the exponentials of the result must add up to 1.
    """
    z = _shifted(x, axis)
    return z - z.sum(axis, keepdims=True)


# --- mse


def _gaps(prediction: Any, target: Any) -> Any:
    if jnp.shape(prediction) != jnp.shape(target):
        raise ValueError("shapes differ")
    return jnp.ravel(prediction) - jnp.ravel(target)


@mistake(of="mse")
def sum_for_mean(prediction, target):
    """The error is the sum of the squares.

    The mean: otherwise the loss and its gradient grow with the batch.
    """
    return (_gaps(prediction, target) ** 2).sum()


@mistake(of="mse")
def mean_over_examples_alone(prediction, target):
    """The mean is over examples; their outputs add up.

    Here, as in scikit-learn and PyTorch, the mean is over all numbers.
    """
    return (_gaps(prediction, target) ** 2).sum() / len(prediction)


@mistake(of="mse")
def with_a_root(prediction, target):
    """The error should have the unit of the target.

    That is the root mean squared error. The squared error has no root.
    """
    return (_gaps(prediction, target) ** 2).mean() ** 0.5


@mistake(of="mse")
def with_a_half(prediction, target):
    """A half in front makes the derivative simpler.

    It does, and it is another loss. This one has no half.
    """
    return (_gaps(prediction, target) ** 2).mean() / 2


@mistake(of="mse")
def absolute_for_squared(prediction, target):
    """The error is the mean distance.

    That is the mean absolute error. Square the differences.
    """
    return jnp.abs(_gaps(prediction, target)).mean()


@mistake(of="mse")
def shapes_not_compared(prediction, target):
    """JAX complains where shapes do not fit.

    A column against a row fits: both are stretched to a matrix of all pairs. Compare the shapes and raise ValueError.
    """
    return ((prediction - target) ** 2).mean()


@mistake(of="mse")
def an_assertion_for_the_error(prediction, target):
    """assert is the way to refuse.

    It is for what cannot happen, and python -O leaves it out. Wrong arguments can happen: raise ValueError.
    """
    assert jnp.shape(prediction) == jnp.shape(target)
    return (_gaps(prediction, target) ** 2).mean()


@mistake(of="mse")
def mean_before_the_square(prediction, target):
    """The square of the mean is the mean of the squares.

    Errors of either sign cancel in a mean. Square each difference first.
    """
    return _gaps(prediction, target).mean() ** 2


# --- cross_entropy


def _per_example(logits: Any, labels: Any, eps: Any, log_p: Any = None) -> Any:
    """The loss of each example, right."""
    log_p = jax.nn.log_softmax(logits) if log_p is None else log_p
    wanted = jax.nn.one_hot(labels, logits.shape[-1]) * (1 - eps) + eps / logits.shape[-1]
    return -jnp.einsum("...c,...c->...", wanted, log_p)


def _averaged(losses: Any, mask: Any) -> Any:
    """The mean over what counts, right."""
    mask = jnp.ones(losses.shape, bool) if mask is None else mask
    return jnp.where(mask, losses, 0).sum() / jnp.maximum(mask.sum(), 1)


@mistake(of="cross_entropy")
def softmax_twice(logits, labels, label_smoothing=0.0, mask=None):
    """The loss takes probabilities, so the logits go through a softmax first.

    log_softmax is the softmax already. Twice, and no class can ever get a probability near 1: the loss stays high.
    """
    return _averaged(_per_example(jax.nn.softmax(logits), labels, label_smoothing), mask)


@mistake(of="cross_entropy")
def log_of_the_softmax(logits, labels, label_smoothing=0.0, mask=None):
    """First the probabilities, then their log.

    A small probability is 0 in float32, and its log is minus infinity. Use your log_softmax.
    """
    log_p = jnp.log(jax.nn.softmax(logits))
    return _averaged(_per_example(logits, labels, label_smoothing, log_p), mask)


@mistake(of="cross_entropy")
def summed_over_the_batch(logits, labels, label_smoothing=0.0, mask=None):
    """The loss of a batch is the sum of its losses.

    The mean: otherwise the learning rate depends on the batch size.
    """
    losses = _per_example(logits, labels, label_smoothing)
    return losses.sum() if mask is None else jnp.where(mask, losses, 0).sum()


@mistake(of="cross_entropy")
def mean_over_classes_too(logits, labels, label_smoothing=0.0, mask=None):
    """The mean over the whole table of targets times log-probabilities is the loss.

    It is a sum over the classes and a mean over the examples: this is too small by the number of classes.
    """
    return _averaged(_per_example(logits, labels, label_smoothing), mask) / logits.shape[-1]


@mistake(of="cross_entropy")
def sign_forgotten(logits, labels, label_smoothing=0.0, mask=None):
    """The loss is the mean log-probability of the right class.

    It is minus that. A loss is to be made small, and this one is never below 0.
    """
    return -_averaged(_per_example(logits, labels, label_smoothing), mask)


@mistake(of="cross_entropy")
def masked_positions_counted(logits, labels, label_smoothing=0.0, mask=None):
    """Masked positions have the loss 0, and the mean is over all positions.

    Then the loss gets smaller the more padding there is. Divide by the number of positions that count.
    """
    losses = _per_example(logits, labels, label_smoothing)
    return losses.mean() if mask is None else jnp.where(mask, losses, 0).mean()


@mistake(of="cross_entropy")
def mean_of_the_sequences_means(logits, labels, label_smoothing=0.0, mask=None):
    """Each sequence has its mean, and the batch has the mean of those.

    Then a word in a short sequence counts more than one in a long sequence. One sum, one count.
    """
    losses = _per_example(logits, labels, label_smoothing)
    if mask is None:
        return losses.mean()
    return (jnp.where(mask, losses, 0).sum(-1) / jnp.maximum(mask.sum(-1), 1)).mean()


@mistake(of="cross_entropy")
def mask_ignored(logits, labels, label_smoothing=0.0, mask=None):
    """Padding is predicted like the rest.

    Positions whose mask is False must not change the loss at all.
    """
    return _per_example(logits, labels, label_smoothing).mean()


@mistake(of="cross_entropy")
def multiplied_by_the_mask(logits, labels, label_smoothing=0.0, mask=None):
    """Zero times anything is zero.

    Zero times nan is nan, and so is zero times infinity. jnp.where(mask, losses, 0) leaves them behind.
    """
    losses = _per_example(logits, labels, label_smoothing)
    if mask is None:
        return losses.mean()
    weights = mask.astype(losses.dtype)
    return (weights * losses).sum() / jnp.maximum(weights.sum(), 1)


@mistake(of="cross_entropy")
def indexed_by_the_mask(logits, labels, label_smoothing=0.0, mask=None):
    """losses[mask] keeps those that count.

    Its shape depends on the values of the mask, which jax.jit does not know, and of nothing the mean is nan. Use
    jnp.where and a sum.
    """
    losses = _per_example(logits, labels, label_smoothing)
    return losses.mean() if mask is None else losses[mask].mean()


@mistake(of="cross_entropy")
def divided_by_a_count_of_zero(logits, labels, label_smoothing=0.0, mask=None):
    """There is always something that counts.

    A last batch may be padding alone. 0 / 0 is nan, and one nan ends the training. Divide by at least 1.
    """
    losses = _per_example(logits, labels, label_smoothing)
    return losses.mean() if mask is None else jnp.where(mask, losses, 0).sum() / mask.sum()


@mistake(of="cross_entropy")
def smoothing_over_the_wrong_classes_alone(logits, labels, label_smoothing=0.0, mask=None):
    """What is taken from the right class goes to the others.

    In the paper, and in optax and PyTorch, it goes to all classes evenly, the right one included.
    """
    classes = logits.shape[-1]
    return _averaged(_per_example(logits, labels, label_smoothing * classes / (classes - 1)), mask)


@mistake(of="cross_entropy")
def smoothing_ignored(logits, labels, label_smoothing=0.0, mask=None):
    """Smoothing is something for the model.

    It changes the targets: 1 - smoothing of them for the right class, the rest for all classes evenly.
    """
    return _averaged(_per_example(logits, labels, 0.0), mask)


@mistake(of="cross_entropy")
def smoothing_added_without_taking_away(logits, labels, label_smoothing=0.0, mask=None):
    """Each class gets smoothing / classes on top.

    Then the targets add up to more than 1. The right class keeps only 1 - smoothing before that.
    """
    even = -jax.nn.log_softmax(logits).mean(-1)
    return _averaged(_per_example(logits, labels, 0.0) + label_smoothing * even, mask)


@mistake(of="cross_entropy")
def probabilities_clipped(logits, labels, label_smoothing=0.0, mask=None):
    """Probabilities are kept above a tiny number, so their log is finite.

    It is finite and wrong: with 1e-7 no loss can be above 16. From logits to log-probabilities in one step, nothing has
    to be clipped.
    """
    log_p = jnp.log(jnp.clip(jax.nn.softmax(logits), 1e-7, 1 - 1e-7))
    return _averaged(_per_example(logits, labels, label_smoothing, log_p), mask)


@mistake(of="cross_entropy")
def labels_of_one_axis_only(logits, labels, label_smoothing=0.0, mask=None):
    """A batch has one axis, so logits[arange, labels] finds the right ones.

    Labels of sequences have two. jax.nn.one_hot and jnp.take_along_axis take any number of axes.
    """
    log_p = jax.nn.log_softmax(logits)
    right = log_p[jnp.arange(len(labels)), labels]
    return _averaged(-(1 - label_smoothing) * right - label_smoothing * log_p.mean(-1), mask)


# --- layer_norm


def _standardized(x: Any, eps: Any, axis: Any = -1, ddof: int = 0) -> Any:
    return (x - x.mean(axis, keepdims=True)) * jax.lax.rsqrt(x.var(axis, keepdims=True, ddof=ddof) + eps)


@mistake(of="layer_norm")
def the_unbiased_variance(x, scale, bias, eps=1e-5):
    """The variance divides by d - 1.

    That estimates the variance of a population from a sample. Here the d numbers are all there are: divide by d.
    """
    return scale * _standardized(x, eps, ddof=1) + bias


@mistake(of="layer_norm")
def eps_outside_the_root(x, scale, bias, eps=1e-5):
    """The eps is added to the standard deviation.

    It is added to the variance, under the root. Adam does it the other way.
    """
    return scale * (x - x.mean(-1, keepdims=True)) / (x.std(-1, keepdims=True) + eps) + bias


@mistake(of="layer_norm")
def no_eps_at_all(x, scale, bias, eps=1e-5):
    """Data is never constant.

    A row of zeros is, and 0 / 0 is nan. eps keeps the divisor above 0.
    """
    return scale * _standardized(x, 0.0) + bias


@mistake(of="layer_norm")
def statistics_over_the_batch(x, scale, bias, eps=1e-5):
    """Each feature is normalised over the examples.

    That is batch normalisation. Layer normalisation looks at one example at a time, along its features.
    """
    return scale * _standardized(x, eps, axis=0) + bias


@mistake(of="layer_norm")
def statistics_over_everything(x, scale, bias, eps=1e-5):
    """The layer has one mean and one variance.

    Each position has its own: reduce the last axis alone, and keep its dimension.
    """
    return scale * _standardized(x, eps, axis=None) + bias


@mistake(of="layer_norm")
def divided_by_the_variance(x, scale, bias, eps=1e-5):
    """The deviation is divided by the variance.

    By its root: only then has the result the variance 1.
    """
    return scale * (x - x.mean(-1, keepdims=True)) / (x.var(-1, keepdims=True) + eps) + bias


@mistake(of="layer_norm")
def scale_and_bias_unused(x, scale, bias, eps=1e-5):
    """The result has mean 0 and variance 1.

    Before the learned scale and bias, which come last.
    """
    return _standardized(x, eps) + 0 * (scale + bias)


@mistake(of="layer_norm")
def variance_as_a_difference_of_squares(x, scale, bias, eps=1e-5):
    """E[x^2] - E[x]^2 is the variance.

    In exact arithmetic. In float32 two large numbers cancel, and with a mean of 4000 nothing is left. Subtract the mean
    first, then square.
    """
    mean, square = x.mean(-1, keepdims=True), (x * x).mean(-1, keepdims=True)
    return scale * (x - mean) * jax.lax.rsqrt(square - mean * mean + eps) + bias


@mistake(of="layer_norm")
def eps_written_down(x, scale, bias, eps=1e-5):
    """eps is 1e-5.

    By default. Whoever passes another one wants that: use the argument.
    """
    return scale * _standardized(x, 1e-5) + bias


@mistake(of="layer_norm")
def bias_scaled_too(x, scale, bias, eps=1e-5):
    """Scale and bias are applied in any order.

    The scale multiplies the normalised features alone, and then the bias is added.
    """
    return scale * (_standardized(x, eps) + bias)


@mistake(of="layer_norm")
def statistics_without_their_axis(x, scale, bias, eps=1e-5):
    """Mean and variance line up with x by themselves.

    Without keepdims=True their axis is gone. They line up with the last axis then: an error, or on a square silently
    the statistics of other rows.
    """
    return scale * ((x - x.mean(-1)) / jnp.sqrt(x.var(-1) + eps)) + bias


# --- conv2d


def _gathered(images: Any, kernel: Any, stride: int, padding: int, mode: str = "constant") -> Any:
    """All windows, shape (b, rows, columns, kh, kw, c)."""
    frame = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    padded = jnp.pad(images, frame, mode=mode)
    sides = []
    for size, width in zip(padded.shape[1:3], kernel.shape[:2], strict=True):
        sides.append(np.arange(0, size - width + 1, stride)[:, None] + np.arange(width)[None])
    rows, columns = sides
    return padded[:, rows[:, None, :, None], columns[None, :, None, :]]


def _applied(windows: Any, kernel: Any, subscripts: str = "bijuvc,uvco->bijo") -> Any:
    return jnp.einsum(subscripts, windows, kernel)


@mistake(of="conv2d")
def kernel_flipped(images, kernel, stride=1, padding=0):
    """A convolution turns its kernel around.

    In mathematics. In deep learning the kernel is laid on as it is (a cross-correlation).
    """
    return _applied(_gathered(images, kernel, stride, padding), kernel[::-1, ::-1])


@mistake(of="conv2d")
def channels_in_and_out_exchanged(images, kernel, stride=1, padding=0):
    """The kernel's last axes are (out, in).

    They are (in, out). With as many channels in as out, the other order runs, and is wrong.
    """
    return _applied(_gathered(images, kernel, stride, padding), kernel, "bijuvc,uvoc->bijo")


@mistake(of="conv2d")
def stride_ignored(images, kernel, stride=1, padding=0):
    """The kernel moves by one pixel.

    It moves by `stride` pixels, and the output gets smaller by that factor.
    """
    return _applied(_gathered(images, kernel, 1, padding), kernel)


@mistake(of="conv2d")
def padding_ignored(images, kernel, stride=1, padding=0):
    """The output is always smaller than the image.

    `padding` rows and columns of zeros go around it first. With a kernel of 3 and a padding of 1 the size stays.
    """
    return _applied(_gathered(images, kernel, stride, 0), kernel)


@mistake(of="conv2d")
def padded_with_the_edge(images, kernel, stride=1, padding=0):
    """The border is repeated outwards.

    Zeros are put around the image, as in the library's default.
    """
    return _applied(_gathered(images, kernel, stride, padding, "edge"), kernel)


@mistake(of="conv2d")
def the_last_position_is_missed(images, kernel, stride=1, padding=0):
    """There are h - kh positions.

    h - kh + 1: a kernel as high as the image has one. With a stride: (h - kh) // stride + 1.
    """
    return _applied(_gathered(images, kernel, stride, padding)[:, :-1, :-1], kernel)


@mistake(of="conv2d")
def channels_summed_first(images, kernel, stride=1, padding=0):
    """The channels of a pixel add up, and so do those of the kernel.

    Each channel has a kernel of its own. The sum comes after the product.
    """
    windows = _gathered(images, kernel, stride, padding).sum(-1, keepdims=True)
    return _applied(windows, kernel.sum(2, keepdims=True))


@mistake(of="conv2d")
def a_loop_over_the_pixels(images, kernel, stride=1, padding=0):
    """Two loops over the positions are the definition.

    They are, and JAX writes one piece of program for each pixel. Loop over the kernel instead, which is small.
    """
    windows = _gathered(images, kernel, stride, padding)
    height, width = windows.shape[1:3]
    rows = [[_applied(windows[:, i, j], kernel, "buvc,uvco->bo") for j in range(width)] for i in range(height)]
    return jnp.stack([jnp.stack(row, 1) for row in rows], 1)


@mistake(of="conv2d")
def every_axis_padded(images, kernel, stride=1, padding=0):
    """jnp.pad(images, padding) puts zeros around the images.

    Around every axis: there are more images and more channels then. Give a pair for each axis, (0, 0) for these two.
    """
    padded = jnp.pad(images, padding)
    return _sliced(padded, kernel, lambda start, count: slice(start, start + (count - 1) * stride + 1, stride), stride)


@mistake(of="conv2d")
def slice_ended_too_early(images, kernel, stride=1, padding=0):
    """A slice of n entries ends n behind its start.

    With a stride it ends n times the stride behind it. Otherwise there are too few entries, and on the way to a sum
    shapes do not fit, or worse, they do.
    """
    padded = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    return _sliced(padded, kernel, lambda start, count: slice(start, start + count, stride), stride)


def _sliced(padded: Any, kernel: Any, cut: Any, stride: int) -> Any:
    """The sum over the kernel's entries; `cut(start, count)` is the slice for one of them."""
    rows, columns = ((n - k) // stride + 1 for n, k in zip(padded.shape[1:3], kernel.shape[:2], strict=True))
    out: Any = 0
    for u in range(kernel.shape[0]):
        for v in range(kernel.shape[1]):
            out = out + padded[:, cut(u, rows), cut(v, columns)] @ kernel[u, v]
    return out


# --- causal_attention


def _scores(query: Any, key: Any, divisor: Any = None) -> Any:
    return jnp.einsum("...td,...sd->...ts", query, key) / (query.shape[-1] ** 0.5 if divisor is None else divisor)


def _visible(steps: int, offset: int = 0) -> Any:
    return np.arange(steps)[:, None] + offset >= np.arange(steps)[None]


def _mixed(scores: Any, value: Any, axis: int = -1) -> Any:
    return jnp.einsum("...ts,...sv->...tv", jax.nn.softmax(scores, axis), value)


@mistake(of="causal_attention")
def missing_root_of_d(query, key, value):
    """The scores are the inner products.

    An inner product of d numbers has a variance of d. Divide by the root of d, or the softmax picks one key.
    """
    return _mixed(jnp.where(_visible(query.shape[-2]), _scores(query, key, 1.0), -jnp.inf), value)


@mistake(of="causal_attention")
def divided_by_d(query, key, value):
    """The scores are divided by the number of features.

    By its root: that makes their variance 1.
    """
    return _mixed(jnp.where(_visible(query.shape[-2]), _scores(query, key, query.shape[-1]), -jnp.inf), value)


@mistake(of="causal_attention")
def no_mask(query, key, value):
    """Attention looks at everything.

    Causal attention looks at the past and at itself: position t must not depend on keys after t.
    """
    return _mixed(_scores(query, key), value)


@mistake(of="causal_attention")
def mask_after_the_softmax(query, key, value):
    """The weights of later positions are set to zero.

    They have already taken their part of the sum, and what is left adds up to less than 1. Mask the scores, before the
    softmax.
    """
    weights = jax.nn.softmax(_scores(query, key)) * _visible(query.shape[-2])
    return jnp.einsum("...ts,...sv->...tv", weights, value)


@mistake(of="causal_attention")
def masked_scores_are_zero(query, key, value):
    """A score of 0 means no attention.

    exp(0) is 1. A score of minus infinity means no attention.
    """
    return _mixed(jnp.where(_visible(query.shape[-2]), _scores(query, key), 0.0), value)


@mistake(of="causal_attention")
def looks_into_the_future(query, key, value):
    """The upper triangle is what counts.

    Row t of the scores belongs to query t, and columns up to t are the past: the lower triangle.
    """
    return _mixed(jnp.where(_visible(query.shape[-2]).T, _scores(query, key), -jnp.inf), value)


@mistake(of="causal_attention")
def cannot_see_itself(query, key, value):
    """Only what came before may be seen.

    And the position itself. Without it the first position sees nothing, and its softmax is nan.
    """
    return _mixed(jnp.where(_visible(query.shape[-2], -1), _scores(query, key), -jnp.inf), value)


@mistake(of="causal_attention")
def softmax_over_the_queries(query, key, value):
    """The axis of the softmax does not matter.

    The weights of one query add up to 1, so the softmax is over the keys, the last axis of the scores.
    """
    return _mixed(jnp.where(_visible(query.shape[-2]), _scores(query, key), -jnp.inf), value, axis=-2)


@mistake(of="causal_attention")
def exponentials_overflow(query, key, value):
    """The weights are exp(scores), divided by their sum.

    exp(100) is infinite in float32. Subtract each row's maximum, or use your log_softmax.
    """
    powers = jnp.where(_visible(query.shape[-2]), jnp.exp(_scores(query, key)), 0.0)
    return jnp.einsum("...ts,...sv->...tv", powers / powers.sum(-1, keepdims=True), value)


@mistake(of="causal_attention")
def only_one_sequence(query, key, value):
    """The keys are transposed by key.T.

    That turns all axes around, those of batch and heads too. Swap the last two: jnp.swapaxes(key, -1, -2).
    """
    scores = query @ key.T / query.shape[-1] ** 0.5
    return _mixed(jnp.where(_visible(query.shape[-2]), scores, -jnp.inf), value)


@mistake(of="causal_attention")
def root_of_the_number_of_positions(query, key, value):
    """The root is that of the sequence's length.

    It is of d, the number of features: so many products are summed up in a score.
    """
    steps = query.shape[-2]
    return _mixed(jnp.where(_visible(steps), _scores(query, key, steps**0.5), -jnp.inf), value)


@mistake(of="causal_attention")
def logarithms_for_weights(query, key, value):
    """The output of log_softmax weights the values.

    Those are logs, below 0, and minus infinity where nothing may be seen. Take their exponentials first.
    """
    scores = jnp.where(_visible(query.shape[-2]), _scores(query, key), -jnp.inf)
    return jnp.einsum("...ts,...sv->...tv", jax.nn.log_softmax(scores), value)


# --- mlp_forward


def _stacked(params: Any, x: Any, after: Any) -> Any:
    """Layer after layer; `after(signal, number)` is done to what each puts out."""
    for number, layer in enumerate(params):
        x = after(jnp.matmul(x, layer["weight"]) + layer["bias"], number)
    return x


@mistake(of="mlp_forward")
def activation_after_the_last_layer(params, x):
    """Every layer has its ReLU.

    Not the last: it would make all negative logits 0, and their gradients with them.
    """
    return _stacked(params, x, lambda signal, _: jax.nn.relu(signal))


@mistake(of="mlp_forward")
def no_activation_between(params, x):
    """Layers follow on layers.

    Without something that bends between them, any number of affine layers is one affine layer.
    """
    return _stacked(params, x, lambda signal, _: signal)


@mistake(of="mlp_forward")
def activation_before_each_layer(params, x):
    """ReLU comes before the product.

    Then the input loses its negative half. ReLU comes after each layer but the last.
    """
    return _stacked(params, jax.nn.relu(x), lambda s, k: s if k == len(params) - 1 else jax.nn.relu(s))


@mistake(of="mlp_forward")
def two_layers_and_no_more(params, x):
    """A network has a hidden layer and an output layer.

    `params` says how many there are. Loop over it.
    """
    return _stacked([params[0], params[-1]], x, lambda s, k: jax.nn.relu(s) if k == 0 else s)


@mistake(of="mlp_forward")
def probabilities_come_out(params, x):
    """A classifier ends in a softmax.

    The loss does that, safely. The network gives logits.
    """
    return jax.nn.softmax(_stacked(params, x, lambda s, k: s if k == len(params) - 1 else jax.nn.relu(s)))


@mistake(of="mlp_forward")
def biases_left_out(params, x):
    """The weights make the network.

    Each layer adds its bias before the ReLU.
    """
    bare = [{"weight": layer["weight"], "bias": 0 * layer["bias"]} for layer in params]
    return _stacked(bare, x, lambda s, k: s if k == len(params) - 1 else jax.nn.relu(s))


@mistake(of="mlp_forward")
def every_layer_sees_the_input(params, x):
    """Each layer is applied to x.

    The first one is. Each other layer is applied to what the one before it gave.
    """
    hidden = x
    for layer in params[:-1]:
        hidden = jax.nn.relu(x @ layer["weight"] + layer["bias"])
    return hidden @ params[-1]["weight"] + params[-1]["bias"]


@mistake(of="mlp_forward")
def gelu_for_relu(params, x):
    """Any activation will do.

    Each makes another function of the same weights. ReLU is asked for.
    """
    last = len(params) - 1
    return _stacked(params, x, lambda s, k: s if k == last else jax.nn.gelu(s, approximate=False))


@mistake(of="mlp_forward")
def the_last_layer_taken_out(params, x):
    """params.pop() gives the last layer.

    And takes it away from the caller, whose network has a layer less at the next call. `*hidden, last = params` leaves
    the list as it is.
    """
    last = params.pop()
    hidden = _stacked(params, x, lambda signal, _: jax.nn.relu(signal))
    return jnp.matmul(hidden, last["weight"]) + last["bias"]


# --- map_examples


@mistake(of="map_examples")
def a_python_loop(function, params, x, labels):
    """A loop over the examples, stacked.

    JAX writes the function into the program once for each example. jax.vmap writes it once, for all of them.
    """
    return jnp.stack([function(params, x[i], labels[i]) for i in range(len(x))])


@mistake(of="map_examples")
def one_after_the_other(function, params, x, labels):
    """lax.map is the way to map in JAX.

    It is a loop that runs one example at a time. jax.vmap computes all of them in one batched operation.
    """
    return jax.lax.map(lambda pair: function(params, *pair), (x, labels))


@mistake(of="map_examples")
def parameters_mapped_too(function, params, x, labels):
    """By default, vmap maps over the first axis of everything.

    The parameters have no axis of examples. in_axes=(None, 0, 0) shares them.
    """
    return jax.vmap(function)(params, x, labels)


@mistake(of="map_examples")
def the_whole_batch_at_once(function, params, x, labels):
    """A function of arrays takes a batch as it is.

    This one was written for one example: on a batch it fails, or mixes the examples. jax.vmap adds the axis.
    """
    return function(params, x, labels)


@mistake(of="map_examples")
def mapped_over_the_features(function, params, x, labels):
    """The examples are the columns.

    They are the rows: in_axes says 0 for both x and labels.
    """
    return jax.vmap(function, in_axes=(None, 1, 0))(params, x, labels)


@mistake(of="map_examples")
def the_mean_of_the_examples(function, params, x, labels):
    """What is wanted is one number.

    One number for each example is. The caller takes the mean, if it wants one.
    """
    return jax.vmap(lambda row, label: function(params, row, label))(x, labels).mean()


# --- init_params


def _drawn(key: Any, sizes: Any, spread: Any) -> list:
    """Normal weights; `spread(d_in, d_out)` is their standard deviation."""
    found = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        key, own = jax.random.split(key)
        weight = spread(fan_in, fan_out) * jax.random.normal(own, (fan_in, fan_out))
        found.append({"weight": weight, "bias": jnp.zeros(fan_out)})
    return found


@mistake(of="init_params")
def weights_of_variance_one(key, sizes):
    """A standard normal is a good start.

    A sum over 256 inputs then has 256 times their mean square, in each layer. After 20 layers it is infinite.
    """
    return _drawn(key, sizes, lambda d_in, d_out: 1.0)


@mistake(of="init_params")
def small_numbers_will_do(key, sizes):
    """0.01 keeps everything small.

    It does: smaller with every layer, until nothing is left. The spread must fit the number of inputs.
    """
    return _drawn(key, sizes, lambda d_in, d_out: 0.01)


@mistake(of="init_params")
def the_two_for_relu_is_missing(key, sizes):
    """A variance of 1 / d_in keeps the variance.

    For a linear layer. ReLU sets half of the numbers to zero, and each layer halves the mean square: use 2 / d_in.
    """
    return _drawn(key, sizes, lambda d_in, d_out: d_in**-0.5)


@mistake(of="init_params")
def variance_taken_for_spread(key, sizes):
    """The normal numbers are multiplied by 2 / d_in.

    That is the variance. Multiply by its root.
    """
    return _drawn(key, sizes, lambda d_in, d_out: 2 / d_in)


@mistake(of="init_params")
def outputs_counted_for_inputs(key, sizes):
    """The spread depends on the number of outputs.

    That preserves the gradient on its way back. The signal on its way forward needs the number of inputs. On square
    layers the two agree, and nobody notices.
    """
    return _drawn(key, sizes, lambda d_in, d_out: (2 / d_out) ** 0.5)


@mistake(of="init_params")
def the_same_key_for_each_layer(key, sizes):
    """A key can be used as often as one likes.

    The same key gives the same numbers: layers of equal size become copies. Split the key.
    """
    found = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        weight = (2 / fan_in) ** 0.5 * jax.random.normal(key, (fan_in, fan_out))
        found.append({"weight": weight, "bias": jnp.zeros(fan_out)})
    return found


@mistake(of="init_params")
def the_key_is_not_used(key, sizes):
    """Any key is as good as another.

    The caller's key makes a run repeatable, and another key makes it another run. Draw from the one that is given.
    """
    return _drawn(jax.random.key(0), sizes, lambda d_in, d_out: (2 / d_in) ** 0.5)


@mistake(of="init_params")
def numbers_from_zero_to_one(key, sizes):
    """jax.random.uniform draws around zero.

    It draws from 0 to 1. Weights that are all positive push every signal upwards. They must have the mean 0.
    """
    found = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        key, own = jax.random.split(key)
        weight = (2 / fan_in) ** 0.5 * jax.random.uniform(own, (fan_in, fan_out))
        found.append({"weight": weight, "bias": jnp.zeros(fan_out)})
    return found


@mistake(of="init_params")
def a_row_for_each_output(key, sizes):
    """The weight has one row for each output.

    That is PyTorch's convention. Here it is (d_in, d_out), and on square layers nobody sees the difference.
    """
    drawn = _drawn(key, sizes, lambda d_in, d_out: (2 / d_in) ** 0.5)
    return [layer | {"weight": layer["weight"].T} for layer in drawn]


@mistake(of="init_params")
def everything_zero(key, sizes):
    """Zeros favour nobody.

    All units of a layer then compute the same, get the same gradient, and stay the same. Draw the weights.
    """
    return _drawn(key, sizes, lambda d_in, d_out: 0.0)


@mistake(of="init_params")
def random_biases(key, sizes):
    """The biases are drawn like the weights.

    They start at zero: a random shift of each unit does no good, and it adds to the variance in each layer.
    """
    drawn = _drawn(key, sizes, lambda d_in, d_out: (2 / d_in) ** 0.5)
    return [layer | {"bias": layer["weight"][0]} for layer in drawn]
