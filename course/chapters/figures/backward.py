"""Draw the figures of chapter 3: `python course/chapters/figures/backward.py`.

Everything is computed in NumPy: differences of a cubic, whose exact derivative is known; the softmax of three logits;
the backward rules of the text; and deep networks with random weights.
"""

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure
from style import FIRST, FOURTH, INK, SECOND, THIRD, draw, panels

MARGIN = 0.12  # powers of ten are wider than the numbers that the usual margin is made for


def step_error() -> Figure:
    """The error of a measured derivative over the step: one-sided and central, in float32 and float64."""
    figure, (axis,) = panels(1, height=3.2)
    point = np.linspace(0.7, 1.3, 101)
    steps = 10.0 ** np.arange(-9, 0.01, 0.25)

    def error(kind: type, *, central: bool) -> list[float]:
        found = []
        for h in steps:
            x, step = point.astype(kind), kind(h)
            ahead, behind = x + step, x - step if central else x
            slope = (ahead * ahead * ahead - behind * behind * behind) / (step * kind(2 if central else 1))
            # A mean over many points: a single one is right by accident at some step.
            found.append(np.mean(np.abs(slope.astype(np.float64) / (3 * point**2) - 1)))
        return found

    axis.loglog(steps, error(np.float32, central=False), **SECOND, label="one side, float32")
    axis.loglog(steps, error(np.float32, central=True), **FIRST, label="central, float32")
    axis.loglog(steps, error(np.float64, central=True), **THIRD, label="central, float64")
    axis.axvline(6e-8 ** (1 / 3), ymax=0.8, color=INK, linewidth=0.8)
    axis.text(6e-8 ** (1 / 3) * 1.15, 2e-11, "∛ε", va="bottom")
    axis.set(xlabel="step h", ylabel="relative error", ylim=(1e-12, 1e3), xlim=(1e-9, 1))
    axis.set_yticks(10.0 ** np.arange(-12, 1, 4))
    axis.legend(frameon=False, labelcolor=INK, loc="upper center", ncols=3)
    figure.subplots_adjust(left=MARGIN)
    return figure


def coupling() -> Figure:
    """Three logits: their probabilities, and what the loss wants of each."""
    figure, (left, right) = panels(2, height=2.7)
    logits, label = np.array([2.0, 1.0, 0.0]), 0
    p = np.exp(logits) / np.exp(logits).sum()
    gradient = p - (np.arange(3) == label)
    names = ["right class", "second", "third"]
    left.bar(names, p, color=SECOND["color"], width=0.55)
    left.set(ylabel="probability p", ylim=(0, 1))
    right.bar(names, -gradient, color=FIRST["color"], width=0.55)
    right.axhline(0, color=INK, linewidth=0.8)
    for i, value in enumerate(-gradient):
        right.text(i, value + (0.03 if value > 0 else -0.08), f"{value:+.3f}", ha="center")
    right.set(ylabel="minus the gradient", ylim=(-0.42, 0.48))
    return figure


def layer_norm_paths() -> Figure:
    """How far the gradient changes what layer norm removes: with all three paths, and with statistics held constant."""
    figure, (left, right) = panels(2, height=2.9, space=0.32)
    random = np.random.default_rng(3)
    x, cotangent = random.standard_normal((2, 4000, 16))
    centered = x - x.mean(1, keepdims=True)
    root = np.sqrt((centered**2).mean(1, keepdims=True))
    normal = centered / root
    lift, stretch = cotangent.mean(1, keepdims=True), (cotangent * normal).mean(1, keepdims=True)
    versions = {
        "statistics constant": cotangent / root,
        "all three paths": (cotangent - lift - normal * stretch) / root,
    }

    def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.sum(a * b, 1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)

    bins = np.linspace(-0.9, 0.9, 46)
    for axis, direction, title in (
        (left, np.ones_like(x), "a shift of the row"),
        (right, normal, "a stretch of the row"),
    ):
        for (name, gradient), style in zip(versions.items(), (SECOND, FIRST), strict=True):
            heights, _ = np.histogram(cosine(gradient, direction), bins)
            axis.stairs(
                heights / len(x), bins, color=style["color"], linestyle=style["linestyle"], linewidth=2, label=name
            )
        axis.set(title=title, xlabel="cosine with the gradient", ylim=(0, 1.05))
    left.set_ylabel("part of the rows")
    right.text(0.07, 0.8, "all three paths", color=FIRST["color"])
    right.text(0.25, 0.1, "statistics\nconstant", color=SECOND["color"])
    figure.subplots_adjust(left=MARGIN)
    return figure


def backward_sizes(
    variance: float, slope: Callable[[np.ndarray], np.ndarray], active: Callable, depth: int
) -> np.ndarray:
    """Return the size of the gradient at each activation over that at the output, mean of log over 20 networks."""
    width, logs = 128, []
    for seed in range(20):
        random = np.random.default_rng(seed)
        weights = random.standard_normal((depth, width, width)) * np.sqrt(variance / width)
        hidden, slopes = random.standard_normal((8, width)), []
        for weight in weights:
            before = hidden @ weight
            hidden = active(before)
            slopes.append(slope(before))
        cotangent = random.standard_normal((8, width))
        sizes = [np.log10(np.sqrt(np.mean(cotangent**2)))]
        for weight, rate in zip(weights[::-1], slopes[::-1], strict=True):
            cotangent = (cotangent * rate) @ weight.T
            sizes.append(np.log10(np.sqrt(np.mean(cotangent**2))))
        logs.append(np.array(sizes[::-1]) - sizes[0])
    return 10 ** np.mean(logs, axis=0)


def depth() -> Figure:
    """The gradient by layer in networks of 30 layers, for several variances of the weights."""
    figure, axes = panels(2, height=3.1, space=0.3)
    kinds = {
        "relu": (lambda z: (z > 0).astype(float), lambda z: np.maximum(z, 0)),
        "tanh": (lambda z: 1 - np.tanh(z) ** 2, np.tanh),
    }
    styles = (SECOND, FIRST, THIRD, FOURTH)
    for axis, (name, (slope, active)) in zip(axes, kinds.items(), strict=True):
        for (label, variance), style in zip(
            {"1/(4n)": 0.25, "1/n": 1, "2/n": 2, "4/n": 4}.items(), styles, strict=True
        ):
            axis.semilogy(np.arange(31), backward_sizes(variance, slope, active, 30), **style, label=label)
        axis.axhline(1, color=INK, linewidth=0.8)
        axis.set(title=name, xlabel="layer (0 is the input)", xlim=(0, 30), ylim=(1e-14, 1e6))
        axis.set_yticks(10.0 ** np.arange(-12, 7, 6))
    axes[0].set_ylabel("gradient over the output's")
    axes[1].legend(frameon=False, labelcolor=INK, loc="lower right", ncols=2, title="variance of a weight")
    axes[1].get_legend().get_title().set_color(INK)
    figure.subplots_adjust(left=MARGIN)
    return figure


if __name__ == "__main__":
    draw([step_error, coupling, layer_norm_paths, depth], chapter="03")
