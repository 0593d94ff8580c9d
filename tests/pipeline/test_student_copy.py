"""The student's copy has all that a student needs, and no line that a student may not see."""

import json
import shutil
import subprocess
import sys

import pytest

from gradlab_grading.layout import repository
from gradlab_grading.studentcopy import CopyError, leaks, secrets, student_copy

SECRET = "once_and_once_again = x + x"
HIDDEN = 'yield Case("a large number", lambda double: double(1024.0), want=2048.0)'


@pytest.fixture
def small(course):
    """The toy course with a staff package, and a course folder that a leak can be planted in."""
    hidden = course.grading / "gradlab_grading" / "hidden"
    hidden.mkdir(parents=True)
    shutil.copy(repository().root / "tests" / "pipeline" / "toy_hidden.py", hidden / "toy.py")
    (course.root / "course" / "__pycache__").mkdir(parents=True)
    (course.root / "course" / "__pycache__" / "old.pyc").write_text(SECRET)
    (course.root / "course" / "public.py").write_text("print('hello')\n")
    (course.root / "README.md").write_text("Read me.\n")
    return course


def notebook(**cell):
    return json.dumps({"cells": [cell]})


def test_the_secrets_are_the_solutions_and_the_hidden_checks(small):
    source = "solutions/98-toy/toy.py"
    assert secrets(small) == {
        SECRET: source,
        "return once_and_once_again": source,
        "half_of_the_argument = x / 2": source,
        "return half_of_the_argument": source,
        "Because two halves of a number make the number itself, and nothing is lost between.": source,
        HIDDEN: "grading/gradlab_grading/hidden/toy.py",
        "double = hidden(checks.double, corners)": "grading/gradlab_grading/hidden/toy.py",
    }


def test_the_copy_is_what_a_student_needs(small, tmp_path):
    files = student_copy(tmp_path / "copy", small)
    assert [str(path.relative_to(tmp_path / "copy")) for path in files] == [
        "README.md",
        "course/public.py",
        "labs/98-toy/toy.ipynb",
    ]


PLANTED = {
    "in a module": ("course/public.py", f"def f(x):\n    {SECRET}  # oops\n", SECRET),
    "in a chapter": ("course/chapters/98-toy.md", f"```python\n>>> {SECRET}\n```\n", SECRET),
    "in a notebook's output": ("course/start.ipynb", notebook(outputs=[{"text": [SECRET]}]), SECRET),
    "escaped in a notebook": ("course/start.ipynb", notebook(source=[HIDDEN]), HIDDEN),
    "in a file of no known kind": ("course/data.bin", f"\x00\x01 {HIDDEN}\x00", HIDDEN),
    "as a marker in a notebook": ("course/start.ipynb", notebook(source=["### BEGIN SOLUTION"]), "BEGIN SOLUTION"),
}


@pytest.mark.parametrize("place", PLANTED)
def test_a_planted_leak_is_found_and_no_copy_made(small, tmp_path, place):
    name, text, secret = PLANTED[place]
    (small.root / name).parent.mkdir(parents=True, exist_ok=True)
    (small.root / name).write_text(text)
    with pytest.raises(CopyError) as refusal:
        student_copy(tmp_path / "copy", small)
    assert name in str(refusal.value)
    assert secret in str(refusal.value)
    assert not (tmp_path / "copy").exists()


def test_a_folder_in_use_is_left_alone(small, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(CopyError, match="is in use"):
        student_copy(tmp_path, small)
    assert (tmp_path / "mine.txt").read_text() == "mine"


@pytest.fixture(scope="module")
def real_copy(tmp_path_factory):
    """The student's copy of this repository."""
    destination = tmp_path_factory.mktemp("student") / "gradlab"
    student_copy(destination, repository())
    return destination


def test_the_real_copy_tells_no_secret(real_copy):
    secret = secrets(repository())
    assert len(secret) > 50
    assert leaks(real_copy, secret) == []
    assert not (real_copy / "grading").exists()
    assert not (real_copy / "solutions").exists()


def test_the_real_copy_imports_and_lists_its_labs_without_the_staff_package(real_copy):
    # -I leaves PYTHONPATH and the user's site out; -S the installed packages of this repository.
    code = (
        "import sys, site; site.addsitedir; sys.path[:0] = ['course']; "
        "import gradlab.labs as labs; print(*(lab.name for lab in labs.available_labs())); "
        "import importlib.util; print(importlib.util.find_spec('gradlab_grading'))"
    )
    run = subprocess.run([sys.executable, "-I", "-S", "-c", code], cwd=real_copy, capture_output=True, text=True)
    labs = " ".join(source.parent.name for source in repository().sources())
    assert run.stdout.split("\n")[:2] == [labs, "None"], run.stderr
