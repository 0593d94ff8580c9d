"""What a student's all-reduce does, told step by step: which shares of which chunk each device holds.

The function is played three times, with numbers that people can read, with numbers that say whose shares are in a sum,
and with numbers that say of which chunk. What it computes in between needs no name to be understood.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from gradlab.messages import Exchange, Recording, listen

AXIS = "devices"
LETTERS = "ABCDEFGH"
_SHARE, _CHUNK = 8, 9  # bases: up to seven shares of each of eight devices are exact in float32
NO_SUM = "this is no sum of the devices' shares"
NOTHING = "nobody's share is in it"
_CLOSE = 1e-3  # all numbers are whole, and below 2**24


@dataclass(frozen=True)
class Cell:
    """A number that a device holds or sends.

    `chunk` is the one whose shares it sums, None if they are mixed or it is no sum of shares; `shares` says how often
    each device's is in it. `wrong` is empty, or says why it cannot become the sum.
    """

    value: float
    chunk: int | None
    shares: tuple[int, ...]
    wrong: str = ""

    @property
    def count(self) -> int:
        """How many devices have a share in it."""
        return 0 if self.chunk is None else sum(share > 0 for share in self.shares)


@dataclass(frozen=True)
class Message:
    """What one device sends to another."""

    source: int
    target: int
    parts: tuple[Cell, ...]


@dataclass(frozen=True)
class Frame:
    """The devices after a step. `load` is what the busiest sends in the step, in vectors; `sent`, up to here."""

    primitive: str
    messages: tuple[Message, ...]
    cells: tuple[tuple[Cell, ...], ...]
    load: float
    sent: float


@dataclass(frozen=True)
class Story:
    """A function's messages on some devices: first the start, then a frame a collective, the last with the result."""

    frames: tuple[Frame, ...]

    @property
    def steps(self) -> int:
        return len(self.frames) - 1

    @property
    def own(self) -> bool:
        """Whether all that was sent was sent by the student's own messages."""
        return all(frame.primitive == "ppermute" for frame in self.frames[1:])


def bound(size: int) -> float:
    """Vectors that each of `size` devices has to send in an all-reduce, at least."""
    return 2 * (size - 1) / size


def numbers(size: int, seed: int) -> Float[np.ndarray, "devices chunks"]:
    """What each device starts with, one number a chunk."""
    return np.random.default_rng(seed).integers(2, 10, (size, size)).astype(np.float32)


def tell(function: Callable[..., Any], size: int, seed: int) -> Story:
    """The story of `function(x, axis_name, size)`. Raises what it raises; ValueError for a result of wrong shape."""
    x = numbers(size, seed)
    shares = np.repeat(_SHARE ** np.arange(size), size).reshape(size, size).astype(np.float32)
    chunks = np.tile(_CHUNK ** np.arange(size), (size, 1)).astype(np.float32)
    plays = [listen(lambda v: function(v, AXIS, size), start, axis_name=AXIS) for start in (x, shares, chunks)]
    _check_result(plays[0].results, x.shape)
    reader = Reader(x)
    held = [[reader.read(x[d, c], shares[d, c], chunks[d, c]) for c in range(size)] for d in range(size)]
    frames, sent = [_frame("", (), held, np.zeros(size), np.zeros(size))], np.zeros(size)
    held = reader.follow(held, plays, 0)
    for step, exchange in enumerate(plays[0].exchanges):
        held = reader.follow(held, plays, step + 1)
        load = np.array(exchange.bytes_sent) / x[0].nbytes
        sent = sent + load
        frames.append(_frame(exchange.primitive, reader.messages(plays, step), held, load, sent))
    last = frames[-1]
    frames[-1] = Frame(last.primitive, last.messages, reader.results(plays), last.load, last.sent)
    return Story(tuple(frames))


def _frame(primitive: str, messages: tuple[Message, ...], held: list, load: np.ndarray, sent: np.ndarray) -> Frame:
    return Frame(primitive, messages, tuple(map(tuple, held)), float(load.max()), float(sent.max()))


def _check_result(result: Any, wanted: tuple[int, int]) -> None:
    if not isinstance(result, np.ndarray):
        raise ValueError(f"the result is a {type(result).__name__}: return a vector like x")
    if result.shape != wanted:
        raise ValueError(
            f"the result has shape {result.shape[1:]}, and x has shape {wanted[1:]}: return a vector like x"
        )


def _shares(devices: list[str]) -> str:
    """The shares of some devices, and the verb."""
    if len(devices) == 1:
        return f"the share of device {devices[0]} is"
    return f"the shares of devices {', '.join(devices[:-1])} and {devices[-1]} are"


class Reader:
    """Understands the numbers of the three plays."""

    def __init__(self, x: Float[np.ndarray, "devices chunks"]) -> None:
        self.x, self.size = x, len(x)

    def read(self, value: float, share: float, chunk: float) -> Cell:
        """The cell whose numbers these are."""
        counts = self._counts(share)
        total = sum(counts)
        powers = total * _CHUNK ** np.arange(self.size)
        found = np.flatnonzero(np.isclose(chunk, powers, rtol=1e-5, atol=0)) if total else []
        if len(found) != 1:
            reason = "shares of different chunks are mixed" if total else NOTHING if not share else NO_SUM
            return Cell(float(value), None, counts, reason)
        place = int(found[0])
        if abs(value - np.dot(counts, self.x[:, place])) > _CLOSE:
            return Cell(float(value), None, counts, NO_SUM)
        often = [str(device) for device, count in enumerate(counts) if count > 1]
        wrong = f"{_shares(often)} in it more than once" if often else ""
        return Cell(float(value), place, counts, wrong)

    def _counts(self, share: float) -> tuple[int, ...]:
        whole = round(float(share)) if np.isfinite(share) else -1
        if abs(share - whole) > _CLOSE or not 0 <= whole < _SHARE**self.size:
            return (0,) * self.size
        return tuple(whole // _SHARE**device % _SHARE for device in range(self.size))

    def follow(self, held: list[list[Cell]], plays: list[Recording], interval: int) -> list[list[Cell]]:
        """What the devices hold after what they have computed in an interval.

        A whole vector is the newest state of all chunks. Of smaller pieces the fullest sum counts: they are read, cut
        and added in any order.
        """
        after = [list(cells) for cells in held]
        for device in range(self.size):
            mine = [play.computed[interval][device] for play in plays]
            for arrays in zip(*mine, strict=True):
                self._update(after[device], device, [np.ravel(array) for array in arrays])
        return after

    def _update(self, cells: list[Cell], device: int, arrays: list[np.ndarray]) -> None:
        # A number that is the same in all plays does not come from x.
        found = [
            (place, self.read(*codes))
            for place, codes in enumerate(zip(*arrays, strict=True))
            if not codes[0] == codes[1] == codes[2]
        ]
        vector = len(found) == len(arrays[0]) == self.size
        if vector and np.array_equal(arrays[0], self.x[device]):
            return
        for place, cell in found:
            target = place if cell.chunk is None else cell.chunk
            better = cell.chunk is not None and cell.count > cells[target].count
            if vector or better:
                cells[target] = cell

    def messages(self, plays: list[Recording], step: int) -> tuple[Message, ...]:
        """The messages of an exchange; none, if it was no ppermute."""
        exchanges: list[Exchange] = [play.exchanges[step] for play in plays]
        return tuple(
            Message(source, target, self.parts([exchange.sent[source] for exchange in exchanges]))
            for source, target in exchanges[0].pairs or ()
        )

    def parts(self, arrays: list[np.ndarray]) -> tuple[Cell, ...]:
        """The numbers of an array, read."""
        return tuple(self.read(*codes) for codes in zip(*map(np.ravel, arrays), strict=True))

    def results(self, plays: list[Recording]) -> tuple[tuple[Cell, ...], ...]:
        """What was returned: each number with what is wrong with it, as against the sum."""
        truth = self.x.sum(axis=0)
        rows = []
        for device in range(self.size):
            cells = self.parts([play.results[device] for play in plays])
            rows.append(tuple(self._judge(cell, place, truth[place]) for place, cell in enumerate(cells)))
        return tuple(rows)

    def _judge(self, cell: Cell, place: int, truth: float) -> Cell:
        if abs(cell.value - truth) <= _CLOSE:
            return Cell(cell.value, place, (1,) * self.size)
        if cell.chunk is None or cell.wrong:
            return cell
        if cell.chunk != place:
            return Cell(cell.value, cell.chunk, cell.shares, f"this is chunk {LETTERS[cell.chunk]}, out of place")
        absent = [str(device) for device, count in enumerate(cell.shares) if not count]
        return Cell(cell.value, place, cell.shares, f"{_shares(absent)} missing")
