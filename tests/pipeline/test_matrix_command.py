"""`gradlab matrix`: what it prints and its exit status, for lines made up here."""

import json

import pytest
import typer
from typer.testing import CliRunner

from gradlab_grading import cli, matrix
from gradlab_grading.matrix import Entry, Line

LONG = "a_mistake_whose_name_takes_all_of_44_columns"
KNOWN = tuple(Entry(name, "mistake", 2.5, True) for name in (LONG, "second", "third"))
OTHERS = tuple(Entry(name, "alternative", 4.0, False) for name in ("by_a_loop", "by_a_scan"))
GOOD = Line("04-optimizers", "sgd", 4.0, 7, 4.0, 0.0, 0.0, 0.0, KNOWN + OTHERS)
BAD = Line(
    "04-optimizers",
    "adam",
    4.0,
    7,
    4.0,
    stub=0.0,
    constant=0.0,
    hard_coded_hidden=1.0,
    entries=(Entry("lost", "mistake", 3.0, False), *KNOWN[1:], OTHERS[0], Entry("by_hand", "alternative", 3.5, False)),
)


@pytest.fixture
def run(monkeypatch):
    """Run `gradlab matrix 4` on given lines, in a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    app = typer.Typer()
    cli.register(app)

    def of(*lines, arguments=()):
        monkeypatch.setattr(matrix, "lines", lambda lab: {"04-optimizers": list(lines)}[lab])
        return CliRunner().invoke(app, ["matrix", "4", *arguments])

    return of


def rows(output):
    """The lines of the table by what stands first in them."""
    return {line.split("│")[1].strip(): line for line in output.splitlines() if line.startswith("│")}


def test_every_name_is_whole_in_a_narrow_terminal(run):
    found = run(GOOD)
    assert found.exit_code == 0, found.output
    table = rows(found.output)
    assert list(table) == ["sgd", "reference", "stub, constant, hard-coded", *(entry.name for entry in GOOD.entries)]
    assert "of 4 │ 7 cases" in table["sgd"]
    assert "0, 0, 0" in table["stub, constant, hard-coded"]
    assert "2.5 │ wrong: named" in table[LONG]
    assert "4 │ right: accepted" in table["by_a_loop"]
    assert max(map(len, found.output.splitlines())) <= 80


def test_a_gap_is_said_and_fails(run):
    found = run(GOOD, BAD)
    assert found.exit_code == 1
    table = rows(found.output)
    assert "wrong: NOT NAMED" in table["lost"]
    assert "right: REFUSED" in table["by_hand"]
    assert found.output.splitlines()[-3:] == [
        "GAP in adam: the hard-coded answer gets 1",
        "GAP in adam: mistake lost is not named",
        "GAP in adam: alternative by_hand gets 3.5",
    ]


def test_json_holds_everything(run):
    found = run(GOOD, BAD, arguments=["--json"])
    assert found.exit_code == 1
    good, bad = json.loads(found.output)
    assert (good["exercise"], good["points"], good["cases"], good["gaps"]) == ("sgd", 4.0, 7, [])
    assert (good["stub"], good["constant"], good["hard_coded_hidden"]) == (0, 0, 0)
    assert good["entries"][0] == {"name": LONG, "role": "mistake", "score": 2.5, "named": True}
    assert len(bad["gaps"]) == 3
