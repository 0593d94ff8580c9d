"""The mesh explorer in JupyterLab: meshes, batches and specs changed by hand, right and illegal."""

import re

import pytest
from playwright.sync_api import expect

from browser.harness import SHOTS, assert_accessible, assert_healthy, run_widgets

GIVEN = "from gradlab import widgets\nimport partition_functions as partitions"
# In one notebook each widget needs a label of its own, and the label tells the mesh.
CELLS = (
    "widgets.MeshExplorer(partitions.right)",
    'widgets.MeshExplorer(partitions.illegal, mesh="1x8", parameter="blocks.qkv.bias")',
    'widgets.MeshExplorer(partitions.columns_only, mesh="2x4", parameter="blocks.down.kernel")',
    'widgets.MeshExplorer(partitions.unwritten, mesh="8x1")',
)

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def notebook(lab, browser):
    opened = run_widgets(browser, lab, "mesh.ipynb", "partition_functions.py", GIVEN, *CELLS)
    expect(opened.page.locator(".gl-mesh .gl-slice")).to_have_count(24, timeout=120_000)
    yield opened
    assert_healthy(opened)


@pytest.fixture(autouse=True)
def _back_at_the_beginning(view):
    for place in range(3):
        view(place).get_by_role("button", name="Reset").click()
    expect(view(0).locator(".gl-editor .gl-name")).to_have_text("blocks.qkv.kernel")
    expect(view(0).get_by_role("textbox")).to_have_value('P(None, "data", "model")')


def row(view, name):
    return view.locator(".gl-parameters tr", has=view.page.get_by_role("button", name=name, exact=True))


def test_another_mesh_moves_every_slice(view):
    expect(view(0).locator(".gl-mesh")).to_contain_text("[:, 0:128, 0:4, :, :]")
    view(0).get_by_label("Mesh").select_option("1x8")
    expect(row(view(0), "blocks.qkv.kernel")).to_contain_text("(8, 512, 1, 3, 64)")
    expect(view(0).get_by_label("Collectives of a training step")).not_to_contain_text("reduce-scatter")
    view(0).get_by_label("Mesh").select_option("8x1")
    expect(row(view(0), "blocks.qkv.kernel")).to_contain_text("(8, 64, 8, 3, 64)")
    expect(view(0).get_by_label("Collectives of a training step")).to_contain_text("reduce-scatter")


def test_the_batch_is_moved_by_key(notebook, view):
    legend = view(0).locator(".gl-legend")
    before = legend.inner_text()
    view(0).get_by_role("slider", name="batch").focus()
    notebook.page.keyboard.press("ArrowRight")
    expect(legend).not_to_have_text(before)
    notebook.page.keyboard.press("ArrowLeft")
    expect(legend).to_have_text(before, use_inner_text=True)
    view(0).get_by_label("Precision").select_option("float32")
    expect(legend).not_to_have_text(before)


def test_a_spec_is_written_in_place(notebook, view):
    spec = view(0).get_by_role("textbox", name="partition spec of blocks.qkv.kernel")
    spec.fill('P(None, "data", "data")')
    expect(view(0).locator("p.gl-error")).to_have_text("the mesh axis 'data' is used twice, and can cut one axis only")
    expect(spec).to_have_attribute("aria-invalid", "true")
    spec.fill('P(None, None, ("model", "data"))')
    expect(view(0).locator("p.gl-error")).to_have_text("")
    expect(row(view(0), "blocks.qkv.kernel")).to_contain_text("(8, 512, 1, 3, 64)")
    view(0).get_by_role("button", name="Copy state").click()
    text = notebook.page.evaluate("() => navigator.clipboard.readText()")
    assert text.startswith('mesh="4x2", parameter="blocks.qkv.kernel", batch=32, precision="bfloat16", edits={')
    view(0).get_by_role("button", name="Your function's spec").click()
    expect(spec).to_have_value('P(None, "data", "model")')


def test_another_parameter_is_chosen_from_the_table(view):
    view(0).get_by_role("button", name="norm.scale", exact=True).click()
    expect(view(0).locator(".gl-editor .gl-name")).to_have_text("norm.scale")
    expect(view(0).locator(".gl-mesh .gl-series-0")).to_have_count(8)
    view(0).get_by_text("The slices as a table").click()
    expect(view(0).get_by_label("Which slice each device holds").locator("tbody tr")).to_have_count(8)
    view(0).get_by_text("The slices as a table").click()


def test_what_is_illegal_or_raises_is_said_in_its_place(view):
    expect(view(1).locator("p.gl-error")).to_have_text("axis 2 has size 3, which model = 8 does not divide")
    expect(row(view(1), "blocks.qkv.kernel")).to_contain_text("is used twice")
    expect(row(view(1), "blocks.down.bias")).to_contain_text("in the line: raise KeyError(name)")
    expect(view(3)).to_contain_text("unwritten is not written yet.")
    expect(view(3).locator(".gl-mesh")).to_be_hidden()


def test_columns_without_rows_cost_a_gather(view):
    expect(view(2)).to_contain_text(re.compile("inside MLP, forward: columns without rows"))


def test_no_violation_that_axe_knows(notebook):
    assert_accessible(notebook)


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_how_it_looks(notebook, view, theme):
    notebook.theme(theme)
    SHOTS.mkdir(parents=True, exist_ok=True)
    for place, name in enumerate(["right", "illegal", "columns", "unwritten"]):
        picture = view(place).screenshot(path=SHOTS / f"mesh-{name}-{theme.lower()}.png", animations="disabled")
        assert len(picture) > 5_000


def test_every_picture_is_there_without_a_kernel(notebook):
    html = [output["data"].get("text/html", "") for output in notebook.outputs() if "data" in output]
    pictures = [text for text in html if "gl-picture" in text]
    assert len(pictures) == len(CELLS)
    assert sum("<svg" in text and 'aria-label="' in text for text in pictures) == len(CELLS) - 1
