"""The training dashboard of lab 05: the student's own loop, held and let go, and what is read off it as it runs."""

import math
from html import escape
from pathlib import Path
from typing import Any

from flax import nnx

from gradlab.widgets.base import Answer, Widget, bundle
from gradlab.widgets.dashboard.loop import Loop, Run
from gradlab.widgets.dashboard.picture import curve
from gradlab.widgets.dashboard.recorder import BINS, HIGHEST, LOWEST, Recorder, parameters

HERE = Path(__file__).parent
POINTS_SHOWN = 400


class Dashboard(Widget):
    """A training loop to watch and to touch while it runs.

    `run(on_step)` is the student's loop: it calls `on_step(step, loss, accuracy, gradients)` after each step. It runs
    in a thread, so that the notebook goes on answering. `steps` is the step at which it is done. The learning rate can
    be changed where the optimizer was made with `optax.inject_hyperparams`.

    Raises ValueError where `steps` is not a positive number.
    """

    _esm = bundle(HERE / "view.js")
    _css = bundle(HERE / "view.css")

    def __init__(self, run: Run, model: nnx.Module, optimizer: nnx.Optimizer, *, steps: int) -> None:
        if not isinstance(steps, int) or steps < 1:
            raise ValueError(f"steps is the number of steps at which the loop is done, got {steps!r}: give it as 600")
        self.steps = steps
        self.recorder = Recorder(model, optimizer)
        self.loop = Loop(run, self.recorder)
        self._names = list(parameters(model))
        scale = {"lowest": LOWEST, "highest": HIGHEST, "bins": BINS}
        config = {"steps": steps, "layers": self._names, "scale": scale, "rate": self.recorder.rate}
        super().__init__(label="Training dashboard: your loop, live.", config=config)

    def answer_go(self, question: dict[str, Any]) -> Answer:
        """Start it, or let it go on: `steps` of them, or as many as there are."""
        if not self.loop.alive and self.loop.state != "ready":
            self.recorder.clear()
        self.loop.go(question["steps"] or math.inf)
        return self._news(0)

    def answer_pause(self, question: dict[str, Any]) -> Answer:
        """Hold it between two steps."""
        self.loop.pause()
        return self._news(question["since"])

    def answer_stop(self, question: dict[str, Any]) -> Answer:
        """End it, as the stop button does for a cell; what it saved stays."""
        self.loop.stop()
        return self._news(question["since"])

    def answer_rate(self, question: dict[str, Any]) -> Answer:
        """Another learning rate from the next step on."""
        self.recorder.rate = question["rate"]
        if not self.loop.alive:
            self.recorder.apply_rate()
        return {}, []

    def answer_news(self, question: dict[str, Any]) -> Answer:
        """What is new since so many points (step, loss, accuracy, rate), and the layers as last read."""
        return self._news(question["since"])

    def _news(self, since: int) -> Answer:
        recorder, state = self.recorder, self.loop.state
        recorder.read(wait=state != "running")
        points = recorder.points[since:]
        return {
            "state": state,
            "error": self.loop.error,
            "count": since + len(points),
            "points": [[_finite(value) for value in point] for point in points],
            "layers": [{key: _finite(value) for key, value in vars(layer).items()} for layer in recorder.layers],
            "layersStep": recorder.layers_step,
            "rate": recorder.last_rate,
        }, []

    def picture(self) -> tuple[str, str]:
        self.recorder.read(wait=self.loop.state != "running")
        points = list(self.recorder.points)
        if not points:
            names = ", ".join(self._names)
            text = f"{self.steps} steps; layers: {names}. It has not been started."
            return f"<p>{escape(text)}</p>", text
        step, loss, accuracy, _ = points[-1]
        text = f"step {step} of {self.steps}: loss {loss:.3g}, accuracy {accuracy:.3g}"
        shown = points[:: max(1, len(points) // POINTS_SHOWN)]
        return f"{curve([(p[0], p[1]) for p in shown], self.steps, text)}<p>{escape(text)}</p>", text


def _finite(value: Any) -> Any:
    """Numbers as JSON can hold them."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
