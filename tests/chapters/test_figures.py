"""What holds for the figures and pages of every chapter."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

CHAPTERS = Path(__file__).parents[2] / "course" / "chapters"
FIGURES = CHAPTERS / "figures"
PAGES = sorted(CHAPTERS.glob("*.md"))
MODULES = [path for path in sorted(FIGURES.glob("*.py")) if path.name != "style.py"]

# The page on which JupyterLab shows Markdown, in its light and in its dark theme.
LIGHT, DARK = "#ffffff", "#111111"


def inline(page: Path) -> Iterator[Token]:
    """Yield the links and images of a page, each a token of markdown-it."""
    for block in MarkdownIt("commonmark").enable("table").parse(page.read_text()):
        yield from block.children or []


def relative(target: str) -> bool:
    return not re.match(r"[a-z]+:|#", target)


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours "#rrggbb", by the definition of WCAG 2.2."""

    def luminance(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    bright, dim = sorted([luminance(one), luminance(other)], reverse=True)
    return (bright + 0.05) / (dim + 0.05)


@pytest.fixture(scope="module")
def redrawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw every figure in a folder of its own, by the command that the page names."""
    folder = tmp_path_factory.mktemp("figures")
    for module in FIGURES.glob("*.py"):
        shutil.copy(module, folder)
    for module in MODULES:
        subprocess.run([sys.executable, "-W", "error", folder / module.name], check=True, timeout=300)
    return folder


def test_figures_are_what_the_code_draws(redrawn: Path) -> None:
    drawn = {path.name: path.read_bytes() for path in redrawn.glob("*.svg")}
    committed = {path.name: path.read_bytes() for path in FIGURES.glob("*.svg")}
    assert drawn.keys() == committed.keys()
    different = [name for name in drawn if drawn[name] != committed[name]]
    assert not different, f"run the modules in {FIGURES.name}/ again and look at {different}"


@pytest.mark.parametrize("figure", sorted(FIGURES.glob("*.svg")), ids=lambda path: path.stem)
def test_figure_is_readable_on_light_and_dark(figure: Path) -> None:
    text = figure.read_text()
    colors = set(re.findall(r"(?:fill|stroke): *(#[0-9a-fA-F]{6})", text))
    assert colors, "a figure without a colour is black, and black is invisible on the dark page"
    for color in colors:
        # 3:1 is what WCAG 2.2 (1.4.11) asks of a line in a diagram.
        assert min(contrast(color, LIGHT), contrast(color, DARK)) >= 3, color
    assert "<text" not in text, "text as text depends on the fonts of the reader's machine"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_images_exist_and_have_alternative_text(page: Path) -> None:
    for token in inline(page):
        if token.type == "image":
            source = str(token.attrs["src"])
            assert (page.parent / source).is_file(), source
            assert len(token.content) >= 40, f"{source}: say what the picture shows"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_relative_links_resolve(page: Path) -> None:
    for token in inline(page):
        if token.type == "link_open":
            target = str(token.attrs["href"])
            assert not relative(target) or (page.parent / target.split("#")[0]).exists(), target


@pytest.mark.parametrize("figure", sorted(FIGURES.glob("*.svg")), ids=lambda path: path.stem)
def test_every_figure_is_shown(figure: Path) -> None:
    number = figure.name[:2]
    (page,) = CHAPTERS.glob(f"{number}-*.md")
    shown = {str(token.attrs["src"]) for token in inline(page) if token.type == "image"}
    assert f"figures/{figure.name}" in shown


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_page_reads_in_jupyterlab_too(page: Path) -> None:
    """JupyterLab knows no MyST directives or roles: they would stand there as text."""
    text = page.read_text()
    assert not re.search(r"^(:::|```\{)", text, flags=re.MULTILINE)
    assert not re.search(r"\{[a-z:-]+\}`", text)
    assert text.count("$$") % 2 == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_formulas_and_figures_are_numbered_in_order(page: Path) -> None:
    chapter, text = int(page.name[:2]), page.read_text()
    tags = re.findall(r"\\tag\{([^}]*)\}", text)
    assert tags == [f"{chapter}.{i}" for i in range(1, len(tags) + 1)]
    captions = re.findall(r"^\*Figure ([0-9.]+)\.", text, flags=re.MULTILINE)
    assert captions == [f"{chapter}.{i}" for i in range(1, len(captions) + 1)]
    assert set(re.findall(rf"\(({chapter}\.\d+)\)", text)) <= set(tags)
    assert set(re.findall(rf"Figure ({chapter}\.\d+)", text)) <= set(captions)
