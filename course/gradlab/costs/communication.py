"""Bytes that a device sends, messages one after the other, and the time that they take.

n devices in a ring; `size` is in bytes, of the whole array (of all parts together where it is divided). Each raises
ValueError for less than one device.
"""

import math
from dataclasses import dataclass

from gradlab.costs.memory import at_least_one
from gradlab.gpt.config import Config


@dataclass(frozen=True)
class Link:
    """From a device to its neighbour: seconds before the first byte, and bytes a second from then on."""

    latency: float
    bandwidth: float


@dataclass(frozen=True)
class Traffic:
    """What one device sends, in bytes, and in how many messages that wait for each other."""

    sent: float
    messages: int

    def seconds(self, link: Link) -> float:
        """Time on a link where nothing else is sent."""
        return self.messages * link.latency + self.sent / link.bandwidth

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(self.sent + other.sent, self.messages + other.messages)

    def __mul__(self, times: int) -> "Traffic":
        return Traffic(self.sent * times, self.messages * times)


def all_gather(size: float, n: int) -> Traffic:
    """Each has an n-th, all get the whole: n - 1 messages of an n-th."""
    return Traffic(size * (n - 1) / at_least_one("n", n), n - 1)


def reduce_scatter(size: float, n: int) -> Traffic:
    """Each has a whole, each gets an n-th of the sum: as many bytes as `all_gather`, the other way round."""
    return all_gather(size, n)


def ring_all_reduce(size: float, n: int) -> Traffic:
    """A reduce-scatter, then an all-gather: `2 (n - 1) / n` of the size, the least that is possible.

    Patarasuk and Yuan (2009). The bytes hardly depend on n, the messages grow with it.
    """
    return reduce_scatter(size, n) + all_gather(size, n)


def tree_all_reduce(size: float, n: int) -> Traffic:
    """Two binary trees, each for a half, up and down and in small pieces (Sanders, Speck and Träff 2009).

    About `2 size` bytes, but only `2 log2 n` messages: better than a ring for small arrays on many devices.
    """
    return Traffic(2 * size if n > 1 else 0.0, 2 * math.ceil(math.log2(at_least_one("n", n))))


def data_parallel(parameters: float, n: int, *, itemsize: int = 4) -> Traffic:
    """One step: the gradients, of `itemsize` bytes each, are summed over all: `2 (n - 1) / n` of their size."""
    return ring_all_reduce(parameters * itemsize, n)


def fully_sharded(parameters: float, n: int, *, itemsize: int = 4) -> Traffic:
    """One step: parameters are gathered forward and again backward, gradients reduced and scattered.

    One and a half times what plain data parallelism sends (Rajbhandari et al. 2020, section 7.2.2). Messages are
    counted as if all parameters were one array.
    """
    size = parameters * itemsize
    return all_gather(size, n) * 2 + reduce_scatter(size, n)


def tensor_parallel(config: Config, sequences: int, n: int, *, itemsize: int = 2) -> Traffic:
    """One step of the blocks: four all-reduces of the residual stream a block, two forward, two backward.

    Shoeybi et al. (2019), section 3. `sequences` are those of one group of n devices.
    """
    stream = sequences * config.context * config.width * itemsize
    return ring_all_reduce(stream, n) * (4 * config.layers)
