"""Margins: how near the right answers come to a check's tolerances, over many hidden seeds.

A hidden seed is drawn for each batch. A right answer that fails under one seed in a hundred costs a whole class its
points on some Monday, and no single run of the matrix is likely to see it.
"""

import importlib
import json
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from gradlab.checks.case import Case, Outcome
from gradlab.checks.draw import Draw
from gradlab.checks.exercise import Exercise, exercises
from gradlab_grading.hidden import Hidden
from gradlab_grading.matrix import other_answers, show_gaps, whole_check
from gradlab_grading.reference import lab_folders, reference

REFUSED = float("inf")
# The first hidden seed; 0 is the visible one.
FIRST = 1


@dataclass(frozen=True)
class Margin:
    """The right answer that came nearest to failing in one case, and the seed under which it did.

    `most` is the part of the tolerance that it used there, `REFUSED` where it failed; `median` that over all seeds.
    """

    lab: str
    exercise: str
    case: str
    answer: str
    seed: int
    most: float
    median: float

    @property
    def gap(self) -> str | None:
        """What blocks a release, in a sentence: a failure, or a seed that added more than the tolerance has left."""
        where = f"{self.case!r} under hidden seed {self.seed}"
        if self.most == REFUSED:
            return f"{self.answer} is right and fails {where}"
        if self.most - self.median > 1 - self.most:
            return f"{self.answer} uses {self.most:.0%} of the tolerance of {where}, and {self.median:.0%} as a rule"
        return None


def right_answers(exercise: Exercise, names: dict[str, Any]) -> dict[str, tuple]:
    """The reference's implementations of an exercise, taken from what its lab defines, and every alternative."""
    return {"reference": tuple(names[name] for name in exercise.arguments)} | other_answers(exercise)


def margins(check: Hidden, answers: dict[str, tuple], seeds: int) -> list[Margin]:
    """The margin of each hidden case over so many seeds, given right answers by name."""
    exercise = check.exercise
    used: dict[tuple[str, str], list[tuple[float, int]]] = defaultdict(list)
    for seed in range(FIRST, FIRST + seeds):
        cases = check.cases(Draw(seed, exercise.name))
        for answer, implementations in answers.items():
            for outcome in exercise.ask(implementations, cases):
                used[outcome.case.name, answer].append((_share(outcome), seed))
    worst: dict[str, Margin] = {}
    for (case, answer), shares in used.items():
        most, seed = max(shares)
        median = float(np.median([share for share, _ in shares]))
        if case not in worst or most > worst[case].most:
            worst[case] = Margin(exercise.lab, exercise.name, case, answer, seed, most, median)
    return list(worst.values())


def run(lab: str | None, seeds: int, *, as_json: bool) -> bool:
    """Prints the margins of one lab, given by its folder's name, or of all; True if there is no gap."""
    found = []
    with Console(stderr=True).status("") as status:
        for folder in [lab] if lab else lab_folders():
            source = lab_folders()[folder]
            names = reference(source)
            for exercise in exercises(importlib.import_module(f"gradlab.checks.{source.stem}")):
                status.update(f"{folder}: {exercise.name}, {seeds} hidden seeds")
                if isinstance(check := whole_check(exercise), Hidden):
                    found += margins(check, right_answers(exercise, names), seeds)
    if as_json:
        # JSON has no infinity.
        shown = [asdict(it) | {"most": None if it.most == REFUSED else it.most, "gap": it.gap} for it in found]
        print(json.dumps(shown, indent=2))
    else:
        _show(found)
    return not any(it.gap for it in found)


def _share(outcome: Outcome) -> float:
    if not outcome.passed:
        return REFUSED
    return 0.0 if outcome.case.judge else tolerance_used(outcome.case, outcome.got)


def tolerance_used(case: Case, got: Any) -> float:
    """The largest |got - want| / (atol + rtol |want|) over all numbers of an answer that agrees with what is wanted."""
    leaves = zip(jax.tree.leaves(got), jax.tree.leaves(case.want), strict=True)
    return max((_used(np.asarray(g), np.asarray(w), case) for g, w in leaves), default=0.0)


def _used(got: np.ndarray, want: np.ndarray, case: Case) -> float:
    if want.dtype.kind not in "fcV":  # a V is bfloat16 to NumPy
        return 0.0
    wide = np.complex128 if want.dtype.kind == "c" else np.float64
    got, want = got.astype(wide), want.astype(wide)
    counts = np.isfinite(want)
    gap, tolerance = np.abs(got[counts] - want[counts]), case.atol + case.rtol * np.abs(want[counts])
    return float(np.divide(gap, tolerance, out=np.zeros_like(gap), where=gap > 0).max(initial=0.0))


def _show(found: list[Margin]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    table = Table("exercise, then cases", "most of the tolerance used")
    table.columns[1].justify = "right"
    exercise = None
    for it in found:
        if it.exercise != exercise:
            table.add_section()
            table.add_row(f"[bold]{it.exercise}[/bold]", "")
            exercise = it.exercise
        table.add_row(f"  {it.case}", "REFUSED" if it.most == REFUSED else f"{it.most:.0%}")
    console.print(table)
    show_gaps(console, [(it.exercise, it.gap) for it in found if it.gap])
