"""A learner's own progress, read from the saved notebooks; nothing else is kept anywhere.

Notebooks that are open in JupyterLab count as they were last saved.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import nbformat

from gradlab.labs import TRACKS, Lab, available_labs
from gradlab.standing import Standing, standings, written


@dataclass(frozen=True)
class LabProgress:
    """How far one lab is. `problem` says why its notebook could not be read, and is empty where it could."""

    lab: Lab
    exercises: tuple[Standing, ...] = ()
    answered: int = 0
    questions: int = 0
    problem: str = ""

    @property
    def passed(self) -> int:
        """The number of exercises whose visible checks passed."""
        return sum(exercise.passed for exercise in self.exercises)

    @property
    def score(self) -> float:
        """Points of the visible checks."""
        return sum(exercise.score for exercise in self.exercises)

    @property
    def points(self) -> float:
        """Points that the visible checks decide."""
        return sum(exercise.points for exercise in self.exercises)

    @property
    def state(self) -> str:
        """In a few words."""
        if self.problem:
            return self.problem
        if all(exercise.state == "not run" for exercise in self.exercises) and not self.answered:
            return "not started"
        if self.passed == len(self.exercises) and self.answered == self.questions:
            return "ready to submit"
        return "started"


@dataclass(frozen=True)
class Progress:
    """Progress over the labs that are there. Its HTML is what the start page shows."""

    labs: tuple[LabProgress, ...]

    def by_role(self) -> dict[str, tuple[int, int]]:
        """For each role, exercises passed and exercises, over the labs of its track."""
        return {
            role: _count(it for lab in self.labs if lab.lab.number in numbers for it in lab.exercises)
            for role, numbers in TRACKS.items()
        }

    def by_skill(self) -> dict[str, tuple[int, int]]:
        """For each skill, exercises passed and exercises."""
        exercises = [exercise for lab in self.labs for exercise in lab.exercises]
        skills = dict.fromkeys(exercise.skill for exercise in exercises)
        return {skill: _count(it for it in exercises if it.skill == skill) for skill in skills}

    def as_dict(self) -> dict[str, Any]:
        """The progress as plain JSON data."""
        return {
            "labs": [
                {
                    "lab": it.lab.name,
                    "state": it.state,
                    "passed": it.passed,
                    "exercises": len(it.exercises),
                    "score": it.score,
                    "points": it.points,
                    "answered": it.answered,
                    "questions": it.questions,
                }
                for it in self.labs
            ],
            "roles": {role: list(count) for role, count in self.by_role().items()},
            "skills": {skill: list(count) for skill, count in self.by_skill().items()},
        }

    def __repr__(self) -> str:
        lines = [f"{it.lab.name}: {it.state}, {it.passed} of {len(it.exercises)} exercises" for it in self.labs]
        return "\n".join(lines) or "There is no lab here yet."

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": _page(self)}


def progress() -> Progress:
    """The progress in all labs that are there."""
    return Progress(tuple(lab_progress(lab) for lab in available_labs()))


def lab_progress(lab: Lab) -> LabProgress:
    """The progress in one lab, from its notebook as it was last saved."""
    try:
        notebook = nbformat.read(lab.notebook, as_version=4)
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, UnicodeDecodeError):
        return LabProgress(lab, problem="its notebook cannot be read")
    answered, questions = written(notebook)
    return LabProgress(lab, tuple(standings(notebook)), answered, questions)


def _count(exercises: Iterable[Standing]) -> tuple[int, int]:
    passed = [exercise.passed for exercise in exercises]
    return sum(passed), len(passed)


def _page(progress: Progress) -> str:
    """Tables with bars; colours are JupyterLab's own, so that they suit its light and its dark theme."""
    labs = [
        (f"{it.lab.number:02d} {it.lab.title}", (it.passed, len(it.exercises)), f"{it.state}; {_rest(it)}")
        for it in progress.labs
    ]
    roles = [(role, count, "") for role, count in progress.by_role().items() if count[1]]
    skills = [(skill, count, "") for skill, count in progress.by_skill().items()]
    tables = _table("Lab", labs) + _table("Role", roles) + _table("Skill", skills)
    return f'<div class="gradlab-progress">{_STYLE}{tables}</div>'


def _rest(lab: LabProgress) -> str:
    return f"{lab.score:g} of {lab.points:g} visible points, {lab.answered} of {lab.questions} written answers"


def _table(heading: str, rows: Sequence[tuple[str, tuple[int, int], str]]) -> str:
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{_bar(*count)}</td><td>{escape(remark)}</td></tr>'
        for name, count, remark in rows
    )
    head = f'<tr><th scope="col">{heading}</th><th scope="col">Exercises passed</th><th scope="col"></th></tr>'
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>" if rows else ""


def _bar(passed: int, total: int) -> str:
    share = 100 * passed / total if total else 0
    return (
        f'<span class="bar" aria-hidden="true"><span style="width:{share:.0f}%"></span></span>'
        f"<span>{passed} of {total}</span>"
    )


_STYLE = """<style>
.gradlab-progress table { border-collapse: collapse; margin: 0 0 1em; color: var(--jp-ui-font-color1, #1f1f1f); }
.gradlab-progress tr { background: none !important; }
.gradlab-progress th, .gradlab-progress td { text-align: left !important; padding: 4px 16px 4px 0; }
.gradlab-progress th { font-weight: normal; }
.gradlab-progress td:nth-child(2) { white-space: nowrap; }
.gradlab-progress th:first-child { min-width: 13em; }
.gradlab-progress thead th { font-weight: 600; border-bottom: 1px solid var(--jp-border-color1, #bdbdbd); }
.gradlab-progress .bar { display: inline-block; width: 8em; height: 8px; margin-right: 8px; border-radius: 4px;
  background: var(--jp-layout-color2, #e0e0e0); overflow: hidden; }
.gradlab-progress .bar > span { display: block; height: 100%; background: var(--jp-brand-color1, #1976d2); }
</style>"""
