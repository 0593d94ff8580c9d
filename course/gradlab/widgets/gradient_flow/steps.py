"""Gradient flow, for lab 05: the same map while the student's own training step moves the weights."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float

from gradlab.widgets.gradient_flow.map import Flow, FlowMap, departure, log, nothing, sentence
from gradlab.widgets.gradient_flow.training import (
    GAINS,
    LEARNING_RATE,
    STEPS,
    Kind,
    Setting,
    histograms,
    logits,
    problem,
    size,
    slopes,
    start,
)

RATES = {"sgd": LEARNING_RATE, "adam": 1e-3}


@dataclass(frozen=True)
class StepSetting(Setting):
    """What is trained, and by which optimizer, one of `RATES`."""

    weights: str = "glorot"
    optimizer: str = "sgd"


class Deep(nnx.Module):
    """Layers of one width, one after the other in a scan, so that thirty compile as fast as five."""

    def __init__(self, setting: StepSetting, readout: Float[Array, "n classes"]) -> None:
        self.layers = nnx.Param(start(setting))
        self.readout = nnx.Variable(readout)
        self.kind = setting.kind

    def __call__(self, x: Float[Array, "b n"]) -> Float[Array, "b classes"]:
        weights = self.layers[...]
        return logits(weights, jnp.zeros((len(weights) + 1, *x.shape)), x, self.readout[...], self.kind)


class StepFlow(FlowMap):
    """A map of gradient sizes, layer by layer, while the student's step trains a deep network on digits.

    `train_step(model, optimizer, inputs, labels) -> (loss, accuracy, gradients)` trains an `nnx.Module` in place. The
    map is JAX's, at the weights that the step left; the updates are the step's own. What it raises is shown, and where
    the gradients that it returns are not JAX's.

    The keywords are where the widget stands at first, as "copy state" writes them. Raises ValueError for a setting that
    there is not.
    """

    def __init__(self, train_step: Callable[..., Any], **where: Any) -> None:
        self._step = train_step
        setting = StepSetting(**where)
        if setting.optimizer not in RATES:
            raise ValueError(f"optimizer={setting.optimizer!r}: choose one of {', '.join(RATES)}")
        super().__init__(setting, [*GAINS], label="Gradient flow through a deep network that your step trains.")

    def measure(self, setting: StepSetting) -> Flow:
        """Trains by a setting, with the student's step, and measures the gradients of every snapshot."""
        x, labels, readout = problem(setting.seed)
        model = Deep(setting, readout)
        optimizer = nnx.Optimizer(model, _optimizer(setting.optimizer), wrt=nnx.Param)
        before, gradients, after = [], [], []
        try:
            for step in range(STEPS[-1] + 1):
                kept = step in STEPS
                if kept:
                    before.append(np.array(model.layers[...]))
                _, _, slope = self._step(model, optimizer, x, labels)
                if kept:
                    gradients.append(_of_the_layers(slope, before[-1].shape))
                    after.append(np.array(model.layers[...]))
        except Exception as error:  # noqa: BLE001 - whatever the student's code raises is shown in the widget
            return nothing(f"train_step: {sentence(error)}")
        weights, found = np.stack(before), np.stack(gradients)
        wanted, cotangents = map(np.asarray, _slopes(weights, x, labels, readout, setting.kind))
        ratios = log(size(np.stack(after) - weights) / np.maximum(size(weights), 1e-30))
        leaves = departure(log(size(found)), log(size(wanted)), "train_step", "in the weights of layer", first=1)
        by = "JAX, at the weights that your train_step left"
        return Flow(log(size(cotangents)), histograms(cotangents), ratios, by, departs=leaves)


@cache
def _optimizer(name: str) -> optax.GradientTransformation:
    """One object for each name: another one would be another trace of the student's step."""
    return {"sgd": optax.sgd, "adam": optax.adam}[name](RATES[name])


def _of_the_layers(gradients: Any, shape: tuple[int, ...]) -> Float[np.ndarray, "depth n n"]:
    """The array in what a step returned as gradients: an nnx state, or a tree of dicts."""
    arrays = [np.asarray(leaf) for leaf in jax.tree.leaves(gradients)]
    if [array.shape for array in arrays] != [shape]:
        shapes = ", ".join(str(array.shape) for array in arrays) or "nothing"
        raise ValueError(f"the gradients have shape {shapes}, and {shape} is asked for, that of the parameters")
    return arrays[0]


@partial(jax.jit, static_argnames="kind")
def _slopes(weights: Array, x: Array, labels: Array, readout: Array, kind: Kind) -> tuple[Array, Array]:
    """JAX's own gradients at the weights of every snapshot: of these weights, and of the activations."""
    return jax.lax.map(lambda here: slopes(here, x, labels, readout, kind), weights)
