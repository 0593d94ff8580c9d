"""The optimizer race of lab 04: the student's own optimizers on one surface, beside optax's."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from gradlab.widgets.base import Answer, Widget, bundle
from gradlab.widgets.optimizer_race import picture
from gradlab.widgets.optimizer_race.lanes import enter
from gradlab.widgets.optimizer_race.race import LEARNING_RATES, STEPS, Race, Result, Setting
from gradlab.widgets.optimizer_race.surfaces import CONDITIONS, SURFACES, contours
from gradlab.widgets.optimizer_race.verdicts import judge

HERE = Path(__file__).parent


class OptimizerRace(Widget):
    """A race of optimizers, each the student's own step function.

    A function that is not written yet, raises, or returns the wrong thing says so in its own lane; the others race.

    Args:
        optimizers: maps gradient descent, momentum, nesterov, rmsprop, adam and adamw, or some of them, to step
            functions `(params, gradients, state, learning_rate, ...) -> (params, state)` on pytrees, as lab 04
            defines them. The states start as zeros, Adam's as `(0, zeros, zeros)`.
        surface: quadratic, rosenbrock, saddle or digits.
        condition: the condition number of the quadratic, whose largest curvature is 1.
        seed: of the slice through the digits loss.
        start: x and y; each surface has its own.
        learning_rate: the stop of the slider nearest to it is taken; each surface has its own.
        decay: of momentum, nesterov and rmsprop.
        b1: of adam and adamw.
        b2: of adam and adamw.

    Raises:
        ValueError: there is no such surface, or the learning rate is not positive.
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
            raise ValueError(f"surface={surface!r} is not one of {', '.join(SURFACES)}")
        if learning_rate is not None and not learning_rate > 0:
            raise ValueError(f"learning_rate={learning_rate!r} is not positive")
        place = SURFACES[surface]
        x, y = place.start if start is None else start
        rate = place.learning_rate if learning_rate is None else learning_rate
        self.setting = Setting(
            surface, float(condition), int(seed), (float(x), float(y)), float(rate), float(decay), float(b1), float(b2)
        )
        self.race = Race([enter(name, function) for name, function in optimizers.items()])
        super().__init__(label=f"Optimizer race. Surface: {place.title}.", config=self._configuration())

    def _configuration(self) -> dict[str, Any]:
        lanes = [{"name": lane.name, "series": lane.series, "eager": lane.eager} for lane in self.race.lanes]
        return {
            "steps": STEPS,
            "learningRates": [float(str(rate)) for rate in LEARNING_RATES],
            "conditions": CONDITIONS,
            "surfaces": [asdict(surface) for surface in SURFACES.values()],
            "lanes": lanes,
            "frame": picture.FRAME,
            "markers": picture.MARKERS,
            "setting": asdict(self.setting),
        }

    def answer_surface(self, question: dict[str, Any]) -> Answer:
        """Contours as SVG paths in the frame's pixels, and the range of the loss in the window."""
        setting = _setting(question)
        shape = contours(setting.surface, setting.condition, setting.seed)
        paths = picture.regions(shape, SURFACES[setting.surface])
        return {"regions": paths, "lowest": shape.lowest, "highest": shape.highest}, []

    def answer_race(self, question: dict[str, Any]) -> Answer:
        """Every lane from a start, at the chosen learning rate or, if a `bank` is asked for, at all of them.

        Two buffers, float32 of shape (lanes, rates, steps+1, 3), hold x, y and loss: of all lanes, and of the library
        for the lanes listed under `ghosts`, from which it differs.
        """
        setting = _setting(question["setting"])
        result = self.race.run(setting)
        rates = list(range(len(LEARNING_RATES))) if question["bank"] else [setting.rate]
        finishes = [
            [self._finish(result, setting, lane, rate) for rate in rates] for lane in range(len(self.race.lanes))
        ]
        ghosts = [i for i, row in enumerate(finishes) if any(f["problem"] or f["departs"] is not None for f in row)]
        buffers = [result.paths[:, rates], result.library[ghosts][:, rates]]
        return {"rates": rates, "finishes": finishes, "ghosts": ghosts}, [buffer.tobytes() for buffer in buffers]

    def _finish(self, result: Result, setting: Setting, lane: int, rate: int) -> dict[str, Any]:
        """What is said of one lane at one learning rate."""
        if problem := result.problems.get(lane):
            return asdict(problem) | {"problem": problem.message, "badges": [], "departs": None, "arrives": None}
        surface = SURFACES[setting.surface]
        floor = surface.floor
        if floor is None:
            floor = contours(setting.surface, setting.condition, setting.seed).lowest
        runs = (result.paths[lane, rate], result.library[lane, rate], result.apart[lane, rate])
        verdict = judge(*runs, surface, floor)
        return asdict(verdict) | {"problem": None, "waiting": False, "badges": verdict.badges}

    def picture(self) -> tuple[str, str]:
        """The race as it stands at first, with a table of how it ends."""
        setting, lanes = self.setting, self.race.lanes
        result = self.race.run(setting)
        paths = result.paths[:, setting.rate]
        rows, lines = [], []
        for i, (lane, path) in enumerate(zip(lanes, paths, strict=True)):
            finish = self._finish(result, setting, i, setting.rate)
            words = finish["problem"] or ", ".join(finish["badges"])
            loss = f"{path[-1, 2]:.3g}" if np.isfinite(path[-1, 2]) else "none"
            lines.append(f"{lane.name}: loss {loss} after {STEPS} steps; {words}")
            name = f"{picture.swatch(lane.series)} {escape(lane.name)}"
            rows.append(f'<tr><th scope="row">{name}</th><td>{loss}</td><td>{escape(words)}</td></tr>')
        head = "".join(f'<th scope="col">{name}</th>' for name in ("optimizer", f"loss after {STEPS} steps", "verdict"))
        shape = contours(setting.surface, setting.condition, setting.seed)
        drawing = picture.still(SURFACES[setting.surface], shape, lanes, paths, self.label)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        return drawing + table, "\n".join(lines)


def _setting(plain: dict[str, Any]) -> Setting:
    """The setting that the view sent."""
    x, y = plain["start"]
    return replace(Setting(**plain), start=(float(x), float(y)))
