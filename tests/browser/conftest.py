"""One JupyterLab for all tests of widgets, and a Chromium for each file of them."""

import pytest

from gradlab_grading.browser import chromium, jupyterlab


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """A running JupyterLab on an empty folder."""
    with jupyterlab(tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("jupyter")) as server:
        yield server


@pytest.fixture(scope="module")
def browser():
    """A Chromium; not for the session, because Playwright can be started only once at a time."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def view(notebook):
    """The widgets of the file's notebook, by place."""
    return lambda place: notebook.page.locator(".gl-view").nth(place)
