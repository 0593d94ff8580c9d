"""The mesh explorer: slices as JAX places them, costs by closed form, and illegal specs in their place."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from math import prod
from pathlib import Path

import pytest
from jax.sharding import AbstractMesh, AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from gradlab.widgets import MeshExplorer
from gradlab.widgets.mesh import SHAPES, picture, step
from gradlab.widgets.mesh.specs import MESHES, cuts_of, parse, place, written
from widgets import partition_functions as partitions

ARRAYS = [((16, 64), P("data", "model")), ((16, 64), P(None, ("model", "data"))), ((8, 8, 8), P("model")), ((8,), P())]
# Real devices belong to a process of their own.
ON_DEVICES = """
import json, sys
import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

jax.config.update("jax_num_cpu_devices", 8)
found = []
for data in (8, 4, 2, 1):
    mesh = jax.make_mesh((data, 8 // data), ("data", "model"), axis_types=(AxisType.Auto,) * 2, devices=jax.devices())
    numbers = {device: i for i, device in enumerate(mesh.devices.flat)}
    for shape, spec in json.loads(sys.argv[1]):
        spec = P(*(tuple(entry) if isinstance(entry, list) else entry for entry in spec))
        indices = NamedSharding(mesh, spec).devices_indices_map(tuple(shape))
        found.append({numbers[d]: [s.indices(n)[:2] for s, n in zip(cut, shape)] for d, cut in indices.items()})
print(json.dumps(found))
"""


def lay(partition, **setting):
    widget = MeshExplorer(partition, **setting)
    return widget.answer_lay({"setting": asdict(widget.setting)})[0]


def placed(partition, mesh):
    return [place(name, shape, partition(name, shape), MESHES[mesh]) for name, shape in SHAPES.items()]


def sent(found, batch, precision):
    return {one.why: one.sent(batch, precision) for one in found}


def test_every_device_holds_the_slice_that_jax_gives_it():
    given = json.dumps([[shape, [list(e) if isinstance(e, tuple) else e for e in spec]] for shape, spec in ARRAYS])
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    run = subprocess.run(
        [sys.executable, "-c", ON_DEVICES, given], env=environment, check=True, capture_output=True, text=True
    )
    wanted = iter(json.loads(run.stdout))
    for mesh in MESHES.values():
        for shape, spec in ARRAYS:
            parameter, want = place("x", shape, spec, mesh), next(wanted)
            assert not parameter.error
            for device in range(8):
                assert [list(pair) for pair in parameter.slices(mesh, device)] == want[str(device)]


@pytest.mark.parametrize("mesh", MESHES)
def test_shards_have_the_shape_that_jax_says(mesh):
    sizes = MESHES[mesh]
    abstract = AbstractMesh(tuple(sizes.values()), tuple(sizes), axis_types=(AxisType.Auto,) * 2)
    for parameter in placed(partitions.right, mesh):
        spec = partitions.right(parameter.name, parameter.shape)
        assert parameter.shard(sizes) == NamedSharding(abstract, spec).shard_shape(parameter.shape)


@pytest.mark.parametrize(
    ("shape", "spec", "words"),
    [
        ((16, 16), P("data", "data"), "the mesh axis 'data' is used twice"),
        ((16, 16), P(("model", "model")), "the mesh axis 'model' is used twice"),
        ((16, 16), P("modle"), "there is no mesh axis 'modle': the mesh has data and model"),
        ((16, 6), P(None, "data"), "axis 1 has size 6, which data = 4 does not divide"),
        ((4, 6), P(("data", "model")), "axis 0 has size 4, which data times model = 8 does not divide"),
        ((16,), P(None, "data"), "2 entries for an array with 1 axes"),
        ((16,), ("data",), "this is a tuple, not a PartitionSpec"),
    ],
)
def test_an_illegal_spec_is_one_for_jax_too(shape, spec, words):
    mesh = MESHES["4x2"]
    with pytest.raises((TypeError, ValueError), match=words):
        cuts_of(shape, spec, mesh)
    abstract = AbstractMesh((4, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    # JAX's own are of many kinds; that of an axis used twice has no public name.
    with pytest.raises(Exception, match=r"at most one|not found|divi|out of range|no attribute"):
        NamedSharding(abstract, spec).shard_shape(shape)


def test_specs_are_written_and_read():
    for spec in (P(), P(None, "data"), P(("data", "model"), None), P(("model",))):
        assert parse(written(spec)) == spec
    assert parse("PartitionSpec('data')") == P("data")
    for text in ("", "P(", 'P("data"', "P(1)", "print(1)", "P(x)", "__import__('os')", 'P(a="data")', "P(*[1])"):
        with pytest.raises(ValueError, match="write it as"):
            parse(text)


def test_weights_cut_along_data_are_gathered_twice_and_scattered_once():
    """Rajbhandari et al. (2020), section 7: three times the parameters, 1.5 times what an all-reduce sends."""
    weights = [place("w", (1024, 64), P("data"), MESHES["8x1"])]
    found = step.collectives(weights, MESHES["8x1"], context=128)
    one = 7 / 8 * 1024 * 64 * 2
    assert [(c.kind, c.axis, c.sent(8, "bfloat16")) for c in found] == [
        ("all-gather", "data", one),
        ("all-gather", "data", one),
        ("reduce-scatter", "data", one),
    ]
    (reduced,) = step.collectives([place("w", (1024, 64), P(), MESHES["8x1"])], MESHES["8x1"], context=1)
    assert (reduced.kind, reduced.sent(8, "float32")) == ("all-reduce", 2 * 7 / 8 * 1024 * 64 * 4)


def test_a_block_costs_four_all_reduces_of_activations():
    """Shoeybi et al. (2019), section 3: two in the forward and two in the backward pass."""
    found = step.collectives(placed(partitions.right, "1x8"), MESHES["1x8"], context=512)
    blocks = [one for one in found if one.why.startswith("sums of")]
    assert {one.kind for one in blocks} == {"all-reduce"}
    assert [one.count for one in blocks] == [8, 8, 8, 8]
    assert all(one.sent(16, "bfloat16") == 8 * 2 * 7 / 8 * 16 * 512 * 512 * 2 for one in blocks)
    assert {one.axis for one in found} == {"model"}


def test_columns_without_rows_gather_what_is_inside():
    good = step.collectives(placed(partitions.right, "2x4"), MESHES["2x4"], context=512)
    bad = sent(step.collectives(placed(partitions.columns_only, "2x4"), MESHES["2x4"], context=512), 8, "float32")
    assert not any("columns without rows" in one.why for one in good)
    (inside,) = (value for why, value in bad.items() if why.startswith("inside MLP, forward"))
    assert inside == 8 * 3 / 4 * 4 * 512 * 2048 * 4
    assert "sums of MLP, forward" not in bad


def test_memory_by_hand():
    alone, elements = placed(partitions.whole, "8x1"), sum(map(prod, SHAPES.values()))
    assert step.states(alone, MESHES["8x1"]) == {
        "parameters": 4 * elements,
        "gradients": 4 * elements,
        "optimizer": 8 * elements,
    }
    # Of one sequence over eight devices: 34 bytes a number of the residual stream and layer, and the logits.
    kept = step.activations(alone, MESHES["8x1"], context=512)
    assert kept["bfloat16"] == 512 / 8 * (8 * 512 * 34 + 8192 * 2)
    # In float32 twice that, but for the two masks of a byte.
    assert kept["float32"] == 512 / 8 * (8 * 512 * (2 * 32 + 2) + 8192 * 4)
    split = step.activations(placed(partitions.right, "1x8"), MESHES["1x8"], context=512)
    assert split["bfloat16"] == 512 * (8 * 512 * (10 + 24 / 8) + 8192 / 8 * 2)
    assert step.copies(alone, MESHES["8x1"]) == pytest.approx(7 / 8)
    assert 0 < step.copies(placed(partitions.right, "4x2"), MESHES["4x2"]) < 0.02


def test_a_spec_along_the_layers_is_gathered():
    shapes = {"blocks.up.kernel": (8, 64, 256)}
    answer = lay(lambda name, shape: P("model"), shapes=shapes, mesh="1x8")
    (one, other) = answer["collectives"]
    assert one["why"] == "weights cut where no product is, forward"
    assert one["numbers"] == other["numbers"] == 7 / 8 * 8 * 64 * 256
    assert not one["activations"]
    assert not other["activations"]


def test_illegal_specs_are_shown_in_their_place():
    answer = lay(partitions.illegal, mesh="1x8")
    errors = {row["name"].removeprefix("blocks."): row["error"] for row in answer["rows"] if row["error"]}
    assert sorted(errors) == ["down.bias", "norm.scale", "out.kernel", "qkv.bias", "qkv.kernel", "up.bias"]
    assert "used twice" in errors["qkv.kernel"]
    assert "illegal raised KeyError" in errors["down.bias"]
    assert "in the line: raise KeyError(name)" in errors["down.bias"]
    assert answer["problem"] == ""
    rows = {row["name"]: row for row in answer["rows"]}
    assert rows["blocks.qkv.kernel"]["shard"] == list(SHAPES["blocks.qkv.kernel"])
    assert rows["blocks.qkv.kernel"]["copies"] == 8


def test_an_edit_replaces_the_students_spec():
    name = "blocks.up.kernel"
    row = next(r for r in lay(partitions.right, edits={name: 'P("modle")'})["rows"] if r["name"] == name)
    assert (row["edited"], row["spec"]) == (True, 'P("modle")')
    assert "there is no mesh axis 'modle'" in row["error"]
    row = next(r for r in lay(partitions.whole, edits={name: 'P(None, "data")'})["rows"] if r["name"] == name)
    assert (row["error"], row["copies"], row["shard"]) == ("", 2, [8, 128, 2048])


@pytest.mark.parametrize(
    ("function", "words"), [(partitions.unwritten, "unwritten is not written yet."), (3, "This is 3, not a function.")]
)
def test_a_function_that_gives_nothing_says_why(function, words):
    assert lay(function)["problem"] == words
    assert words in MeshExplorer(function).picture()[1]


@pytest.mark.parametrize("mesh", MESHES)
def test_the_drawing_stays_in_its_boxes(mesh):
    for parameter in placed(partitions.right, mesh):
        for device in picture.layout(parameter, MESHES[mesh])["devices"]:
            for inner, outer in ((device["slice"], device["map"]), (device["map"], device["box"])):
                for corner, side in (("x", "width"), ("y", "height")):
                    assert inner[corner] >= outer[corner] - 1e-9
                    assert inner[corner] + inner[side] <= outer[corner] + outer[side] + 1e-9
            assert device["at"]["y"] + 16 < device["box"]["y"] + device["box"]["height"]


def test_slices_cover_the_parameter_and_colours_tell_them_apart():
    parameter = place("w", (8, 12), P("data"), MESHES["4x2"])
    drawing = picture.layout(parameter, MESHES["4x2"])
    assert [device["series"] for device in drawing["devices"]] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [device["text"] for device in drawing["devices"][::2]] == ["[0:2, :]", "[2:4, :]", "[4:6, :]", "[6:8, :]"]


def test_answers_are_plain():
    for function in (partitions.right, partitions.illegal, partitions.unwritten):
        json.dumps(lay(function, precision="float32"), allow_nan=False)
    html, text = MeshExplorer(partitions.right, mesh="2x4").picture()
    assert html.count("gl-box") == 8 + 1  # and in the style
    assert "MB on each device" in text


@pytest.mark.parametrize(
    "setting", [{"mesh": "3x3"}, {"parameter": "head"}, {"precision": "int8"}, {"batch": 12}], ids=str
)
def test_a_setting_that_there_is_not_is_refused(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        MeshExplorer(partitions.right, **setting)
