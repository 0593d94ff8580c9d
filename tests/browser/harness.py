"""What a browser test of a widget asks: did anything go wrong, is it accessible, how does it look."""

import shutil
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from gradlab_grading.browser import Notebook, open_notebook, write_notebook

# Patience costs nothing where all is well, and a machine of CI may be busy.
expect.set_options(timeout=30_000)

SEEN = 10  # texts that any widget has
WIDGETS = Path(__file__).parents[1] / "widgets"
SHOTS = Path(__file__).parents[2] / "build" / "screenshots"


def run_notebook(browser, server, name, *cells, **context):
    """Write, open and run a notebook of these cells; fails if a cell does."""
    write_notebook(server.root / name, *cells)
    notebook = open_notebook(browser, server, name, **context)
    notebook.run()
    return notebook


def run_widgets(browser, server, name, functions, given, *cells):
    """A notebook with a widget in each cell, on the functions of a file in tests/widgets; open when all are shown."""
    shutil.copy(WIDGETS / functions, server.root)
    may = ["clipboard-read", "clipboard-write"]
    notebook = run_notebook(browser, server, name, given, *cells, permissions=may)
    expect(notebook.page.locator(".gl-view")).to_have_count(len(cells), timeout=120_000)
    return notebook


def assert_healthy(notebook: Notebook):
    """Nothing raised: not the page, not our view, not a callback in the kernel; closes the notebook."""
    notebook.close()
    assert not notebook.faults, "\n".join(notebook.faults)
    # Only what names us: the server has tracebacks of its own when a page goes away.
    log = notebook.server.log.read_text()
    assert "gradlab/widgets" not in log, log


def assert_accessible(notebook: Notebook):
    """No violation that axe knows, inside the widget."""
    # JupyterLab's body has no height, and axe takes all that such a body holds for hidden.
    notebook.page.add_style_tag(content="body { min-height: 100vh }")
    results = Axe().run(notebook.page, context={"include": [[".gl-view"]]}, options={})
    contrast = [len(rule["nodes"]) for rule in results.response["passes"] if rule["id"] == "color-contrast"]
    assert sum(contrast) >= SEEN, f"axe saw {contrast} texts: is the widget on the screen?"
    assert results.violations_count == 0, results.generate_report()
    # An ARIA attribute without a meaning it only calls undecided.
    undecided = {
        rule["id"]: [node["failureSummary"] for node in rule["nodes"]]
        for rule in results.response["incomplete"]
        if rule["id"].startswith("aria-")
    }
    assert not undecided, undecided


def shoot(notebook: Notebook, name: str) -> bytes:
    """A picture of the widget, kept under build/screenshots for a person to look at."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    return notebook.widget().screenshot(path=SHOTS / f"{name}.png", animations="disabled")


def drag(page, source, dx, dy):
    """Drag the middle of an element by so many pixels, in a few moves."""
    box = source.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for part in (0.25, 0.5, 0.75, 1.0):
        page.mouse.move(x + part * dx, y + part * dy)
    page.mouse.up()
