"""The optimizer race of lab 04: the student's own optimizers on one surface, beside optax's."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from gradlab.widgets.base import Answer, Widget, bundle
from gradlab.widgets.optimizer_race import picture
from gradlab.widgets.optimizer_race.lanes import enter
from gradlab.widgets.optimizer_race.race import (
    LEARNING_RATES,
    STEPS,
    Race,
    Result,
    Setting,
)
from gradlab.widgets.optimizer_race.surfaces import (
    CONDITIONS,
    SURFACES,
    Contours,
    contours,
)
from gradlab.widgets.optimizer_race.verdicts import judge

HERE = Path(__file__).parent

_contours = lru_cache(maxsize=32)(contours)


class OptimizerRace(Widget):
    """A race of optimizers, each the student's own step function.

    `optimizers` maps the names gradient descent, momentum, nesterov, rmsprop, adam and adamw, or some of them, to
    functions as lab 04 defines them: `gradient_descent(gradient, start, learning_rate, steps)`, and for the others
    `step(params, gradients, state, learning_rate, ...)`, which returns the new `(params, state)`. A function that is
    not written yet, raises, or returns the wrong thing says so in its own lane; the others race.

    The keywords are where the race stands at first, as "copy state" writes them: `surface` (quadratic, rosenbrock,
    saddle or digits), the `condition` number of the quadratic, the `seed` of the slice through the digits loss, the
    `start` (x, y), the `learning_rate` (the slider's nearest stop is taken) and the decay rates `decay` (momentum,
    nesterov, rmsprop), `b1` and `b2` (adam, adamw).

    Raises ValueError for a surface that there is not, or numbers that no race can run with.
    """

    _esm = bundle(HERE / "view.js")
    _css = bundle(HERE / "view.css")

    def __init__(
        self,
        optimizers: Mapping[str, Any],
        *,
        surface: str = "quadratic",
        condition: float = 20,
        seed: int = 0,
        start: tuple[float, float] | None = None,
        learning_rate: float | None = None,
        decay: float = 0.9,
        b1: float = 0.9,
        b2: float = 0.999,
    ) -> None:
        if surface not in SURFACES:
            raise ValueError(f"surface={surface!r}: choose one of {', '.join(SURFACES)}")
        place = SURFACES[surface]
        self.setting = Setting(
            surface=surface,
            condition=float(condition),
            seed=int(seed),
            start=tuple(float(c) for c in (place.start if start is None else start)),
            learning_rate=float(place.learning_rate if learning_rate is None else learning_rate),
            decay=float(decay),
            b1=float(b1),
            b2=float(b2),
        )
        self.race = Race([enter(name, function) for name, function in optimizers.items()])
        super().__init__(
            label=f"Optimizer race on the surface “{place.title}”.",
            config=self._configuration(),
        )

    def _configuration(self) -> dict[str, Any]:
        return {
            "steps": STEPS,
            "learningRates": [float(str(rate)) for rate in LEARNING_RATES],
            "conditions": CONDITIONS,
            "surfaces": [asdict(surface) for surface in SURFACES.values()],
            "lanes": [
                {"name": lane.name, "series": picture.series(lane), "eager": lane.eager} for lane in self.race.lanes
            ],
            "frame": picture.FRAME,
            "markers": picture.MARKERS,
            "setting": asdict(self.setting),
        }

    def answer_surface(self, question: dict[str, Any]) -> Answer:
        """Contours of a surface: SVG paths in the frame's pixels, and the range of the loss in the window."""
        shape = _contours(question["surface"], float(question["condition"]), int(question["seed"]))
        paths = picture.regions(shape, SURFACES[question["surface"]])
        return {"regions": paths, "lowest": shape.lowest, "highest": shape.highest}, []

    def answer_race(self, question: dict[str, Any]) -> Answer:
        """Every lane from a start, at the chosen learning rate or, if `bank` is asked for, at all of them.

        The buffers hold float32 arrays of shape (lanes, rates, steps+1, 3), x, y and loss: first of all lanes, then
        of the library, for the lanes listed under `ghosts`, which are those that it differs from.
        """
        setting = Setting(**{**question["setting"], "start": tuple(question["setting"]["start"])})
        result = self.race.run(setting)
        rates = list(range(len(LEARNING_RATES))) if question["bank"] else [setting.rate]
        finishes = [
            [self._finish(result, setting, lane, rate) for rate in rates] for lane in range(len(self.race.lanes))
        ]
        ghosts = [i for i, row in enumerate(finishes) if any(f["problem"] or f["departs"] is not None for f in row)]
        buffers = [result.paths[:, rates], result.library[ghosts][:, rates]]
        return {"rates": rates, "finishes": finishes, "ghosts": ghosts}, [buffer.tobytes() for buffer in buffers]

    def picture(self) -> tuple[str, str]:
        surface, rate = SURFACES[self.setting.surface], self.setting.rate
        result = self.race.run(self.setting)
        finishes = [self._finish(result, self.setting, lane, rate) for lane in range(len(self.race.lanes))]
        losses = [f"{path[-1, 2]:.3g}" if np.isfinite(path[-1, 2]) else "–" for path in result.paths[:, rate]]
        words = [f["problem"] or ", ".join(f["badges"]) or "follows the library" for f in finishes]
        names = [lane.name for lane in self.race.lanes]
        rows = "".join(
            f"<tr><th scope='row'>{picture.swatch(picture.series(lane))} {escape(lane.name)}</th><td>{loss}</td><td>{escape(word)}</td></tr>"
            for lane, loss, word in zip(self.race.lanes, losses, words)
        )
        shape = self._contours(self.setting)
        drawing = picture.still(surface, shape, self.race.lanes, result.paths[:, rate], self.label)
        head = f"<tr><th scope='col'>optimizer</th><th scope='col'>loss after {STEPS} steps</th><th scope='col'>verdict</th></tr>"
        text = "\n".join(
            f"{name}: loss {loss} after {STEPS} steps, {word}" for name, loss, word in zip(names, losses, words)
        )
        return (
            f"{drawing}<table><thead>{head}</thead><tbody>{rows}</tbody></table>",
            text,
        )

    def _contours(self, setting: Setting) -> Contours:
        return _contours(setting.surface, setting.condition, setting.seed)

    def _finish(self, result: Result, setting: Setting, lane: int, rate: int) -> dict[str, Any]:
        """What is said of one lane at one learning rate."""
        if problem := result.problems.get(lane):
            return {
                "problem": problem.message,
                "waiting": problem.waiting,
                "badges": [],
                "departs": None,
                "arrives": None,
            }
        surface = SURFACES[setting.surface]
        floor = self._contours(setting).lowest if surface.floor is None else surface.floor
        paths = (
            result.paths[lane, rate],
            result.library[lane, rate],
            result.spread[lane, rate],
        )
        verdict = judge(*paths, surface, floor)
        return {
            "problem": None,
            "waiting": False,
            "badges": verdict.badges,
            "departs": verdict.departs,
            "arrives": verdict.arrives,
        }
