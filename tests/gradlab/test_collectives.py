"""The reader of collectives, on programs whose collectives are known by construction, in both forms of their text."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from gradlab import collectives
from gradlab.collectives import ArrayType

ALL = (tuple(range(8)),)
RING = tuple((i, (i + 1) % 8) for i in range(8))
FORMS = {"lowered": lambda low: low.as_text(), "compiled": lambda low: low.compile().as_text()}


@pytest.fixture(params=FORMS)
def read(request):
    """Reads the collectives of a function that is mapped over eight devices, in one of the two forms."""

    def of(function, *args, axis=8, **options):
        mapped = jax.pmap(function, axis_name="i", **options)
        shaped = [jax.ShapeDtypeStruct((axis, *arg.shape), arg.dtype) for arg in args]
        return collectives.collectives(FORMS[request.param](mapped.lower(*shaped)))

    return of


def array(*shape, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(shape, dtype)


# The collective, its kind, what goes in, what comes out, the bytes of the whole, what a ring sends.
KNOWN = {
    "psum": (lambda x: lax.psum(x, "i"), "all-reduce", (16, 3), (16, 3), 192, 2 * 7 / 8 * 192),
    "pmax": (lambda x: lax.pmax(x, "i"), "all-reduce", (16, 3), (16, 3), 192, 2 * 7 / 8 * 192),
    "all_gather": (lambda x: lax.all_gather(x, "i", tiled=True), "all-gather", (16, 3), (128, 3), 1536, 7 * 192),
    "psum_scatter": (
        lambda x: lax.psum_scatter(x, "i", tiled=True),
        "reduce-scatter",
        (16, 3),
        (2, 3),
        192,
        7 / 8 * 192,
    ),
    "ppermute": (lambda x: lax.ppermute(x, "i", RING), "collective-permute", (16, 3), (16, 3), 192, 192),
}


@pytest.mark.parametrize("name", KNOWN)
def test_each_kind_is_read(read, name):
    function, kind, into, out, size, sent = KNOWN[name]
    (found,) = read(function, array(16, 3))
    assert found.kind == kind
    assert (found.dtype, found.shape) == ("float32", into)
    assert found.results == (ArrayType("float32", out),)
    assert (found.bytes, found.sent, found.in_loop, found.times) == (size, sent, False, 1)
    assert (found.pairs, found.groups) == ((RING, ()) if kind == "collective-permute" else ((), ALL))


def test_all_to_all_moves_all_but_its_own_share(read):
    (found,) = read(lambda x: lax.all_to_all(x, "i", 0, 0, tiled=True), array(8, 2))
    assert (found.kind, found.bytes, found.sent, found.groups) == ("all-to-all", 64, 7 / 8 * 64, ALL)


def test_groups_of_devices(read):
    halves = [[0, 1, 2, 3], [4, 5, 6, 7]]
    (found,) = read(lambda x: lax.psum(x, "i", axis_index_groups=halves), array(4))
    assert found.groups == tuple(map(tuple, halves))
    assert (found.group_size, found.sent) == (4, 2 * 3 / 4 * 16)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.int32, jnp.uint8, jnp.bool_])
def test_element_types(dtype):
    # As traced: the compiler for the processor widens bfloat16.
    mapped = jax.pmap(lambda x: lax.all_gather(x, "i"), axis_name="i")
    (found,) = collectives.collectives(mapped.lower(array(8, 5, dtype=dtype)).as_text())
    assert (found.dtype, found.bytes) == (np.dtype(dtype).name, 8 * 5 * np.dtype(dtype).itemsize)


def test_fewer_devices(read):
    (found,) = read(lambda x: lax.psum(x, "i"), array(4), axis=3)
    assert found.groups == ((0, 1, 2),)


def test_a_scan_is_counted_as_often_as_it_runs(read):
    def loop(x):
        return lax.scan(lambda c, _: (lax.ppermute(c, "i", RING) * 2.0, None), x, length=5)[0] + lax.psum(x, "i")

    found = read(loop, array(4))
    assert collectives.counts(found) == {"all-reduce": 1, "collective-permute": 1}
    (permute,) = [it for it in found if it.kind == "collective-permute"]
    assert (permute.in_loop, permute.times) == (True, 5)
    assert collectives.runs(found, "collective-permute") == 5
    assert collectives.runs(found) == 6
    assert collectives.bytes_of(found, "collective-permute") == 5 * 16


def test_loops_in_loops(read):
    def inner(c, _):
        return lax.fori_loop(0, 3, lambda _, v: lax.ppermute(v, "i", RING) * 2.0, c), None

    found = read(lambda x: lax.scan(inner, x, length=4)[0], array(4))
    assert [(it.kind, it.in_loop, it.times) for it in found] == [("collective-permute", True, 12)]


@pytest.mark.parametrize(("goes_on", "times"), [(lambda step: step < 6, 5), (lambda step: step <= 6, 6)])
def test_a_loop_that_counts_by_itself(read, goes_on, times):
    def until(x):
        def body(state):
            return state[0] + 1, lax.ppermute(state[1], "i", RING) * 2.0

        return lax.while_loop(lambda state: goes_on(state[0]), body, (1, x))[1]

    assert [it.times for it in read(until, array(4))] == [times]


def test_a_loop_of_unknown_length(read):
    def until(x):
        return lax.while_loop(lambda v: jnp.sum(v) < 100.0, lambda v: lax.psum(v, "i") + 1.0, x)

    found = read(until, array(4))
    assert [(it.kind, it.in_loop, it.times) for it in found] == [("all-reduce", True, None)]
    assert collectives.runs(found) is None
    assert collectives.bytes_of(found) is None


def test_a_branch_is_no_loop(read):
    def branch(x):
        return lax.cond(x[0] > 0, lambda v: lax.psum(v, "i"), lambda v: v + 1.0, x)

    assert [(it.kind, it.in_loop, it.times) for it in read(branch, array(4))] == [("all-reduce", False, 1)]


def test_no_collective_is_none(read):
    assert read(lambda x: x @ x, array(4, 4)) == []


def test_leaves_are_apart_as_traced_and_together_as_compiled():
    mapped = jax.pmap(lambda tree: lax.psum(tree, "i"), axis_name="i")
    low = mapped.lower({"weight": array(8, 3, 2), "bias": array(8, 5)})
    traced = collectives.collectives(low.as_text())
    assert collectives.counts(traced) == {"all-reduce": 2}
    assert collectives.bytes_of(traced) == 4 * (6 + 5)
    # How many are left is the compiler's choice; what they move is not.
    assert collectives.bytes_of(collectives.collectives(low.compile().as_text())) == 4 * (6 + 5)


def test_what_the_compiler_adds_for_sharded_arguments():
    mesh = jax.make_mesh((4, 2), ("rows", "columns"), axis_types=(AxisType.Auto,) * 2)
    rows, everywhere = (NamedSharding(mesh, PartitionSpec(*spec)) for spec in (("rows",), ()))
    step = jax.jit(lambda x: jnp.sum(x, axis=0), in_shardings=rows, out_shardings=everywhere)
    low = step.lower(array(16, 6))
    assert collectives.collectives(low.as_text()) == []
    (found,) = collectives.collectives(low.compile().as_text())
    assert (found.kind, found.bytes) == ("all-reduce", 24)
    assert sorted(map(sorted, found.groups)) == [[0, 2, 4, 6], [1, 3, 5, 7]]


# Lines as XLA prints them for accelerators, where a collective is started and awaited apart.
STARTED = """HloModule jit_step
ENTRY %main (p: f32[4], q: bf16[2,4]) -> f32[4] {
  %p = f32[4]{0} parameter(0)
  %q = bf16[2,4]{1,0} parameter(1)
  %s = f32[4]{0} all-reduce-start(%p), channel_id=1, replica_groups=[2,4]<=[4,2]T(1,0), to_apply=%add
  %d = f32[4]{0} all-reduce-done(%s)
  %g = (bf16[2,4]{1,0}, bf16[8,4]{1,0}) all-gather-start(%q), replica_groups={{0,1,2,3},{4,5,6,7}}, dimensions={0}
  %h = bf16[8,4]{1,0} all-gather-done(%g)
  %c = (f32[4]{0}, f32[4]{0}, u32[], u32[]) collective-permute-start(%d), source_target_pairs={{0,1},{1,0}}
  ROOT %r = f32[4]{0} collective-permute-done(%c)
}
"""


def test_started_and_awaited_counts_once():
    reduce, gather, permute = collectives.collectives(STARTED)
    assert (reduce.kind, reduce.bytes, reduce.groups) == ("all-reduce", 16, ((0, 2, 4, 6), (1, 3, 5, 7)))
    assert (gather.kind, gather.operands, gather.results, gather.bytes) == (
        "all-gather",
        (ArrayType("bfloat16", (2, 4)),),
        (ArrayType("bfloat16", (8, 4)),),
        64,
    )
    assert (permute.kind, permute.pairs, permute.results) == (
        "collective-permute",
        ((0, 1), (1, 0)),
        (ArrayType("float32", (4,)),),
    )
