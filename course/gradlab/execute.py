"""Run a notebook from top to bottom, as "Restart kernel and run all" does, without JupyterLab."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode

CELL_SECONDS = 600


class ExecutionError(Exception):
    """The notebook could not be run; the message says why and what to do."""


def execute(path: Path, on_cell: Callable[[int, int], Any]) -> NotebookNode:
    """The notebook at `path` with the outputs of a fresh run; the file is left as it is.

    A cell that raises, or takes more than `CELL_SECONDS`, does not stop the others. `on_cell(i, n)` is
    told before cell i of n.

    Raises:
        ExecutionError: the file is no notebook, or the kernel died.
    """
    try:
        notebook = nbformat.read(path, as_version=4)
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, UnicodeDecodeError) as error:
        raise ExecutionError(f"{path} is not a notebook: {error}. Fetch the lab again.") from error
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    index = 0

    def started(cell: NotebookNode, cell_index: int) -> None:
        nonlocal index
        index = cell_index
        on_cell(cell_index + 1, len(notebook.cells))

    too_long = {"ename": "CellTimeoutError", "evalue": f"the cell took more than {CELL_SECONDS} s", "traceback": []}
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        interrupt_on_timeout=True,
        error_on_timeout=too_long,
        allow_errors=True,
        kernel_name="python3",
        extra_arguments=["--IPKernelApp.log_level=40"],  # else it warns that its sockets are TCP
        store_widget_state=False,
        resources={"metadata": {"path": str(path.parent)}},
        on_cell_start=started,
    )
    try:
        client.execute()
    except DeadKernelError as error:
        first = notebook.cells[index].source.strip().partition("\n")[0]
        raise ExecutionError(
            f"The kernel died in cell {index + 1} of {path.name} ({first!r}), most often for want of memory. "
            "Look there for an array or a loop that grows without end."
        ) from error
    return notebook
