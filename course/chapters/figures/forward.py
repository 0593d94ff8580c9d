"""Draw the figures of chapter 2: `python course/chapters/figures/forward.py`.

Every curve is computed: in float32 where the text speaks of float32, and in double precision elsewhere.
"""

import numpy as np
from matplotlib.figure import Figure
from scipy import special
from style import FIRST, FOURTH, INK, SECOND, THIRD, draw, panels


def activations() -> Figure:
    """ReLU and GELU, and how far GELU's two approximations are from it."""
    figure, (left, right) = panels(2, height=2.9)
    x = np.linspace(-4, 4, 401)
    gelu = x * special.ndtr(x)
    left.plot(x, np.maximum(x, 0), **SECOND)
    left.plot(x, gelu, **FIRST)
    left.text(-1.1, 0.8, "ReLU", color=SECOND["color"])
    left.text(-3.6, -0.6, "GELU", color=FIRST["color"])
    left.set(xlabel="x", ylim=(-0.9, 4), xlim=(-4, 4))
    rough = x * special.expit(1.702 * x)
    fine = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    right.semilogy(x, np.abs(rough - gelu) + 1e-7, **SECOND)
    right.semilogy(x, np.abs(fine - gelu) + 1e-7, **FIRST)
    right.text(0, 4e-2, "x sigmoid(1.702 x)", color=SECOND["color"], ha="center")
    right.text(2.6, 1e-3, "with tanh", color=FIRST["color"], ha="center")
    right.set(xlabel="x", ylabel="distance from GELU", ylim=(1e-6, 0.3), xlim=(-4, 4))
    return figure


def overflow() -> Figure:
    """The error of three ways to a log-softmax in float32, over the size of the logits."""
    figure, (axis,) = panels(1, height=3.0)
    scales = np.geomspace(1, 1000, 121)
    direction = np.array([1.0, 0.9, 0.7, 0.5])
    errors = {"formula": [], "log of a safe softmax": [], "stable": []}
    for scale in scales:
        z = (scale * direction).astype(np.float32)
        exact = special.log_softmax(z.astype(np.float64))
        shifted = z - z.max()
        with np.errstate(all="ignore"):
            ways = {
                "formula": np.log(np.exp(z) / np.exp(z).sum()),
                "log of a safe softmax": np.log(np.exp(shifted) / np.exp(shifted).sum()),
                "stable": shifted - np.log(np.exp(shifted).sum()),
            }
        for name, found in ways.items():
            errors[name].append(np.max(np.abs(found - exact) / np.abs(exact).max()))
    for (name, error), style in zip(errors.items(), (SECOND, THIRD, FIRST), strict=True):
        finite = np.isfinite(error)
        axis.loglog(scales[finite], np.maximum(np.array(error)[finite], 3e-9), **style)
        if not finite.all():
            end = scales[finite][-1]
            axis.plot(
                end, max(np.array(error)[finite][-1], 3e-9), marker="x", markersize=9, mew=2, color=style["color"]
            )
            place = (end * 0.93, 1e-6 if name == "formula" else 3e-5)
            axis.text(*place, f"{name}\nends at {end:.0f}", color=style["color"], ha="right")
        else:
            axis.text(600, 3e-7, name, color=style["color"])
    axis.set(xlabel="size of the largest logit", ylabel="relative error", ylim=(1e-9, 1e-3), xlim=(1, 1000))
    return figure


def cross_entropy() -> Figure:
    """The loss of two classes over the margin, plain, smoothed and with the softmax taken twice."""
    figure, (left, right) = panels(2, height=2.9)
    margin = np.linspace(-6, 8, 400)
    p = special.expit(margin)
    plain = np.logaddexp(0, -margin)
    smooth = 0.9 * plain + 0.1 * np.logaddexp(0, margin)
    twice = np.logaddexp(0, -(2 * p - 1))
    slopes = {"plain": p - 1, "smoothed": p - 0.9, "twice": (special.expit(2 * p - 1) - 1) * 2 * p * (1 - p)}
    for (name, loss), style in zip(
        {"plain": plain, "smoothed": smooth, "twice": twice}.items(), (FIRST, THIRD, SECOND), strict=True
    ):
        left.plot(margin, loss, **style)
        right.plot(margin, slopes[name], **style)
    left.text(-4.2, 4.9, "cross-entropy", color=FIRST["color"])
    left.text(3.4, 1.35, "smoothed", color=THIRD["color"])
    left.text(-5.8, 0.45, "softmax twice", color=SECOND["color"])
    left.set(xlabel="margin of the right class", ylabel="loss", ylim=(0, 6), xlim=(-6, 8))
    right.axhline(0, color=INK, linewidth=0.8)
    right.set(xlabel="margin of the right class", ylabel="derivative", ylim=(-1.1, 0.25), xlim=(-6, 8))
    return figure


def variance() -> Figure:
    """The relative error of a variance in float32, computed in two ways, over the mean of the numbers."""
    figure, (axis,) = panels(1, height=2.8)
    numbers = np.random.default_rng(2).standard_normal((400, 64))
    means = np.geomspace(1, 1e5, 41)
    ways = {"mean of squares less square of mean": [], "mean squared deviation": []}
    for mean in means:
        x = (numbers + mean).astype(np.float32)
        exact = x.astype(np.float64).var(axis=1)
        average = x.mean(axis=1, keepdims=True)
        found = ((x * x).mean(axis=1) - average[:, 0] ** 2, ((x - average) ** 2).mean(axis=1))
        for errors, value in zip(ways.values(), found, strict=True):
            errors.append(np.median(np.abs(value - exact) / exact))
    for (name, errors), style in zip(ways.items(), (SECOND, FIRST), strict=True):
        axis.loglog(means, np.maximum(errors, 1e-9), **style)
        axis.text(*((1.2, 2e-2) if style is SECOND else (30, 3e-9)), name, color=style["color"])
    axis.axhline(1, color=INK, linewidth=0.8)
    axis.text(1.1, 1.6, "nothing left", color=INK)
    axis.set(xlabel="mean, in standard deviations", ylabel="relative error", ylim=(1e-9, 100), xlim=(1, 1e5))
    return figure


def attention_scale() -> Figure:
    """The largest attention weight over 64 keys, and the softmax's slope there, with and without the root of d."""
    figure, (left, right) = panels(2, height=2.9)
    random = np.random.default_rng(0)
    sizes = np.array([1, 2, 4, 8, 16, 32, 64, 128, 256, 512])
    for divide, style, name in ((True, FIRST, "divided by √d"), (False, SECOND, "not divided")):
        weight, slope = [], []
        for d in sizes:
            scores = np.einsum("nd,nkd->nk", random.standard_normal((200, d)), random.standard_normal((200, 64, d)))
            p = special.softmax(scores / np.sqrt(d) if divide else scores, axis=1).max(axis=1)
            weight.append(p.mean())
            slope.append((p * (1 - p)).mean())
        left.semilogx(sizes, weight, **style, base=2)
        right.semilogx(sizes, slope, **style, base=2)
        left.text(*((40, 0.03) if divide else (1.2, 0.9)), name, color=style["color"])
    left.set(xlabel="features d", ylabel="largest weight of 64", ylim=(0, 1), xlim=(1, 512))
    right.set(xlabel="features d", ylabel="slope p (1 - p) there", ylim=(0, 0.25), xlim=(1, 512))
    return figure


def depth() -> Figure:
    """The mean square of the signal through 50 layers of 256 ReLU units, for four variances of the weights."""
    figure, (axis,) = panels(1, height=3.0)
    random = np.random.default_rng(1)
    x = random.standard_normal((32, 256))
    gains = {"3 / d": (3, FOURTH), "2 / d": (2, FIRST), "1.5 / d": (1.5, THIRD), "1 / d": (1, SECOND)}
    weights = random.standard_normal((50, 256, 256))
    for name, (gain, style) in gains.items():
        squares, h = [], x
        for weight in weights:
            z = h @ weight * np.sqrt(gain / 256)
            squares.append(np.mean(z**2))
            h = np.maximum(z, 0)
        axis.semilogy(np.arange(1, 51), squares, **style)
        axis.text(51, squares[-1], name, color=style["color"], va="center")
    axis.set(
        xlabel="layer",
        title="mean square of the signal",
        xlim=(1, 57),
        ylim=(1e-16, 1e11),
        xticks=[1, 10, 20, 30, 40, 50],
    )
    return figure


FIGURES = [activations, overflow, cross_entropy, variance, attention_scale, depth]

if __name__ == "__main__":
    draw(FIGURES, chapter="02")
