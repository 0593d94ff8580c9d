"""The first-divergence tracer: each kind of error planted, and named."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.divergence import first_divergence, silent, trace
from gradlab.tapped import careless_mlp_backward, mlp_loss, named, random_mlp

BATCH, WIDTH = 6, 4
X = jax.random.normal(jax.random.key(0), (BATCH, WIDTH))
W = jax.random.normal(jax.random.key(1), (WIDTH, WIDTH))
B = jax.random.normal(jax.random.key(2), (WIDTH,))


def oracle(tap, x, w, b):
    w, b = tap("w", w), tap("b", b)
    y = tap("y", jnp.tanh(jnp.dot(x, w) + b[None]))
    return jnp.mean(jnp.sum(y**2, axis=1))


def written(**planted):
    """The backward pass of `oracle` by hand; `planted` changes what is named."""

    def run(tap, x, w, b):
        change = {name: lambda value: value for name in ("y value", "y", "w", "b")} | planted
        y = tap("y", change["y value"](jnp.tanh(jnp.dot(x, w) + b[None])))
        on_y = tap.cotangent("y", change["y"](2 * y / len(x)))
        on_sum = on_y * (1 - y**2)
        tap.cotangent("b", change["b"](on_sum.sum(0) if planted.get("unsummed") is None else on_sum))
        tap.cotangent("w", change["w"](x.T @ on_sum))

    return run


PLANTED = {
    "minus one": ({"y": jnp.negative}, "cotangent", "y", "the sign is wrong"),
    "twice": ({"y": lambda v: 2 * v}, "cotangent", "y", "twice"),
    "half": ({"y": lambda v: v / 2}, "cotangent", "y", "half"),
    "B": ({"y": lambda v: BATCH * v}, "cotangent", "y", "6 times too large"),
    "one over B": ({"w": lambda v: v / BATCH}, "cotangent", "w", "1/6 of what it should be"),
    "minus B": ({"w": lambda v: -BATCH * v}, "cotangent", "w", "minus 6 times too large"),
    "transposed": ({"w": jnp.transpose}, "cotangent", "w", "it is transposed"),
    "transposed and negative": ({"w": lambda v: -v.T}, "cotangent", "w", "it is transposed, and the sign is wrong"),
    "un-summed axis": ({"unsummed": True}, "cotangent", "b", "axis 0 was not summed"),
    "another shape": ({"b": lambda v: v[:2]}, "cotangent", "b", "its shape is (2,), and (4,) is expected"),
    "zero": ({"w": jnp.zeros_like}, "cotangent", "w", "zero everywhere"),
    "nan": ({"w": lambda v: v * jnp.nan}, "cotangent", "w", "nan"),
    "another factor": ({"w": lambda v: 0.37 * v}, "cotangent", "w", "0.37 times"),
    "no pattern": ({"w": lambda v: v.at[1, 2].add(9.0)}, "cotangent", "w", "largest gap at (1, 2)"),
    "a value": ({"y value": lambda v: v + 0.1}, "value", "y", "no simple pattern"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_error_is_found_and_named(name):
    planted, kind, node, words = PLANTED[name]
    first = first_divergence(written(**planted), oracle, X, W, B).first
    assert (first.kind, first.name) == (kind, node)
    assert words in first.problem


def test_agreement_is_agreement():
    found = first_divergence(written(), oracle, X, W, B)
    assert found.first is None
    assert found.verdict == "all 4 nodes agree"


@pytest.mark.parametrize("hidden", [-1e9, -jnp.inf])
def test_a_masked_score_hides_nothing(hidden):
    def scores(divisor):
        def run(tap, x, w, b):
            past = jnp.tri(BATCH, dtype=bool)
            looks = jax.nn.softmax(tap("scores", jnp.where(past, jnp.dot(x, x.T) / divisor, hidden)))
            return jnp.sum(tap("looks", looks) * jnp.arange(BATCH)[None])

        return run

    first = first_divergence(scores(WIDTH), scores(WIDTH**0.5), X, W, B).first
    assert (first.kind, first.name) == ("value", "scores")
    assert first.problem == "it is half of what it should be"
    shifted = lambda tap, x, w, b: scores(2.0)(tap, x.at[3, 1].add(0.1), w, b)  # noqa: E731
    assert first_divergence(shifted, scores(2.0), X, W, B).first.problem.startswith(
        "no simple pattern; the largest gap"
    )


def test_two_forward_passes_are_compared_by_their_cotangents():
    def without_the_mean(tap, x, w, b):
        return len(x) * oracle(tap, x, w, b)

    first = first_divergence(without_the_mean, oracle, X, W, B).first
    assert first.name == "y"
    assert "6 times too large" in first.problem


def test_the_cotangents_of_a_forward_pass_are_those_of_jax():
    found = trace(oracle, X, W, B)
    np.testing.assert_allclose(found.cotangents["w"], jax.grad(lambda w: oracle(silent, X, w, B))(W), rtol=1e-5)


def test_the_careless_colleague_is_found_out():
    params, labels = random_mlp(seed=0, sizes=(WIDTH, 5, 3)), jnp.arange(BATCH) % 3
    found = first_divergence(named(careless_mlp_backward), mlp_loss, params, X, labels)
    assert (found.first.kind, found.first.name) == ("cotangent", "before 1")
    assert "a factor 1/6 is missing" in found.first.problem
    assert {node.name for node in found.nodes if node.kind == "cotangent"} == {
        *(f"{name} {layer}" for name in ("before", "weight", "bias") for layer in (0, 1))
    }


def test_a_backward_pass_that_taps_nothing_is_compared_by_its_gradients():
    params, labels = random_mlp(seed=0, sizes=(WIDTH, 5, 3)), jnp.arange(BATCH) % 3

    def silently(params, x, labels, tap):
        loss, gradients = jax.value_and_grad(lambda params: mlp_loss(silent, params, x, labels))(params)
        gradients[0]["weight"] = -gradients[0]["weight"]
        return loss, gradients

    found = first_divergence(named(silently), mlp_loss, params, X, labels)
    assert (found.first.kind, found.first.name) == ("cotangent", "weight 0")
    assert "the sign is wrong" in found.first.problem


def test_the_table_shows_every_node():
    found = first_divergence(written(w=jnp.transpose), oracle, X, W, B)
    html = found._repr_mimebundle_()["text/html"]
    assert html.count("<tr>") == 4
    assert "it is transposed" in html


def test_errors_name_the_fix():
    with pytest.raises(ValueError, match="give each a name of its own"):
        trace(lambda tap, x: tap("x", tap("x", x)).sum(), X)
    with pytest.raises(ValueError, match=r"write tap\(name, value\)"):
        trace(lambda tap, x: x.sum(), X)
    with pytest.raises(ValueError, match="return a scalar"):
        trace(lambda tap, x: tap("x", x), X)
    with pytest.raises(ValueError, match="the oracle's names are 'w', 'b', 'y'"):
        first_divergence(lambda tap, x, w, b: tap("other", x).sum(), oracle, X, W, B)
