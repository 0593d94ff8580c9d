"""Margins of a made-up exercise whose numbers may fall near zero, and the command that shows them."""

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from gradlab.checks.case import Case
from gradlab.checks.exercise import Exercise
from gradlab_grading import cli, margins
from gradlab_grading.hidden import hidden
from gradlab_grading.margins import REFUSED, Margin, tolerance_used

SAFE = Margin("optimizers", "sgd", "a short batch", "reference", 3, 0.25, 0.02)
STEADY = Margin("optimizers", "sgd", "rounded as published", "reference", 3, 0.9, 0.88)
NEAR = Margin("optimizers", "adam", "four steps", "by_increments", 28, 0.75, 0.1)
FAILED = Margin("optimizers", "adam", "tiny gradients", "reference", 51, REFUSED, 0.1)


def cases(draw):
    x, y = draw.normal(3), draw.normal(3)
    yield Case("minus", lambda minus: minus(x, y), want=x.astype(np.float64) - y, rtol=1e-5, atol=0.0)
    yield Case("in a word", lambda minus: "more" if minus(2.0, 1.0) > 0 else "less", want="more")
    yield Case("judged", lambda minus: minus(2.0, 1.0), judge=lambda got: None if got > 0.5 else "it is 1")


def rounded(x, y):
    """Right but for 5e-8, which is much only where the two are nearly equal: under one seed in a hundred or so."""
    return x - y + np.float32(5e-8)


def of_toy(seeds):
    check = hidden(Exercise("minus", "toy", cases, points=4, visible=1, arguments=("minus",), skill="arithmetic"))
    answers = {"reference": (np.subtract,), "rounded": (rounded,)}
    return {it.case: it for it in margins.margins(check, answers, seeds)}


def test_what_only_some_seeds_show_is_found_with_its_answer_and_seed():
    few, many = of_toy(1)["minus"], of_toy(300)["minus"]
    assert few.gap is None
    assert 0 < few.most < 0.5
    assert (many.most, many.answer) == (REFUSED, "rounded")
    assert 0 < many.median < 0.5
    assert many.gap == f"rounded is right and fails 'minus' under hidden seed {many.seed}"


def test_words_and_verdicts_use_no_tolerance():
    assert {name: it.most for name, it in of_toy(3).items() if name != "minus"} == {"in a word": 0, "judged": 0}


def test_the_largest_share_of_all_numbers_counts():
    want = {"a": np.array([1.0, 100.0, np.inf]), "b": [np.float32(0.0), 7]}
    case = Case("", lambda: None, want=want, rtol=1e-2, atol=1e-3)
    got = {"a": np.array([1.0, 100.5, np.inf]), "b": [np.float32(0.0), 7]}
    assert tolerance_used(case, got) == pytest.approx(0.5 / 1.001, rel=1e-6)
    got["b"][0] = np.float32(9e-4)
    assert tolerance_used(case, got) == pytest.approx(0.9, rel=1e-6)


@pytest.fixture
def run(monkeypatch):
    """Run `gradlab margins 4` on margins given by exercise, in a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    app = typer.Typer()
    cli.register(app)

    def of(*given, arguments=()):
        monkeypatch.setattr(margins, "reference", lambda source: {})
        monkeypatch.setattr(margins, "right_answers", lambda exercise, names: {})
        monkeypatch.setattr(
            margins, "margins", lambda check, answers, seeds: [it for it in given if it.exercise == check.exercise.name]
        )
        return CliRunner().invoke(app, ["margins", "4", *arguments])

    return of


def test_the_command_shows_each_case(run):
    shown = run(SAFE, STEADY)
    assert shown.exit_code == 0, shown.output
    table = {line.split("│")[1].strip(): line for line in shown.output.splitlines() if line.startswith("│")}
    assert list(table) == ["sgd", "a short batch", "rounded as published"]
    assert "25%" in table["a short batch"]
    assert "GAP" not in shown.output


def test_a_gap_is_said_and_fails(run):
    shown = run(SAFE, NEAR, FAILED)
    assert shown.exit_code == 1
    assert "REFUSED" in next(line for line in shown.output.splitlines() if "tiny gradients" in line)
    assert shown.output.splitlines()[-2:] == [
        "GAP in adam: by_increments uses 75% of the tolerance of 'four steps' under hidden seed 28, and 10% as a rule",
        "GAP in adam: reference is right and fails 'tiny gradients' under hidden seed 51",
    ]


def test_json_holds_everything(run):
    safe, near, failed = json.loads(run(SAFE, NEAR, FAILED, arguments=["--json"]).stdout)
    assert (safe["case"], safe["most"], safe["gap"]) == ("a short batch", 0.25, None)
    assert near["gap"] == NEAR.gap
    assert (failed["most"], failed["gap"]) == (None, FAILED.gap)
