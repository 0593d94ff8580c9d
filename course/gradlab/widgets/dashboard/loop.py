"""A student's training loop in a thread of its own, which can be held between two steps."""

import threading
import traceback
from collections.abc import Callable
from typing import Any

Run = Callable[[Callable[..., None]], Any]


class Loop:
    """Runs `run(on_step)` and holds it wherever it calls `on_step`.

    `listen` gets what `on_step` gets, in the thread of the loop. `state` is ready, running, paused, finished, stopped
    or failed; `error` the traceback where the student's loop raised.
    """

    def __init__(self, run: Run, listen: Callable[..., None]) -> None:
        self._run, self._listen = run, listen
        self._may_go = threading.Condition()
        self._permits: float = 0
        self._stopping = False
        self._thread: threading.Thread | None = None
        self.state, self.error = "ready", ""

    @property
    def alive(self) -> bool:
        """Whether the loop is under way, held or not."""
        return self._thread is not None and self._thread.is_alive()

    def go(self, steps: float = float("inf")) -> None:
        """Let it make so many steps; start it, from its checkpoint if it has one, where it is not under way."""
        with self._may_go:
            self._permits, self._stopping, self.state = steps, False, "running"
            self._may_go.notify()
        if not self.alive:
            self.error = ""
            self._thread = threading.Thread(target=self._work, name="gradlab-dashboard", daemon=True)
            self._thread.start()

    def pause(self) -> None:
        """Hold it after the step that it is in."""
        with self._may_go:
            self._permits = 0

    def stop(self) -> None:
        """End it as an interrupt does, after the step that it is in."""
        with self._may_go:
            self._stopping = True
            self._may_go.notify()

    def wait(self, seconds: float) -> bool:
        """Wait until the loop has ended, no longer than that; True if it has."""
        if self._thread is not None:
            self._thread.join(seconds)
        return not self.alive

    def _work(self) -> None:
        try:
            self._run(self._on_step)
            self.state = "finished"
        except KeyboardInterrupt:
            self.state = "stopped"
        except BaseException:  # noqa: BLE001 - a student's loop may raise anything, and it is shown
            self.error, self.state = traceback.format_exc(), "failed"

    def _on_step(self, *told: Any) -> None:
        self._listen(*told)
        with self._may_go:
            self._permits -= 1
            while self._permits < 1 and not self._stopping:
                self.state = "paused"
                self._may_go.wait()
            self.state = "running"
            if self._stopping:
                raise KeyboardInterrupt
