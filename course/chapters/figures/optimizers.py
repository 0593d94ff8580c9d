"""Draw the figures of chapter 4: `python course/chapters/figures/optimizers.py`.

Every path is computed, none is sketched: by Optax in double precision where an optimizer is shown, by
the closed form of the text where a formula is.
"""

from collections.abc import Callable

import jax
import numpy as np
import optax
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from style import FIRST, FOURTH, INK, SECOND, THIRD, draw, panels

STEPPED = [FIRST, SECOND, THIRD]


def follow(
    optimizer: optax.GradientTransformation,
    gradient: Callable[[np.ndarray, int], np.ndarray],
    start: np.ndarray,
    steps: int,
) -> np.ndarray:
    """Return the positions that `optimizer` visits under `gradient(position, step)`, shape (steps + 1, ...)."""
    with jax.enable_x64(True):
        update = jax.jit(optimizer.update)
        state = optimizer.init(jax.numpy.asarray(start))
        positions = [start]
        for step in range(steps):
            change, state = update(gradient(positions[-1], step), state, positions[-1])
            positions.append(positions[-1] + np.asarray(change))
    return np.stack(positions)


def best_rates(low: float, high: float) -> dict[str, optax.GradientTransformation]:
    """Return the three methods, each with the best constants for curvatures from `low` to `high`."""
    root = np.sqrt(high / low)
    ratio = (root - 1) / (root + 1)
    return {
        "gradient descent": optax.sgd(2 / (low + high)),
        "heavy ball": optax.sgd((2 / (np.sqrt(low) + np.sqrt(high))) ** 2, momentum=ratio**2),
        "Nesterov": optax.sgd(1 / high, momentum=ratio, nesterov=True),
    }


def step_size() -> Figure:
    """One dimension, three learning rates: too small, past the minimum each time, divergent."""
    figure, axes = panels(3, height=2.5, space=0.12)
    x = np.linspace(-2.3, 2.3, 200)
    cases = [(0.2, -2.0, "0.2 / L: slow"), (1.8, -2.0, "1.8 / L: zigzag"), (2.1, -1.2, "2.1 / L: diverges")]
    for axis, (rate, start, title) in zip(axes, cases, strict=True):
        visited = start * (1 - rate) ** np.arange(7)
        axis.plot(x, x**2 / 2, color=INK, linewidth=1)
        axis.plot(visited, visited**2 / 2, **FIRST, linewidth=1.4, marker="o", markersize=5)
        axis.plot(start, start**2 / 2, marker="o", markersize=10, markerfacecolor="none", color=INK)
        axis.set(title=f"η = {title}", xlabel="x", xlim=(-2.4, 2.4), ylim=(-0.15, 2.8), yticks=[])
    axes[0].set_ylabel("loss")
    return figure


def contraction() -> Figure:
    """What one step leaves of the error in the flattest and in the steepest direction, over the learning rate."""
    figure, (axis,) = panels(1, height=2.9)
    low, high = 1 / 5, 1.0
    rate = np.linspace(0, 2.3, 300)
    axis.plot(rate, np.abs(1 - rate * low), **SECOND)
    axis.plot(rate, np.abs(1 - rate * high), **FIRST)
    axis.axhline(1, color=INK, linewidth=0.8)
    best = 2 / (low + high)
    axis.plot(best, 1 - best * low, marker="o", markersize=9, color=INK)
    axis.text(best + 0.05, 0.3, "best: η = 2/(L + μ),\nfactor $(κ - 1)/(κ + 1)$")
    axis.text(2.04, 0.88, "η = 2/L")
    axis.text(0.32, 1.04, "flattest direction, curvature μ", color=SECOND["color"])
    axis.text(0.52, 0.5, "steepest direction,\ncurvature L", color=FIRST["color"])
    axis.text(2.0, 1.2, "diverges", color=INK, ha="right")
    axis.set(xlabel="learning rate η, in units of 1/L", ylabel="part of the error left", ylim=(0, 1.35), xlim=(0, 2.3))
    return figure


def valley() -> Figure:
    """Three methods on one quadratic of condition number 25, each with its best constants."""
    figure, axes = panels(3, height=2.7, bottom=0.12, space=0.08)
    curvature = np.array([1.0, 25.0])
    angle = np.linspace(0, 2 * np.pi, 200)
    for axis, (name, optimizer), style in zip(axes, best_rates(1, 25).items(), STEPPED, strict=True):
        path = follow(optimizer, lambda x, _: curvature * x, np.array([-10.0, 1.0]), 25)
        for level in (3, 12, 27, 48, 75):
            axis.plot(
                np.sqrt(2 * level) * np.cos(angle), np.sqrt(2 * level / 25) * np.sin(angle), color=INK, linewidth=0.5
            )
        axis.plot(*path.T, color=style["color"], linewidth=1.3, marker="o", markersize=3.5)
        axis.plot(*path[0], marker="o", markersize=9, markerfacecolor="none", color=INK)
        axis.plot(0, 0, marker="+", markersize=12, color=INK)
        left = np.linalg.norm(path[-1]) / np.linalg.norm(path[0])
        axis.set(title=name, xlabel=f"25 steps leave {left:.1g}", xticks=[], yticks=[])
        axis.set(xlim=(-11.5, 7), ylim=(-2.6, 2.6))
    return figure


def rates() -> Figure:
    """The error over the steps at condition number 100, beside the slopes that the theory gives."""
    figure, (axis,) = panels(1, height=3.1)
    curvature = np.geomspace(1, 100, 20)
    slopes = [99 / 101, 9 / 11, 9 / 10]
    for (name, optimizer), slope, style in zip(best_rates(1, 100).items(), slopes, STEPPED, strict=True):
        path = follow(optimizer, lambda x, _: curvature * x, np.ones(20), 150)
        error = np.linalg.norm(path, axis=1)
        axis.semilogy(error, **style)
        # A slope describes the tail, not the start, so each is drawn beside the end of its curve.
        end = min(150, np.flatnonzero(error > 1e-8)[-1])
        steps = np.array([end - 45, end])
        axis.semilogy(steps, 4 * error[end] * slope ** (steps - end), color=INK, linewidth=1)
        axis.text(end + 4, 4 * error[end], f"{name},\n{slope:.3f} a step", color=style["color"], va="center")
    axis.set(xlabel="step", ylabel="distance to the minimum", ylim=(1e-9, 30), xlim=(0, 200), xticks=range(0, 151, 25))
    return figure


def noise_floor() -> Figure:
    """Constant learning rates under gradient noise: loss over the steps, and the floor over the learning rate."""
    figure, (left, right) = panels(2, height=3.0)
    curvature = np.geomspace(0.1, 1, 10)
    random = np.random.default_rng(4)

    def mean_loss(rate: float, steps: int) -> np.ndarray:
        x = np.full((200, 10), 3.0)
        losses = []
        for _ in range(steps):
            losses.append(np.mean(np.sum(curvature * x**2 / 2, axis=1)))
            x = x - rate * (curvature * x + random.standard_normal(x.shape))
        return np.array(losses)

    def floor(rate: np.ndarray) -> np.ndarray:
        return np.sum(rate[:, None] / (2 * (2 - rate[:, None] * curvature[None, :])), axis=1)

    for rate, style in zip((0.5, 0.1, 0.02), STEPPED, strict=True):
        left.semilogy(np.arange(0, 1200, 4), mean_loss(rate, 1200)[::4], **style, linewidth=1.5, label=f"η = {rate}")
        left.axhline(floor(np.array([rate]))[0], color=INK, linewidth=0.8)
    left.set(xlabel="step", ylabel="mean excess loss", xlim=(0, 1200), ylim=(0.03, 60))
    left.legend(frameon=False, labelcolor=INK, loc="upper right")
    grid = np.geomspace(0.02, 1.9, 100)
    right.loglog(grid, floor(grid), color=INK, linewidth=1.2, label="formula")
    chosen = np.geomspace(0.03, 1.5, 6)
    measured = [mean_loss(rate, 1500)[500:].mean() for rate in chosen]
    right.loglog(chosen, measured, color=FIRST["color"], linestyle="none", marker="o", markersize=6, label="measured")
    right.set(xlabel="learning rate η", ylabel="floor")
    right.legend(frameon=False, labelcolor=INK)
    return figure


def bias_correction() -> Figure:
    """The length of Adam's step under a constant gradient: corrected, not corrected, corrected with 1 - β."""
    figure, (axis,) = panels(1, height=2.9)
    t = np.unique(np.geomspace(1, 10_000, 300).astype(int))
    mean, root = 1 - 0.9**t, np.sqrt(1 - 0.999**t)
    axis.semilogx(t, np.ones(len(t)), **SECOND, label="divided by $1 - β^t$: always 1")
    axis.semilogx(t, mean / root, **FIRST, label="not divided")
    axis.semilogx(t, mean / root * np.sqrt(0.001) / 0.1, **THIRD, label="divided by $1 - β$")
    axis.set(xlabel="step t", ylabel="step length, in units of η", ylim=(0, 7), xlim=(1, 10_000))
    axis.legend(frameon=False, labelcolor=INK)
    return figure


def weight_decay() -> Figure:
    """How fast weights shrink under pure gradient noise of three sizes: L2 inside Adam, and AdamW."""
    figure, axes = panels(2, height=3.0, space=0.2)
    scales, rate, decay, steps = (0.3, 1.0, 3.0), 2e-3, 0.1, 8000
    noise = np.repeat(scales, 200)
    methods = {
        "Adam with L2 in the gradient": optax.chain(optax.add_decayed_weights(decay), optax.adam(rate)),
        "AdamW": optax.adamw(rate, weight_decay=decay),
    }
    for axis, (title, optimizer) in zip(axes, methods.items(), strict=True):
        random = np.random.default_rng(5)
        path = follow(optimizer, lambda _x, _t, r=random: noise * r.standard_normal(600), np.ones(600), steps)
        mean = path.reshape(steps + 1, 3, 200).mean(axis=2)[::40]
        for column, scale, style in zip(mean.T, scales, STEPPED, strict=True):
            axis.plot(np.arange(0, steps + 1, 40), column, **style, label=f"gradients of size {scale:g}")
        axis.plot(np.arange(steps), np.exp(-rate * decay * np.arange(steps)), color=INK, linewidth=1)
        axis.set(title=title, xlabel="step", ylim=(-0.08, 1.05), xlim=(0, steps), xticks=[0, 4000, 8000])
    axes[0].set_ylabel("mean weight")
    axes[1].legend(frameon=False, labelcolor=INK)
    return figure


def clipping() -> Figure:
    """Left: clipping by the global norm, and leaf by leaf. Right: a steep wall, with clipping and without."""
    figure, (left, right) = panels(2, height=3.0, space=0.22)
    arrow = {"arrowstyle": "-|>", "mutation_scale": 14, "shrinkA": 0, "shrinkB": 0, "linewidth": 2}
    angle = np.linspace(0, np.pi / 2, 50)
    left.plot(np.cos(angle), np.sin(angle), color=INK, linewidth=0.8)
    for tip, style, name, offset in [
        ((3.2, 0.8), SECOND, "gradient", (-0.5, 0.2)),
        ((3.2 / np.hypot(3.2, 0.8), 0.8 / np.hypot(3.2, 0.8)), FIRST, "global norm:\nsame direction", (0.05, -0.3)),
        ((1.0, 0.8), THIRD, "leaf by leaf:\nturned", (0.05, 0.15)),
    ]:
        look = {"color": style["color"], "linestyle": style["linestyle"]}
        left.annotate("", tip, (0, 0), arrowprops=arrow | look)
        left.text(tip[0] + offset[0], tip[1] + offset[1], name, color=style["color"], va="center")
    left.set(xlim=(-0.1, 3.6), ylim=(-0.4, 1.5), xlabel="first leaf", ylabel="second leaf", aspect="equal")

    x = np.linspace(-9.5, 1.5, 400)
    right.plot(x, wall(x), color=INK, linewidth=1)
    for limit, style, name in [(1e9, FIRST, "not clipped"), (2.0, SECOND, "clipped at 2")]:
        chain = optax.chain(optax.clip_by_global_norm(limit), optax.sgd(0.1))
        path = follow(chain, lambda x, _: x + 400 * np.maximum(x - 1, 0), np.array([1.25]), 12)[:, 0]
        right.plot(path, wall(path), **style, linewidth=1.4, marker="o", markersize=4, label=name)
    right.set(xlabel="x", ylabel="loss", ylim=(-2, 45), xlim=(-9.5, 2))
    right.legend(frameon=False, labelcolor=INK, loc="upper center", bbox_to_anchor=(0.58, 1.0))
    return figure


def wall(x: np.ndarray) -> np.ndarray:
    """Return a loss of curvature 1, and 401 beyond x = 1."""
    return x**2 / 2 + 200 * np.maximum(x - 1, 0) ** 2


def schedules() -> Figure:
    """Left: three schedules. Right: the expected loss of a noisy quadratic under each, from the exact recursion."""
    figure, (left, right) = panels(2, height=3.0)
    steps = np.arange(2000)
    with jax.enable_x64(True):
        shapes = {
            "constant": np.full(2000, 0.5),
            "halved three times": 0.5 ** (1 + steps // 500),
            "warm-up and cosine": np.asarray(optax.warmup_cosine_decay_schedule(0, 0.5, 100, 2000)(steps)),
        }
    curvature = np.geomspace(0.1, 1, 10)
    for (name, rate), style in zip(shapes.items(), STEPPED, strict=True):
        left.plot(steps, rate, **style, label=name)
        square = np.full(10, 9.0)
        losses = []
        for eta in rate:
            losses.append(np.sum(curvature * square) / 2)
            square = (1 - eta * curvature) ** 2 * square + eta**2
        right.semilogy(steps, losses, **style)
    left.set(xlabel="step", ylabel="learning rate", ylim=(0, 0.95), xlim=(0, 2000))
    left.legend(frameon=False, labelcolor=INK, loc="upper left")
    right.set(xlabel="step", ylabel="expected excess loss", xlim=(0, 2000), ylim=(0.03, 60))
    return figure


def digits() -> Figure:
    """Mean squared error of a linear classifier on digits after 200 full-batch steps, over the learning rate."""
    figure, (axis,) = panels(1, height=3.3)
    images, labels = (np.asarray(part) for part in load_digits(return_X_y=True))
    x = images / 16
    targets = np.eye(10)[labels]
    hessian, slope = x.T @ x / len(x), x.T @ targets / len(x)
    largest = np.linalg.eigvalsh(hessian)[-1]
    floor = np.sum((x @ np.linalg.lstsq(x, targets)[0] - targets) ** 2) / (2 * len(x))
    # Each with the learning rate times L at which it must break, by (4.5), (4.12) and (4.14).
    methods = [
        (optax.sgd(1), 2.0, FIRST, "gradient descent", (1.1e-3, 0.4)),
        (optax.sgd(1, momentum=0.9), 3.8, SECOND, "momentum 0.9", (4.5e-3, 0.055)),
        (optax.sgd(1, momentum=0.9, nesterov=True), 3.8 / 2.8, THIRD, "Nesterov 0.9", (1.1e-3, 0.035)),
        (optax.adam(1), None, FOURTH, "Adam", (2.2e-3, 9e-4)),
    ]
    for optimizer, multiple, style, name, place in methods:
        grid = np.geomspace(1e-3, 0.6, 50)
        if multiple:
            threshold = multiple / largest
            axis.plot(threshold, 1.3, marker="v", markersize=8, color=style["color"], clip_on=False)
            grid = np.append(grid[grid < 0.97 * threshold], threshold * np.linspace(0.98, 1.03, 26))
        # All learning rates at once: the optimizers work element by element, so a leading axis is free.
        scaled = optax.chain(optimizer, optax.stateless_with_tree_map(lambda leaf, _, g=grid: leaf * g[:, None, None]))
        end = follow(scaled, lambda w, _: hessian @ w - slope, np.zeros((len(grid), 64, 10)), 200)[-1]
        losses = np.sum((x @ end - targets) ** 2, axis=(1, 2)) / (2 * len(x)) - floor
        axis.loglog(grid, losses, **style)
        axis.text(place[0], place[1], name, color=style["color"])
    axis.set(xlabel="learning rate η", ylabel="excess loss after 200 steps", ylim=(1e-4, 1), xlim=(1e-3, 0.6))
    return figure


FIGURES = [
    step_size,
    contraction,
    valley,
    rates,
    noise_floor,
    schedules,
    bias_correction,
    weight_decay,
    clipping,
    digits,
]

if __name__ == "__main__":
    draw(FIGURES, chapter="04")
