"""A course of one toy lab, in a folder of its own."""

import shutil
from pathlib import Path

import pytest

from gradlab_grading.layout import Layout

TOY = Path(__file__).parent / "toy"


@pytest.fixture
def course(tmp_path):
    """The toy course, unbuilt."""
    shutil.copytree(TOY, tmp_path / "course")
    return Layout(tmp_path / "course")


@pytest.fixture
def source(course):
    """The toy lab's source."""
    return course.solutions / "98-toy" / "toy.py"


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """The toy course with its student's notebook made, and the notebook's path. Not to be changed."""
    from gradlab_grading.publish import publish

    root = tmp_path_factory.mktemp("published")
    shutil.copytree(TOY, root, dirs_exist_ok=True)
    layout = Layout(root)
    notebook, _ = publish(layout.solutions / "98-toy" / "toy.py", layout)
    return layout, notebook


@pytest.fixture
def copied(published, tmp_path):
    """A published toy course of one's own, and its source."""
    shutil.copytree(published[0].root, tmp_path / "copied")
    layout = Layout(tmp_path / "copied")
    return layout, layout.solutions / "98-toy" / "toy.py"
