"""Draw the figures of chapter 6: `python course/chapters/figures/data_parallel.py`.

Times are those of the cost model of the text, one latency and one quotient for each message.
"""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from style import FIRST, INK, SECOND, THIRD, draw, panels

# What the text calls a fast network: 10 microseconds, 50 GB/s.
LATENCY, BANDWIDTH = 1e-5, 5e10


def ring_time(devices: Any, size: Any) -> Any:
    """Return the seconds of a ring all-reduce of `size` bytes."""
    return 2 * (devices - 1) * (LATENCY + size / devices / BANDWIDTH)


def tree_time(devices: Any, size: Any) -> Any:
    """Return the seconds of a binary tree that sends whole vectors, up and down."""
    return 2 * np.ceil(np.log2(devices)) * (LATENCY + size / BANDWIDTH)


def halving_time(devices: Any, size: Any) -> Any:
    """Return the seconds of recursive halving and doubling; `devices` is a power of two."""
    return 2 * np.log2(devices) * LATENCY + 2 * (devices - 1) / devices * size / BANDWIDTH


def ring_against_tree() -> Figure:
    """Time of an all-reduce over the size of the vector, on 64 devices and on 4096."""
    figure, axes = panels(2, height=3.0)
    sizes = np.geomspace(1e3, 1e11, 200)
    for axis, devices in zip(axes, (64, 4096), strict=True):
        for time, style, name in (
            (ring_time, FIRST, "ring"),
            (tree_time, SECOND, "tree"),
            (halving_time, THIRD, "halving"),
        ):
            axis.loglog(sizes, time(devices, sizes), **style, label=name)
        axis.set(title=f"{devices} devices", xlabel="bytes", ylim=(3e-5, 1e2))
        axis.set_xticks([1e3, 1e5, 1e7, 1e9, 1e11])
    axes[0].set_ylabel("seconds")
    axes[0].legend(frameon=False, labelcolor=INK)
    return figure


def hiding() -> Figure:
    """Efficiency over the number of devices, when nothing hides behind the backward pass and when all can."""
    figure, (axis,) = panels(1, height=2.9)
    devices = np.unique(np.geomspace(1, 8192, 200).astype(int))
    compute, size = 0.3, 2 * 7e9
    backward = 2 / 3 * compute
    talk = ring_time(devices, size)
    axis.semilogx(devices, compute / (compute + talk), **FIRST)
    axis.semilogx(devices, compute / (compute + np.maximum(talk - backward, 0)), **SECOND)
    axis.text(150, 0.27, "after the backward pass", color=FIRST["color"])
    axis.text(12, 0.62, "during the backward pass", color=SECOND["color"])
    axis.set(xlabel="devices", ylabel="efficiency", ylim=(0, 1.05))
    return figure


if __name__ == "__main__":
    draw([ring_against_tree, hiding], chapter="06")
