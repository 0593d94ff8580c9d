"""The page that JupyterLab opens on: good before any cell is run, and progress when one is."""

import shutil

import nbformat
import pytest
from playwright.sync_api import expect

from browser.lab_server import chromium_page, lab_server, set_theme
from gradlab_grading.layout import repository

pytestmark = pytest.mark.needs("chromium")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The student's half of the repository, with a lab somebody has begun."""
    root = tmp_path_factory.mktemp("student") / "gradlab"
    for name in ("course/start.ipynb", "course/chapters", "labs"):
        original = repository().root / name
        copy = shutil.copytree if original.is_dir() else shutil.copy
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        copy(original, root / name)
    path = root / "labs" / "04-optimizers" / "optimizers.ipynb"
    notebook = nbformat.read(path, as_version=4)
    test = next(cell for cell in notebook.cells if cell.metadata.get("gradlab", {}).get("exercise") == "adam")
    points = test.metadata.gradlab.visible
    report = {"passed": True, "score": points, "points": points, "cases": [{"unwritten": False}], "mistakes": []}
    test.outputs = [nbformat.v4.new_output("execute_result", {"application/vnd.gradlab.report+json": report})]
    nbformat.write(notebook, path)
    return root


@pytest.fixture(scope="module")
def address(root):
    with lab_server(root) as address:
        yield address


@pytest.fixture(scope="module", params=["JupyterLab Light", "JupyterLab Dark"])
def theme(request):
    return request.param


@pytest.fixture(scope="module")
def page(theme, root, address):
    """The start page as a student gets it, in each theme."""
    set_theme(root, theme)
    with chromium_page(base_url=address) as page:
        page.goto("/lab/tree/course/start.ipynb?reset")
        yield page


def test_it_tells_the_labs_and_how_to_work_before_anything_is_run(page, theme):
    notebook = page.locator(".jp-Notebook")
    expect(notebook.get_by_role("heading", name="GradLab")).to_be_visible(timeout=60_000)
    assert page.evaluate("document.body.dataset.jpThemeLight") == str(theme == "JupyterLab Light").lower()
    for heading in ("Labs", "How to work", "Tracks", "Your progress"):
        expect(notebook.get_by_role("heading", name=heading, exact=True)).to_be_attached()
    expect(notebook.get_by_role("link", name="04 Optimizers").first).to_be_visible()


def test_one_cell_shows_progress(page):
    # Before it has a kernel JupyterLab runs nothing, and says nothing.
    expect(page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]')).to_be_attached(timeout=120_000)
    page.locator(".jp-CodeCell .cm-content").click()
    page.keyboard.press("Shift+Enter")
    progress = page.locator(".gradlab-progress")
    expect(progress).to_be_visible(timeout=60_000)
    expect(progress.get_by_role("row", name="04 Optimizers")).to_contain_text("1 of")
    expect(progress.get_by_role("row", name="algorithm engineer")).to_be_visible()


def test_a_link_opens_the_lab(page):
    page.get_by_role("link", name="04 Optimizers").first.click()
    expect(page.get_by_role("tab", name="optimizers.ipynb")).to_be_visible(timeout=30_000)
