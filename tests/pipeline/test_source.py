"""Every fault of a source is refused, with its file, line, cell and fix."""

import pytest

from gradlab_grading.build import read
from gradlab_grading.source import SourceError, regions

SOLUTION = '"schema_version": 3, "solution": true'
DOUBLE = '"grade_id": "double", "locked": false, '
TEST_DOUBLE = '"grade_id": "test-double", "locked": true, "points": 4, '

FAULTS = {
    "no schema_version": (DOUBLE + SOLUTION, DOUBLE + '"solution": true', "'double'", 'Write "schema_version": 3'),
    "an old schema_version": (DOUBLE + SOLUTION, DOUBLE + '"schema_version": 1, "solution": true', "'double'", "3"),
    "a solution without markers": (
        "    ### BEGIN SOLUTION\n    once",
        "    once",
        "'double'",
        "has an END SOLUTION without a BEGIN SOLUTION",
    ),
    "a solution that does not end": (
        "return once_and_once_again\n    ### END SOLUTION",
        "return once_and_once_again",
        "'double'",
        "has a BEGIN SOLUTION without an END",
    ),
    "markers outside a solution cell": ('"solution": true', '"solution": false', "'double'", "take the markers out"),
    "a duplicated grade_id": ('"grade_id": "halve"', '"grade_id": "double"', "'double'", "a grade_id of its own"),
    "no points": ('"points": 4, ', "", "'test-double'", 'Write "points"'),
    "other points than the exercise": ('"points": 4', '"points": 9', "'test-double'", 'Write "points": 4'),
    "an unknown exercise": ("checks.double(double)", "checks.dubble(double)", "'test-double'", "no exercise dubble"),
    "another exercise hidden": ("hidden.double", "hidden.halve", "'test-double'", "the same exercise in both halves"),
    "no import of checks": ("import toy_checks as checks", "import toy_checks", "'test-double'", "no cell imports"),
    "a hidden test that does not end": ("### END HIDDEN TESTS", "", "'test-double'", "without an END HIDDEN TESTS"),
    "hidden tests in a cell that is not graded": (
        '"grade": true, ' + TEST_DOUBLE,
        '"grade": false, "grade_id": "test-double", "locked": true, ',
        "'test-double'",
        "BEGIN HIDDEN TESTS",
    ),
    "a test cell that is not Python": ("checks.halve(halve)", "checks.halve(halve", "'test-halve'", "not Python"),
    "a graded Markdown cell that is no answer": (
        '"points": 5, "schema_version": 3, "solution": true',
        '"points": 5, "schema_version": 3, "solution": false',
        "'written-why'",
        "nbgrader refuses",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_refused_by_name(source, fault):
    before, after, cell, words = FAULTS[fault]
    text = source.read_text()
    assert before in text
    source.write_text(text.replace(before, after, 1))
    with pytest.raises(SourceError) as refusal:
        read(source)
    told = [str(problem) for problem in refusal.value.problems if cell in problem.cell]
    assert any(words in line for line in told), str(refusal.value)
    line = int(told[0].removeprefix(f"{source}:").partition(":")[0])
    assert cell.strip("'") in source.read_text().splitlines()[line - 1]


def test_a_solution_cell_without_any_marker_is_refused(source):
    text = source.read_text()
    source.write_text(text.replace("    ### BEGIN SOLUTION\n", "").replace("    ### END SOLUTION\n", ""))
    with pytest.raises(SourceError, match="signature and docstring would go with the answer"):
        read(source)


def test_all_faults_are_told_at_once(source):
    text = source.read_text()
    source.write_text(text.replace('"points": 4', '"points": 9').replace('"points": 3', '"points": 8'))
    with pytest.raises(SourceError) as refusal:
        read(source)
    assert [problem.cell for problem in refusal.value.problems] == ["cell 'test-double'", "cell 'test-halve'"]


def test_a_header_that_is_not_yaml_is_refused(source):
    source.write_text(source.read_text().replace("#   kernelspec:", "#   kernelspec: [", 1))
    with pytest.raises(SourceError, match="jupytext cannot read it"):
        read(source)


def test_regions_are_where_the_markers_are():
    assert regions("a\n# BEGIN SOLUTION\nb\n# END SOLUTION\nc", "solution") == [(1, 3)]
