"""What a training step keeps and sends on each device: the cuts of the parameters, counted by `gradlab.costs`.

Data parallel along "data": a weight that is cut there is gathered for the forward and for the backward pass, and its
gradient reduced and scattered (Rajbhandari et al. 2020); a gradient of one that is not, all-reduced. Tensor parallel
along "model": columns, then rows, and an all-reduce of activations in each pass (Shoeybi et al. 2019).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from gradlab.costs import (
    FLOAT32_ADAM,
    activation_bytes,
    all_gather,
    logit_bytes,
    reduce_scatter,
    ring_all_reduce,
    state_memory,
)
from gradlab.gpt.config import Config
from gradlab.widgets.mesh.specs import Placed

#: Bytes of a number in computation. Weights, gradients and Adam's two moments are float32 in both.
ITEMSIZES = {"bfloat16": 2, "float32": 4}
STACK = "blocks."
#: Of each matrix the axis that a product sums over and the one that it makes, in one layer.
PRODUCTS = {
    "qkv.kernel": (0, 1),
    "out.kernel": (0, 2),
    "up.kernel": (0, 1),
    "down.kernel": (0, 1),
    "tokens.embedding": (1, 0),
}
_TRAFFIC = {"all-gather": all_gather, "reduce-scatter": reduce_scatter, "all-reduce": ring_all_reduce}


@dataclass(frozen=True)
class Collective:
    """Collectives of one kind in a step.

    Attributes:
        kind, axis, why: what they are, along which axis of the mesh, and of what.
        count: how many there are.
        numbers: that each device sends in all; where they are activations, for one sequence of the batch.
        activations: whether they grow with the batch.
    """

    kind: str
    axis: str
    why: str
    count: int
    numbers: float
    activations: bool

    def sent(self, batch: int, precision: str) -> float:
        """Bytes that each device sends in a step of so many sequences, over all devices."""
        return self.numbers * ITEMSIZES[precision] * (batch if self.activations else 1)


def states(parameters: Sequence[Placed], mesh: Mapping[str, int]) -> dict[str, float]:
    """Bytes on each device: parameters, gradients, optimizer. Shards are equal, and so are devices."""
    held = state_memory(_held(parameters, mesh), bytes_per=FLOAT32_ADAM)
    return {"parameters": held.parameters, "gradients": held.gradients, "optimizer": held.optimizer}


def copies(parameters: Sequence[Placed], mesh: Mapping[str, int]) -> float:
    """The share of the devices' memory for weights and their state that holds what another device holds too."""
    held = _held(parameters, mesh)
    return 1 - sum(parameter.elements for parameter in parameters) / (held * prod(mesh.values())) if held else 0.0


def _held(parameters: Sequence[Placed], mesh: Mapping[str, int]) -> float:
    return sum(parameter.elements / parameter.parts(mesh) for parameter in parameters)


def activations(parameters: Sequence[Placed], mesh: Mapping[str, int], context: int) -> dict[str, float]:
    """Bytes that each device keeps for the backward pass, by precision, for one sequence of the batch.

    Logits are included. As formula (7.3) of chapter 7 without the attention matrix, which a fused kernel never stores.
    """
    net = _Net(parameters, mesh, context)
    if not net.width:
        return dict.fromkeys(ITEMSIZES, 0.0)
    config = Config(net.shape("tokens.embedding")[0], context, net.width, net.layers, heads=1)
    layers = mesh["model"] if net.cuts("qkv.kernel", 1) and net.cuts("up.kernel", 1) else 1
    words = mesh["model"] if net.cuts("tokens.embedding", 1) else 1
    return {
        name: (
            activation_bytes(config, 1, fused_attention=True, dropout=True, itemsize=itemsize, tensor=layers)
            + logit_bytes(config, 1, itemsize=itemsize, tensor=words)
        )
        / mesh["data"]
        for name, itemsize in ITEMSIZES.items()
    }


def collectives(parameters: Sequence[Placed], mesh: Mapping[str, int], context: int) -> list[Collective]:
    """The collectives of a training step, those of one kind and purpose together."""
    found: dict[tuple[str, str, str], Collective] = {}
    for one in [*_of_weights(parameters, mesh), *_Net(parameters, mesh, context).collectives()]:
        if mesh[one.axis] > 1:
            key = one.kind, one.axis, one.why
            before = found.get(key, replace(one, count=0, numbers=0.0))
            found[key] = replace(one, count=before.count + one.count, numbers=before.numbers + one.numbers)
    return list(found.values())


def _layers(parameter: Placed) -> int:
    return parameter.shape[0] if parameter.name.startswith(STACK) and parameter.shape else 1


def _of_weights(parameters: Sequence[Placed], mesh: Mapping[str, int]) -> Iterator[Collective]:
    for parameter in parameters:
        count = _layers(parameter)
        cut = parameter.elements / parameter.parts(mesh, "model")

        def of(kind: str, axis: str, why: str, numbers: float, count: int = count) -> Collective:
            return Collective(kind, axis, why, count, _TRAFFIC[kind](numbers, mesh[axis]).sent, activations=False)

        if any("data" in axes for axes in parameter.cuts):
            yield of("all-gather", "data", "weights, forward", cut)
            yield of("all-gather", "data", "weights, backward", cut)
            yield of("reduce-scatter", "data", "gradients", cut)
        else:
            yield of("all-reduce", "data", "gradients", cut)
        if _stray(parameter):
            for way in ("forward", "backward"):
                yield of("all-gather", "model", f"weights cut where no product is, {way}", parameter.elements)


def _stray(parameter: Placed) -> bool:
    """Whether "model" cuts a matrix along an axis that is neither summed over nor made by its product."""
    stacked = parameter.name.startswith(STACK)
    known = PRODUCTS.get(parameter.name.removeprefix(STACK))
    at = [axis - stacked for axis, cut in enumerate(parameter.cuts) if "model" in cut]
    if known is None:
        return bool(at) and not parameter.name.endswith(("qkv.bias", "up.bias"))
    return any(axis not in known for axis in at)


class _Net:
    """The products of a GPT, and what of their inputs and outputs goes along "model"."""

    def __init__(self, parameters: Sequence[Placed], mesh: Mapping[str, int], context: int) -> None:
        self.named = {parameter.name.removeprefix(STACK): parameter for parameter in parameters}
        self.mesh, self.tokens = mesh, context / mesh["data"]
        complete = all(name in self.named for name in PRODUCTS)
        self.width = self.shape("up.kernel")[0] if complete else 0
        self.layers = _layers(self.named["up.kernel"]) if complete else 0

    def shape(self, name: str) -> tuple[int, ...]:
        parameter = self.named[name]
        return parameter.shape[1:] if parameter.name.startswith(STACK) else parameter.shape

    def cuts(self, name: str, end: int) -> bool:
        """Whether "model" cuts the axis that is summed over (end 0) or made (end 1)."""
        parameter = self.named[name]
        axis = PRODUCTS[name][end] + parameter.name.startswith(STACK)
        return "model" in parameter.cuts[axis]

    def collectives(self) -> Iterator[Collective]:
        if not self.width:
            return
        for first, second, what in (("qkv.kernel", "out.kernel", "attention"), ("up.kernel", "down.kernel", "MLP")):
            inner = prod(self.shape(first)[1:])
            yield from self._pair(first, second, what, inner)
        yield from self._embedding()

    def _of(self, kind: str, why: str, count: int, features: int) -> Collective:
        numbers = _TRAFFIC[kind](count * self.tokens * features, self.mesh["model"]).sent
        return Collective(kind, "model", why, count, numbers, activations=True)

    def _pair(self, first: str, second: str, what: str, inner: int) -> Iterator[Collective]:
        """Two products, one after the other: columns and rows fit, anything else costs more."""
        count = self.layers
        made, summed = self.cuts(first, 1), self.cuts(second, 0)
        if summed:
            yield self._of("all-reduce", f"sums of {what}, forward", count, self.width)
        if made:
            yield self._of("all-reduce", f"sums of {what}, backward", count, self.width)
        if made != summed:
            way = "forward" if made else "backward"
            yield self._of("all-gather", f"inside {what}, {way}: columns without rows", count, inner)
        if self.cuts(first, 0):
            yield self._of("all-reduce", f"inputs of {what} cut", count, inner)
        if self.cuts(second, 1):
            yield self._of("all-gather", f"outputs of {what} cut", count, self.width)

    def _embedding(self) -> Iterator[Collective]:
        name = "tokens.embedding"
        if self.cuts(name, 1):
            yield self._of("all-reduce", "look-up in cut words, forward", 1, self.width)
            yield self._of("all-reduce", "logits of cut words, backward", 1, self.width)
        if self.cuts(name, 0):
            yield self._of("all-gather", "look-up of cut width, forward", 1, self.width)
            yield self._of("all-reduce", "logits from cut width, forward", 1, self.shape(name)[0])
