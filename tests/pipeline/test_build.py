"""From the one source to the student's notebook: each known trap, and the same bytes twice."""

import json
import shutil
import subprocess

import nbformat
import pytest

from gradlab_grading.build import build
from gradlab_grading.layout import repository
from gradlab_grading.publish import PublishError, generate, holds_work, publish, stale


def cells(path):
    """The cells of a notebook by grade_id."""
    return {
        cell.metadata.nbgrader.grade_id: cell
        for cell in nbformat.read(path, as_version=4).cells
        if "nbgrader" in cell.metadata
    }


def test_the_student_gets_the_specification_and_not_the_answer(published):
    _, notebook = published
    stub = cells(notebook)["double"].source
    assert stub == (
        'def double(x: float) -> float:\n    """Twice `x`.\n\n    For zero it is zero.\n    """\n'
        "    # Your code here, in place of the next line.\n    raise NotImplementedError"
    )
    assert cells(notebook)["test-double"].source == "checks.double(double)"
    written = cells(notebook)["written-why"].source
    assert written.endswith("*Your answer here, in place of this line.*")
    assert written.startswith("**Why is doubling")


def test_hints_stay(published):
    _, notebook = published
    assert "<details><summary>Hint: an idea</summary>" in notebook.read_text().replace("\\", "")


def test_a_test_cell_says_what_it_is_about(published):
    _, notebook = published
    assert cells(notebook)["test-double"].metadata.gradlab == {
        "exercise": "double",
        "skill": "arithmetic",
        "visible": 1,
    }


def test_the_notebook_is_valid_and_opens_in_the_plain_kernel(published):
    _, path = published
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)


def test_two_builds_are_the_same_bytes(course, source):
    first = generate(source, course, gradebook=False)
    texts = first.read_bytes(), (course.source / "98-toy" / "toy.ipynb").read_bytes()
    second = generate(source, course, gradebook=False)
    assert (second.read_bytes(), (course.source / "98-toy" / "toy.ipynb").read_bytes()) == texts


def test_a_cell_added_changes_the_ids_of_its_exercise_alone(course, source):
    before = [cell.id for cell in nbformat.read(build(source, course), as_version=4).cells]
    source.write_text(
        source.read_text().replace("# %% [markdown]\n# ## 1.", "# %% [markdown]\n# More.\n\n# %% [markdown]\n# ## 1.")
    )
    after = [cell.id for cell in nbformat.read(build(source, course), as_version=4).cells]
    assert set(after) - set(before) == {"setup--2"}


def test_nothing_beside_the_source_is_released(course, source):
    # nbgrader copies what lies beside a source notebook into the release, a .py with its solutions too.
    folder = course.source / "98-toy"
    folder.mkdir(parents=True)
    shutil.copy(source, folder)
    released = generate(source, course, gradebook=False)
    assert [path.name for path in released.parent.iterdir()] == ["toy.ipynb"]


def test_a_paired_source_is_not_paired_any_more(course, source):
    # With jupytext.formats the student's JupyterLab would open the .py, solution included.
    text = source.read_text().replace("#   jupytext:\n", "#   jupytext:\n#     formats: ipynb,py:percent\n", 1)
    source.write_text(text)
    released = generate(source, course, gradebook=False)
    assert "jupytext" not in (course.source / "98-toy" / "toy.ipynb").read_text()
    assert "jupytext" not in released.read_text()


def test_nbgrader_itself_strips_the_pairing_too(course, source):
    # Somebody may run `nbgrader generate_assignment` on a notebook that this build did not make.
    from gradlab_grading.publish import StudentNotebook

    notebook = nbformat.read(build(source, course), as_version=4)
    notebook.metadata.jupytext = {"formats": "ipynb,py:percent"}
    notebook.cells[0].metadata.lines_to_next_cell = 2
    stripped, _ = StudentNotebook().preprocess(notebook, {})
    assert set(stripped.metadata) == {"kernelspec", "language_info"}
    assert stripped.cells[0].metadata == {}


def test_work_in_labs_is_kept_aside(copied):
    course, source = copied
    notebook, kept = publish(source, course)
    assert kept is None
    content = json.loads(notebook.read_text())
    content["cells"][3]["source"] = ["def double(x):\n", "    return 2 * x"]
    notebook.write_text(json.dumps(content))
    assert holds_work(notebook)
    fresh, kept = publish(source, course)
    assert json.loads(kept.read_text()) == content
    assert not holds_work(fresh)


def test_a_broken_notebook_in_labs_counts_as_work(tmp_path):
    broken = tmp_path / "toy.ipynb"
    broken.write_text("{")
    assert holds_work(broken)


def test_stale_names_the_lab_and_the_difference(copied):
    course, source = copied
    assert stale([source], course) == {}
    source.write_text(source.read_text().replace("once again.", "once more."))
    ((name, difference),) = stale([source], course).items()
    assert name == "98-toy"
    assert "once more." in difference


# nbgrader's own: it makes objects before it adds them to its session.
@pytest.mark.filterwarnings("ignore:Object of type <Submitted")
def test_cells_that_were_graded_cannot_be_taken_away(copied):
    from nbgrader.api import Gradebook

    course, source = copied
    with Gradebook(f"sqlite:///{course.grading / 'gradebook.db'}", "gradlab") as gradebook:
        gradebook.add_student("ada")
        gradebook.add_submission("98-toy", "ada")
    source.write_text(source.read_text().replace('"grade_id": "halve"', '"grade_id": "half"'))
    with pytest.raises(PublishError, match="there are submissions"):
        publish(source, course)


def test_the_committed_labs_are_what_their_sources_give():
    run = subprocess.run(["gradlab", "build", "--check"], cwd=repository().root, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
