"""Write `course/start.ipynb`, the page that JupyterLab opens on, from the labs that there are."""

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbgrader.utils import is_grade

from gradlab.labs import LABS, TRACKS, Lab
from gradlab.standing import planned_minutes
from gradlab_grading.build import NOTEBOOK_METADATA, read
from gradlab_grading.layout import Layout
from gradlab_grading.source import is_test

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

WELCOME = """# GradLab

Here you write the algorithms that large models are made of: you write them yourself, check them while you
work, and see what they do. {count}

Begin with the lab's chapter. Then open the lab and work through it from top to bottom."""

TRACKS_TEXT = """## Tracks

Each track is the order of study for one role. The labs of a track that are not written yet are not listed."""

LABS_TEXT = "## Labs"

WORK = """## How to work

An exercise has seven parts. Take them in order.

1. **Title.** It says how hard the exercise is, how much it matters, how long it takes, and its points.
2. **Why it matters.** A few sentences, the formula, and where it comes from.
3. **Prediction.** Where a number can be guessed, commit your guess before you run anything. Being wrong costs nothing.
4. **Your function.** Its signature and its description are there. Put your code in place of
   `raise NotImplementedError`.
5. **Hints.** Three, folded: an idea, a plan, nearly the code. Open one when you are stuck, not before.
6. **Check.** Run the cell. It says what was called, what came back, what was wanted, and which known mistake
   your answer looks like. Hidden checks, with other numbers and corner cases, decide the rest of the points.
7. **See it.** The picture under the check is drawn by your own function. Play with it.

At the end of a lab are written questions; a person grades those.

Run a cell with **Shift+Enter**. Save with **Ctrl+S** (**Cmd+S** on a Mac). If things get odd, choose
*Kernel → Restart Kernel and Run All Cells…*: what counts is what a fresh run of the notebook does.
The same checks run in a terminal, with `gradlab check`."""

PROGRESS = """## Your progress

Run the next cell. It reads your notebooks as you last saved them."""

PROGRESS_CODE = """from gradlab.progress import progress

progress()"""


def write(layout: Layout) -> Path:
    """Write the start page and return its path."""
    path = _path(layout)
    path.write_text(_content(layout), encoding="utf-8")
    return path


def stale(layout: Layout) -> dict[str, str]:
    """The start page's name where what is committed is not what `write` would write."""
    path = _path(layout)
    have = path.read_text(encoding="utf-8") if path.exists() else ""
    return (
        {} if have == _content(layout) else {str(path.relative_to(layout.root)): "It lists other labs or other words."}
    )


def _path(layout: Layout) -> Path:
    return layout.root / "course" / "start.ipynb"


def _content(layout: Layout) -> str:
    sources = {source.parent.name: source for source in layout.sources()}
    labs = [lab for lab in LABS if lab.name in sources]
    number = NUMBERS[len(labs)] if len(labs) < len(NUMBERS) else str(len(labs))
    count = f"There {'is' if len(labs) == 1 else 'are'} {number} lab{'' if len(labs) == 1 else 's'} so far."
    cells = [
        new_markdown_cell(WELCOME.format(count=count), id="welcome"),
        new_markdown_cell(f"{LABS_TEXT}\n\n{_labs_table(labs, sources)}", id="labs"),
        new_markdown_cell(PROGRESS, id="progress"),
        new_code_cell(PROGRESS_CODE, id="show-progress"),
        new_markdown_cell(WORK, id="how-to-work"),
        new_markdown_cell(f"{TRACKS_TEXT}\n\n{_tracks_table(labs)}", id="tracks"),
    ]
    return nbformat.writes(new_notebook(cells=cells, metadata=NOTEBOOK_METADATA)) + "\n"


def _labs_table(labs: list[Lab], sources: dict[str, Path]) -> str:
    rows = [
        "| lab | what it is about | chapter | exercises | points | minutes |",
        "| :-- | :-- | :-- | --: | --: | --: |",
    ]
    for lab in labs:
        notebook = read(sources[lab.name])
        graded = [cell for cell in notebook.cells if is_grade(cell)]
        tests, points = sum(map(is_test, graded)), sum(cell.metadata.nbgrader.points for cell in graded)
        chapter = f"[read first](chapters/{lab.name}.md)"
        numbers = f"{tests} + {len(graded) - tests} written | {points:g} | {planned_minutes(notebook)}"
        rows.append(f"| {_link(lab)} | {lab.summary} | {chapter} | {numbers} |")
    return "\n".join(rows)


def _tracks_table(labs: list[Lab]) -> str:
    rows = ["| role | labs, in order |", "| :-- | :-- |"]
    here = {lab.number: lab for lab in labs}
    for role, numbers in TRACKS.items():
        links = ", ".join(_link(here[number]) for number in numbers if number in here)
        rows.append(f"| {role} | {links or 'none so far'} |")
    return "\n".join(rows)


def _link(lab: Lab) -> str:
    return f"[{lab.number:02d} {lab.title}](../labs/{lab.name}/{lab.module}.ipynb)"
