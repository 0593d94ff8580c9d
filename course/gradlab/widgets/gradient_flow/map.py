"""The map of gradient sizes, layer by layer and step by step: what lab 03 and lab 05 show, each by its own measure."""

from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt16

from gradlab.widgets.base import Answer, Widget, bundle
from gradlab.widgets.gradient_flow import picture
from gradlab.widgets.gradient_flow.training import BINS, HIGHEST, LOWEST, STEPS, Setting

HERE = Path(__file__).parent
DEPTHS = [5, 10, 20, 30]
DEPARTS = 0.02  # of the logarithm: five per cent, far more than float32 rounds off in thirty layers


@dataclass(frozen=True)
class Flow:
    """What is shown for a setting, and who measured it; layers are counted from the input.

    `sizes` holds log10 of the root mean square of each activation's gradient, `histograms` counts of the sizes of its
    entries, `ratios` log10 of the update over the weight. What is not finite is nan. All three are empty where there is
    nothing to show.
    """

    sizes: Float[np.ndarray, "times depth+1"]
    histograms: UInt16[np.ndarray, "times depth+1 bins"]
    ratios: Float[np.ndarray, "times depth"]
    measured_by: str
    problem: str | None = None
    departs: str | None = None


def nothing(problem: str) -> Flow:
    """A flow that was not measured, and why."""
    return Flow(np.zeros((0, 0)), np.zeros((0, 0, 0), np.uint16), np.zeros((0, 0)), "nobody", problem)


class FlowMap(Widget):
    """The map, a chosen cell, and the settings; a subclass measures.

    Raises ValueError for a setting that there is not.
    """

    _esm = bundle(HERE / "view.js")
    _css = bundle(HERE / "view.css")

    def __init__(self, setting: Setting, weights: list[str], *, label: str) -> None:
        self.setting = setting
        for name, allowed in (("weights", weights), ("activation", ["tanh", "relu"]), ("depth", DEPTHS)):
            if (value := getattr(setting, name)) not in allowed:
                raise ValueError(f"{name}={value!r}: choose one of {', '.join(map(str, allowed))}")
        config = {
            "setting": asdict(setting),
            "weights": weights,
            "depths": DEPTHS,
            "steps": STEPS,
            "bins": BINS,
            "lowest": LOWEST,
            "highest": HIGHEST,
            "band": picture.BAND,
        }
        super().__init__(label=label, config=config)

    def measure(self, setting: Any) -> Flow:
        """Trains by a setting and measures the gradients of every snapshot."""
        raise NotImplementedError

    def answer_flow(self, question: dict[str, Any]) -> Answer:
        """One training run.

        The buffers hold the sizes, float32 (times, depth+1); the histograms, uint16 (times, depth+1, bins); and the
        ratios, float32 (times, depth).
        """
        flow = self.measure(type(self.setting)(**question["setting"]))
        buffers = [flow.sizes.astype(np.float32), flow.histograms, flow.ratios.astype(np.float32)]
        return {
            "problem": flow.problem,
            "departs": flow.departs,
            "measuredBy": flow.measured_by,
            "verdicts": [picture.verdict(row) for row in flow.sizes],
        }, [array.tobytes() for array in buffers if array.size]

    def picture(self) -> tuple[str, str]:
        """The map as it stands at first, and the verdict on the untrained network."""
        flow = self.measure(self.setting)
        if not flow.sizes.size:
            return f"<p>{escape(flow.problem or '')}</p>", flow.problem or ""
        words = f"{picture.verdict(flow.sizes[0])} Measured by {flow.measured_by}."
        trouble = "".join(f"<p>{escape(text)}</p>" for text in (flow.problem, flow.departs) if text)
        return f"{picture.still(flow.sizes, self.label)}<p>{escape(words)}</p>{trouble}", words


def log(sizes: np.ndarray) -> np.ndarray:
    """Powers of ten; nan for what is not finite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        powers = np.log10(sizes)
    # A gradient of exactly zero has vanished: it is put at the end of the scale.
    return np.where(np.isneginf(powers), -45.0, np.where(np.isfinite(powers), powers, np.nan))


def departure(mine: np.ndarray, library: np.ndarray, function: str, place: str, *, first: int) -> str | None:
    """Where the student's sizes leave JAX's first, both log10, in a sentence; None where they agree.

    Rows are called by `place` and their number from `first`.
    """
    wrong = ~np.isclose(mine, library, atol=DEPARTS, rtol=0, equal_nan=True)
    if not wrong.any():
        return None
    time, row = np.argwhere(wrong)[-1] if wrong[0].all() else np.argwhere(wrong)[0]
    got, want = 10.0 ** mine[time, row], 10.0 ** library[time, row]
    return f"Your {function} departs from JAX: {place} {row + first} it finds {got:.3g}, and JAX {want:.3g}."


def sentence(error: Exception) -> str:
    """What a student reads when their function raised."""
    return "not written yet" if isinstance(error, NotImplementedError) else f"{type(error).__name__}: {error}"
