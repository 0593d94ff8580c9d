"""The mesh explorer of lab 07: which device holds which slice under the student's own partition specs."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from jax.sharding import PartitionSpec

from gradlab.costs import FLOAT32_ADAM
from gradlab.widgets.base import Answer, Widget, bundle, explain
from gradlab.widgets.mesh import picture, step
from gradlab.widgets.mesh.specs import MESHES, Placed, parse, place, whole, written

HERE = Path(__file__).parent
BATCHES = [8, 16, 32, 64, 128, 256, 512]
_LAYERS, _WIDTH, _HEADS, _WORDS, _CONTEXT = 8, 512, 8, 8192, 512
#: A GPT of 30 million parameters; those of all blocks are stacked on a first axis.
SHAPES: dict[str, tuple[int, ...]] = {
    "tokens.embedding": (_WORDS, _WIDTH),
    "positions.embedding": (_CONTEXT, _WIDTH),
    "blocks.attention_norm.scale": (_LAYERS, _WIDTH),
    "blocks.qkv.kernel": (_LAYERS, _WIDTH, _HEADS, 3, _WIDTH // _HEADS),
    "blocks.qkv.bias": (_LAYERS, _HEADS, 3, _WIDTH // _HEADS),
    "blocks.out.kernel": (_LAYERS, _HEADS, _WIDTH // _HEADS, _WIDTH),
    "blocks.out.bias": (_LAYERS, _WIDTH),
    "blocks.mlp_norm.scale": (_LAYERS, _WIDTH),
    "blocks.up.kernel": (_LAYERS, _WIDTH, 4 * _WIDTH),
    "blocks.up.bias": (_LAYERS, 4 * _WIDTH),
    "blocks.down.kernel": (_LAYERS, 4 * _WIDTH, _WIDTH),
    "blocks.down.bias": (_LAYERS, _WIDTH),
    "norm.scale": (_WIDTH,),
}


@dataclass(frozen=True)
class Setting:
    """Where the widget stands. `edits` holds the specs that were written over the student's, by parameter."""

    mesh: str
    parameter: str
    batch: int
    precision: str
    edits: dict[str, str] = field(default_factory=dict)


class MeshExplorer(Widget):
    """A model's parameters on a mesh of eight devices, by the student's own specs.

    `partition(name, shape)` is what lab 07 asks for: the `PartitionSpec` of a parameter, on a mesh with the axes "data"
    and "model". It is asked for each parameter; no device is needed. An illegal spec is shown with its error, and the
    parameter counted as whole on every device. What `partition` raises is shown.

    Args:
        partition: the student's.
        shapes: the parameters' shapes by name; those of a small GPT by default. Names decide which products there are.
        mesh: devices along "data" and "model": 8x1, 4x2, 2x4 or 1x8.
        parameter: that is drawn; by default the first matrix of a block.
        batch: sequences of one step, over all devices.
        context: tokens of a sequence.
        precision: of the computation, bfloat16 or float32; weights and their state are float32.
        edits: specs that replace the student's, by parameter, as text: `P(None, "data")`.

    Raises:
        ValueError: there is no such mesh, parameter or precision, or the batch does not divide by eight.
    """

    _esm = bundle(HERE / "view.js")
    _css = bundle(HERE / "view.css")

    def __init__(
        self,
        partition: Callable[..., Any],
        shapes: Mapping[str, tuple[int, ...]] | None = None,
        *,
        mesh: str = "4x2",
        parameter: str | None = None,
        batch: int = 32,
        context: int = _CONTEXT,
        precision: str = "bfloat16",
        edits: Mapping[str, str] | None = None,
    ) -> None:
        self.shapes = {name: tuple(map(int, shape)) for name, shape in (SHAPES if shapes is None else shapes).items()}
        chosen = parameter or next((name for name in self.shapes if name.endswith("kernel")), next(iter(self.shapes)))
        for name, value, allowed in (
            ("mesh", mesh, MESHES),
            ("parameter", chosen, self.shapes),
            ("precision", precision, step.ITEMSIZES),
        ):
            if value not in allowed:
                raise ValueError(f"{name}={value!r}: choose one of {', '.join(allowed)}")
        if batch % 8 or batch < 8:
            raise ValueError(f"batch={batch!r} cannot be divided among eight devices")
        self._partition, self._context = partition, int(context)
        self.setting = Setting(mesh, chosen, int(batch), precision, dict(edits or {}))
        # Asked once: a spec belongs to a parameter, whatever the mesh.
        self._specs = {name: self._ask(name, shape) for name, shape in self.shapes.items()}
        config = {
            "setting": asdict(self.setting),
            "meshes": list(MESHES),
            "batches": sorted({*BATCHES, int(batch)}),
            "itemsizes": step.ITEMSIZES,
        }
        super().__init__(label=f"Your partition specs on a mesh of devices, {mesh} at first.", config=config)

    def _ask(self, name: str, shape: tuple[int, ...]) -> Any:
        """The student's spec of a parameter, or, as a text, what is to be read in its place."""
        if not callable(self._partition):
            return f"This is {self._partition!r}, not a function."
        try:
            return self._partition(name, shape)
        except Exception as error:  # noqa: BLE001 - whatever the student's code raises is shown in the widget
            return explain(getattr(self._partition, "__name__", "your function"), error, self._partition)

    def _lay(self, name: str, setting: Setting) -> tuple[Placed, str]:
        """A parameter in its place, and its spec as text."""
        shape, mesh = self.shapes[name], MESHES[setting.mesh]
        if name in setting.edits:
            text = setting.edits[name]
            try:
                return place(name, shape, parse(text), mesh), text
            except ValueError as error:
                return whole(name, shape, str(error)), text
        spec = self._specs[name]
        if isinstance(spec, str):
            return whole(name, shape, spec), ""
        return place(name, shape, spec, mesh), written(spec) if isinstance(spec, PartitionSpec) else repr(spec)[:60]

    def answer_lay(self, question: dict[str, Any]) -> Answer:
        """The parameters on a mesh: their rows, the drawing of the chosen one, and what memory and collectives are.

        Batch and precision are left to the view: bytes are products with them. `problem` is what the student's function
        says for every parameter alike, if it gave no spec at all.
        """
        setting = Setting(**question["setting"])
        mesh = MESHES[setting.mesh]
        laid = {name: self._lay(name, setting) for name in self.shapes}
        parameters = [parameter for parameter, _ in laid.values()]
        said = {spec if isinstance(spec, str) else "" for spec in self._specs.values()}
        problem = said.pop() if len(said) == 1 and not setting.edits else ""
        alone = [whole(name, shape, "") for name, shape in self.shapes.items()]
        return {
            "problem": problem,
            "rows": [_row(parameter, text, mesh, setting) for parameter, text in laid.values()],
            "drawing": picture.layout(laid[setting.parameter][0], mesh),
            "memory": _memory(parameters, mesh, self._context),
            "alone": _memory(alone, MESHES["8x1"], self._context),
            "copies": step.copies(parameters, mesh),
            "collectives": [asdict(one) for one in step.collectives(parameters, mesh, self._context)],
        }, []

    def picture(self) -> tuple[str, str]:
        """The chosen parameter on the mesh, memory and collectives in words."""
        answer, _ = self.answer_lay({"setting": json.loads(json.dumps(asdict(self.setting)))})
        if answer["problem"]:
            return f"<p>{escape(answer['problem'])}</p>", answer["problem"]
        batch, precision = self.setting.batch, self.setting.precision
        memory = answer["memory"]["states"] | {"activations": batch * answer["memory"]["activations"][precision]}
        lines = [f"{self.setting.parameter} on the mesh {self.setting.mesh}"]
        lines += [f"{name}: {size / 1e6:.1f} MB on each device" for name, size in memory.items()]
        for one in (step.Collective(**plain) for plain in answer["collectives"]):
            lines.append(f"{one.count} {one.kind}, {one.why}: {one.sent(batch, precision) / 1e6:.1f} MB")
        lines += [f"{row['name']}: {row['error']}" for row in answer["rows"] if row["error"]]
        items = "".join(f"<li>{escape(line)}</li>" for line in lines)
        return f"{picture.still(answer['drawing'], self.label)}<ul>{items}</ul>", "\n".join(lines)


def _memory(parameters: list[Placed], mesh: Mapping[str, int], context: int) -> dict[str, Any]:
    """Bytes on each device: states, and, by precision, activations of one sequence of the batch."""
    return {"states": step.states(parameters, mesh), "activations": step.activations(parameters, mesh, context)}


def _row(parameter: Placed, text: str, mesh: Mapping[str, int], setting: Setting) -> dict[str, Any]:
    """A parameter in plain values."""
    parts = parameter.parts(mesh)
    return {
        "name": parameter.name,
        "shape": list(parameter.shape),
        "spec": text,
        "error": parameter.error,
        "edited": parameter.name in setting.edits,
        "shard": list(parameter.shard(mesh)),
        "bytes": parameter.elements / parts * FLOAT32_ADAM.parameters,
        "copies": mesh["data"] * mesh["model"] // parts,
    }
