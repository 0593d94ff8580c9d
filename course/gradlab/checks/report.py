"""What a check found: a score for nbgrader, an explanation for people, and data for tools."""

from dataclasses import asdict, dataclass
from typing import Any

from gradlab.checks.mistake import Mistake
from gradlab.checks.page import page

MIMETYPE = "application/vnd.gradlab.report+json"


@dataclass(frozen=True)
class Row:
    """One case in a report. A hidden row has a name and a verdict, never an input or an expected value."""

    name: str
    passed: bool
    earned: float
    points: float
    hidden: bool
    unwritten: bool
    called: str
    got: str
    wanted: str
    problem: str
    because: str


@dataclass(frozen=True)
class Report:
    """The verdict on one exercise.

    Its `repr` is the score alone, since that is what nbgrader reads from a cell's `text/plain` as partial credit; its
    HTML is what people read, and `str` gives the same as text. `rest` is the number of points that other checks decide.
    """

    exercise: str
    lab: str
    points: float
    rest: float
    rows: tuple[Row, ...]
    mistakes: tuple[Mistake, ...] = ()

    @property
    def score(self) -> float:
        """Points earned: from 0 to `points`, to the hundredth."""
        return round(min(sum(row.earned for row in self.rows), self.points), 2)

    @property
    def passed(self) -> bool:
        return all(row.passed for row in self.rows)

    @property
    def unwritten(self) -> bool:
        return any(row.unwritten for row in self.rows)

    @property
    def headline(self) -> str:
        """The verdict in a sentence."""
        everything = any(row.hidden for row in self.rows)
        if self.unwritten:
            verdict = "not written yet"
        elif self.passed:
            verdict = "all checks passed" if everything else "visible checks passed"
        else:
            scope = "checks" if everything else "visible checks"
            verdict = f"{sum(row.passed for row in self.rows)} of {len(self.rows)} {scope} passed"
        rest = f"; hidden checks decide {self.rest:g} more" if self.rest else ""
        return f"{self.exercise}: {verdict}, {self.score:g} of {self.points:g} points{rest}"

    def __add__(self, other: "Report") -> "Report":
        """Both reports as one: points, rows and mistakes together, `rest` what neither decides."""
        if self.exercise != other.exercise:
            raise ValueError(f"reports on {self.exercise} and {other.exercise} do not add up")
        mistakes = self.mistakes + tuple(m for m in other.mistakes if m not in self.mistakes)
        points = self.points + other.points
        total = self.points + self.rest
        return Report(self.exercise, self.lab, points, total - points, self.rows + other.rows, mistakes)

    def __repr__(self) -> str:
        return f"{self.score:g}"

    def __str__(self) -> str:
        lines = [self.headline]
        for row in self.rows:
            lines.append(f"  {'passed' if row.passed else 'FAILED'}  {row.name}")
            if not row.passed and not row.hidden:
                details = (("called", row.called), ("got", row.got), ("wanted", row.wanted), ("so", row.problem))
                lines += [f"          {word}: {text}" for word, text in details if text]
        for known in self.mistakes:
            lines.append(f"  This looks like a known mistake: {known.title}.")
            lines.append(f"          The belief: {known.belief} {known.advice}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """The report as plain JSON data."""
        return {
            "exercise": self.exercise,
            "lab": self.lab,
            "score": self.score,
            "points": self.points,
            "rest": self.rest,
            "headline": self.headline,
            "passed": self.passed,
            "cases": [asdict(row) for row in self.rows],
            "mistakes": [
                {"name": m.name, "title": m.title, "belief": m.belief, "advice": m.advice} for m in self.mistakes
            ],
        }

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {"text/plain": repr(self), "text/html": page(self), MIMETYPE: self.as_dict()}
