"""An instructor opens the source as a notebook in JupyterLab, edits, saves; the build sees it."""

import asyncio
import shutil
from pathlib import Path

import pytest
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from jupytext.async_contentsmanager import build_async_jupytext_contents_manager_class

from gradlab_grading.build import read
from gradlab_grading.layout import repository

# What a kernel tells JupyterLab about itself, and JupyterLab writes into a notebook.
LANGUAGE = {
    "codemirror_mode": {"name": "ipython", "version": 3},
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
    "version": "3.11.7",
}


def save_in_jupyterlab(path, edit=lambda notebook: None):
    """Open `path` through jupytext as a notebook, run it, edit it, save it."""
    manager = build_async_jupytext_contents_manager_class(AsyncLargeFileManager)(root_dir=str(path.parent))

    async def session():
        model = await manager.get(path.name, type="notebook", content=True)
        notebook = model["content"]
        notebook.metadata.language_info = LANGUAGE
        for count, cell in enumerate(notebook.cells, start=1):
            cell.metadata.trusted = True
            if cell.cell_type == "code":
                cell.execution_count = count
                cell.outputs = [{"output_type": "stream", "name": "stdout", "text": "ran"}]
        edit(notebook)
        await manager.save(model, path.name)

    asyncio.run(session())


@pytest.fixture(params=["toy", *(path.stem for path in repository().solutions.glob("*/*.py"))])
def opened(request, source, tmp_path):
    """A source that an instructor opens: the toy's, and a copy of each lab's."""
    if request.param == "toy":
        return source
    return Path(shutil.copy(repository().sources(request.param)[0], tmp_path))


def test_saving_unchanged_changes_nothing(opened):
    before = opened.read_text()
    save_in_jupyterlab(opened)
    assert opened.read_text() == before


def test_an_edit_reaches_the_build_and_nothing_else_does(opened):
    before = read(opened)

    def edit(notebook):
        notebook.cells[0].source += "\n\nA sentence from JupyterLab."

    save_in_jupyterlab(opened, edit)
    after = read(opened)
    assert after.cells[0].source.endswith("A sentence from JupyterLab.")
    after.cells[0].source = before.cells[0].source
    assert after == before
