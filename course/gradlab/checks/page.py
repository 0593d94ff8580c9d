"""A report as HTML, readable in JupyterLab's light and dark themes and in nbgrader's feedback pages."""

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradlab.checks.report import Report, Row

# JupyterLab's variables first; the fallbacks serve feedback pages, which are light. JupyterLab has rules of its own for
# what stands in any table and any code, stripes and right alignment for two: `[role]` outranks them.
_STYLE = """
.gradlab-report{border:1px solid var(--jp-border-color1,#bdbdbd);border-left:6px solid var(--verdict);
 border-radius:4px;padding:.6em 1em;margin:.3em 0;max-width:60em;color:var(--jp-ui-font-color1,#212121);
 background:var(--jp-layout-color1,#fff);font-family:var(--jp-ui-font-family,system-ui,sans-serif);line-height:1.45}
.gradlab-report.good{--verdict:#0072b2}.gradlab-report.bad{--verdict:#d55e00}.gradlab-report.stub{--verdict:#808080}
.gradlab-report p{margin:.3em 0}.gradlab-report ul{list-style:none;margin:.4em 0;padding:0}
.gradlab-report li{margin:.25em 0}.gradlab-report .word{display:inline-block;min-width:4.5em;font-weight:600}
.gradlab-report[role] table{border-collapse:collapse;margin:.2em 0 .5em 4.5em;font-size:.92em}
.gradlab-report[role] table tr{background:none}
.gradlab-report[role] table th{text-align:left;font-weight:600;vertical-align:top;white-space:nowrap;
 padding:.1em .8em .1em 0;background:none;max-width:none}
.gradlab-report[role] table td{text-align:left;vertical-align:top;padding:.1em 0;background:none;max-width:none}
.gradlab-report[role] table code{white-space:pre-wrap;overflow-wrap:anywhere;background:none;color:inherit;padding:0;
 font-family:var(--jp-code-font-family,monospace)}
.gradlab-report .mistake{border-top:1px solid var(--jp-border-color1,#bdbdbd);padding-top:.4em;margin-top:.5em}
"""


def page(report: "Report") -> str:
    """The report as one HTML block with its own style."""
    state = "stub" if report.unwritten else "good" if report.passed else "bad"
    rows = "" if report.unwritten else f"<ul>{''.join(_row(row) for row in report.rows)}</ul>"
    mistakes = "".join(
        f'<div class="mistake"><p><b>This looks like a known mistake: {escape(m.title)}.</b></p>'
        f"<p>The belief: {escape(m.belief)}</p><p>{escape(m.advice)}</p></div>"
        for m in report.mistakes
    )
    return (
        f'<style>{_STYLE}</style><section class="gradlab-report {state}" role="group"'
        f' aria-label="Report on {escape(report.exercise)}"><p><b>{escape(report.headline)}</b></p>'
        f"{rows}{mistakes}</section>"
    )


def _row(row: "Row") -> str:
    word = "passed" if row.passed else "failed"
    hidden = " (hidden)" if row.hidden else ""
    title = f'<li><span class="word">{word}</span>{escape(row.name)}{hidden}'
    if row.passed:
        return title + "</li>"
    because = f"<p>{escape(row.because)}</p>" if row.because else ""
    details = (("called", row.called), ("came back", row.got), ("wanted", row.wanted), ("difference", row.problem))
    lines = "".join(f"<tr><th>{name}</th><td><code>{escape(text)}</code></td></tr>" for name, text in details if text)
    return f"{title}{because}<table>{lines}</table></li>" if lines else f"{title}{because}</li>"
