"""All-reduces as students write them: by Python loop, fori_loop and scan; and wrong ones."""

import jax
import jax.numpy as jnp
from jax import lax


def right(size):
    return [(i, (i + 1) % size) for i in range(size)]


def python_loop(x, axis_name, size):
    chunks = x.reshape(size, -1)
    me = lax.axis_index(axis_name)
    for step in range(size - 1):
        received = lax.ppermute(chunks[(me - step) % size], axis_name, right(size))
        chunks = chunks.at[(me - step - 1) % size].add(received)
    for step in range(size - 1):
        received = lax.ppermute(chunks[(me + 1 - step) % size], axis_name, right(size))
        chunks = chunks.at[(me - step) % size].set(received)
    return chunks.reshape(x.shape)


def fori_loop(x, axis_name, size):
    me = lax.axis_index(axis_name)

    def reduce(step, chunks):
        received = lax.ppermute(chunks[(me - step) % size], axis_name, right(size))
        return chunks.at[(me - step - 1) % size].add(received)

    def gather(step, chunks):
        received = lax.ppermute(chunks[(me + 1 - step) % size], axis_name, right(size))
        return chunks.at[(me - step) % size].set(received)

    chunks = lax.fori_loop(0, size - 1, reduce, x.reshape(size, -1))
    return lax.fori_loop(0, size - 1, gather, chunks).reshape(x.shape)


def scan(x, axis_name, size):
    """One sum travels round; then each device collects what passes by, and stacks it."""
    me = lax.axis_index(axis_name)
    chunks = x.reshape(size, -1)

    def reduce(total, step):
        return lax.ppermute(total, axis_name, right(size)) + chunks[(me - step - 1) % size], None

    def gather(whole, _):
        whole = lax.ppermute(whole, axis_name, right(size))
        return whole, whole

    whole, _ = lax.scan(reduce, chunks[me], jnp.arange(size - 1))
    _, others = lax.scan(gather, whole, None, length=size - 1)
    found = jnp.concatenate([whole[None], others])
    return found[(me + 1 - jnp.arange(size)) % size].reshape(x.shape)


def while_loop(x, axis_name, size):
    """To the left, and jitted inside."""
    left = [(i, (i - 1) % size) for i in range(size)]
    me = lax.axis_index(axis_name)

    @jax.jit
    def turn(state):
        step, chunks = state
        received = lax.ppermute(chunks[(me + step) % size], axis_name, left)
        place = (me + step + 1) % size
        kept = jnp.where(step < size - 1, chunks[place], 0)
        return step + 1, chunks.at[place].set(kept + received)

    _, chunks = lax.while_loop(lambda state: state[0] < 2 * (size - 1), turn, (0, x.reshape(size, -1)))
    return chunks.reshape(x.shape)


def one_step_too_few(x, axis_name, size):
    chunks = x.reshape(size, -1)
    me = lax.axis_index(axis_name)
    for step in range(size - 2):
        received = lax.ppermute(chunks[(me - step) % size], axis_name, right(size))
        chunks = chunks.at[(me - step - 1) % size].add(received)
    for step in range(size - 1):
        received = lax.ppermute(chunks[(me + 1 - step) % size], axis_name, right(size))
        chunks = chunks.at[(me - step) % size].set(received)
    return chunks.reshape(x.shape)


def wrong_direction(x, axis_name, size):
    """The chunks are chosen for messages to the right; the messages go to the left."""
    left = [(i, (i - 1) % size) for i in range(size)]
    chunks = x.reshape(size, -1)
    me = lax.axis_index(axis_name)
    for step in range(size - 1):
        received = lax.ppermute(chunks[(me - step) % size], axis_name, left)
        chunks = chunks.at[(me - step - 1) % size].add(received)
    for step in range(size - 1):
        received = lax.ppermute(chunks[(me + 1 - step) % size], axis_name, left)
        chunks = chunks.at[(me - step) % size].set(received)
    return chunks.reshape(x.shape)


def whole_vectors(x, axis_name, size):
    """Right, with n/2 times the bytes."""
    total = travelling = x
    for _ in range(size - 1):
        travelling = lax.ppermute(travelling, axis_name, right(size))
        total = total + travelling
    return total


def adds_again(x, axis_name, size):
    """The second round adds where it should overwrite."""
    chunks = x.reshape(size, -1)
    me = lax.axis_index(axis_name)
    for step in range(2 * (size - 1)):
        received = lax.ppermute(chunks[(me - step) % size], axis_name, right(size))
        chunks = chunks.at[(me - step - 1) % size].add(received)
    return chunks.reshape(x.shape)


def open_ring(x, axis_name, size):
    """The last device sends nothing to the first, which receives zeros."""
    total = travelling = x
    for _ in range(size - 1):
        travelling = lax.ppermute(travelling, axis_name, right(size)[:-1])
        total = total + travelling
    return total


def mean(x, axis_name, size):
    return python_loop(x / size, axis_name, size)


def cheat(x, axis_name, size):
    return lax.psum(x, axis_name)


def silent(x, axis_name, size):
    return x


def unwritten(x, axis_name, size):
    raise NotImplementedError


def raising(x, axis_name, size):
    return x.reshape(size, 3)


def half(x, axis_name, size):
    return x[: x.size // 2]


def some_only(x, axis_name, size):
    """Device 0 does not take part."""
    return lax.cond(lax.axis_index(axis_name) > 0, lambda v: lax.ppermute(v, axis_name, right(size)), lambda v: v, x)


def endless(x, axis_name, size):
    return lax.while_loop(lambda v: v.sum() >= 0, lambda v: lax.ppermute(v, axis_name, right(size)), x)


RIGHT = (python_loop, fori_loop, scan, while_loop)
WRONG = (one_step_too_few, wrong_direction, adds_again, open_ring, mean, silent)
