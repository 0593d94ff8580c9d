"""Lab 07's oracles and readers against other ways to the same numbers, and its given pieces."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from scipy.optimize import curve_fit
from scipy.stats import t as student_t

from gradlab import shards
from gradlab.checks import programs, sharding_verdicts
from gradlab.checks import sharding_oracles as oracles
from gradlab.checks.case import Case
from gradlab.checks.draw import Draw
from gradlab.checks.sharding import gpt_shapes
from gradlab.gpt.config import Config, Recipe
from gradlab.gpt.sharding import parameter_path, spec_of
from gradlab.gpt.trainer import Trainer
from gradlab.seam import plain, probe
from gradlab.seam.handle import local

DRAW = Draw(11, "oracles")


def crossed(value):
    def refuse(_):
        raise AssertionError("not plain")

    return plain.decode(plain.encode(value, refuse), refuse)


@pytest.mark.parametrize("spec", [P(), P("data"), P(None, "model", ("data", "model"))], ids=str)
def test_a_spec_crosses_the_seam(spec):
    assert crossed(spec) == spec


def test_a_mesh_crosses_the_seam_as_its_axes():
    mesh = shards.grid(4, 2)
    assert crossed({"mesh": mesh})["mesh"] == mesh
    with pytest.raises(plain.NotPlain):
        plain.decode(plain.encode(mesh, id).replace(b"\x04\x02", b"\x04\x63"), id)


def test_attention_agrees_with_the_librarys():
    x, out = DRAW.normal(2, 5, 7), DRAW.normal(3, 4, 7)
    weights = [DRAW.normal(7, 3, 4) for _ in range(3)]
    heads = (jnp.einsum("bsw,whe->bshe", x, w) for w in weights)
    wanted = jnp.einsum("bshe,hew->bsw", shards.attend(*heads), out)
    # Sums in float32, in another order.
    np.testing.assert_allclose(oracles.attention(x, *weights, out), wanted, rtol=1e-3, atol=1e-4)


def test_two_steps_agree_with_optax():
    params = {"hidden": DRAW.normal(4, 6), "output": DRAW.normal(6, 4)}
    x, y = DRAW.normal(5, 4), DRAW.normal(5, 4)
    losses, trained = oracles.two_steps(params, x, y, 0.01)
    tx = optax.adam(0.01, eps=0.01)
    state, now = tx.init(params), params
    for wanted in losses:
        value, slopes = jax.value_and_grad(shards.SquaredError())(now, x, y)
        assert float(value) == pytest.approx(wanted, rel=1e-4)
        updates, state = tx.update(slopes, state, now)
        now = optax.apply_updates(now, updates)
    for name in params:
        np.testing.assert_allclose(now[name], trained[name], rtol=1e-4, atol=1e-5)


def test_deep_loss_agrees_with_a_loop():
    layers = {"up": DRAW.normal(3, 4, 8, scale=0.3), "down": DRAW.normal(3, 8, 4, scale=0.3)}
    x = DRAW.normal(6, 4)
    out = jnp.asarray(x)
    for up, down in zip(layers["up"], layers["down"], strict=True):
        out = shards.Block()({"up": up, "down": down}, out)
    assert oracles.deep_loss(layers, x) == pytest.approx(float(jnp.mean(out**2)), rel=1e-4)


def test_saved_activations_are_the_papers_closed_form():
    sizes = {"batch": 2, "sequence": 2048, "width": 12288, "heads": 96, "layers": 3}
    block = 2 * 2048 * 12288 * 3
    for tensor, recompute, bracket in (
        (1, "none", 114),
        (8, "none", 10 + 3 + 10),
        (8, "selective", 13),
        (8, "full", 2),
    ):
        assert oracles.saved_activations(**sizes, tensor=tensor, recompute=recompute) == block * bracket


def test_the_width_of_an_interval_is_that_of_a_fit_by_scipy():
    law, spread, size = {"floor": 1.7, "factor": 12.0, "exponent": 0.3}, 0.02, 2e4
    sizes = np.geomspace(2e3, 2e5, 30)
    ratios, scale = sizes / size, law["factor"] * size ** -law["exponent"]

    def power(r, e, b, a):
        return e + b * r**-a

    start = (law["floor"], scale, law["exponent"])
    known = {"sigma": np.full(30, spread), "absolute_sigma": True}
    _, covariance = curve_fit(power, ratios, power(ratios, *start), p0=start, **known)
    # At a ratio of one the slope by the exponent is zero.
    variance = covariance[:2, :2].sum() + spread**2
    wanted = 2 * student_t.ppf(0.95, 27) * np.sqrt(variance)
    # SciPy's slopes are finite differences.
    assert oracles.interval_width(sizes, size, spread, 0.9, **law) == pytest.approx(wanted, rel=1e-4)


def test_products_are_counted_as_xla_does():
    def chained(a, b, c):
        return jnp.einsum("bij,jk,bkl->bil", a, b, c, optimize=[(0, 1), (0, 1)])

    arrays = [DRAW.normal(*shape) for shape in ((3, 4, 5), (5, 6), (3, 6, 7))]
    lowered = jax.jit(chained).lower(*arrays)
    counted = lowered.compile().cost_analysis()
    assert programs.product_flops(lowered.as_text()) == counted["flops"] == 2 * 3 * (4 * 5 * 6 + 4 * 6 * 7)
    assert programs.product_types(lowered.as_text()) == {"f32"}


def test_a_program_runs_on_the_mesh_that_it_was_made_for():
    mesh = shards.grid(2, 4)

    def gathered(x, mesh):
        whole = lambda part: jax.lax.all_gather(part, "model", axis=1, tiled=True)  # noqa: E731
        return jax.shard_map(whole, mesh=mesh, in_specs=P("data", "model"), out_specs=P("data"), check_vma=False)(x)

    x = DRAW.normal(4, 8)
    (handle,) = local(gathered=gathered)
    program = probe.program(handle, x, mesh)
    found = programs.run(program, mesh)
    np.testing.assert_array_equal(found, x)
    assert shards.shard_shapes(found) == [(2, 8)]
    assert programs.sent(program) == {"all-gather": (2 * 8 * 4,)}
    assert programs.sent(program, above=64) == {}


def test_bytes_by_device_counts_what_lies_there():
    mesh = shards.grid(2, 2)
    split = jax.device_put(np.zeros((4, 4), np.float32), NamedSharding(mesh, P("data")))
    assert shards.bytes_by_device({"a": split}) == {device.id: 32 for device in mesh.devices.flat}
    assert oracles.shard_shape((4, 4), P("data"), (2, 2)) == shards.shard_shapes(split)[0]


def test_a_report_tells_one_device_from_all():
    mesh, array = shards.grid(2, 2), np.zeros((4, 4), np.float32)
    everywhere, cut = (jax.device_put(array, NamedSharding(mesh, spec)) for spec in (P(), P("data")))
    wanted = ["shards of (4, 4) on 1 device", "shards of (4, 4) on 4 devices", "shards of (2, 4) on 4 devices"]
    assert shards.places([jnp.asarray(array), everywhere, cut]) == wanted


def test_shapes_are_those_of_the_gpt_and_its_own_specs_pass():
    config = Config(vocabulary=96, context=16, width=32, layers=8, heads=8)
    parameters = Trainer(config, Recipe()).abstract.parameters
    real = {parameter_path(path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(parameters)}
    asked = gpt_shapes(8, 32, 8, 96, 16)
    assert {name: real[name] for name in asked} == asked
    kernels = {name: shape for name, shape in asked.items() if name.endswith("kernel")}
    assert sharding_verdicts.cut_by(lambda name, _: spec_of(name), kernels, 8) == sharding_verdicts.EVENLY_CUT


def test_training_together_learns_alone_too():
    def rows(count, process, processes):
        return process * count // processes, (process + 1) * count // processes

    def batch(local_rows, mesh):
        return jax.device_put(local_rows, NamedSharding(mesh, P("data")))

    losses = shards.train_together(rows, batch, steps=6)
    assert losses[-1] < 0.8 * losses[0]


def test_a_law_is_closest_to_what_is_scattered_about_it():
    law, spread = {"floor": 1.7, "factor": 12.0, "exponent": 0.3}, 0.002
    sizes = np.geomspace(2e3, 2e5, 7)
    losses = oracles.scattered(sizes, spread, DRAW.normal(7), **law)
    unit = 2e4

    def power(r, e, b, a):
        return e + b * r**-a

    (e, b, a), _ = curve_fit(power, sizes / unit, losses, p0=(1.5, 1.0, 0.3))
    assert (e, b * unit**a, a) == pytest.approx((1.7, 12.0, 0.3), rel=1e-4)  # where SciPy stops
    assert np.sqrt(np.sum((power(sizes / unit, e, b, a) - losses) ** 2) / 4) == pytest.approx(spread, rel=1e-6)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (("data",), "return a PartitionSpec"),
        (P("data", None, "model"), "3 entries"),
        (P("fsdp", "tensor"), "none that is called 'fsdp'"),
        (P("model", "model"), "names 'model' twice"),
    ],
    ids=str,
)
def test_what_is_no_spec_of_a_matrix_is_told(spec, says):
    with pytest.raises((TypeError, ValueError), match=says):
        sharding_verdicts.names_by_axis(spec, (8, 8))


def test_answers_of_another_form_are_told():
    params, specs = {"w": DRAW.normal(4, 4)}, {"w": P("data")}
    with pytest.raises(TypeError, match="return a pair: the placed parameters"):
        shards.Start(specs, (2, 2))(lambda optimizer, params, specs, mesh: (optimizer.init(params), params), params)
    with pytest.raises(TypeError, match="a step returns three things"):
        shards.TwoSteps(specs, (2, 2), 0.01)(
            lambda loss, optimizer: lambda params, state, x, y: (params, state, 0.0), params, 1, 1
        )
    with pytest.raises(TypeError, match="not a ndarray"):
        shards.Placement((2, 2))(lambda rows, mesh: rows, DRAW.normal(4, 4))


def test_devices_that_differ_are_one_error_whatever_the_function_is_called():
    mesh, x = shards.grid(2, 2), jnp.zeros((4, 4))
    case = Case("traced", run=lambda handle: probe.program(handle, x).text)

    def error(function):
        return case.ask(local(function=function)).got

    def spread(run):
        return lambda x: jax.shard_map(run, mesh=mesh, in_specs=P("data", "model"), out_specs=P("data"))(x)

    def named(part):
        return 2 * part

    one, other, fine = error(spread(lambda part: part)), error(spread(named)), error(lambda x: x)
    assert case.same(one, other)
    assert not case.same(one, fine)
