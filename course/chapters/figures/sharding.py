"""Draw the figures of chapter 7: `python course/chapters/figures/sharding.py`.

Every bar and line is computed from the formulas of the text, with its constants.
"""

import numpy as np
from matplotlib.figure import Figure
from style import BLUE, FIRST, GREEN, INK, SECOND, THIRD, VERMILLION, draw, panels

PEAK, FAST, SLOW = 989e12, 450e9, 50e9  # of an H100: operations a second, bytes a second inside and between hosts
BYTES = {"parameters": (2, 3, BLUE), "gradients": (2, 2, GREEN), "optimizer": (12, 1, VERMILLION)}


def stages() -> Figure:
    """What each of 64 devices holds of 70 billion parameters, by ZeRO stage."""
    figure, (axis,) = panels(1, height=2.9)
    bottom = np.zeros(4)
    for (kind, (size, first, color)), hatch in zip(BYTES.items(), ("//", "..", ""), strict=True):
        held = np.array([70 * size / (64 if stage >= first else 1) for stage in range(4)])
        axis.bar(range(4), held, bottom=bottom, color="none", edgecolor=color, hatch=hatch, linewidth=1.6, label=kind)
        bottom += held
    axis.axhline(80, color=INK, linewidth=1)
    axis.text(3.45, 100, "80 GB, one device", ha="right")
    axis.set(xticks=range(4), xticklabels=["0: nothing", "1: optimizer", "2: + gradients", "3: + parameters"])
    figure.subplots_adjust(left=0.11)
    axis.set(ylabel="GB on each device", xlabel="ZeRO stage, and what it cuts")
    axis.legend(frameon=False)
    return figure


def hidden() -> Figure:
    """Communication over computation: FSDP by tokens a device, tensor parallelism by devices."""
    figure, axes = panels(2, height=2.9, space=0.32)
    tokens = np.geomspace(500, 1e5, 100)
    for speed, look, name in ((FAST, FIRST, "inside a host"), (SLOW, SECOND, "between hosts")):
        axes[0].loglog(tokens, PEAK / speed / tokens, **look, label=name)
        count = np.array([2, 4, 8, 16, 32, 64])
        axes[1].loglog(count, (count - 1) * PEAK / (3 * 8192 * speed), **look, label=name)
    for axis in axes:
        axis.axhline(1, color=INK, linewidth=0.8)
    axes[1].set_xticks(count, [str(n) for n in count])
    axes[1].minorticks_off()
    axes[0].set(title="FSDP", xlabel="tokens on each device", ylabel="time to send / to compute")
    axes[1].set(title="tensor parallel, width 8192", xlabel="devices")
    axes[0].legend(frameon=False)
    return figure


def bubble() -> Figure:
    """The idle part of a pipeline over the number of microbatches."""
    figure, (axis,) = panels(1, height=2.7)
    parts = np.arange(1, 65)
    for stages_count, look in ((4, FIRST), (8, SECOND), (16, THIRD)):
        axis.plot(parts, (stages_count - 1) / (parts + stages_count - 1), **look, label=f"{stages_count} stages")
    axis.set(xlabel="microbatches", ylabel="part of the time that is idle", ylim=(0, 1))
    axis.legend(frameon=False)
    return figure


def activations() -> Figure:
    """Bytes of activations of GPT-3 for one sequence, by what is recomputed, on 1 and on 8 devices."""
    figure, (axis,) = panels(1, height=2.7)
    block = 2048 * 12288 * 96 / 1e9
    for offset, tensor, color, hatch in ((-0.2, 1, VERMILLION, "//"), (0.2, 8, BLUE, "..")):
        common = 10 + 24 / tensor
        held = [block * part for part in (common + 80 / tensor, common, 2)]
        name = f"{tensor} device" + ("s" if tensor > 1 else "")
        axis.bar(np.arange(3) + offset, held, width=0.4, color="none", edgecolor=color, hatch=hatch, label=name)
    axis.set(xticks=range(3), xticklabels=["nothing", "attention scores", "whole layers"])
    axis.set(xlabel="what is recomputed", ylabel="GB on each device")
    axis.legend(frameon=False)
    return figure


if __name__ == "__main__":
    draw([stages, hidden, bubble, activations], "07")
