"""What a training step keeps and sends on each device, by arithmetic from the cuts of the parameters.

Data parallel along "data": a weight that is cut there is gathered for the forward and for the backward pass, and its
gradient reduced and scattered (Rajbhandari et al. 2020); a gradient of one that is not, all-reduced. Tensor parallel
along "model": columns, then rows, and an all-reduce of activations in each pass (Shoeybi et al. 2019). What is sent is
counted for rings: (n-1)/n of an array for a gather or a scatter, twice that for an all-reduce.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from gradlab.widgets.mesh.specs import Placed

#: Bytes of a number in computation. Weights, gradients and Adam's two moments are float32 in both.
PRECISIONS = {"bfloat16": 2, "float32": 4}
STORED = {"parameters": 4, "gradients": 4, "optimizer": 8}
STACK = "blocks."
#: Of each matrix the axis that a product sums over and the one that it makes, in one layer.
PRODUCTS = {
    "qkv.kernel": (0, 1),
    "out.kernel": (0, 2),
    "up.kernel": (0, 1),
    "down.kernel": (0, 1),
    "tokens.embedding": (1, 0),
}
# Korthikanti et al. (2022), section 4.1: per token and layer 34 h bytes in 16 bits without the attention matrix, which
# a fused kernel never stores; tensor parallelism divides 24 of them.
_SHARED, _DIVIDED = 10, 24


@dataclass(frozen=True)
class Collective:
    """Collectives of one kind in a step: how many, and the bytes that each device sends in all."""

    kind: str
    axis: str
    why: str
    count: int
    sent: float


@dataclass(frozen=True)
class Load:
    """What is trained on: `batch` sequences of `context` tokens on all devices, in a precision."""

    batch: int
    context: int
    precision: str


def memory(parameters: Sequence[Placed], mesh: Mapping[str, int], load: Load) -> dict[str, float]:
    """Bytes on each device: parameters, gradients, optimizer, activations. Shards are equal, and so are devices."""
    held = sum(parameter.elements / parameter.parts(mesh) for parameter in parameters)
    return {name: size * held for name, size in STORED.items()} | {"activations": activations(parameters, mesh, load)}


def copies(parameters: Sequence[Placed], mesh: Mapping[str, int]) -> float:
    """The share of the devices' memory for weights and their state that holds what another device holds too."""
    held = sum(parameter.elements / parameter.parts(mesh) for parameter in parameters)
    return 1 - sum(parameter.elements for parameter in parameters) / (held * prod(mesh.values())) if held else 0.0


def activations(parameters: Sequence[Placed], mesh: Mapping[str, int], load: Load) -> float:
    """Bytes of what the forward pass keeps for the backward pass, on each device; logits included."""
    net = _Net(parameters, mesh, load)
    if not net.width:
        return 0.0
    divided = mesh["model"] if net.cuts("qkv.kernel", 1) and net.cuts("up.kernel", 1) else 1
    layer = net.tokens * net.width * (_SHARED + _DIVIDED / divided) * net.size / 2
    words = net.shape("tokens.embedding")[0] / (mesh["model"] if net.cuts("tokens.embedding", 1) else 1)
    return layer * net.layers + net.tokens * words * 4


def collectives(parameters: Sequence[Placed], mesh: Mapping[str, int], load: Load) -> list[Collective]:
    """The collectives of a training step, those of one kind and purpose together."""
    found: dict[tuple[str, str, str], tuple[int, float]] = {}
    for one in [*_of_weights(parameters, mesh, load), *_Net(parameters, mesh, load).collectives()]:
        if mesh[one.axis] > 1:
            count, sent = found.get((one.kind, one.axis, one.why), (0, 0.0))
            found[one.kind, one.axis, one.why] = count + one.count, sent + one.sent
    return [Collective(*key, *value) for key, value in found.items()]


def ring(kind: str, size: int, sent: float) -> float:
    """Bytes that each of `size` devices sends round a ring for an array of `sent` bytes."""
    return sent * (size - 1) / size * (2 if kind == "all-reduce" else 1)


def _layers(parameter: Placed) -> int:
    return parameter.shape[0] if parameter.name.startswith(STACK) and parameter.shape else 1


def _of_weights(parameters: Sequence[Placed], mesh: Mapping[str, int], load: Load) -> Iterator[Collective]:
    size = PRECISIONS[load.precision]
    for parameter in parameters:
        count = _layers(parameter)
        sent = parameter.elements / parameter.parts(mesh, "model") * size

        def of(kind: str, axis: str, why: str, count: int = count, sent: float = sent) -> Collective:
            return Collective(kind, axis, why, count, ring(kind, mesh[axis], sent))

        if any("data" in cut for cut in parameter.cuts):
            yield of("all-gather", "data", "weights, forward")
            yield of("all-gather", "data", "weights, backward")
            yield of("reduce-scatter", "data", "gradients")
        else:
            yield of("all-reduce", "data", "gradients")
        if _stray(parameter):
            for way in ("forward", "backward"):
                lost = f"weights cut where no product is, {way}"
                yield of("all-gather", "model", lost, sent=parameter.elements * size)


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

    def __init__(self, parameters: Sequence[Placed], mesh: Mapping[str, int], load: Load) -> None:
        self.named = {parameter.name.removeprefix(STACK): parameter for parameter in parameters}
        self.mesh, self.size = mesh, PRECISIONS[load.precision]
        self.tokens = load.batch / mesh["data"] * load.context
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
        sent = count * self.tokens * features * self.size
        return Collective(kind, "model", why, count, ring(kind, self.mesh["model"], sent))

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
