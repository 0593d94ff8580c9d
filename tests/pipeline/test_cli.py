"""The `gradlab` command line: what it prints, and its exit status."""

import json
import os
import subprocess
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

from gradlab import cli
from gradlab_grading import cli as staff
from submissions import fill, reference

TESTS = Path(__file__).parents[1]


@pytest.fixture
def gradlab(monkeypatch):
    """Run `gradlab ...` in this process, a terminal of 160 columns; its kernels find the toy's checks."""
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]))
    return lambda *arguments: CliRunner().invoke(cli.app, arguments)


@pytest.fixture
def solve(published, tmp_path):
    """Write the student's notebook with some answers in it, and return its path."""
    layout, notebook = published
    released = nbformat.read(notebook, as_version=4)
    right = reference(nbformat.read(layout.source / "98-toy" / "toy.ipynb", as_version=4))

    def write(**answers):
        path = tmp_path / "toy.ipynb"
        nbformat.write(
            fill(released, {name.replace("_", "-"): text or right[name] for name, text in answers.items()}), path
        )
        return path

    return write


def test_check_passes_where_every_visible_check_does(gradlab, solve):
    path = solve(double=None, halve=None)
    before = path.read_bytes()
    run = gradlab("check", str(path))
    assert run.exit_code == 0, run.output
    assert "2 of 2 passed" in run.output
    assert "4 of 4" in run.output
    assert path.read_bytes() == before


def test_check_names_the_mistake_and_the_stub(gradlab, solve):
    run = gradlab("check", str(solve(double="def double(x):\n    return x * x")))
    assert run.exit_code == 1
    rows = {line.split("│")[1].strip(): line for line in run.output.splitlines() if line.startswith("│")}
    assert "failed" in rows["double"]
    assert "Double is the square" in rows["double"]
    assert "not written yet" in rows["halve"]
    assert "0 of 2 passed" in rows["together"]


def test_check_tells_the_error_of_a_cell_and_goes_on(gradlab, solve):
    run = gradlab("check", "--json", str(solve(double="import no_such_module", halve=None)))
    assert run.exit_code == 1
    (exercises,) = json.loads(run.stdout).values()
    assert [(it["exercise"], it["state"]) for it in exercises] == [("double", "not written"), ("halve", "passed")]
    assert "name 'double' is not defined" in exercises[0]["remark"]


def test_check_says_where_a_kernel_died(gradlab, solve):
    run = gradlab("check", str(solve(double="import os\n\nos._exit(1)")))
    assert run.exit_code == 1
    assert "The kernel died in cell 4 of toy.ipynb ('import os')" in run.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "nonsense"], "There is no lab 'nonsense'. The labs are:\n  01-preprocessing"),
        (["check", "14"], "lab 14-capstone is not in this copy of the course"),
        (["check", "nowhere.ipynb"], "there is no notebook nowhere.ipynb"),
    ],
)
def test_a_lab_that_is_not_there_is_named(gradlab, arguments, words):
    run = gradlab(*arguments)
    assert run.exit_code == 2
    assert words in run.output


def test_a_file_that_is_no_notebook_is_named(gradlab, tmp_path):
    (tmp_path / "torn.ipynb").write_text('{"cells": [')
    run = gradlab("check", str(tmp_path / "torn.ipynb"))
    assert run.exit_code == 1
    assert "is not a notebook" in run.output


def test_labs_lists_the_whole_course(gradlab):
    rows = json.loads(gradlab("labs", "--json").output)
    assert len(rows) == 14
    assert rows[3] == {
        "lab": "04-optimizers",
        "title": "Optimizers",
        "roles": ["algorithm engineer"],
        "here": True,
    }


def test_the_staff_package_adds_its_commands():
    run = subprocess.run(["gradlab", "--help"], capture_output=True, text=True, check=True)
    for command in ("check", "progress", "labs", "build", "student-copy", "matrix"):
        assert f"  {command} " in run.stdout


def test_build_of_an_unknown_lab_lists_the_sources():
    run = subprocess.run(["gradlab", "build", "nonsense"], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "There is no source for a lab 'nonsense'. The sources are:\n" in run.stderr
    assert "  04-optimizers\n" in run.stderr


def test_build_finds_the_programs_of_its_environment(course, monkeypatch):
    monkeypatch.setattr("gradlab_grading.layout.repository", lambda: course)
    monkeypatch.setattr("gradlab_grading.startpage.write", lambda _: None)  # it lists labs that the toy has not
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # as where the environment is not activated
    staff.build(check=False)
    assert (course.labs / "98-toy" / "toy.ipynb").exists()
