"""Hidden checks of lab 06, data parallelism."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from gradlab.checks import data_parallel as checks
from gradlab.checks import talk
from gradlab.checks.case import Case
from gradlab.checks.draw import Draw
from gradlab.replicas import Start
from gradlab.seam import probe
from gradlab.seam.handle import Handle
from gradlab_grading.hidden import hidden

close, FEWER = checks.close, checks.FEWER


def _fewer_rows_than_devices(draw: Draw) -> Iterator[Case]:
    batch = {"x": draw.normal(3, 2), "y": np.array([4, 0, 6], np.int32)}
    yield close(
        "fewer rows than devices",
        run=lambda shard: checks.pair(shard(checks.arrays(batch), 5), "(batch, mask)"),
        want=list(checks.padded(batch, 5)),
    )


def _a_ring_of_one(draw: Draw) -> Iterator[Case]:
    x = draw.normal(1, 3)
    yield close(
        "a ring of one",
        run=lambda ring: checks.on_a_ring(ring, 1)(jnp.asarray(x), checks.AXIS, 1),
        want=x,
        trivial=True,
    )


def _copies_on_four(draw: Draw) -> Iterator[Case]:
    init, key = Start(draw.size(2, 5), draw.size(2, 4)), jax.random.key(int(draw.rng.integers(1000)))
    yield Case(
        "on four of eight devices",
        run=lambda replicate: talk.copies(probe.placement(replicate, init, key, FEWER), FEWER),
        want=talk.COPIES,
        trivial=True,
    )


def _shard_map_on_four(draw: Draw) -> Iterator[Case]:
    data, rate, _ = checks.whole_steps(draw)

    def four(make: Handle) -> str:
        found = probe.program(make(checks.LOSS, rate, FEWER), *checks.arrays(data))
        return talk.own_rows(found.text, rows=len(data[1]), count=FEWER)

    yield Case("on four of eight devices", run=four, want=talk.OWN_ROWS)


def _jit_on_four(draw: Draw) -> Iterator[Case]:
    data, rate, _ = checks.whole_steps(draw)
    yield Case(
        "on four of eight devices",
        run=lambda make: talk.reduces(probe.compiled(make(checks.LOSS, rate, FEWER), *checks.arrays(data)), FEWER),
        want=talk.REDUCES,
    )


shard_batch = hidden(checks.shard_batch, _fewer_rows_than_devices)
replicate = hidden(checks.replicate, _copies_on_four)
make_train_step = hidden(checks.make_train_step)
mean_gradients = hidden(checks.mean_gradients)
weighted_gradient = hidden(checks.weighted_gradient)
dropout = hidden(checks.dropout)
sync_batch_norm = hidden(checks.sync_batch_norm)
accumulate = hidden(checks.accumulate)
ring_all_reduce = hidden(checks.ring_all_reduce, _a_ring_of_one)
shard_map_step = hidden(checks.shard_map_step, _shard_map_on_four)
jit_step = hidden(checks.jit_step, _jit_on_four)
efficiency = hidden(checks.efficiency)
