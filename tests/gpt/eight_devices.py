"""Run in a process with eight devices: train on several meshes, and print what was found as JSON."""

import json
import re
import tempfile

import jax
import numpy as np
from jax.sharding import PartitionSpec as P

from gradlab.collectives import collectives
from gradlab.corpus import standard_library
from gradlab.gpt.batches import batch_at, place
from gradlab.gpt.checkpoints import Checkpoints
from gradlab.gpt.config import Config, Recipe
from gradlab.gpt.sharding import make_mesh
from gradlab.gpt.trainer import Trainer

CONFIG = Config(context=16, width=32, layers=2, heads=4, dtype="float32")
RECIPE = Recipe(steps=4, batch=8, warmup=1, rate=1e-2)
TEXT = standard_library(50_000).train
SPLIT = ("kernel", "tokens")


def run(trainer, state, first):
    losses = []
    for step in range(first, RECIPE.steps):
        batch = place(batch_at(TEXT, step, trainer.config, RECIPE), trainer.batch_sharding)
        state, metrics = trainer.step(state, batch)
        losses.append(float(metrics.loss))
    return state, losses


def share(leaf):
    """The part of an array that the first device holds."""
    return leaf.addressable_shards[0].data.size / leaf.size


def measure(data, model):
    trainer = Trainer(CONFIG, RECIPE, make_mesh(data, model))
    state, losses = run(trainer, trainer.init(), 0)
    parameters = jax.tree.leaves(state.parameters)
    moments = [leaf for leaf in jax.tree.leaves(state.optimizer) if leaf.ndim]
    kernels = [
        leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(state.parameters)
        if any(name in jax.tree_util.keystr(path) for name in SPLIT)
    ]
    text = trainer.compile_step().as_text()
    everything = [*parameters, *moments]
    return {
        "losses": losses,
        "optimizer_like_parameters": [m.sharding for m in moments] == [p.sharding for p in parameters] * 2,
        "largest_matrix_share": max(map(share, kernels)),
        "state_share": sum(share(x) * x.size for x in everything) / sum(x.size for x in everything),
        "model_axis_reduces": len(re.findall(r"all-reduce(?:-start)?\(", text)),
        "gathers": len(re.findall(r"all-gather(?:-start)?\(", text)),
    }


def restored_elsewhere():
    """Two steps on one mesh, a checkpoint, two steps on another."""
    whole = Trainer(CONFIG, RECIPE, make_mesh(8, 1))
    brief = Trainer(CONFIG, RECIPE, make_mesh(2, 4))
    _, wanted = run(whole, whole.init(), 0)
    state = whole.init()
    for step in range(2):
        state, _ = whole.step(state, place(batch_at(TEXT, step, CONFIG, RECIPE), whole.batch_sharding))
    with tempfile.TemporaryDirectory() as folder, Checkpoints(folder, every=1) as checkpoints:
        checkpoints.save(2, state, CONFIG)
        _, found = run(brief, checkpoints.restore(brief), 2)
    return bool(np.allclose(found, wanted[2:], rtol=1e-4))


def sent(text):
    return sum(it.sent * it.times for it in collectives(text))


def traffic():
    """Bytes that a device sends in each kind of collective of a (64, 32) float32 array among eight devices."""
    kinds = {
        # A device has the whole, as if it were its own gradient.
        "all-reduce": (lambda x: jax.lax.psum(x, "data"), P(), P()),
        "all-gather": (lambda x: jax.lax.all_gather(x, "data", tiled=True), P("data"), P()),
        "reduce-scatter": (lambda x: jax.lax.psum_scatter(x, "data", tiled=True), P(), P("data")),
    }
    array, found = jax.ShapeDtypeStruct((64, 32), np.float32), {}
    for kind, (function, before, after) in kinds.items():
        mapped = jax.shard_map(function, mesh=make_mesh(8, 1), in_specs=before, out_specs=after, check_vma=False)
        found[kind] = sent(jax.jit(mapped).lower(array).compile().as_text())
    return found


def tensor_traffic():
    """By how many bytes a step of four layers sends more than one of two, on four devices of the axis "model"."""
    steps = [Trainer(CONFIG.but(layers=layers), RECIPE, make_mesh(1, 4)).compile_step() for layers in (2, 4)]
    two, four = (sent(step.as_text()) for step in steps)
    return four - two


def refused():
    try:
        Trainer(CONFIG.but(heads=2), RECIPE, make_mesh(2, 4))
    except ValueError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    jax.config.update("jax_numpy_rank_promotion", "raise")
    found = {f"{data}x{model}": measure(data, model) for data, model in ((1, 1), (8, 1), (2, 4), (4, 2))}
    found |= {"restored_on_another_mesh": restored_elsewhere(), "refused": refused()}
    print(json.dumps(found | {"traffic": traffic(), "tensor_traffic": tensor_traffic()}))
