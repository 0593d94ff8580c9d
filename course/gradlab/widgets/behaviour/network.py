"""The student's network at work: what it computes over the plane, and its training."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float

from gradlab.widgets.behaviour.points import Points, grid

MAP, SMALL = 100, 40
CLASSES = 2

Forward = Callable[[Any, Any], Any]
# (params, x, y, steps, learning rate) -> params
Teach = Callable[[Any, Any, Any, int, float], Any]


@dataclass(frozen=True)
class Look:
    """What is to be seen at one moment.

    `margin` is the logit of class 1 less that of class 0 on the grid, `units` what each hidden unit of each layer puts
    out before its activation on the small grid, and `scores` holds loss and accuracy by set.
    """

    margin: Float[np.ndarray, "MAP MAP"]
    units: list[Float[np.ndarray, "width SMALL SMALL"]]
    scores: dict[str, dict[str, float]]


def has_layers(params: Any) -> bool:
    """Whether the parameters are a list of layers as lab 02 has them: then hidden units can be seen and edited."""
    return isinstance(params, list) and all(isinstance(p, dict) and set(p) == {"weight", "bias"} for p in params)


def default_loss(logits: Float[Any, "n c"], labels: Any) -> Any:
    """The mean cross-entropy, by optax."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


@dataclass
class Network:
    """A forward function with its parameters, trained by gradient descent with momentum on `train`.

    What the student's functions raise comes out as it is; ValueError says what came back in the wrong shape.
    """

    forward: Forward
    params: Any
    loss: Callable[[Any, Any], Any]
    train: Points
    test: Points
    hidden: Callable[[Any, Any], list] | None = None
    teach: Teach | None = None
    step: int = 0
    history: list[tuple[int, float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.start = self.params
        if self.hidden is None and has_layers(self.params):
            self.hidden = partial(_signals, self.forward)
        self._rule = optax.trace(decay=0.9)
        self._memory = self._rule.init(self.params)
        self._observe = jax.jit(self._view)
        self._map = jax.jit(self.hidden) if self.hidden else None
        self._advance = jax.jit(self._trained)

    def look(self) -> Look:
        """The network over the plane, and its losses; they are added to the history."""
        sets = {"train": self.train, "test": self.test}
        margin, units, scores = self._observe(self.params, {name: (s.x, s.y) for name, s in sets.items()})
        found = {name: {key: float(value) for key, value in score.items()} for name, score in scores.items()}
        self.history = [entry for entry in self.history if entry[0] < self.step]
        self.history.append((self.step, found["train"]["loss"], found["test"]["loss"]))
        return Look(np.asarray(margin), [np.asarray(layer) for layer in units], found)

    def unit(self, layer: int, index: int) -> Float[np.ndarray, "MAP MAP"]:
        """What one hidden unit puts out over the large grid."""
        assert self._map is not None
        return np.asarray(self._map(self.params, grid(MAP))[layer][:, index]).reshape(MAP, MAP)

    def learn(self, steps: int, learning_rate: float) -> None:
        """Makes steps of gradient descent on the whole training set, or has the student's own loop make them."""
        if self.teach is not None:
            self.params = self.teach(self.params, self.train.x, self.train.y, steps, learning_rate)
        rate = jnp.float32(learning_rate)
        for _ in range(steps if self.teach is None else 0):
            self.params, self._memory = self._advance(self.params, self._memory, self.train.x, self.train.y, rate)
        self.step += steps

    def edit(self, layer: int, unit: int, source: int, value: float) -> None:
        """Sets the weight from `source` to a unit, or its bias where `source` is -1."""
        name, place = ("bias", (unit,)) if source < 0 else ("weight", (source, unit))
        changed = self.params[layer] | {name: jnp.asarray(self.params[layer][name]).at[place].set(value)}
        self.params = [*self.params[:layer], changed, *self.params[layer + 1 :]]

    def reset(self) -> None:
        """Back to the first parameters."""
        self.params, self.step, self.history = self.start, 0, []
        self._memory = self._rule.init(self.params)

    def _view(self, params: Any, sets: dict[str, tuple]) -> tuple:
        logits = self._logits(params, grid(MAP))
        small = self.hidden(params, grid(SMALL)) if self.hidden else []
        units = [jnp.reshape(jnp.transpose(layer), (-1, SMALL, SMALL)) for layer in small]
        return (
            jnp.reshape(logits[:, 1] - logits[:, 0], (MAP, MAP)),
            units,
            {k: self._score(params, *s) for k, s in sets.items()},
        )

    def _score(self, params: Any, x: Any, y: Any) -> dict[str, Any]:
        logits = self._logits(params, x)
        return {"loss": self._scalar(logits, y), "accuracy": jnp.mean(jnp.argmax(logits, axis=1) == y)}

    def _logits(self, params: Any, x: Any) -> Any:
        logits = self.forward(params, jnp.asarray(x))
        if jnp.shape(logits) != (len(x), CLASSES):
            raise ValueError(
                f"for {len(x)} points your network returned shape {jnp.shape(logits)}; ({len(x)}, {CLASSES}) is needed,"
                " a logit for each class"
            )
        return logits

    def _scalar(self, logits: Any, y: Any) -> Any:
        loss = self.loss(logits, y)
        if jnp.shape(loss) != ():
            raise ValueError(f"your loss returned shape {jnp.shape(loss)}; one number is needed")
        return loss

    def _trained(self, params: Any, memory: Any, x: Any, y: Any, rate: Any) -> tuple[Any, Any]:
        slopes = jax.grad(lambda params: self._scalar(self._logits(params, x), y))(params)
        updates, memory = self._rule.update(slopes, memory)
        return jax.tree.map(lambda param, update: param - rate * update, params, updates), memory


def _signals(forward: Forward, params: list, x: Any) -> list:
    """What comes out of the network when the layers after each hidden one are left away."""
    return [forward(params[:depth], jnp.asarray(x)) for depth in range(1, len(params))]
