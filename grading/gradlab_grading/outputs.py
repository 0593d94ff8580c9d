"""The outputs of one cell, put together from what a kernel sent.

The kernel may be hostile: every field is checked, so that what reaches the
notebook is valid nbformat and bounded in size whatever was sent.
"""

import json
from typing import Any

from gradlab_grading.harmless import harmless

Output = dict[str, Any]
_NAME_LENGTH = 200
_CHARACTERS, _LINES = 10_000, 100
# Types that a browser runs.
_ACTIVE = ("application/javascript", "text/javascript", "application/x-javascript")


def error(name: str, message: str, traceback: list[str] | None = None) -> Output:
    """An error output; in a test cell it is worth zero."""
    message = _clip(message)
    lines = traceback or [f"\x1b[0;31m{name}\x1b[0m: {message}"]
    return {
        "output_type": "error",
        "ename": name[:_NAME_LENGTH],
        "evalue": message,
        "traceback": [_clip(line) for line in lines[:_LINES]],
    }


def _clip(text: str) -> str:
    return text if len(text) <= _CHARACTERS else text[:_CHARACTERS] + " ... cut"


def stream(name: str, text: str) -> Output:
    """Text on stdout or stderr."""
    return {"output_type": "stream", "name": name, "text": text}


class Outputs:
    """Collects the outputs of one cell, as a notebook front end does.

    Args:
        limit: bytes, as JSON; what comes after them is dropped and said once.
    """

    def __init__(self, limit: int) -> None:
        self.items: list[Output] = []
        self._left = limit
        self._limit = limit
        self._clear_next = False
        self._displays: dict[str, Output] = {}

    def add(self, kind: Any, content: Any) -> None:
        """Take one message. Nonsense is ignored."""
        if not isinstance(content, dict):
            return
        if kind == "clear_output":
            self._clear_next = bool(content.get("wait"))
            if not self._clear_next:
                self.items.clear()
            return
        output = _valid(kind, content)
        if output is None:
            return
        size = len(json.dumps(output))
        if size > self._left:
            if self._left > 0:
                self.items.append(stream("stdout", f"\n... output cut at {self._limit} bytes ...\n"))
            self._left = 0
            return
        self._left -= size
        self._place(kind, output, content.get("transient"))

    def _place(self, kind: str, output: Output, transient: Any) -> None:
        if self._clear_next:
            self.items.clear()
            self._clear_next = False
        display = transient.get("display_id") if isinstance(transient, dict) else None
        if kind == "update_display_data":
            shown = self._displays.get(str(display))
            if shown is not None:
                shown.update(data=output["data"], metadata=output["metadata"])
            return
        last = self.items[-1] if self.items else None
        if kind == "stream" and last and last.get("name") == output["name"]:
            last["text"] += output["text"]
            return
        self.items.append(output)
        if display:
            self._displays[str(display)] = output


def _valid(kind: Any, content: dict[str, Any]) -> Output | None:
    if kind == "stream":
        name = "stderr" if content.get("name") == "stderr" else "stdout"
        return stream(name, _text(content.get("text")))
    if kind == "error":
        lines = content.get("traceback")
        lines = [_text(line) for line in lines] if isinstance(lines, list) else []
        name = _text(content.get("ename"))[:_NAME_LENGTH] or "Error"
        return error(name, _text(content.get("evalue")), lines)
    if kind in ("display_data", "update_display_data", "execute_result"):
        output: Output = {
            "output_type": "execute_result" if kind == "execute_result" else "display_data",
            "data": _bundle(content.get("data")),
            "metadata": _plain(content.get("metadata")) or {},
        }
        if kind == "execute_result":
            count = content.get("execution_count")
            output["execution_count"] = count if type(count) is int else None
        return output
    return None


def _bundle(data: Any) -> dict[str, Any]:
    """A MIME bundle: text by type, and JSON for the types that are JSON."""
    bundle = {}
    for key, value in data.items() if isinstance(data, dict) else ():
        if not isinstance(key, str) or len(key) > _NAME_LENGTH:
            continue
        if key in _ACTIVE:
            continue
        if isinstance(value, str):
            bundle[key] = harmless(_text(value)) if key in ("text/html", "text/markdown") else _text(value)
        elif key.endswith("json"):
            bundle[key] = _plain(value)
    return bundle


def _text(value: Any) -> str:
    """A string that can be written as UTF-8."""
    if not isinstance(value, str):
        return ""
    return value.encode("utf-8", "replace").decode("utf-8")


def _plain(value: Any) -> Any:
    """The value if it is JSON, else nothing. NaN is no JSON."""
    try:
        return json.loads(_text(json.dumps(value, allow_nan=False)))
    except (TypeError, ValueError, RecursionError):
        return None
