"""Courses that tests of the engine share."""

from pathlib import Path

import nbgrader
import pytest

from grading_course import Course

PS1 = Path(nbgrader.__file__).parent / "docs" / "source" / "user_guide"


@pytest.fixture(scope="session")
def ps1(tmp_path_factory):
    """nbgrader's own documentation example, released, with the two submissions of its documentation."""
    import shutil

    root = tmp_path_factory.mktemp("ps1")
    for part in ("source/ps1", "submitted/bitdiddle/ps1", "submitted/hacker/ps1"):
        shutil.copytree(PS1 / part, root / part)
    course = Course(root)
    course.release("ps1")
    perfect = {name: course.notebook("ps1", name) for name in ("problem1", "problem2")}
    for name, notebook in perfect.items():
        course.submit("perfect", "ps1", name, notebook)
    course.submit("partial", "ps1", "problem2", perfect["problem2"])
    (root / "submitted/perfect/ps1/timestamp.txt").write_text("2015-02-03 00:00:00 UTC")
    return course
