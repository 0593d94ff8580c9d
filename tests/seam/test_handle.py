"""A handle does what the object would do, and shows what the student's code raised."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gradlab.landscapes import Quadratic
from gradlab.seam import probe
from gradlab.seam.handle import Handle, StudentError, local, recorded_calls
from gradlab.seam.plain import NotPlain


class Account:
    def __init__(self, money):
        self.money = money

    def __add__(self, other):
        return Account(self.money + other.money)

    def pay(self, amount):
        self.money -= amount
        return self.money


def test_calls_attributes_methods_and_operators():
    (account,) = local(account=Account)
    mine, yours = account(5), account(7)
    assert (mine + yours).money == 12
    assert mine.pay(2) == 3
    assert mine.money == 3
    assert probe.kind(mine) == "Account"


def test_results_arrive_as_numpy():
    (double,) = local(double=lambda tree: {"x": 2 * tree["x"]})
    result = double({"x": jnp.ones(3)})
    assert type(result["x"]) is np.ndarray


def test_plain_objects_and_handles_pass_through():
    (handle,) = local(f=len)
    assert local(guess=2.5, f=handle) == (2.5, handle)


def test_an_exception_arrives_with_kind_message_and_line():
    def wrong(x):
        return x / 0

    (handle,) = local(wrong=wrong)
    with pytest.raises(StudentError, match="division by zero") as caught:
        handle(1.0)
    assert caught.value.kind == "ZeroDivisionError"
    assert "return x / 0" in caught.value.where
    assert "store.py" not in caught.value.where


def test_exit_is_an_error_like_any_other():
    (handle,) = local(leave=exit)
    with pytest.raises(StudentError, match="SystemExit"):
        handle(0)


def test_what_is_not_plain_does_not_go_in():
    (handle,) = local(f=len)
    with pytest.raises(NotPlain, match="portable"):
        handle(object())


def test_calls_are_recorded_with_their_arguments():
    (handle,) = local(total=sum)
    with recorded_calls() as calls:
        handle([1, 2])
    assert calls == [("total", ([1, 2],), {})]


def test_an_optax_transformation_works_through_handles():
    (make,) = local(adam=optax.adam)
    tx = make(0.1)
    params, gradients = jnp.ones(2), jnp.array([1.0, -2.0])
    updates, state = tx.update(gradients, tx.init(params), params)
    assert isinstance(state[0], Handle)
    np.testing.assert_allclose(updates, [-0.1, 0.1], rtol=1e-4)


def descend(gradient, start, rate, steps):
    for _ in range(steps):
        start = start - rate * gradient(start)
    return start


def test_a_program_is_read_and_run_on_this_side():
    (handle,) = local(descend=descend)
    bowl = Quadratic.with_condition(2.0)
    made = probe.program(handle, bowl.gradient, jnp.ones(2), 0.5, 3)
    np.testing.assert_allclose(made.run(), [0.75**3, 0.5**3], rtol=1e-6)
    assert made.operations("stablehlo.dot_general") == 3


def test_gradient_traces_memory_and_arguments_after_a_call():
    def square(x):
        return jnp.sum(x * x)

    def spoil(x):
        x += 1
        return x

    square, spoil = local(square=square, spoil=spoil)
    np.testing.assert_allclose(probe.grad(square)(jnp.arange(3.0)), [0, 2, 4], rtol=1e-6)
    assert probe.trace_count(square, (jnp.ones(2),), (jnp.zeros(2),), (jnp.ones(3),)) == 2
    assert probe.memory(square, jnp.ones(8))["argument"] == 32
    _, (after,) = probe.after_call(spoil, np.zeros(2))
    np.testing.assert_array_equal(after, [1.0, 1.0])


def test_whether_arguments_are_left_alone():
    def spoil(numbers):
        numbers["a"] += 1

    def shorten(layers):
        layers.pop()

    def look(numbers):
        return numbers["a"] + 1

    spoil, shorten, look = local(spoil=spoil, shorten=shorten, look=look)
    assert probe.leaves_arguments(look, {"a": jnp.zeros(2)})
    assert not probe.leaves_arguments(spoil, {"a": jnp.zeros(2)})
    assert not probe.leaves_arguments(shorten, [jnp.zeros(2), jnp.ones(2)])


def test_a_kept_result_stays_on_the_other_side():
    (handle,) = local(ones=np.ones)
    kept = handle.keep(3)
    assert isinstance(kept, Handle)
    np.testing.assert_array_equal(kept.perform("value"), np.ones(3))
