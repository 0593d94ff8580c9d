"""Gradient flow, for lab 03: the size of the gradient by layer and training step, by the student's own functions."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from gradlab.landscapes import PIXELS
from gradlab.widgets.base import Answer, Widget, bundle
from gradlab.widgets.gradient_flow import picture
from gradlab.widgets.gradient_flow.training import BINS, GAINS, HIGHEST, LOWEST, STEPS, Run, Setting, start, train

HERE = Path(__file__).parent
DEPTHS = [5, 10, 20, 30]
DEPARTS = 0.02  # of the logarithm: five per cent, far more than float32 rounds off in thirty layers


@dataclass(frozen=True)
class Flow:
    """What is shown for a setting: log10 of each gradient's size, and who measured it."""

    run: Run | None
    sizes: Float[np.ndarray, "times depth+1"]
    measured_by: str
    problem: str | None
    departs: str | None


class GradientFlow(Widget):
    """A map of gradient sizes, layer by layer, while a deep network learns digits.

    `flow` is the student's `gradient_flow(weights, x, cotangent, activation)`, and `init` the student's
    `deep_init(key, depth, width, activation)`. Both belong to plain layers; with normalisation or residual connections
    JAX measures instead, and the widget says so. What the student's code raises is shown.

    The keywords are where the widget stands at first, as "copy state" writes them. Raises ValueError for a setting that
    there is not.
    """

    _esm = bundle(HERE / "view.js")
    _css = bundle(HERE / "view.css")

    def __init__(
        self,
        flow: Callable[..., Any],
        init: Callable[..., Any],
        *,
        weights: str = "yours",
        activation: str = "tanh",
        depth: int = 30,
        normalise: bool = False,
        residual: bool = False,
        seed: int = 0,
    ) -> None:
        self._flow, self._init = flow, init
        self.setting = Setting(weights, activation, depth, normalise, residual, seed)
        for name, value, allowed in (
            ("weights", weights, ["yours", *GAINS]),
            ("activation", activation, ["tanh", "relu"]),
            ("depth", depth, DEPTHS),
        ):
            if value not in allowed:
                raise ValueError(f"{name}={value!r}: choose one of {', '.join(map(str, allowed))}")
        config = {
            "setting": asdict(self.setting),
            "depths": DEPTHS,
            "steps": STEPS,
            "bins": BINS,
            "lowest": LOWEST,
            "highest": HIGHEST,
            "band": picture.BAND,
        }
        super().__init__(label="Gradient flow through a deep network while it learns.", config=config)

    def answer_flow(self, question: dict[str, Any]) -> Answer:
        """One training run.

        The buffers hold log10 of the gradients' sizes, float32 (times, depth+1); counts of the histograms, uint16
        (times, depth+1, bins); and log10 of the update-to-weight ratios, float32 (times, depth). What is not finite is
        nan.
        """
        flow = self.measure(Setting(**question["setting"]))
        words = {"problem": flow.problem, "departs": flow.departs, "measuredBy": flow.measured_by}
        if flow.run is None:
            return words | {"verdicts": []}, []
        buffers = [
            flow.sizes.astype(np.float32).tobytes(),
            flow.run.histograms().tobytes(),
            _log(flow.run.ratios).astype(np.float32).tobytes(),
        ]
        return words | {"verdicts": [picture.verdict(row) for row in flow.sizes]}, buffers

    def measure(self, setting: Setting) -> Flow:
        """Trains by a setting and measures the gradients of every snapshot."""
        try:
            if setting.weights == "yours":
                weights = self._init(jax.random.key(setting.seed), setting.depth, PIXELS, setting.activation)
                if np.shape(weights) != (wanted := (setting.depth, PIXELS, PIXELS)):
                    raise ValueError(f"deep_init gave weights of shape {np.shape(weights)}, and {wanted} is asked for")
            else:
                weights = start(setting)
        except Exception as error:  # noqa: BLE001 - whatever the student's code raises is shown in the widget
            return Flow(None, np.zeros((0, 0)), "nobody", f"deep_init: {_sentence(error)}", None)
        run = train(setting, weights)
        library = _log(run.sizes)
        if setting.normalise or setting.residual:
            return Flow(run, library, "JAX, since your gradient_flow is for plain layers", None, None)
        try:
            mine = _log(np.stack([self._measured(run, time, setting) for time in range(len(STEPS))]))
        except Exception as error:  # noqa: BLE001 - see above
            return Flow(run, library, "JAX", f"gradient_flow: {_sentence(error)}", None)
        return Flow(run, mine, "your gradient_flow", None, _departure(mine, library))

    def _measured(self, run: Run, time: int, setting: Setting) -> Float[np.ndarray, " depth+1"]:
        arrays = (jax.numpy.asarray(a) for a in (run.weights[time], run.x, run.cotangents[time, -1]))
        sizes = np.asarray(self._flow(*arrays, setting.activation), np.float64)
        if sizes.shape != (setting.depth + 1,):
            raise ValueError(f"the result has shape {sizes.shape}, and {(setting.depth + 1,)} is asked for")
        return sizes

    def picture(self) -> tuple[str, str]:
        """The map as it stands at first, and the verdict on the untrained network."""
        flow = self.measure(self.setting)
        if flow.run is None:
            return f"<p>{escape(flow.problem or '')}</p>", flow.problem or ""
        words = f"{picture.verdict(flow.sizes[0])} Measured by {flow.measured_by}."
        trouble = "".join(f"<p>{escape(text)}</p>" for text in (flow.problem, flow.departs) if text)
        return f"{picture.still(flow.sizes, self.label)}<p>{escape(words)}</p>{trouble}", words


def _log(sizes: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        powers = np.log10(sizes)
    # A gradient of exactly zero has vanished: it is put at the end of the scale.
    return np.where(np.isneginf(powers), -45.0, np.where(np.isfinite(powers), powers, np.nan))


def _departure(mine: np.ndarray, library: np.ndarray) -> str | None:
    wrong = ~np.isclose(mine, library, atol=DEPARTS, rtol=0, equal_nan=True)
    if not wrong.any():
        return None
    time, layer = np.argwhere(wrong)[-1] if wrong[0].all() else np.argwhere(wrong)[0]
    got, want = 10.0 ** mine[time, layer], 10.0 ** library[time, layer]
    return f"Your gradient_flow departs from JAX: at activation {layer} it finds {got:.3g}, and JAX {want:.3g}."


def _sentence(error: Exception) -> str:
    return "not written yet" if isinstance(error, NotImplementedError) else f"{type(error).__name__}: {error}"
