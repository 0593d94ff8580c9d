"""Answers to lab 04 by somebody who had only its text, each in words of its own; and three answers that are wrong."""

import inspect

import jax
import jax.numpy as jnp
import optax


def gradient_descent(gradient, start, learning_rate, steps):
    def once(here, _):
        return here - learning_rate * gradient(here), here

    last, before = jax.lax.scan(once, start, length=steps)
    return jnp.concatenate([before, last[None]])


def sgd(gradient, params, x, y, order, batch_size, learning_rate):
    batches = (len(order) + batch_size - 1) // batch_size
    for number in range(batches):
        picked = order[number * batch_size : (number + 1) * batch_size]
        slopes = gradient(params, x[picked], y[picked])
        params = jax.tree.map(lambda p, g: p - learning_rate * g, params, slopes)
    return params


def momentum(params, gradients, velocity, learning_rate, decay=0.9):
    new_velocity = jax.tree.map(lambda g, v: g + v * decay, gradients, velocity)
    new_params = jax.tree.map(lambda p, v: p - v * learning_rate, params, new_velocity)
    return new_params, new_velocity


def nesterov(params, gradients, velocity, learning_rate, decay=0.9):
    # One step of momentum, and then the part of it that the next step is going to make anyway.
    _, new_velocity = momentum(params, gradients, velocity, learning_rate, decay)

    def move(p, g, v):
        return p - learning_rate * g - learning_rate * decay * v

    return jax.tree.map(move, params, gradients, new_velocity), new_velocity


def rmsprop(params, gradients, square, learning_rate, decay=0.9, eps=1e-8):
    new_square = jax.tree.map(lambda s, g: s + (1 - decay) * (g * g - s), square, gradients)

    def move(p, g, s):
        return p - learning_rate * (g / (s**0.5 + eps))

    return jax.tree.map(move, params, gradients, new_square), new_square


def adam(params, gradients, state, learning_rate, b1=0.9, b2=0.999, eps=1e-8):
    t, m, s = state
    t = t + 1
    m = jax.tree.map(lambda old, g: b1 * old + (1 - b1) * g, m, gradients)
    s = jax.tree.map(lambda old, g: b2 * old + (1 - b2) * g * g, s, gradients)

    def move(p, m, s):
        return p - learning_rate * (m / (1 - b1**t)) / (jnp.sqrt(s / (1 - b2**t)) + eps)

    return jax.tree.map(move, params, m, s), (t, m, s)


def adamw(params, gradients, state, learning_rate, b1=0.9, b2=0.999, eps=1e-8, weight_decay=1e-2):
    moved, state = adam(params, gradients, state, learning_rate, b1=b1, b2=b2, eps=eps)
    shrink = learning_rate * weight_decay
    return jax.tree.map(lambda after, before: after - shrink * before, moved, params), state


def clip_by_global_norm(gradients, max_norm):
    norm = jnp.sqrt(sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(gradients)))
    factor = jnp.where(norm > max_norm, max_norm / jnp.where(norm > 0, norm, 1.0), 1.0)
    return jax.tree.map(lambda leaf: leaf * factor, gradients)


def warmup_cosine(step, peak, warmup_steps, total_steps, floor=0.0):
    going_up = peak * step / (warmup_steps or 1)
    done = jnp.minimum((step - warmup_steps) / (total_steps - warmup_steps), 1.0)
    going_down = floor + (peak - floor) * (1 + jnp.cos(jnp.pi * done)) / 2
    return jnp.where(step < warmup_steps, going_up, going_down)


def as_transformation(step, initial_state, **settings):
    def update(gradients, state, params=None):
        wanted, state = step(params, gradients, state, **settings)
        return jax.tree.map(jnp.subtract, wanted, params), state

    return optax.GradientTransformation(initial_state, update)


def digits_recipe():
    return {"optimizer": "adam", "learning_rate": 0.3, "warmup_steps": 5, "max_norm": None}


# --- three that are wrong, as a student would write them: the formula half remembered


def _rmsprop(params, gradients, square, learning_rate, decay=0.9, eps=1e-8):
    new_square = jax.tree.map(lambda s, g: s + g * g, square, gradients)

    def move(p, g, s):
        return p - learning_rate * g / (jnp.sqrt(s) + eps)

    return jax.tree.map(move, params, gradients, new_square), new_square


def _adam(params, gradients, state, learning_rate, b1=0.9, b2=0.999, eps=1e-8):
    t, m, s = state
    m = jax.tree.map(lambda old, g: b1 * old + (1 - b1) * g, m, gradients)
    s = jax.tree.map(lambda old, g: b2 * old + (1 - b2) * g * g, s, gradients)
    moved = jax.tree.map(lambda p, m, s: p - learning_rate * m / (jnp.sqrt(s) + eps), params, m, s)
    return moved, (t + 1, m, s)


def _clip_by_global_norm(gradients, max_norm):
    def clip(leaf):
        norm = jnp.linalg.norm(jnp.ravel(leaf))
        return leaf * jnp.minimum(1.0, max_norm / jnp.maximum(norm, 1e-12))

    return jax.tree.map(clip, gradients)


RIGHT = (
    gradient_descent,
    sgd,
    momentum,
    nesterov,
    rmsprop,
    adam,
    adamw,
    clip_by_global_norm,
    warmup_cosine,
    as_transformation,
    digits_recipe,
)
WRITTEN = """\
1. The gradient of the penalty goes through both running means. It is divided by the root of the mean square, so weights
   with large gradients hardly decay and the others do. Use AdamW: it subtracts the decay beside the step.
2. About the square root, $\\sqrt{10^4} = 100$ steps. The steepest direction limits the rate, the flattest sets
   the pace, and momentum adds up what agrees along the flat one.
"""


def typed(function) -> str:
    """What the student typed into the cell of the function of this name."""
    return inspect.getsource(function).strip().replace(f"def {function.__name__}(", f"def {exercise(function)}(")


def exercise(function) -> str:
    """The exercise that a function answers."""
    return function.__name__.removeprefix("_")


ANSWERS = {exercise(it).replace("_", "-"): typed(it) for it in RIGHT} | {
    "stability-limit": "limit_guess = 0.5",
    "written-optimizers": WRITTEN,
}
#: By the exercise's cell: a wrong answer, and what the course calls the mistake.
WRONG = {
    "rmsprop": (typed(_rmsprop), "Squares summed"),
    "adam": (typed(_adam), "Bias never corrected"),
    "clip-by-global-norm": (typed(_clip_by_global_norm), "Each leaf by itself"),
}
