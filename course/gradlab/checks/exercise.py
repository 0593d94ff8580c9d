"""An exercise's check: from cases to a report with points and a diagnosis."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

from gradlab.checks.case import Case, Outcome
from gradlab.checks.draw import VISIBLE_SEED, Draw
from gradlab.checks.mistake import Mistake, mistakes_of
from gradlab.checks.report import Report, Row
from gradlab.devices import multiply_in_all_bits
from gradlab.seam.handle import local

# Answers of known mistakes by exercise, mistake, kind of case, seed and the case's place: the same for every student.
_ANSWERS: dict[tuple, Any] = {}
Cases = Callable[[Draw], Iterable[Case]]


@dataclass(frozen=True)
class Exercise:
    """A check that takes the implementation as an argument: `checks.adam(adam)` gives a `Report`.

    `points` is what the exercise is worth, `visible` the part of it that the visible cases decide; hidden cases of the
    staff package decide the rest. `arguments` are the implementations' names, in order.
    """

    name: str
    lab: str
    cases: Cases
    points: float
    visible: float
    arguments: tuple[str, ...]
    skill: str

    def __call__(self, *implementations: Any) -> Report:
        """Runs the visible cases. Raises TypeError when not given exactly what `arguments` names."""
        outcomes = self.ask(implementations, drawn(self.cases, VISIBLE_SEED, self.name))
        return self.report(implementations, outcomes, points=self.visible, seed=VISIBLE_SEED)

    def ask(self, implementations: tuple, cases: Iterable[Case]) -> list[Outcome]:
        """The outcome of each case, on a student's functions or on handles of them."""
        if len(implementations) != len(self.arguments):
            wanted = ", ".join(self.arguments)
            raise TypeError(f"checks.{self.name}({wanted}) takes {len(self.arguments)}, got {len(implementations)}")
        multiply_in_all_bits()
        handles = local(**dict(zip(self.arguments, implementations, strict=True)))
        return [case.ask(handles) for case in cases]

    def report(self, implementations: tuple, outcomes: list[Outcome], *, points: float, seed: int) -> Report:
        """`points` shared out over the outcomes by weight, with the mistakes that they look like.

        `seed` is that from which the cases were drawn.
        """
        total = sum(outcome.case.weight for outcome in outcomes)
        genuine = any(outcome.passed and not outcome.case.trivial for outcome in outcomes)
        rows = tuple(_row(outcome, points * outcome.case.weight / total, genuine) for outcome in outcomes)
        return Report(
            exercise=self.name,
            lab=self.lab,
            points=points,
            rest=self.points - points,
            rows=rows,
            mistakes=tuple(self._diagnose(implementations, outcomes, seed)),
        )

    def _diagnose(self, implementations: tuple, outcomes: list[Outcome], seed: int) -> list[Mistake]:
        """The known mistakes that answer as the student did: in most cases, a failed one among them.

        Of several, those are given that agree in most cases, and of these those that explain most of the failed ones.
        """
        if all(outcome.passed or outcome.unwritten for outcome in outcomes):
            return []
        agreement = {}
        failed = [self._concerned(implementations, place, outcomes) for place in range(len(implementations))]
        for known in mistakes_of(self.lab, self.name):
            if not any(failed[known.position]):
                continue
            given = list(implementations)
            given[known.position] = known.implementation
            handles = local(**dict(zip(self.arguments, given, strict=True)))
            count, explains, differs = 0, 0, 0
            for number, outcome in enumerate(outcomes):
                answer = self._answer(known, outcome.case, handles, (seed, number))
                same = outcome.case.same(answer, outcome.got)
                count, differs = count + same, differs + (not same)
                explains += same and failed[known.position][number]
                # One answer may differ (the same mistake in other words); two are another mistake, and cost time.
                if differs > 1:
                    break
            if explains:
                agreement[known] = count, explains
        return [known for known, found in agreement.items() if found == max(agreement.values())]

    def _concerned(self, implementations: tuple, position: int, outcomes: list[Outcome]) -> list[bool]:
        """Which outcomes are failures of cases that ask the function at `position`; others may be about another one."""
        if len(implementations) == 1:
            return [not outcome.passed for outcome in outcomes]
        given = list(implementations)
        given[position] = _nothing
        handles = local(**dict(zip(self.arguments, given, strict=True)))
        return [not it.passed and not it.case.same(it.case.ask(handles).got, it.got) for it in outcomes]

    def _answer(self, known: Mistake, case: Case, handles: tuple, question: tuple[int, int]) -> Any:
        """What a known mistake answers to a case; asked once, unless the student's functions have a part in it."""
        if len(handles) > 1:
            return case.ask(handles).got
        key = (self.cases, known.implementation, case.hidden, question)
        if key not in _ANSWERS:
            _ANSWERS[key] = case.ask(handles).got
        return _ANSWERS[key]


@lru_cache(maxsize=256)
def drawn(cases: Cases, seed: int, exercise: str) -> tuple[Case, ...]:
    """The cases of a seed, made once: a batch asks every student the same, and what is wanted takes time to compute."""
    return tuple(cases(Draw(seed, exercise)))


def _nothing(*_: Any, **__: Any) -> None:
    raise NotImplementedError


def _row(outcome: Outcome, points: float, genuine: bool) -> Row:
    case = outcome.case
    got, wanted = outcome.shown()
    earned = points if outcome.passed and (genuine or not case.trivial) else 0.0
    return Row(
        name=case.name,
        passed=outcome.passed,
        earned=earned,
        points=points,
        hidden=case.hidden,
        unwritten=outcome.unwritten,
        called="" if case.hidden else outcome.called,
        got="" if case.hidden else got,
        wanted="" if case.hidden else wanted,
        problem="" if case.hidden else outcome.problem or "",
        because="" if case.hidden else case.because,
    )


def exercise(
    *, points: float, visible: float, skill: str, arguments: tuple[str, ...] = ()
) -> Callable[[Cases], Exercise]:
    """Makes a generator of cases an `Exercise` of the generator's name, in the lab of its module's name."""

    def make(cases: Cases) -> Exercise:
        name = getattr(cases, "__name__", "")
        lab = cases.__module__.rpartition(".")[2]
        return Exercise(name, lab, cases, points, visible, arguments or (name,), skill)

    return make


def exercises(module: ModuleType) -> list[Exercise]:
    """The exercises of a lab's module, in the order in which they are defined."""
    return [value for value in vars(module).values() if isinstance(value, Exercise)]
