"""What every widget of the course is built on: questions from the view, and a picture where there is no kernel.

A widget is a folder: `__init__.py` with the model, `view.js` and `view.css`. The model subclasses `Widget`, says what
the view needs from the start (`config`), answers the view's questions in methods named `answer_...`, and draws one
`picture` of itself for notebooks that are read without a kernel. `optimizer_race` is the example to copy.
"""

import logging
import re
import traceback
from html import escape
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from IPython.display import publish_display_data

VIEW = "application/vnd.jupyter.widget-view+json"
HERE = Path(__file__).parent

_IMPORT = re.compile(r'^(?:import [^"]*?from|@import) "(\.\.?/[^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?!default)", re.MULTILINE)
_log = logging.getLogger(__name__)

Answer = tuple[dict[str, Any], list[bytes]]


def bundle(entry: Path) -> str:
    """The text of a view (`.js` or `.css`) with the files that it imports by relative path written in, each once.

    anywidget hands the browser one text, which has no folder beside it to import from. Top-level names must differ
    between the files, or the browser reports the second as already declared.
    """
    texts: dict[Path, str] = {}

    def visit(path: Path) -> None:
        source = path.read_text(encoding="utf-8")
        for name in _IMPORT.findall(source):
            if (found := (path.parent / name).resolve()) not in texts:
                visit(found)
        texts[path] = _EXPORT.sub("", _IMPORT.sub("", source))

    visit(entry.resolve())
    return "\n".join(texts.values())


def explain(name: str, error: Exception, function: Any) -> str:
    """What a student reads when a function of theirs raised: the error, and their line that it came from."""
    if isinstance(error, NotImplementedError):
        return f"{name} is not written yet."
    message = f"{name} raised {type(error).__name__}: {(str(error).splitlines() or ['no message'])[0]}"
    home = getattr(getattr(function, "__code__", None), "co_filename", None)
    lines = [frame.line for frame in traceback.extract_tb(error.__traceback__) if frame.filename == home]
    return f"{message} (in the line: {lines[-1]})" if lines else message


def picture_style() -> str:
    """The style sheet of every picture."""
    return bundle(HERE / "picture.css")


class Widget(anywidget.AnyWidget):
    """A view that asks and a kernel that answers.

    The view calls `ask(name, question)`; `answer_<name>(question)` returns a dict of plain values and a list of
    buffers. What a student's code raises is an answer, to be shown in its place. What an `answer_` method itself
    raises is a fault of the widget: it is kept in `failures`, logged, and shown in the view.
    """

    label = traitlets.Unicode().tag(sync=True)
    config = traitlets.Dict().tag(sync=True)

    def __init__(self, *, label: str, config: dict[str, Any]) -> None:
        super().__init__(label=label, config=config)
        self.failures: list[str] = []
        self.on_msg(self._receive)

    def picture(self) -> tuple[str, str]:
        """What the widget shows at its start, as HTML (an SVG in it carries its own label) and as plain text."""
        raise NotImplementedError

    def _receive(self, _: object, message: dict[str, Any], __: object) -> None:
        try:
            answer, buffers = getattr(self, f"answer_{message['ask']}")(message["question"])
        except Exception:  # noqa: BLE001 - whatever it is, the view must show it
            failure = traceback.format_exc()
            self.failures.append(failure)
            _log.error("%s could not answer %r:\n%s", type(self).__name__, message, failure)
            self.send({"id": message["id"], "failure": failure})
        else:
            self.send({"id": message["id"], "answer": answer}, buffers)

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, Any], dict[str, Any]]:
        html, text = self.picture()
        figure = (
            f'<figure class="gl gl-picture" role="group" aria-label="{escape(self.label)}">'
            f"<style>{picture_style()}</style>{html}"
            f"<figcaption>{escape(self.label)} Run the cell to work with it.</figcaption></figure>"
        )
        view = {"version_major": 2, "version_minor": 1, "model_id": self.model_id}
        return {
            "text/plain": f"{self.label}\n{text}",
            "text/html": figure,
            VIEW: view,
        }, {}

    def _ipython_display_(self) -> None:
        """Show the picture and the view as two outputs.

        JupyterLab renders one part of an output, the view if there is one, and only an error where its kernel is gone.
        `picture.css` hides whichever of the two is not wanted.
        """
        data, _ = self._repr_mimebundle_()
        # The empty page is for nbconvert, which warns of an output that it cannot show.
        view = {VIEW: data.pop(VIEW), "text/html": ""}
        publish_display_data(data)
        publish_display_data(view)
