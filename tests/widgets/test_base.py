"""What every widget is built on: the bundle, questions and answers, and the two outputs."""

import re
import subprocess
import sys

import pytest
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_notebook, new_output

from gradlab.widgets import base
from gradlab.widgets.base import VIEW, Widget, bundle


class Echo(Widget):
    _esm = "export default {render() {}};"

    def answer_twice(self, question):
        return {"twice": 2 * question["number"]}, [b"buffer"]

    def answer_nothing(self, question):
        return {}[question["key"]]

    def picture(self):
        return '<svg role="img" aria-label="echo"></svg>', "an echo"


@pytest.fixture
def echo(monkeypatch):
    widget = Echo(label="Echo of <numbers>", config={})
    widget.sent = []
    monkeypatch.setattr(widget, "send", lambda content, buffers=None: widget.sent.append((content, buffers)))
    return widget


def test_a_question_is_answered_with_its_id_and_buffers(echo):
    echo._receive(echo, {"id": "a-1", "ask": "twice", "question": {"number": 21}}, [])
    assert echo.sent == [({"id": "a-1", "answer": {"twice": 42}}, [b"buffer"])]
    assert echo.failures == []


@pytest.mark.parametrize("ask", ["nothing", "unheard"])
def test_a_fault_in_an_answer_is_sent_kept_and_logged(echo, ask, caplog):
    echo._receive(echo, {"id": "a-2", "ask": ask, "question": {"key": 1}}, [])
    ((content, _),) = echo.sent
    assert "Traceback" in content["failure"]
    assert echo.failures == [content["failure"]]
    assert "could not answer" in caplog.text


def test_the_picture_is_labelled_and_stands_beside_the_view(echo):
    data, _ = echo._repr_mimebundle_()
    assert data["text/plain"] == "Echo of <numbers>\nan echo"
    assert 'aria-label="Echo of &lt;numbers&gt;"' in data["text/html"]
    assert data[VIEW]["model_id"] == echo.model_id


def test_bundle_writes_each_import_in_once_and_first(tmp_path):
    (tmp_path / "kit.js").write_text("export function a() {}\nexport const b = 1;\n")
    (tmp_path / "part.js").write_text('import { b } from "./kit.js";\nexport const c = b;\n')
    (tmp_path / "view.js").write_text(
        'import {\n  a,\n} from "./kit.js";\nimport { c } from "./part.js";\nexport default { a, c };\n'
    )
    text = bundle(tmp_path / "view.js")
    assert [line for line in text.splitlines() if line] == [
        "function a() {}",
        "const b = 1;",
        "const c = b;",
        "export default { a, c };",
    ]


def test_importing_the_widgets_starts_no_backend():
    """A grader forks from a process that has imported them; after a backend has started a fork hangs."""
    code = "import gradlab.widgets; from jax._src import xla_bridge as x; print(x.backends_are_initialized())"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_views_fetch_nothing_from_elsewhere():
    """No address but the name of SVG itself."""
    from gradlab.widgets import OptimizerRace

    for text in (OptimizerRace._esm, OptimizerRace._css):
        assert set(re.findall(r"https?://[^\s\"']+", text)) <= {"http://www.w3.org/2000/svg"}
        assert "@import" not in text


def test_a_page_made_of_the_notebook_shows_the_picture(echo, monkeypatch):
    """As in nbgrader's feedback: nothing there runs the view."""
    outputs = []
    monkeypatch.setattr(base, "publish_display_data", lambda data: outputs.append(new_output("display_data", data)))
    echo._ipython_display_()
    cell = new_code_cell("echo", outputs=outputs)
    page, _ = HTMLExporter().from_notebook_node(new_notebook(cells=[cell]))
    body = page[page.index("<body") :]
    assert '<svg aria-label="echo" role="img">' in body
    assert "widget-view" not in body
