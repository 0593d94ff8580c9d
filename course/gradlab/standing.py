"""Where each exercise of a notebook stands, read from the outputs that its test cells hold."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    # It costs more than a second, which `gradlab --help` need not wait for.
    from nbformat import NotebookNode

REPORT = "application/vnd.gradlab.report+json"  # gradlab.checks.report.MIMETYPE, without importing JAX
State = Literal["passed", "failed", "not written", "not run"]


@dataclass(frozen=True)
class Standing:
    """One exercise: what its visible check said the last time that it ran.

    `points` are those that the visible check decides, and `score` what it gave. `remark` names the
    mistakes that it recognised, or the error with which the cell ended.
    """

    exercise: str
    skill: str
    points: float
    score: float = 0.0
    state: State = "not run"
    remark: str = ""

    @property
    def passed(self) -> bool:
        return self.state == "passed"


def standings(notebook: "NotebookNode") -> list[Standing]:
    """The exercises of a notebook, in order."""
    return [_standing(cell) for cell in notebook.cells if "gradlab" in cell.metadata]


def written(notebook: "NotebookNode") -> tuple[int, int]:
    """How many written questions are answered, and how many there are."""
    from nbgrader.utils import compute_checksum, is_grade, is_solution

    questions = [cell for cell in notebook.cells if is_grade(cell) and is_solution(cell)]
    answered = [cell for cell in questions if compute_checksum(cell) != cell.metadata.nbgrader.get("checksum")]
    return len(answered), len(questions)


def planned_minutes(notebook: "NotebookNode") -> int:
    """The time that the exercises say they take, added up."""
    return sum(int(minutes) for cell in notebook.cells for minutes in re.findall(r"About (\d+) minutes", cell.source))


def _standing(cell: "NotebookNode") -> Standing:
    about = cell.metadata.gradlab
    exercise, skill, points = about["exercise"], about["skill"], about["visible"]
    for output in reversed(cell.get("outputs", [])):
        if output.output_type == "error":
            # An unwritten cell raises before it has defined the name that is checked here.
            state: State = "not written" if output.ename == "NameError" else "failed"
            return Standing(exercise, skill, points, state=state, remark=f"{output.ename}: {output.evalue}")
        report = output.get("data", {}).get(REPORT)
        if report:
            unwritten = any(case["unwritten"] for case in report["cases"])
            state = "passed" if report["passed"] else "not written" if unwritten else "failed"
            remark = "; ".join(mistake["title"] for mistake in report["mistakes"])
            return Standing(exercise, skill, report["points"], report["score"], state, remark)
    return Standing(exercise, skill, points)
