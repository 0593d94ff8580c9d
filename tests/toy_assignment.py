"""A small assignment, graded in the checker: two exercises and a written question."""

from pathlib import Path

import nbformat

CONFIG = """
c.Engine.assignments = {
    "toy": {
        "mode": "checker",
        "limits": {
            "memory_bytes": 700 * 2**20,
            "data_bytes": 4 * 2**30,
            "cell_seconds": 6,
            "wall_seconds": 40,
            "processes": 100,
            "disk_bytes": 64 * 2**20,
            "file_bytes": 64 * 2**20,
            "output_bytes": 200_000,
        },
    }
}
"""

SETUP = """
import random

import numpy as np
from gradlab.checks.compare import difference
"""
MEAN = '''
def mean(values):
    """The arithmetic mean of a list of floats."""
    ### BEGIN SOLUTION
    return sum(values) / len(values)
    ### END SOLUTION
'''
TEST_MEAN = """
assert difference(mean([1.0, 2.0, 3.0]), 2.0, rtol=1e-9, atol=0) is None, "the mean of 1, 2 and 3 is 2"
### BEGIN HIDDEN TESTS
from gradlab_grading import hidden
secret = random.Random(hidden.seed.get())
for _ in range(3):
    values = [secret.uniform(-9, 9) for _ in range(secret.randint(2, 9))]
    assert difference(mean(values), sum(values) / len(values), rtol=1e-9, atol=1e-12) is None, "a secret mean is wrong"
### END HIDDEN TESTS
"""
DOUBLE = '''
def double(array):
    """Twice the array."""
    ### BEGIN SOLUTION
    return 2 * array
    ### END SOLUTION
'''
TEST_DOUBLE = """
score = 0
score += difference(double(np.array([1.0, 2.0])), np.array([2.0, 4.0]), rtol=1e-9, atol=0) is None
score
### BEGIN HIDDEN TESTS
from gradlab.seam import probe
from gradlab_grading import hidden
secret = np.random.default_rng(hidden.seed.get())
for shape in ((3,), (2, 5)):
    array = secret.standard_normal(shape).astype(np.float32)
    jitted = probe.kind(double) == "PjitFunction"
    answer = probe.program(double, array).run() if jitted else double(array)
    score += difference(answer, 2 * array, rtol=1e-6, atol=0) is None
score
### END HIDDEN TESTS
"""


def write_source(root: Path) -> None:
    """Write the source notebook into a course."""
    cells = [
        _code("setup", SETUP, locked=True),
        _code("mean", MEAN, solution=True),
        _code("test-mean", TEST_MEAN, grade=True, locked=True, points=2),
        _code("double", DOUBLE, solution=True),
        _code("test-double", TEST_DOUBLE, grade=True, locked=True, points=3),
    ]
    written = nbformat.v4.new_markdown_cell("Why is the mean sensitive to outliers?")
    written.metadata["nbgrader"] = _metadata("written", grade=True, solution=True, points=1)
    notebook = nbformat.v4.new_notebook(cells=[*cells, written])
    notebook.metadata["kernelspec"] = {"name": "python3", "language": "python", "display_name": "Python 3"}
    for place, cell in enumerate(notebook.cells):
        cell.id = f"cell-{place}"
    path = root / "source" / "toy" / "toy.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(notebook, path)


def _code(name: str, source: str, **flags) -> nbformat.NotebookNode:
    cell = nbformat.v4.new_code_cell(source.strip("\n"))
    cell.metadata["nbgrader"] = _metadata(name, **flags)
    return cell


def _metadata(name: str, *, grade=False, solution=False, locked=False, points=None) -> dict:
    found = {
        "grade_id": name,
        "grade": grade,
        "solution": solution,
        "locked": locked,
        "task": False,
        "schema_version": 3,
    }
    return found if points is None else found | {"points": points}
