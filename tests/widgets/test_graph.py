"""The walk behind the graph widget: what the student's backward does, written down, whatever the student wrote."""

import pytest

from gradlab.mistakes import backward as mistakes
from gradlab.widgets import Graph
from gradlab.widgets.graph import gradients, steps
from gradlab.widgets.graph.drawing import layout
from gradlab.widgets.graph.walk import MOST_WRITES, walk
from gradlab_grading.alternatives import backward as alternatives
from gradlab_grading.reference import lab_folders, reference

LEAVES = {"x": 0.8, "w": -1.5}


def expression(x, w):
    a = x * w
    b = a + x
    return a * b + b.tanh()


@pytest.fixture(scope="module")
def value():
    return reference(lab_folders()["03-backward"])["Value"]


@pytest.mark.parametrize("kind", [None, alternatives.CountedUses, alternatives.ByAge])
def test_a_right_backward_is_written_down_and_right(value, kind):
    found = walk(kind or value, expression, LEAVES)
    assert found.problem is None
    assert not any(write.lost for write in found.writes)
    ends = dict(zip(found.names, gradients(found), strict=True))
    assert {name: ends[name] for name in LEAVES} == pytest.approx(dict(found.truth))


def test_every_share_is_upstream_times_local_derivative(value):
    found = walk(value, lambda x, w: x * w, {"x": 3.0, "w": 5.0})
    shares = [(found.names[s.node], s.upstream, s.share) for s in steps(found) if s.source is not None]
    assert sorted(shares) == [("w", 1.0, 3.0), ("x", 1.0, 5.0)]


def test_the_truth_knows_no_backward_rule():
    found = walk(mistakes.product_hands_back_its_own_factor, lambda x, w: x * w + -2.0 * x, {"x": 3.0, "w": 5.0})
    assert found.truth == pytest.approx({"x": 3.0, "w": 3.0})
    assert gradients(found)[0] != pytest.approx(3.0)


def test_an_overwritten_gradient_is_marked():
    lost = [write for write in walk(mistakes.overwritten_gradient, expression, LEAVES).writes if write.lost]
    assert lost
    assert all(write.before != 0 for write in lost)
    assert not any(write.lost for write in walk(mistakes.level_by_level, expression, LEAVES).writes)


def test_a_share_lost_within_one_push_is_marked():
    found = walk(mistakes.overwritten_gradient, lambda x: x + x, {"x": 1.0})
    assert [write.lost for write in steps(found) if write.source is not None] == [False, True]


def test_two_reads_before_two_writes_lose_a_share(value):
    class Pair(value):
        def __add__(self, other):
            total = type(self)(self.data + other.data, (self, other))

            def push():
                self.grad, other.grad = self.grad + total.grad, other.grad + total.grad

            total.push = push
            return total

    found = walk(Pair, lambda x: x + x, {"x": 1.0})
    assert [write.lost for write in steps(found) if write.source is not None] == [False, True]


def test_a_walk_without_end_is_stopped():
    def doubled(x):
        for _ in range(20):
            x = x + x
        return x

    found = walk(mistakes.once_for_every_path, doubled, {"x": 1.0})
    assert len(found.writes) == MOST_WRITES
    assert "again and again" in found.problem


def test_what_is_not_written_yet_is_said(value):
    class Stub(value):
        def __mul__(self, other):
            raise NotImplementedError

    assert walk(Stub, expression, LEAVES).problem == "not written yet"
    assert "not written yet" in Graph(Stub, expression, LEAVES).picture()[1]


def test_no_two_nodes_stand_in_one_place(value):
    places = layout(walk(value, expression, LEAVES))["nodes"]
    assert len(set(places)) == len(places) == 7


def test_a_leaf_that_is_no_number_is_refused(value):
    with pytest.raises(ValueError, match="the leaf 'x' must be a finite number"):
        Graph(value, expression, {"x": "one"})
