"""What the person who grades sees: a line a worker while it runs, a table at the end."""

import io
import re

import pytest
from rich.console import Console

from gradlab_grading.display import LiveDisplay, summary
from gradlab_grading.engine import Outcome
from gradlab_grading.job import CHECKER, Cell, Job
from gradlab_grading.limits import Limits

CELLS = tuple(Cell(index, "1 + 1", grade=False) for index in range(4))
ANNOTATED = "[red]ada[/red]"


def job(student):
    return Job(("toy", student, "lab"), CELLS, (), (), CHECKER, Limits(), 7)


@pytest.fixture
def terminal():
    return Console(file=io.StringIO(), force_terminal=True, width=100, _environ={})


def shown(display):
    """The lines that stand in the terminal now, without bars."""
    console = Console(file=io.StringIO(), width=120)
    console.print(display.progress.get_renderable())
    return [re.sub(r"\s+[━╸╺ ]*\s\d+/.*", "", line) for line in console.file.getvalue().splitlines()]


def test_a_line_for_each_worker(terminal):
    ada, ben, cleo = job(ANNOTATED), job("ben"), job("cleo")
    with LiveDisplay(terminal) as display:
        display.begin(3, 2)
        assert shown(display) == [
            "submissions, 2 at a time",
            "  starting; the first time it compiles what the lab needs",
        ]
        display.cell("worker 0", ada, CELLS[0])
        display.cell("worker 1", ben, CELLS[3])
        batch, first, second = display.progress.tasks
        assert shown(display)[1:] == [f"  worker 0: {ANNOTATED}/lab", "  worker 1: ben/lab"]
        assert (first.completed, second.completed, second.total) == (0, 3, 4)
        # A worker may begin its next submission before the coordinator has recorded the last.
        display.cell("worker 1", cleo, CELLS[0])
        display.done(Outcome("ben", "graded", 1, 2))
        assert sorted(shown(display)[1:]) == [f"  worker 0: {ANNOTATED}/lab", "  worker 1: cleo/lab"]
        assert (batch.completed, batch.total) == (1, 3)
        display.done(Outcome(ANNOTATED, "graded", 1, 2))
        assert shown(display)[1:] == ["  worker 1: cleo/lab"]


def test_where_no_terminal_is_each_submission_is_a_line():
    console = Console(file=io.StringIO(), width=100)
    with LiveDisplay(console) as display:
        display.begin(2, 1)
        display.done(Outcome(ANNOTATED, "graded", 1.5, 2, needs_manual_grade=True))
        display.done(Outcome("ben", "failed"))
    first, second, *_ = console.file.getvalue().splitlines()
    assert first.endswith(f"{ANNOTATED}: graded, 1.5 of 2, by hand the rest")
    assert second.endswith("ben: failed")


def test_the_summary_shows_what_students_wrote_as_it_is(terminal):
    outcomes = [Outcome("zoe", "skipped"), Outcome(ANNOTATED, "graded", 1.5, 2, 3.21, notes=["[b]one[/b]", "two"])]
    terminal.print(summary(outcomes, "kernel"))
    text = terminal.file.getvalue()
    assert "test cells ran in the student kernel" in text
    for words in (ANNOTATED, "1.5 of 2", "3.2 s", "[b]one[/b]", "two"):
        assert words in text
    assert text.index(ANNOTATED) < text.index("zoe")
    assert summary(outcomes, "").title == "nothing was run: saved outputs decided"
    assert outcomes[1].notes == ["[b]one[/b]", "two"]
