"""Lab 06: mistakes that are made in other words than the bank's, and answers that only look right."""

from itertools import count

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from gradlab.checks import data_parallel as checks
from gradlab.checks.case import Case
from gradlab.checks.exercise import drawn
from gradlab.checks.mistake import mistakes_of
from gradlab.seam.handle import StudentError

SEED = 5
P = PartitionSpec
each = jax.tree.map


def mesh(number):
    return jax.make_mesh((number,), ("row",), axis_types=(AxisType.Auto,), devices=jax.devices()[:number])


def asked(exercise, answer, cases=None):
    """The outcomes of the first so many cases."""
    return exercise.ask((answer,), drawn(exercise.cases, SEED, exercise.name)[:cases])


def step_with_two_names(loss, learning_rate):
    def advance(params, x, y):
        value, slope = lax.pmean(jax.value_and_grad(loss)(params, x, y), "batch")
        return each(lambda p, g: p - learning_rate * g, params, slope), value

    return jax.pmap(advance, axis_name="i")


def copies_on_the_last_axis(init, key, number):
    copies = each(lambda leaf: jnp.stack([leaf] * number, axis=-1), init(key))
    return jax.device_put(copies, NamedSharding(mesh(number), P("row")))


def local_loss_under_another_name(loss, learning_rate, number):
    def descend(params, rows, labels):
        value, slope = jax.value_and_grad(loss)(params, rows, labels)
        return each(lambda p, g: p - learning_rate * lax.pmean(g, "row"), params, slope), value

    specs = {"in_specs": (P(), P("row"), P("row")), "out_specs": (P(), P())}
    return jax.jit(jax.shard_map(descend, mesh=mesh(number), **specs))


def ring_of_a_list(x, axis_name, size):
    chunks = list(jnp.split(x, size))
    return chunks[lax.axis_index(axis_name)]


def mean_over_an_axis_called_i(gradients, _):
    return lax.pmean(gradients, "i")


@pytest.mark.parametrize(
    ("exercise", "answer", "name"),
    [
        (checks.make_train_step, step_with_two_names, "axis_without_a_name"),
        (checks.replicate, copies_on_the_last_axis, "another_axis_cut_than_that_of_copies"),
        (checks.shard_map_step, local_loss_under_another_name, "result_that_differs_given_out_as_one"),
        (checks.ring_all_reduce, ring_of_a_list, "value_of_a_traced_number_wanted"),
        (checks.mean_gradients, mean_over_an_axis_called_i, "name_of_the_axis_written_down"),
    ],
)
def test_a_mistake_is_known_in_other_words(exercise, answer, name):
    (known,) = (it for it in mistakes_of(exercise.lab, exercise.name) if it.name == name)
    (one,), (other,) = asked(exercise, known.implementation, 1), asked(exercise, answer, 1)
    assert not one.passed
    assert one.case.same(one.got, other.got)


@pytest.mark.parametrize("text", ["'weight'", "'bias'"])
def test_errors_with_other_texts_are_other_errors(text):
    case = Case("any", run=lambda: None)
    assert case.same(StudentError("KeyError", "'weight'"), StudentError("KeyError", text)) == (text == "'weight'")


def test_a_mask_that_a_resumed_run_would_not_draw_loses_marks():
    seeds = count()

    def by_the_clock(x, rate, key, step, axis_name):
        key = jax.random.fold_in(key, next(seeds))
        own = jax.random.fold_in(jax.random.fold_in(key, step), lax.axis_index(axis_name))
        return jnp.where(jax.random.bernoulli(own, 1 - rate, x.shape), x / (1 - rate), 0.0)

    failed = [outcome.case.name for outcome in asked(checks.dropout, by_the_clock) if not outcome.passed]
    assert failed == ["the same again for the same key and step"]


def test_one_result_where_two_are_wanted_is_said():
    (outcome,) = asked(checks.make_train_step, lambda loss, rate: jax.pmap(lambda params, x, y: params), 1)
    assert "(params, loss), and this is one dict" in outcome.problem
