"""HTML of a submission without what could act in the instructor's browser.

Formgrader shows outputs inside a page that may change grades: a script in an
output would run with the instructor's rights.
"""

import re
import secrets
from functools import cache

import bleach
from bleach.css_sanitizer import CSSSanitizer

_TAGS = frozenset(
    [
        "a",
        "abbr",
        "b",
        "blockquote",
        "br",
        "caption",
        "code",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "em",
        "figcaption",
        "figure",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "i",
        "img",
        "li",
        "ol",
        "p",
        "pre",
        "s",
        "small",
        "span",
        "strong",
        "sub",
        "summary",
        "sup",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "u",
        "ul",
        "svg",
        "g",
        "defs",
        "path",
        "rect",
        "circle",
        "ellipse",
        "line",
        "polyline",
        "polygon",
        "text",
        "tspan",
        "title",
        "desc",
        "clippath",
    ]
)
_ATTRIBUTES = frozenset(
    [
        "alt",
        "class",
        "colspan",
        "height",
        "href",
        "id",
        "rowspan",
        "scope",
        "src",
        "style",
        "title",
        "width",
        "aria-hidden",
        "aria-label",
        "role",
        "cx",
        "cy",
        "d",
        "fill",
        "fill-opacity",
        "font-family",
        "font-size",
        "font-weight",
        "opacity",
        "points",
        "r",
        "rx",
        "ry",
        "stroke",
        "stroke-dasharray",
        "stroke-linecap",
        "stroke-linejoin",
        "stroke-opacity",
        "stroke-width",
        "text-anchor",
        "transform",
        "viewbox",
        "x",
        "x1",
        "x2",
        "y",
        "y1",
        "y2",
    ]
)


def _allowed(tag: str, name: str, value: str) -> bool:
    if name == "src":
        return value.startswith("data:image/") and not value.startswith("data:image/svg")
    return name.lower() in _ATTRIBUTES


_cleaner = bleach.Cleaner(
    tags=_TAGS,
    attributes=_allowed,
    protocols=frozenset({"http", "https", "mailto", "data"}),
    css_sanitizer=CSSSanitizer(),
    strip=True,
    strip_comments=True,
)


_SHEET = re.compile(r"<style\b[^>]*>(.*?)</style\s*>", re.IGNORECASE | re.DOTALL)
# Stands for a style sheet while the rest is cleaned; nobody can know it beforehand.
_MARK = f"sheet-{secrets.token_hex(8)}-"


@cache
def _sheets() -> tuple[str, ...]:
    """The style sheets of the course's own pictures, the only ones that may stay: a sheet acts on the whole page."""
    from gradlab.widgets.base import HERE, bundle

    return tuple(bundle(sheet) for sheet in sorted(HERE.rglob("picture.css")))


def harmless(html: str) -> str:
    """The HTML with known elements, attributes and style sheets only: no script, no frame, no handler."""
    if "<" not in html:
        return html
    if _SHEET.search(html):
        html = _SHEET.sub(lambda found: f"{_MARK}{_sheets().index(found[1])}." if found[1] in _sheets() else "", html)
    cleaned = _cleaner.clean(html)
    for number, sheet in enumerate(_sheets() if _MARK in cleaned else ()):
        cleaned = cleaned.replace(f"{_MARK}{number}.", f"<style>{sheet}</style>")
    return cleaned
