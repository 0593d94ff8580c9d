"""A clone has neither source notebooks nor a gradebook: staff see its labs and grade them all the same."""

import shutil

import pytest
import typer
from nbgrader.api import Gradebook
from rich.console import Console

from gradlab_grading import engine_cli
from gradlab_grading import layout as places
from gradlab_grading.build import furnish

LAB = "98-toy"
# nbgrader's own: it makes objects before it adds them to its session.
pytestmark = pytest.mark.filterwarnings("ignore:Object of type <Submitted")


@pytest.fixture
def clone(course, monkeypatch):
    """The toy course as the repository, with one submission of a lab that nobody has generated."""
    course.grading.mkdir()
    shutil.copy(places.repository().grading / "nbgrader_config.py", course.grading)
    monkeypatch.setattr(places, "repository", lambda: course)
    monkeypatch.chdir(course.root)
    submitted = course.grading / "submitted" / "ada" / LAB
    submitted.mkdir(parents=True)
    (submitted / "toy.ipynb").write_text("{}")
    return course


def engine():
    return engine_cli._engine(None, ["--log-level=CRITICAL"])


def test_what_is_missing_is_made_and_the_rest_left(course):
    course.grading.mkdir()
    furnish(course)
    notebook = course.source / LAB / "toy.ipynb"
    first = notebook.read_bytes()
    notebook.write_text("mine")
    furnish(course)
    assert notebook.read_text() == "mine"
    shutil.rmtree(course.source)
    furnish(course)
    assert notebook.read_bytes() == first
    assert course.exchange.stat().st_mode & 0o777 == 0o777


def test_grading_generates_a_lab_that_the_gradebook_does_not_know(clone, capsys):
    engine_cli._introduce(engine(), LAB, Console())
    assert "generating it from toy.py" in capsys.readouterr().out
    with Gradebook(f"sqlite:///{clone.grading / 'gradebook.db'}", "gradlab") as gradebook:
        assert gradebook.find_notebook("toy", LAB).max_score > 0
    engine_cli._introduce(engine(), LAB, Console())
    assert capsys.readouterr().out == ""


def test_a_dry_run_generates_nothing(clone, capsys):
    with pytest.raises(typer.Exit):
        engine_cli.grade(course=clone.grading, dry_run=True)
    assert f"run `gradlab build {LAB}` first" in capsys.readouterr().err
    assert not clone.release.exists()
