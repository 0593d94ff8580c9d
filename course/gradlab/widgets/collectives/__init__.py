"""The collectives widget of lab 06: the messages of the student's own all-reduce, played on a ring of devices."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

from gradlab.widgets.base import Answer, Widget, bundle, explain
from gradlab.widgets.collectives import picture, words
from gradlab.widgets.collectives.story import LETTERS, Cell, Frame, Story, bound, tell

HERE = Path(__file__).parent
DEVICES = list(range(2, len(LETTERS) + 1))


@dataclass(frozen=True)
class Setting:
    """Where the widget stands: latency in microseconds, bandwidth in GB/s, the vector in megabytes."""

    devices: int
    seed: int
    step: int
    latency: float
    bandwidth: float
    megabytes: float


class Collectives(Widget):
    """The messages of an all-reduce made of `jax.lax.ppermute`, chunk by chunk.

    `function(x, axis_name, size)` is what lab 06 asks for: on one of `size` devices, `x` that device's vector, it
    returns the sum of all vectors. It is traced, and no device is needed. Sums that go wrong are marked where they do;
    a collective of the library is shown as what it is. What the function raises is shown.

    Args:
        function: the student's.
        devices: on the ring, 2 to 8.
        seed: of the numbers.
        step: that is shown first.
        latency: of one message, in microseconds.
        bandwidth: of a link, in GB/s.
        megabytes: of the vector, for the predicted time; the one that is played has one number a chunk.

    Raises:
        ValueError: there are too few or too many devices, or a number for the time is not positive.
    """

    _esm = bundle(HERE / "view.js")
    _css = bundle(HERE / "view.css")

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        devices: int = 8,
        seed: int = 0,
        step: int = 0,
        latency: float = 10.0,
        bandwidth: float = 50.0,
        megabytes: float = 100.0,
    ) -> None:
        if devices not in DEVICES:
            raise ValueError(f"devices={devices!r} is not one of {DEVICES[0]} to {DEVICES[-1]}")
        if not min(latency, bandwidth, megabytes) > 0:
            raise ValueError(f"{latency=}, {bandwidth=} and {megabytes=} must be positive")
        self.setting = Setting(devices, seed, step, float(latency), float(bandwidth), float(megabytes))
        self._function = function
        # The view asks again for what it has seen, and a kernel plays a ring of eight in half a second.
        self._play = lru_cache(maxsize=64)(self._tell)
        config = {"setting": asdict(self.setting), "devices": DEVICES, "letters": LETTERS}
        super().__init__(label=f"Your all-reduce on a ring of {devices} devices, message by message.", config=config)

    def _tell(self, devices: int, seed: int) -> tuple[Story | None, str]:
        """The story, or what is to be read in its place."""
        if not callable(self._function):
            return None, f"This is {self._function!r}, not a function."
        try:
            return tell(self._function, devices, seed), ""
        except Exception as error:  # noqa: BLE001 - whatever the student's code raises is shown in the widget
            name = getattr(self._function, "__name__", "your function")
            return None, explain(name, error, self._function)

    def answer_play(self, question: dict[str, Any]) -> Answer:
        """The frames on so many devices, their layout, the words and the verdicts; `problem` if there are none."""
        size = question["devices"]
        story, problem = self._play(size, question["seed"])
        answer = {"problem": problem, "layout": picture.layout(size), "bound": bound(size)}
        if story is None:
            return answer | {"frames": [], "verdicts": [], "own": False}, []
        frames = [
            _frame(frame, words.sentence(story, step), story.frames[max(step - 1, 0)].cells)
            for step, frame in enumerate(story.frames)
        ]
        verdicts = [{"text": text, "good": good} for text, good in words.verdicts(story)]
        return answer | {"frames": frames, "verdicts": verdicts, "own": story.own}, []

    def picture(self) -> tuple[str, str]:
        """What the function leaves on each device, and the verdicts."""
        story, problem = self._play(self.setting.devices, self.setting.seed)
        if story is None:
            return f"<p>{escape(problem)}</p>", problem
        lines = [text for text, _ in words.verdicts(story)]
        rows = "".join(f"<li>{escape(line)}</li>" for line in lines)
        return f"{picture.still(story, self.label)}<ul>{rows}</ul>", "\n".join(lines)


def _frame(frame: Frame, sentence: str, before: tuple[tuple[Cell, ...], ...]) -> dict[str, Any]:
    """A frame in plain values."""
    return {
        "primitive": frame.primitive,
        "words": sentence,
        "load": frame.load,
        "sent": frame.sent,
        "messages": [
            {"source": message.source, "target": message.target, "parts": [_cell(part) for part in message.parts]}
            for message in frame.messages
        ],
        "cells": [
            [_cell(cell) | {"fresh": cell != old} for cell, old in zip(row, olds, strict=True)]
            for row, olds in zip(frame.cells, before, strict=True)
        ],
    }


def _cell(cell: Cell) -> dict[str, Any]:
    return {"text": words.text(cell.value), "chunk": cell.chunk, "count": cell.count, "wrong": cell.wrong}
