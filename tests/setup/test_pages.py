"""What the pages for people count and list is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def tree() -> list[str]:
    """The paths in the annotated tree of the README."""
    (block,) = re.findall(r"## What is where\n\n```\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    found, parents = [], []
    for line in block.splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        parents = [*parents[:depth], name]
        found.append("".join(parents))
    return found


# What a course makes for itself is in no clone.
IGNORED = {line.strip().removeprefix("/") for line in (ROOT / ".gitignore").read_text().splitlines()}


@pytest.mark.parametrize("path", tree())
def test_the_tree_in_the_readme_is_there(path):
    assert path in IGNORED or list(ROOT.glob(path))


def test_the_tree_names_every_folder_at_the_top():
    folders = {f"{path.name}/" for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    assert folders - IGNORED <= set(tree())


def test_the_instructors_page_counts_the_attacks():
    (said,) = re.findall(r"holds (\d+) submissions", (ROOT / "grading" / "README.md").read_text())
    assert int(said) == len(list((ROOT / "tests" / "attacks" / "corpus").glob("*.py")))


def test_the_links_of_the_pages_lead_somewhere():
    for page in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "grading/README.md", "course/cluster/README.md"):
        links = re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / page).read_text())
        assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == [], page


def test_contributing_is_one_screen():
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 45
