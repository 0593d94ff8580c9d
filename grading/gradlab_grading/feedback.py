"""Feedback that opens without a network.

nbgrader's feedback page loads MathJax from a CDN, by an address written in a macro of nbconvert's
(`HTMLExporter.mathjax_url` is not asked). Here that macro is replaced by nothing, and formulas
become MathML, which every browser draws by itself.
"""

from html import escape
from pathlib import Path

from jinja2 import pass_context
from jinja2.runtime import Context
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbgrader.server_extensions.formgrader import handlers

#: Where nbconvert looks for templates: ours win, nbgrader's follow.
TEMPLATES = [str(Path(__file__).parent / "templates"), handlers.template_path]


class MathRenderer(IPythonRenderer):
    """nbconvert's Markdown renderer, with formulas as MathML."""

    def inline_math(self, body: str) -> str:
        return mathml(body, display="inline")

    def block_math(self, body: str) -> str:
        return mathml(body, display="block")

    def latex_environment(self, name: str, body: str) -> str:
        return mathml(f"\\begin{{{name}}}{body}\\end{{{name}}}", display="block")


def mathml(tex: str, *, display: str) -> str:
    """The formula as MathML; the TeX itself, as code, where it cannot be read."""
    from latex2mathml.converter import convert  # here, since every nbgrader command imports this module

    try:
        return convert(tex, display=display)
    except Exception:  # noqa: BLE001 a student's half-written formula must not cost the feedback page
        return f"<code>{escape(tex)}</code>"


@pass_context
def markdown_to_html(context: Context, source: str) -> str:
    """Render Markdown as nbconvert's `markdown2html` filter does, with formulas as MathML."""
    cell = context.get("cell", {})
    renderer = MathRenderer(escape=False, exclude_anchor_links=True, attachments=cell.get("attachments", {}))
    return MarkdownWithMath(renderer=renderer).render(source)
