"""Draw the figures of chapter 5: `python course/chapters/figures/training.py`.

Each curve is a closed form of the text, or a run of a few lines of NumPy in double precision, so that it is the same on
every machine.
"""

import numpy as np
from matplotlib.figure import Figure
from scipy.integrate import quad
from scipy.stats import norm
from style import FIRST, FOURTH, INK, SECOND, THIRD, draw, panels

STEPS, KILLED = 240, 120
CURVATURE = np.geomspace(0.01, 1.0, 30)


def adam_run(*, forget: bool) -> np.ndarray:
    """Losses of Adam on a noisy quadratic of 30 directions, resumed at step 120, without its state if it `forget`s."""
    noise = np.random.default_rng(0).standard_normal((STEPS, len(CURVATURE)))
    place = np.full(len(CURVATURE), 3.0)
    mean, square, count = np.zeros_like(place), np.zeros_like(place), 0
    losses = []
    for step in range(STEPS):
        if step == KILLED and forget:
            mean, square, count = np.zeros_like(place), np.zeros_like(place), 0
        losses.append(float(0.5 * np.sum(CURVATURE * place**2)))
        gradient = CURVATURE * place + 0.02 * noise[step]
        count += 1
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        rate = 0.1 * min(1.0, 60 / (step + 1))
        place = place - rate * (mean / (1 - 0.9**count)) / (np.sqrt(square / (1 - 0.999**count)) + 1e-8)
    return np.array(losses)


def resume() -> Figure:
    """What a checkpoint without Adam's state costs."""
    figure, (axis,) = panels(1, height=2.9)
    for forget, style, name in ((True, SECOND, "moments and count lost"), (False, FIRST, "all restored")):
        axis.semilogy(adam_run(forget=forget)[60:], **style, label=name)
    axis.axvline(KILLED - 60, color=INK, linewidth=0.8)
    axis.set(xlabel="step", ylabel="loss", xlim=(0, STEPS - 60))
    axis.set_xticks([0, 60, 120, 180], ["60", "120: killed", "180", "240"])
    axis.legend(frameon=False, labelcolor="linecolor")
    return figure


def arriving() -> Figure:
    """How much of a running average has arrived after so many steps."""
    figure, (axis,) = panels(1, height=2.7)
    step = np.geomspace(1, 1000, 200)
    for decay, style, x, y in ((0.9, FIRST, 1.6, 0.5), (0.99, SECOND, 16.0, 0.37), (0.999, THIRD, 170.0, 0.36)):
        axis.semilogx(step, 1 - decay**step, **style)
        axis.text(x, y, f"momentum {decay}", color=style["color"])
    axis.axvline(60, color=INK, linewidth=0.8)
    axis.text(57, 0.88, "60 steps", ha="right")
    axis.set(xlabel="training steps", ylabel="part that has arrived", xlim=(1, 1000), ylim=(0, 1.02))
    return figure


def batch_means() -> Figure:
    """The mean of batch means, where a short last batch is all wrong and the rest has 98 %."""
    figure, (axis,) = panels(1, height=2.7)
    full, size = 4, 64
    rest = np.arange(1, size + 1)
    true = (0.98 * full * size + 0.0 * rest) / (full * size + rest)
    naive = np.full(len(rest), 0.98 * full / (full + 1))
    axis.plot(rest, true, **FIRST)
    axis.plot(rest, naive, **SECOND)
    axis.text(20, 0.945, "mean over examples", color=FIRST["color"])
    axis.text(6, 0.755, "mean of the batches' means", color=SECOND["color"])
    axis.set(xlabel="examples in the last batch, all of them wrong", ylabel="accuracy", xlim=(0, size), ylim=(0.72, 1))
    return figure


def stopping() -> Figure:
    """Expected errors of gradient descent on noisy linear regression, direction by direction (5.6)."""
    figure, axes = panels(2, height=2.8)
    step = np.geomspace(1, 1e5, 300)
    kept = (1 - CURVATURE[:, None]) ** step[None]
    for noise, style in ((0.01, THIRD), (0.05, FIRST), (0.2, SECOND)):
        error = CURVATURE[:, None] * kept**2 + noise * (1 - kept) ** 2
        axes[0].loglog(step, error.sum(0), **style)
        best = int(error.sum(0).argmin())
        axes[0].plot(step[best], error.sum(0)[best], marker="o", markersize=8, color=style["color"])
    axes[0].set(xlabel="step", ylabel="excess test error", title="three levels of noise")
    axes[0].set_yticks([0.3, 1, 3], ["0.3", "1", "3"])
    axes[0].minorticks_off()
    error = CURVATURE[:, None] * kept**2
    axes[1].loglog(step, error.sum(0), **FOURTH)
    axes[1].loglog(step, (0.05 * (1 - kept) ** 2).sum(0), **SECOND)
    axes[1].text(400, 0.5, "noise learnt", color=SECOND["color"])
    axes[1].text(1.0, 0.004, "signal not\nyet learnt", color=FOURTH["color"])
    axes[1].set(xlabel="step", title="what the sum is made of", ylim=(1e-3, 12))
    return figure


def best_of(count: int) -> float:
    """The expected maximum of so many standard normal numbers."""
    density = lambda z: z * count * norm.pdf(z) * norm.cdf(z) ** (count - 1)  # noqa: E731
    return quad(density, -10, 10)[0]


def winners() -> Figure:
    """How much too good the best of many equal settings looks, on a validation part of n examples."""
    figure, (axis,) = panels(1, height=2.8)
    counts = np.unique(np.geomspace(1, 500, 40).astype(int))
    for examples, style, place in ((100, THIRD, 4.45), (300, FIRST, 2.7), (3000, SECOND, 1.05)):
        spread = np.sqrt(0.97 * 0.03 / examples)
        axis.semilogx(counts, [100 * spread * best_of(int(count)) for count in counts], **style)
        axis.text(75, place, f"{examples} examples", color=style["color"], ha="right")
    axis.set(
        xlabel="settings tried, all equally good", ylabel="too good by (points of %)", xlim=(1, 500), ylim=(0, 5.5)
    )
    return figure


FIGURES = [resume, arriving, batch_means, stopping, winners]

if __name__ == "__main__":
    draw(FIGURES, chapter="05")
