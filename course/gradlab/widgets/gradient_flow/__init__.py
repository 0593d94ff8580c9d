"""Gradient flow, for lab 03: the size of the gradient by layer and training step, by the student's own functions."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from gradlab.landscapes import PIXELS
from gradlab.widgets.gradient_flow.map import Flow, FlowMap, departure, log, nothing, sentence
from gradlab.widgets.gradient_flow.training import GAINS, STEPS, Run, Setting, histograms, size, start, train


class GradientFlow(FlowMap):
    """A map of gradient sizes, layer by layer, while a deep network learns digits.

    `flow` is the student's `gradient_flow(weights, x, cotangent, activation)`, and `init` the student's
    `deep_init(key, depth, width, activation)`. Both belong to plain layers; with normalisation or residual connections
    JAX measures instead, and the widget says so. What the student's code raises is shown.

    The keywords are where the widget stands at first, as "copy state" writes them. Raises ValueError for a setting that
    there is not.
    """

    def __init__(self, flow: Callable[..., Any], init: Callable[..., Any], **where: Any) -> None:
        self._flow, self._init = flow, init
        label = "Gradient flow through a deep network while it learns."
        super().__init__(Setting(**where), ["yours", *GAINS], label=label)

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
            return nothing(f"deep_init: {sentence(error)}")
        run = train(setting, weights)
        library = log(size(run.cotangents))
        shown = (histograms(run.cotangents), log(run.ratios))
        if setting.normalise or setting.residual:
            return Flow(library, *shown, "JAX, since your gradient_flow is for plain layers")
        try:
            mine = log(np.stack([self._measured(run, time, setting) for time in range(len(STEPS))]))
        except Exception as error:  # noqa: BLE001 - see above
            return Flow(library, *shown, "JAX", f"gradient_flow: {sentence(error)}")
        leaves = departure(mine, library, "gradient_flow", "at activation", first=0)
        return Flow(mine, *shown, "your gradient_flow", departs=leaves)

    def _measured(self, run: Run, time: int, setting: Setting) -> Float[np.ndarray, " depth+1"]:
        arrays = (jax.numpy.asarray(a) for a in (run.weights[time], run.x, run.cotangents[time, -1]))
        sizes = np.asarray(self._flow(*arrays, setting.activation), np.float64)
        if sizes.shape != (setting.depth + 1,):
            raise ValueError(f"the result has shape {sizes.shape}, and {(setting.depth + 1,)} is asked for")
        return sizes
