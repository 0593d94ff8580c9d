"""The matrix: every check against every implementation that is known to be right or wrong."""

import importlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from gradlab.checks.exercise import Exercise, exercises
from gradlab.checks.mistake import mistakes_of
from gradlab.checks.report import Report
from gradlab.seam import plain
from gradlab_grading.alternatives import alternatives_of
from gradlab_grading.reference import lab_folders, reference

MISTAKES_WANTED, ALTERNATIVES_WANTED = 5, 2
SMALL_EXERCISE, MISTAKES_WANTED_SMALL = 10, 3


@dataclass(frozen=True)
class Entry:
    """An implementation in the matrix: `role` is mistake or alternative; `named` whether the report names it."""

    name: str
    role: str
    score: float
    named: bool


@dataclass(frozen=True)
class Line:
    """One exercise in the matrix, with all that is wrong with it in `gaps`."""

    lab: str
    exercise: str
    points: float
    cases: int
    reference: float
    stub: float
    constant: float
    hard_coded_hidden: float
    entries: tuple[Entry, ...]

    @property
    def effort(self) -> bool:
        """A prediction: there is nothing to get wrong."""
        return not self.entries and self.hard_coded_hidden == 0

    @property
    def gaps(self) -> list[str]:
        """What blocks a release, a sentence each."""
        mistakes = [entry for entry in self.entries if entry.role == "mistake"]
        others = [entry for entry in self.entries if entry.role == "alternative"]
        found = []
        if self.reference != self.points:
            found.append(f"the reference gets {self.reference:g} of {self.points:g}")
        for name, score in (("stub", self.stub), ("constant", self.constant), ("hard-coded", self.hard_coded_hidden)):
            if score:
                found.append(f"the {name} answer gets {score:g}")
        wanted = MISTAKES_WANTED if self.points >= SMALL_EXERCISE else MISTAKES_WANTED_SMALL
        if not self.effort and len(mistakes) < wanted:
            found.append(f"{len(mistakes)} mistakes, {wanted} are wanted")
        if not self.effort and len(others) < ALTERNATIVES_WANTED:
            found.append(f"{len(others)} alternatives, {ALTERNATIVES_WANTED} are wanted")
        found += [f"mistake {m.name} loses no marks" for m in mistakes if m.score >= self.points]
        found += [f"mistake {m.name} is not named" for m in mistakes if not m.named]
        found += [f"alternative {a.name} gets {a.score:g}" for a in others if a.score != self.points]
        return found


def lines(lab: str) -> list[Line]:
    """The matrix of one lab, by its folder's name."""
    source = lab_folders()[lab]
    names = reference(source)
    module = importlib.import_module(f"gradlab.checks.{source.stem}")
    return [line(lab, exercise, tuple(names[name] for name in exercise.arguments)) for exercise in exercises(module)]


def line(lab: str, exercise: Exercise, right: tuple) -> Line:
    """One exercise against everything in the banks, given the reference's implementations."""
    check = whole_check(exercise)
    recorders = tuple(Recorder(it) if callable(it) else it for it in right)
    exercise(*recorders)
    full = check(*right)
    hard_coded = check(*(r.replay if isinstance(r, Recorder) else r for r in recorders))
    answers_nothing = all(isinstance(r, Recorder) and not r.takes_inputs for r in recorders)
    effort = exercise.points == exercise.visible
    stubs = tuple(_stub if callable(it) else None for it in right)
    constants = tuple(r.constant if isinstance(r, Recorder) else None for r in recorders)
    return Line(
        lab=lab,
        exercise=exercise.name,
        points=exercise.points,
        cases=len(full.rows),
        reference=full.score,
        stub=check(*stubs).score,
        constant=check(*constants).score,
        # Where a function takes no input, its answer is data, and writing it down is the solution.
        hard_coded_hidden=0.0 if effort or answers_nothing else _hidden_score(hard_coded),
        entries=tuple(_entries(exercise, check, right)),
    )


def whole_check(exercise: Exercise) -> Callable[..., Report]:
    """The hidden check where there is one, else the visible check, which then decides all points."""
    module = importlib.import_module(f"gradlab_grading.hidden.{exercise.lab}")
    return getattr(module, exercise.name, exercise)


def _entries(exercise: Exercise, check: Callable[..., Report], right: tuple) -> list[Entry]:
    found = []
    for mistake in mistakes_of(exercise.lab, exercise.name):
        given = list(right)
        given[mistake.position] = mistake.implementation
        report = check(*given)
        named = mistake.name in [known.name for known in report.mistakes]
        found.append(Entry(mistake.name, "mistake", report.score, named))
    for name, given in other_answers(exercise).items():
        found.append(Entry(name, "alternative", check(*given).score, False))
    return found


def other_answers(exercise: Exercise) -> dict[str, tuple]:
    """The implementations that each alternative of an exercise consists of, by its name."""
    several = len(exercise.arguments) > 1
    return {it.__name__: it() if several else (it,) for it in alternatives_of(exercise.lab, exercise.name)}


def _hidden_score(report: Report) -> float:
    return round(sum(row.earned for row in report.rows if row.hidden), 2)


def _stub(*_: Any, **__: Any) -> Any:
    raise NotImplementedError


class Recorder:
    """Writes down what an implementation answers to the visible check, as somebody who hard-codes answers does."""

    def __init__(self, implementation: Callable[..., Any]) -> None:
        self._implementation = implementation
        self._answers: dict[bytes, Any] = {}
        self.__name__ = getattr(implementation, "__name__", type(implementation).__name__)

    @property
    def takes_inputs(self) -> bool:
        return set(self._answers) != {_fingerprint((), {})}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        answer = self._implementation(*args, **kwargs)
        if (key := _fingerprint(args, kwargs)) is not None and _fingerprint((answer,), {}) is not None:
            self._answers[key] = answer
        return answer

    def replay(self, *args: Any, **kwargs: Any) -> Any:
        """The answer that was written down; for a question that was not asked then, the first one."""
        if not self._answers:
            raise ValueError("nothing plain was answered, so there is nothing to copy")
        return self._answers.get(_fingerprint(args, kwargs) or b"", next(iter(self._answers.values())))

    def constant(self, *_: Any, **__: Any) -> Any:
        """Zeros in the form of the first answer."""
        if not self._answers:
            return None
        return jax.tree.map(
            lambda leaf: np.zeros_like(leaf) if plain.is_array(leaf) else None, next(iter(self._answers.values()))
        )


def _fingerprint(args: tuple, kwargs: dict) -> bytes | None:
    def refuse(_: Any) -> int:
        raise plain.NotPlain

    try:
        return plain.encode((args, kwargs), refuse)
    except plain.NotPlain:
        return None


def run(lab: str | None, *, as_json: bool) -> bool:
    """Prints the matrix of one lab or of all; True if there is no gap. Raises KeyError for an unknown lab."""
    found = [line for name in ([lab] if lab else lab_folders()) for line in lines(name)]
    if as_json:
        print(json.dumps([asdict(line) | {"gaps": line.gaps} for line in found], indent=2))
    else:
        _show(found)
    return not any(line.gaps for line in found)


def _show(found: list[Line]) -> None:
    """A table with a section for each exercise, in which no name is cut at 80 columns; then the gaps."""
    console = Console(highlight=False, soft_wrap=True)
    table = Table("exercise, then implementations", "score", "verdict")
    table.columns[0].no_wrap = True
    table.columns[1].justify = "right"
    for line in found:
        table.add_row(
            f"[bold]{line.exercise}[/bold]", f"of {line.points:g}", f"{line.cases} case{'s' * (line.cases > 1)}"
        )
        table.add_row("  reference", f"{line.reference:g}", "")
        nothing = (line.stub, line.constant, line.hard_coded_hidden)
        table.add_row("  stub, constant, hard-coded", ", ".join(f"{score:g}" for score in nothing), "")
        for entry in line.entries:
            table.add_row(f"  {entry.name}", f"{entry.score:g}", _verdict(entry, line))
        table.add_section()
    console.print(table)
    show_gaps(console, [(line.exercise, gap) for line in found for gap in line.gaps])


def show_gaps(console: Console, gaps: list[tuple[str, str]]) -> None:
    """A line for each gap, given with the exercise that it is in."""
    for exercise, gap in gaps:
        console.print(f"[bold]GAP[/bold] in {exercise}: {gap}")


def _verdict(entry: Entry, line: Line) -> str:
    if entry.role == "mistake":
        return "wrong: named" if entry.named else "wrong: NOT NAMED"
    return "right: accepted" if entry.score == line.points else "right: REFUSED"
