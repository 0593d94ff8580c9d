"""Known mistakes of lab 04, optimizers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gradlab.checks.mistake import mistake

each = jax.tree.map


# --- gradient_descent


@mistake(of="gradient_descent")
def the_start_is_left_out(gradient, start, learning_rate, steps):
    """The trajectory begins with the first point that was computed.

    The trajectory of n steps has n + 1 points: the start is the first of them.
    """
    points = _walk(gradient, start, learning_rate, steps)
    return jnp.asarray(points[1:])


@mistake(of="gradient_descent")
def uphill(gradient, start, learning_rate, steps):
    """The gradient points to where one wants to go.

    The gradient points to where the loss grows. Subtract it.
    """
    return jnp.asarray(_walk(gradient, start, -learning_rate, steps))


@mistake(of="gradient_descent")
def gradient_of_the_start_only(gradient, start, learning_rate, steps):
    """The gradient can be computed once, before the loop.

    Every step needs the gradient at the point that the last step has reached.
    """
    slope = gradient(start)
    return jnp.stack([start - t * learning_rate * slope for t in range(steps + 1)])


@mistake(of="gradient_descent")
def steps_of_unit_length(gradient, start, learning_rate, steps):
    """Only the direction of the gradient matters.

    Gradient descent also uses the gradient's length: steps get short near a minimum. Do not normalise.
    """
    return jnp.asarray(_walk(lambda x: gradient(x) / jnp.linalg.norm(gradient(x)), start, learning_rate, steps))


@mistake(of="gradient_descent")
def only_the_last_point(gradient, start, learning_rate, steps):
    """The result is where the descent ends.

    The whole trajectory is asked for. jax.lax.scan returns the carry and what was collected on the way.
    """
    return _walk(gradient, start, learning_rate, steps)[-1]


@mistake(of="gradient_descent")
def a_python_loop(gradient, start, learning_rate, steps):
    """A for loop is as good as jax.lax.scan.

    JAX unrolls a Python loop: ten thousand steps become a program of ten thousand copies. Use jax.lax.scan.
    """
    return jnp.stack(_walk(gradient, start, learning_rate, steps))


def _walk(gradient: Any, point: Any, rate: Any, count: int) -> list:
    points = [point]
    for _ in range(count):
        points.append(points[-1] - rate * gradient(points[-1]))
    return points


@mistake(of="gradient_descent")
def the_last_point_is_left_out(gradient, start, learning_rate, steps):
    """A scan of n steps that collects the point it starts from has all points.

    It has all but the last one, which is the carry. n steps make n + 1 points.
    """
    return jnp.asarray(_walk(gradient, start, learning_rate, steps)[:-1])


# --- sgd


def _epoch(gradient: Any, params: Any, batches: list, rate: Any) -> Any:
    for rows_x, rows_y in batches:
        params = each(lambda p, g: p - rate * g, params, gradient(params, rows_x, rows_y))
    return params


def _cut(x: Any, y: Any, order: Any, size: int) -> list:
    return [(x[order[i : i + size]], y[order[i : i + size]]) for i in range(0, len(order), size)]


@mistake(of="sgd")
def short_batch_dropped(gradient, params, x, y, order, batch_size, learning_rate):
    """A last batch that is not full can be thrown away.

    Then some examples are never seen in this epoch. Take one more step with what is left.
    """
    full = [batch for batch in _cut(x, y, order, batch_size) if len(batch[1]) == batch_size]
    return _epoch(gradient, params, full, learning_rate)


@mistake(of="sgd")
def order_ignored(gradient, params, x, y, order, batch_size, learning_rate):
    """The batches can be cut from the data as it is stored.

    Stored data is often sorted. Cut the batches from `order`, and use it to pick the rows.
    """
    return _epoch(gradient, params, _cut(x, y, np.arange(len(order)), batch_size), learning_rate)


@mistake(of="sgd")
def labels_left_in_place(gradient, params, x, y, order, batch_size, learning_rate):
    """Only the inputs need to be put in order.

    Inputs and labels belong together: use the same rows for both.
    """
    pairs = zip(_cut(x, y, order, batch_size), _cut(x, y, np.arange(len(order)), batch_size), strict=True)
    return _epoch(gradient, params, [(mixed[0], stored[1]) for mixed, stored in pairs], learning_rate)


@mistake(of="sgd")
def sum_over_the_batch(gradient, params, x, y, order, batch_size, learning_rate):
    """The step adds up the gradients of the examples in the batch.

    `gradient` is already the gradient of the batch's mean loss. Multiplying by the batch size makes the step that much
    longer.
    """
    for rows_x, rows_y in _cut(x, y, order, batch_size):
        rate = learning_rate * len(rows_y)
        params = each(lambda p, g, rate=rate: p - rate * g, params, gradient(params, rows_x, rows_y))
    return params


@mistake(of="sgd")
def all_gradients_at_the_start(gradient, params, x, y, order, batch_size, learning_rate):
    """The gradients of all batches can be computed first and applied afterwards.

    Each step must use the parameters that the step before has left; otherwise it is one large batch in disguise.
    """
    moved = params
    for rows_x, rows_y in _cut(x, y, order, batch_size):
        moved = each(lambda p, g: p - learning_rate * g, moved, gradient(params, rows_x, rows_y))
    return moved


@mistake(of="sgd")
def the_first_batch_again_and_again(gradient, params, x, y, order, batch_size, learning_rate):
    """The slice `order[:batch_size]` moves on by itself.

    A slice with constant bounds is the same slice each time. Its start must grow by batch_size.
    """
    batches = _cut(x, y, order, batch_size)
    return _epoch(gradient, params, [batches[0]] * len(batches), learning_rate)


@mistake(of="sgd")
def divided_by_the_batch_again(gradient, params, x, y, order, batch_size, learning_rate):
    """The step is the sum over the batch divided by its size.

    `gradient` is already the gradient of the batch's mean loss. Dividing again makes the step that much shorter.
    """
    for rows_x, rows_y in _cut(x, y, order, batch_size):
        rate = learning_rate / len(rows_y)
        params = each(lambda p, g, rate=rate: p - rate * g, params, gradient(params, rows_x, rows_y))
    return params


@mistake(of="sgd")
def short_batch_counted_as_full(gradient, params, x, y, order, batch_size, learning_rate):
    """A short batch makes a shorter step.

    Its gradient is a mean over as many examples as it has, and the step is as long as any other.
    """
    for rows_x, rows_y in _cut(x, y, order, batch_size):
        rate = learning_rate * len(rows_y) / batch_size
        params = each(lambda p, g, rate=rate: p - rate * g, params, gradient(params, rows_x, rows_y))
    return params


@mistake(of="sgd")
def each_step_uphill(gradient, params, x, y, order, batch_size, learning_rate):
    """The gradient is added.

    It points to where the loss grows. Subtract it.
    """
    return _epoch(gradient, params, _cut(x, y, order, batch_size), -learning_rate)


# --- momentum


@mistake(of="momentum")
def gradient_averaged_in(params, gradients, velocity, learning_rate, decay=0.9):
    """The velocity is a running mean, so the gradient gets the weight 1 - decay.

    That is another convention, whose steps are shorter by 1 - decay. Here the gradient is added whole.
    """
    memory = each(lambda v, g: decay * v + (1 - decay) * g, velocity, gradients)
    return each(lambda p, v: p - learning_rate * v, params, memory), memory


@mistake(of="momentum")
def learning_rate_inside_the_velocity(params, gradients, velocity, learning_rate, decay=0.9):
    """The velocity already holds steps, so that parameters just add it.

    That is another convention: it gives the same path from rest, and another one from a velocity that is not zero, or
    when the learning rate changes. Here the velocity holds gradients, and the learning rate multiplies it.
    """
    memory = each(lambda v, g: decay * v - learning_rate * g, velocity, gradients)
    return each(jnp.add, params, memory), memory


@mistake(of="momentum")
def steps_kept_for_a_velocity(params, gradients, velocity, learning_rate, decay=0.9):
    """The velocity is the last step, which is subtracted.

    Then it holds the learning rate as well: the same path from rest, and another one from a velocity that is not zero.
    Here the velocity holds gradients, and the learning rate multiplies it.
    """
    memory = each(lambda v, g: decay * v + learning_rate * g, velocity, gradients)
    return each(jnp.subtract, params, memory), memory


@mistake(of="momentum")
def gradient_decayed_too(params, gradients, velocity, learning_rate, decay=0.9):
    """The decay multiplies everything that is in the new velocity.

    It multiplies the old velocity alone. The new gradient is added whole.
    """
    memory = each(lambda v, g: decay * (v + g), velocity, gradients)
    return each(lambda p, v: p - learning_rate * v, params, memory), memory


@mistake(of="momentum")
def velocity_not_kept(params, gradients, velocity, learning_rate, decay=0.9):
    """The velocity is used for this step, and the caller already has it.

    A function keeps nothing between calls. Return the new velocity, or the next step starts from the old one.
    """
    memory = each(lambda v, g: decay * v + g, velocity, gradients)
    return each(lambda p, v: p - learning_rate * v, params, memory), velocity


@mistake(of="momentum")
def step_with_the_old_velocity(params, gradients, velocity, learning_rate, decay=0.9):
    """The parameters move first, then the velocity is brought up to date.

    Then every gradient arrives one step late. Update the velocity first, and move with the new one.
    """
    memory = each(lambda v, g: decay * v + g, velocity, gradients)
    return each(lambda p, v: p - learning_rate * v, params, velocity), memory


@mistake(of="momentum")
def decay_forgotten(params, gradients, velocity, learning_rate, decay=0.9):
    """The velocity is the sum of all gradients so far.

    Without the decay nothing is ever forgotten, and the path swings for ever. Shrink the old velocity by `decay`.
    """
    memory = each(jnp.add, velocity, gradients)
    return each(lambda p, v: p - learning_rate * v, params, memory), memory


@mistake(of="momentum")
def changed_in_place(params, gradients, velocity, learning_rate, decay=0.9):
    """`velocity *= decay` saves memory and harms nobody.

    With NumPy arrays it changes the caller's copy as well. Compute new arrays; XLA reuses memory by itself.
    """
    memory = each(lambda v, g: _shrink_here(v, decay) + g, velocity, gradients)
    return each(lambda p, v: p - learning_rate * v, params, memory), memory


def _shrink_here(array: Any, factor: float) -> Any:
    array *= factor
    return array


# --- nesterov


@mistake(of="nesterov")
def no_look_ahead(params, gradients, velocity, learning_rate, decay=0.9):
    """Nesterov's method is momentum by another name.

    That was momentum. Nesterov's step adds the gradient once more: g + decay * v, with the new velocity v.
    """
    memory = each(lambda v, g: decay * v + g, velocity, gradients)
    return each(lambda p, v: p - learning_rate * v, params, memory), memory


@mistake(of="nesterov")
def look_ahead_without_the_gradient(params, gradients, velocity, learning_rate, decay=0.9):
    """The look-ahead is decay * v; the gradient is already in v.

    The gradient is in v once, and the look-ahead adds it once more: g + decay * v.
    """
    memory = each(lambda v, g: decay * v + g, velocity, gradients)
    return each(lambda p, v: p - learning_rate * decay * v, params, memory), memory


@mistake(of="nesterov")
def gradient_decayed_in_the_step(params, gradients, velocity, learning_rate, decay=0.9):
    """The step is decay times the sum of gradient and velocity.

    The decay multiplies the velocity alone: g + decay * v.
    """
    memory = each(lambda v, g: decay * v + g, velocity, gradients)
    return each(lambda p, g, v: p - learning_rate * decay * (g + v), params, gradients, memory), memory


@mistake(of="nesterov")
def look_ahead_stored(params, gradients, velocity, learning_rate, decay=0.9):
    """What moves the parameters is also the new velocity.

    The look-ahead is for the parameters alone. Stored as velocity it is applied twice in the next step.
    """
    ahead = each(lambda v, g: g + decay * (decay * v + g), velocity, gradients)
    return each(lambda p, a: p - learning_rate * a, params, ahead), ahead


@mistake(of="nesterov")
def look_ahead_not_decayed(params, gradients, velocity, learning_rate, decay=0.9):
    """The look-ahead adds the whole velocity to the gradient.

    The velocity shrinks by `decay` before it acts again: g + decay * v.
    """
    memory = each(lambda v, g: decay * v + g, velocity, gradients)
    return each(lambda p, g, v: p - learning_rate * (g + v), params, gradients, memory), memory


@mistake(of="nesterov")
def running_mean_inside(params, gradients, velocity, learning_rate, decay=0.9):
    """The velocity is a running mean, so the gradient gets the weight 1 - decay.

    Here the gradient is added whole, as in momentum.
    """
    memory = each(lambda v, g: decay * v + (1 - decay) * g, velocity, gradients)
    return each(lambda p, g, v: p - learning_rate * (g + decay * v), params, gradients, memory), memory


# --- rmsprop


def _scaled(params: Any, gradients: Any, memory: Any, rate: Any, eps: Any) -> Any:
    return each(lambda p, g, s: p - rate * g / (jnp.sqrt(s) + eps), params, gradients, memory)


@mistake(of="rmsprop")
def eps_under_the_root(params, gradients, square, learning_rate, decay=0.9, eps=1e-8):
    """It makes no difference whether eps is added before or after the root.

    With eps = 1e-8 under the root, the smallest divisor is 1e-4. Add it after the root.
    """
    memory = each(lambda s, g: decay * s + (1 - decay) * g * g, square, gradients)
    return each(lambda p, g, s: p - learning_rate * g / jnp.sqrt(s + eps), params, gradients, memory), memory


@mistake(of="rmsprop")
def root_forgotten(params, gradients, square, learning_rate, decay=0.9, eps=1e-8):
    """The gradient is divided by its mean square.

    By the root of the mean square: then the step does not depend on the unit of the loss.
    """
    memory = each(lambda s, g: decay * s + (1 - decay) * g * g, square, gradients)
    return each(lambda p, g, s: p - learning_rate * g / (s + eps), params, gradients, memory), memory


@mistake(of="rmsprop")
def squares_summed(params, gradients, square, learning_rate, decay=0.9, eps=1e-8):
    """The squares of all gradients add up.

    That is Adagrad: its steps only ever get shorter. RMSProp takes a running mean, which forgets.
    """
    memory = each(lambda s, g: s + g * g, square, gradients)
    return _scaled(params, gradients, memory, learning_rate, eps), memory


@mistake(of="rmsprop")
def weights_of_the_mean_swapped(params, gradients, square, learning_rate, decay=0.9, eps=1e-8):
    """`decay` is the weight of the new gradient.

    `decay` is what is kept of the old mean; the new square gets 1 - decay.
    """
    memory = each(lambda s, g: (1 - decay) * s + decay * g * g, square, gradients)
    return _scaled(params, gradients, memory, learning_rate, eps), memory


@mistake(of="rmsprop")
def divided_by_the_old_square(params, gradients, square, learning_rate, decay=0.9, eps=1e-8):
    """The step uses the mean square that came in.

    At the start that is zero, and the first step is g / eps: enormous. Update the mean square first.
    """
    memory = each(lambda s, g: decay * s + (1 - decay) * g * g, square, gradients)
    return _scaled(params, gradients, square, learning_rate, eps), memory


@mistake(of="rmsprop")
def one_square_for_a_whole_leaf(params, gradients, square, learning_rate, decay=0.9, eps=1e-8):
    """One mean square per array is enough.

    Every single parameter has its own scale: do not average over the array.
    """
    memory = each(lambda s, g: decay * s + (1 - decay) * jnp.mean(g * g), square, gradients)
    return _scaled(params, gradients, memory, learning_rate, eps), memory


@mistake(of="rmsprop")
def squares_added_whole(params, gradients, square, learning_rate, decay=0.9, eps=1e-8):
    """The old mean decays, and the new square is added.

    Then it is no mean: it is larger by 1 / (1 - decay). The two weights add up to 1.
    """
    memory = each(lambda s, g: decay * s + g * g, square, gradients)
    return _scaled(params, gradients, memory, learning_rate, eps), memory


@mistake(of="rmsprop")
def absolute_values_averaged(params, gradients, square, learning_rate, decay=0.9, eps=1e-8):
    """The running mean is of the gradient's size.

    Of its square: only then is the root of the mean of the gradient's unit.
    """
    memory = each(lambda s, g: decay * s + (1 - decay) * jnp.abs(g), square, gradients)
    return _scaled(params, gradients, memory, learning_rate, eps), memory


@mistake(of="rmsprop")
def eps_not_used(params, gradients, square, learning_rate, decay=0.9, eps=1e-8):
    """eps is too small to matter.

    It keeps a parameter whose gradients are zero from 0 / 0, and whoever passes a larger one wants it. Add it to the
    root.
    """
    memory = each(lambda s, g: decay * s + (1 - decay) * g * g, square, gradients)
    return _scaled(params, gradients, memory, learning_rate, 0.0), memory


# --- adam and adamw


def _moments(gradients: Any, mean: Any, square: Any, b1: Any, b2: Any) -> tuple[Any, Any]:
    fresh = each(lambda m, g: b1 * m + (1 - b1) * g, mean, gradients)
    return fresh, each(lambda s, g: b2 * s + (1 - b2) * g**2, square, gradients)


def _moved(params: Any, mean: Any, square: Any, rate: Any, eps: Any) -> Any:
    return each(lambda p, m, s: p - rate * m / (jnp.sqrt(s) + eps), params, mean, square)


@mistake(of="adam")
def bias_never_corrected(params, gradients, state, learning_rate, b1=0.9, b2=0.999, eps=1e-8):
    """The running means can be used as they are.

    They start at zero and are too small at first: divide by 1 - b**count.
    """
    mean, square = _moments(gradients, state[1], state[2], b1, b2)
    return _moved(params, mean, square, learning_rate, eps), (state[0] + 1, mean, square)


@mistake(of="adam")
def correction_without_the_power(params, gradients, state, learning_rate, b1=0.9, b2=0.999, eps=1e-8):
    """The correction divides by 1 - b.

    That is right in the first step alone. After t steps it is 1 - b**t, which goes to 1.
    """
    mean, square = _moments(gradients, state[1], state[2], b1, b2)
    hat_m, hat_s = each(lambda m: m / (1 - b1), mean), each(lambda s: s / (1 - b2), square)
    return _moved(params, hat_m, hat_s, learning_rate, eps), (state[0] + 1, mean, square)


def _corrected(mean: Any, square: Any, t: Any, b1: Any, b2: Any) -> tuple[Any, Any]:
    return each(lambda m: m / (1 - b1**t), mean), each(lambda s: s / (1 - b2**t), square)


@mistake(of="adam")
def count_not_advanced(params, gradients, state, learning_rate, b1=0.9, b2=0.999, eps=1e-8):
    """The count is only read.

    Then every step is corrected as if it were the same one. Return count + 1.
    """
    mean, square = _moments(gradients, state[1], state[2], b1, b2)
    hats = _corrected(mean, square, state[0] + 1, b1, b2)
    return _moved(params, *hats, learning_rate, eps), (state[0], mean, square)


@mistake(of="adam")
def count_advanced_too_late(params, gradients, state, learning_rate, b1=0.9, b2=0.999, eps=1e-8):
    """The correction uses the count that came in, and the count grows afterwards.

    In the first step that is 1 - b**0 = 0, a division by zero. Advance the count first.
    """
    mean, square = _moments(gradients, state[1], state[2], b1, b2)
    hats = _corrected(mean, square, jnp.asarray(state[0], jnp.float32), b1, b2)
    return _moved(params, *hats, learning_rate, eps), (state[0] + 1, mean, square)


@mistake(of="adam")
def eps_inside_adams_root(params, gradients, state, learning_rate, b1=0.9, b2=0.999, eps=1e-8):
    """It makes no difference whether eps is added before or after the root.

    With eps = 1e-8 under the root, the smallest divisor is 1e-4. Add it after the root.
    """
    mean, square = _moments(gradients, state[1], state[2], b1, b2)
    hat_m, hat_s = _corrected(mean, square, state[0] + 1, b1, b2)
    moved = each(lambda p, m, s: p - learning_rate * m / jnp.sqrt(s + eps), params, hat_m, hat_s)
    return moved, (state[0] + 1, mean, square)


@mistake(of="adam")
def eps_added_before_the_correction(params, gradients, state, learning_rate, b1=0.9, b2=0.999, eps=1e-8):
    """Both corrections can be taken out of the quotient and put into the learning rate.

    Then eps is added to the root of the uncorrected mean square, and counts for more in the first steps. Correct first,
    or correct eps too.
    """
    made = state[0] + 1
    mean, square = _moments(gradients, state[1], state[2], b1, b2)
    rate = learning_rate * (1 - b2**made) ** 0.5 / (1 - b1**made)
    return _moved(params, mean, square, rate, eps), (made, mean, square)


@mistake(of="adam")
def the_gradient_is_not_squared(params, gradients, state, learning_rate, b1=0.9, b2=0.999, eps=1e-8):
    """Both means are of the gradient, with two memories.

    The second one is of its square. Without it there are roots of negative numbers.
    """
    made = state[0] + 1
    mean, _ = _moments(gradients, state[1], state[2], b1, b2)
    square = each(lambda s, g: b2 * s + (1 - b2) * g, state[2], gradients)
    return _moved(params, *_corrected(mean, square, made, b1, b2), learning_rate, eps), (made, mean, square)


@mistake(of="adam")
def the_gradient_moves_and_not_its_mean(params, gradients, state, learning_rate, b1=0.9, b2=0.999, eps=1e-8):
    """The step goes along the gradient, scaled.

    That is RMSProp. Adam's step goes along the corrected running mean.
    """
    made = state[0] + 1
    mean, square = _moments(gradients, state[1], state[2], b1, b2)
    hat = _corrected(mean, square, made, b1, b2)[1]
    return _moved(params, gradients, hat, learning_rate, eps), (made, mean, square)


@mistake(of="adam")
def only_the_mean_corrected(params, gradients, state, learning_rate, b1=0.9, b2=0.999, eps=1e-8):
    """Only the mean of the gradients starts too small.

    The mean square starts at zero too, and forgets more slowly. Correct both, each with its own b.
    """
    mean, square = _moments(gradients, state[1], state[2], b1, b2)
    hat_m, _ = _corrected(mean, square, state[0] + 1, b1, b2)
    return _moved(params, hat_m, square, learning_rate, eps), (state[0] + 1, mean, square)


@mistake(of="adam")
def corrected_means_stored(params, gradients, state, learning_rate, b1=0.9, b2=0.999, eps=1e-8):
    """The corrected means are the new state.

    Then the next step corrects what is already corrected. Store the means as they are; correct a copy.
    """
    mean, square = _moments(gradients, state[1], state[2], b1, b2)
    hats = _corrected(mean, square, state[0] + 1, b1, b2)
    return _moved(params, *hats, learning_rate, eps), (state[0] + 1, *hats)


@mistake(of="adam")
def b1_and_b2_swapped(params, gradients, state, learning_rate, b1=0.9, b2=0.999, eps=1e-8):
    """b1 belongs to the squares and b2 to the mean.

    The mean forgets fast (b1 = 0.9), the mean square slowly (b2 = 0.999).
    """
    mean, square = _moments(gradients, state[1], state[2], b2, b1)
    hats = _corrected(mean, square, state[0] + 1, b2, b1)
    return _moved(params, *hats, learning_rate, eps), (state[0] + 1, mean, square)


def _decayed(params, gradients, state, learning_rate, b1, b2, eps, shrink):
    mean, square = _moments(gradients, state[1], state[2], b1, b2)
    hats = _corrected(mean, square, state[0] + 1, b1, b2)
    return each(shrink, params, _moved(params, *hats, learning_rate, eps)), (state[0] + 1, mean, square)


@mistake(of="adamw")
def decay_in_the_gradient(params, gradients, state, learning_rate, b1=0.9, b2=0.999, eps=1e-8, weight_decay=1e-2):
    """Weight decay is an L2 penalty, so it is added to the gradient.

    Adam then divides it by the mean square with the rest, and weights with large gradients hardly decay. AdamW keeps
    the decay out of the moments.
    """
    penalised = each(lambda g, p: g + weight_decay * p, gradients, params)
    return _decayed(params, penalised, state, learning_rate, b1, b2, eps, lambda p, moved: moved)


@mistake(of="adamw")
def decay_without_the_learning_rate(
    params, gradients, state, learning_rate, b1=0.9, b2=0.999, eps=1e-8, weight_decay=1e-2
):
    """The weights shrink by weight_decay in each step.

    In this convention (and in optax and PyTorch) they shrink by learning_rate * weight_decay.
    """
    return _decayed(params, gradients, state, learning_rate, b1, b2, eps, lambda p, moved: moved - weight_decay * p)


@mistake(of="adamw")
def decay_after_the_step(params, gradients, state, learning_rate, b1=0.9, b2=0.999, eps=1e-8, weight_decay=1e-2):
    """First Adam's step, then the new weights shrink.

    Both use the weights that came in: they are two terms of one step.
    """
    keep = 1 - learning_rate * weight_decay
    return _decayed(params, gradients, state, learning_rate, b1, b2, eps, lambda p, moved: keep * moved)


@mistake(of="adamw")
def weights_grow(params, gradients, state, learning_rate, b1=0.9, b2=0.999, eps=1e-8, weight_decay=1e-2):
    """The decay term is added.

    It is subtracted: the weights get smaller.
    """
    rate = learning_rate * weight_decay
    return _decayed(params, gradients, state, learning_rate, b1, b2, eps, lambda p, moved: moved + rate * p)


@mistake(of="adamw")
def settings_not_handed_on(params, gradients, state, learning_rate, b1=0.9, b2=0.999, eps=1e-8, weight_decay=1e-2):
    """adam(params, gradients, state, learning_rate) makes the step.

    With its own defaults. Hand b1, b2 and eps on to it.
    """
    defaults = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}
    shrink = lambda p, moved: moved - learning_rate * weight_decay * p  # noqa: E731
    return _decayed(params, gradients, state, learning_rate, **defaults, shrink=shrink)


@mistake(of="adamw")
def no_decay_at_all(params, gradients, state, learning_rate, b1=0.9, b2=0.999, eps=1e-8, weight_decay=1e-2):
    """The optimizer does what Adam does; the decay belongs to the loss.

    AdamW's decay is in the step, since a penalty in the loss does something else under Adam.
    """
    return _decayed(params, gradients, state, learning_rate, b1, b2, eps, lambda p, moved: moved)


# --- clip_by_global_norm


@mistake(of="clip_by_global_norm")
def each_leaf_by_itself(gradients, max_norm):
    """Each array is clipped to the limit.

    Then the direction of the whole gradient changes. One norm over all leaves, and one factor.
    """
    return each(lambda g: g * jnp.minimum(1.0, max_norm / (jnp.linalg.norm(g) + 1e-30)), gradients)


@mistake(of="clip_by_global_norm")
def each_number_by_itself(gradients, max_norm):
    """Clipping means that no number is larger than the limit.

    That is clipping by value, which changes the direction. Scale the whole gradient.
    """
    return each(lambda g: jnp.clip(g, -max_norm, max_norm), gradients)


@mistake(of="clip_by_global_norm")
def always_scaled_to_the_limit(gradients, max_norm):
    """The result has the norm max_norm.

    Only gradients that are longer are scaled; short ones stay as they are, and zero stays zero.
    """
    return each(lambda g: g * (max_norm / optax.tree.norm(gradients)), gradients)


@mistake(of="clip_by_global_norm")
def norm_without_its_root(gradients, max_norm):
    """The sum of the squares is the norm.

    It is the square of the norm. Take the root.
    """
    total = sum(jnp.vdot(g, g) for g in jax.tree.leaves(gradients))
    return each(lambda g: g * jnp.minimum(1.0, max_norm / jnp.maximum(total, 1e-30)), gradients)


@mistake(of="clip_by_global_norm")
def norms_added_up(gradients, max_norm):
    """The norm of the whole is the sum of the norms of the parts.

    The squares add up, not the norms: root of the sum of all squares.
    """
    total = sum(jnp.linalg.norm(g) for g in jax.tree.leaves(gradients))
    return each(lambda g: g * jnp.minimum(1.0, max_norm / jnp.maximum(total, 1e-30)), gradients)


@mistake(of="clip_by_global_norm")
def scaled_to_length_one(gradients, max_norm):
    """A gradient that is too long is divided by its norm.

    That makes it one long. It should be `max_norm` long: multiply by that.
    """
    norm = optax.tree.norm(gradients)
    return each(lambda g: jnp.where(norm > max_norm, g / jnp.maximum(norm, 1e-30), g), gradients)


@mistake(of="clip_by_global_norm")
def norm_of_the_longest_leaf(gradients, max_norm):
    """The norm of the tree is that of its longest leaf.

    Many short leaves make a long gradient. The squares of all leaves add up.
    """
    longest = max(jnp.linalg.norm(jnp.ravel(g)) for g in jax.tree.leaves(gradients))
    return each(lambda g: g * (max_norm / jnp.maximum(longest, max_norm)), gradients)


# --- warmup_cosine


def _half_cosine(t: Any) -> Any:
    return 0.5 * (1 + jnp.cos(jnp.pi * t))


def _rise_then(step: Any, peak: Any, warmup: Any, fall: Any) -> Any:
    return jnp.where(step < warmup, peak * step / warmup, fall)


@mistake(of="warmup_cosine")
def cosine_from_step_zero(step, peak, warmup_steps, total_steps, floor=0.0):
    """The cosine runs over all steps.

    It begins where the warm-up ends, so that it starts at the peak: count from warmup_steps.
    """
    t = jnp.clip(step / total_steps, 0, 1)
    return _rise_then(step, peak, warmup_steps, floor + (peak - floor) * _half_cosine(t))


@mistake(of="warmup_cosine")
def up_again_after_the_end(step, peak, warmup_steps, total_steps, floor=0.0):
    """The formula takes care of itself after the last step.

    A cosine comes back up. Stop the progress at 1.
    """
    t = (step - warmup_steps) / (total_steps - warmup_steps)
    return _rise_then(step, peak, warmup_steps, floor + (peak - floor) * _half_cosine(t))


@mistake(of="warmup_cosine")
def floor_ignored(step, peak, warmup_steps, total_steps, floor=0.0):
    """The cosine ends at zero.

    It ends at `floor`: scale the cosine by peak - floor and add the floor.
    """
    t = jnp.clip((step - warmup_steps) / (total_steps - warmup_steps), 0, 1)
    return _rise_then(step, peak, warmup_steps, peak * _half_cosine(t))


@mistake(of="warmup_cosine")
def floor_added_on_top(step, peak, warmup_steps, total_steps, floor=0.0):
    """The floor is added to a cosine of height peak.

    Then the schedule starts above the peak. The cosine's height is peak - floor.
    """
    t = jnp.clip((step - warmup_steps) / (total_steps - warmup_steps), 0, 1)
    return _rise_then(step, peak, warmup_steps, floor + peak * _half_cosine(t))


@mistake(of="warmup_cosine")
def warm_up_one_step_early(step, peak, warmup_steps, total_steps, floor=0.0):
    """The first step already needs a learning rate above zero.

    Some libraries do that. Here step 0 has the rate 0, and the peak is reached at warmup_steps.
    """
    t = jnp.clip((step - warmup_steps) / (total_steps - warmup_steps), 0, 1)
    return jnp.where(step < warmup_steps, peak * (step + 1) / warmup_steps, floor + (peak - floor) * _half_cosine(t))


@mistake(of="warmup_cosine")
def an_if_on_the_step(step, peak, warmup_steps, total_steps, floor=0.0):
    """A Python if can look at the step.

    It can, until the step is a tracer under jax.jit. Compute both and choose with jnp.where.
    """
    if step < warmup_steps:
        return peak * step / warmup_steps
    t = jnp.clip((step - warmup_steps) / (total_steps - warmup_steps), 0, 1)
    return floor + (peak - floor) * _half_cosine(t)


@mistake(of="warmup_cosine")
def warm_up_from_the_floor(step, peak, warmup_steps, total_steps, floor=0.0):
    """The floor is the lowest rate, so the warm-up starts there.

    It starts at 0. The floor is where the cosine ends.
    """
    t = jnp.clip((step - warmup_steps) / (total_steps - warmup_steps), 0, 1)
    rise = floor + (peak - floor) * step / max(warmup_steps, 1)
    return jnp.where(step < warmup_steps, rise, floor + (peak - floor) * _half_cosine(t))


@mistake(of="warmup_cosine")
def cosine_as_long_as_the_whole_run(step, peak, warmup_steps, total_steps, floor=0.0):
    """The cosine begins after the warm-up and takes total_steps.

    It ends at total_steps, so it takes what is left: total_steps - warmup_steps.
    """
    t = jnp.clip((step - warmup_steps) / total_steps, 0, 1)
    return _rise_then(step, peak, warmup_steps, floor + (peak - floor) * _half_cosine(t))


@mistake(of="warmup_cosine")
def divided_by_a_warm_up_of_zero(step, peak, warmup_steps, total_steps, floor=0.0):
    """There is always a warm-up.

    It may have no steps. Python raises where it divides by 0, also for the branch that is not chosen: divide by at
    least 1.
    """
    t = jnp.clip((step - warmup_steps) / (total_steps - warmup_steps), 0, 1)
    return _rise_then(step, peak, warmup_steps, floor + (peak - floor) * _half_cosine(t))


# --- as_transformation


@mistake(of="as_transformation")
def new_parameters_returned(step, initial_state, **settings):
    """`update` returns the new parameters.

    optax adds what it returns to the parameters. Return the difference.
    """

    def update(gradients, state, params=None):
        return step(params, gradients, state, **settings)

    return optax.GradientTransformation(initial_state, update)


def _adapted(step: Any, initial_state: Any, settings: dict, finish: Any) -> optax.GradientTransformation:
    def update(slopes, old, params=None):
        moved, fresh = step(params, slopes, old, **settings)
        return finish(params, moved, old, fresh)

    return optax.GradientTransformation(initial_state, update)


@mistake(of="as_transformation")
def difference_the_wrong_way(step, initial_state, **settings):
    """The update is the old parameters minus the new ones.

    It is added to the old ones to give the new ones: new minus old.
    """
    return _adapted(step, initial_state, settings, lambda p, moved, old, new: (each(jnp.subtract, p, moved), new))


@mistake(of="as_transformation")
def state_stands_still(step, initial_state, **settings):
    """The state that `update` returns is the one that it was given.

    Return the state that the step has made, or every step is the first.
    """
    return _adapted(step, initial_state, settings, lambda p, moved, old, new: (each(jnp.subtract, moved, p), old))


@mistake(of="as_transformation")
def the_state_starts_at_the_parameters(step, initial_state, **settings):
    """`init` returns what it gets.

    `init` makes the first state from the parameters: initial_state(params).
    """
    adapted = _adapted(step, initial_state, settings, lambda p, moved, old, new: (each(jnp.subtract, moved, p), new))
    return optax.GradientTransformation(lambda params: params, adapted.update)


@mistake(of="as_transformation")
def the_gradient_is_the_update(step, initial_state, **settings):
    """`update` passes the gradients on and only keeps the state.

    The step's change of the parameters is the update.
    """

    def update(slopes, old, params=None):
        return slopes, step(params, slopes, old, **settings)[1]

    return optax.GradientTransformation(initial_state, update)


@mistake(of="as_transformation")
def parameters_and_gradients_exchanged(step, initial_state, **settings):
    """The step takes its arguments in the order of `update`.

    optax's update gets the gradients first; the steps of this lab get the parameters first.
    """

    def update(slopes, old, params=None):
        moved, fresh = step(slopes, params, old, **settings)
        return each(jnp.subtract, moved, params), fresh

    return optax.GradientTransformation(initial_state, update)


@mistake(of="as_transformation")
def initial_state_never_called(step, initial_state, **settings):
    """`init` returns initial_state.

    It returns the state, which initial_state makes from the parameters: hand it on as it is, or call it.
    """
    adapted = _adapted(step, initial_state, settings, lambda p, moved, old, new: (each(jnp.subtract, moved, p), new))
    return optax.GradientTransformation(lambda params: initial_state, adapted.update)


# --- digits_recipe


@mistake(of="digits_recipe")
def steps_too_short():
    """A small learning rate is on the safe side.

    Sixty steps must be enough. With Adam's usual 0.001 they move a weight by no more than about 0.06. Try larger rates,
    by factors of 3; and see that the warm-up does not take most of the steps.
    """
    return {"optimizer": "adam", "learning_rate": 1e-3, "warmup_steps": 0, "max_norm": None}


@mistake(of="digits_recipe")
def a_learning_rate_far_too_large():
    """The larger the learning rate, the faster.

    Up to the limit of stability. Beyond it, the loss rises first. Go down by factors of 3.
    """
    return {"optimizer": "sgd", "learning_rate": 1000.0, "warmup_steps": 0, "max_norm": None}


@mistake(of="digits_recipe")
def clipped_to_nothing():
    """A tight limit on the gradient norm makes training safe.

    A limit far below the usual norm makes every step short. Measure the norm first, and clip above it.
    """
    return {"optimizer": "sgd", "learning_rate": 1.0, "warmup_steps": 5, "max_norm": 1e-3}


@mistake(of="digits_recipe")
def a_key_of_another_name():
    """lr is short for learning_rate.

    The recipe's keys are those of its docstring: optimizer, learning_rate, warmup_steps and max_norm.
    """
    return {"optimizer": "adam", "lr": 0.3, "warmup_steps": 5, "max_norm": None}


@mistake(of="digits_recipe")
def nothing_but_warm_up():
    """The longer the warm-up, the safer.

    A warm-up as long as the run never comes down again, and optax refuses it. Some steps are enough.
    """
    return {"optimizer": "adam", "learning_rate": 0.3, "warmup_steps": 60, "max_norm": None}
