"""A progress bar for a training loop: what is happening, how far it is, and how long is left.

It is one output of the cell, updated in place, and its last state stays in the saved notebook. (The bars of rich and
tqdm draw with a widget there, of which a notebook that is read without a kernel shows nothing.)
"""

import time
from collections.abc import Iterator
from html import escape
from typing import Any, Self

from IPython.display import display

SECONDS_BETWEEN_UPDATES = 0.2


class Bar:
    """`with Bar("training", 300) as bar:` and, after each step, `bar.show(step, loss=0.3)`.

    Args:
        what: what is happening, a few words.
        total: the number of steps at which it is done.
    """

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total = what, total
        self.step, self.facts, self.end = 0, "", ""

    def __enter__(self) -> Self:
        self._began = self._updated = time.monotonic()
        self._first: int | None = None
        self._output = display(self, display_id=True)
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        # Whatever ends the loop, the bar says where it ended: from there it can be resumed.
        self.end = "" if kind is None else "interrupted" if kind is KeyboardInterrupt else "stopped by an error"
        self._update(time.monotonic())

    def show(self, step: int, **facts: float) -> None:
        """Say that `step` steps are done, a resumed run's earlier ones included, with what is known, `loss=0.3` say."""
        if self._first is None:
            self._first = step - 1
        self.step = step
        now = time.monotonic()
        if now - self._updated >= SECONDS_BETWEEN_UPDATES:
            # Reading a number waits for the device: only now, not at each step.
            self.facts = ", ".join(f"{name} {float(value):.3g}" for name, value in facts.items())
            self._update(now)
        else:
            self._unread = facts

    def over(self, batches: Any) -> "_Counted":
        """The batches, `len` included; each counts as done when the next one is asked for."""
        return _Counted(self, batches)

    def _update(self, now: float) -> None:
        self._updated = now
        if unread := self.__dict__.pop("_unread", None):
            self.facts = ", ".join(f"{name} {float(value):.3g}" for name, value in unread.items())
        if self._output is not None:
            self._output.update(self)

    @property
    def left(self) -> str:
        """How long it still takes at the pace so far, in words."""
        done = self.step - (self._first or 0)
        spent = self._updated - self._began
        if self.end:
            return f"{self.end} after {spent:.0f} s"
        if self.step >= self.total:
            return f"done in {spent:.0f} s"
        if not done:
            return "starting"
        seconds = spent / done * (self.total - self.step)
        return f"about {seconds:.0f} s left" if seconds < 90 else f"about {seconds / 60:.0f} min left"

    def __repr__(self) -> str:
        facts = f", {self.facts}" if self.facts else ""
        return f"{self.what}: step {self.step} of {self.total}{facts}, {self.left}"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        text = repr(self)
        bar = f'<progress max="{self.total}" value="{self.step}" aria-label="{escape(self.what)}"></progress>'
        return {"text/plain": text, "text/html": f'<div style="font-size:13px">{bar} {escape(text)}</div>'}


class _Counted:
    """Batches whose bar moves while they are gone through."""

    def __init__(self, bar: Bar, batches: Any) -> None:
        self._bar, self._batches = bar, batches

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Any]:
        for step, batch in enumerate(self._batches, start=1):
            yield batch
            self._bar.show(step)
