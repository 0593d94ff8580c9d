"""Where a course's files lie, for the staff's commands."""

from dataclasses import dataclass
from pathlib import Path


class UnknownSource(LookupError):
    """No folder of `solutions/` goes by that name; the message lists those that do."""


@dataclass(frozen=True)
class Layout:
    """The folders of one course, from its root (the repository's)."""

    root: Path

    @property
    def solutions(self) -> Path:
        """What people edit: `NN-name/name.py`."""
        return self.root / "solutions"

    @property
    def labs(self) -> Path:
        """The students' notebooks, committed."""
        return self.root / "labs"

    @property
    def grading(self) -> Path:
        """The course directory of nbgrader."""
        return self.root / "grading"

    @property
    def source(self) -> Path:
        """The source notebooks for nbgrader, generated: solutions and hidden tests are in them."""
        return self.grading / "build" / "source"

    @property
    def release(self) -> Path:
        """What nbgrader releases, generated. It is not `labs/`, where somebody may be at work."""
        return self.grading / "build" / "release"

    @property
    def exchange(self) -> Path:
        """Where students fetch and submit, unless the course's settings say otherwise."""
        return self.grading / "exchange"

    def sources(self, name: str | None = None) -> list[Path]:
        """The sources `solutions/NN-name/name.py`, of all labs or of the one meant by `name`.

        `name` may be `04-optimizers`, `optimizers`, `04`, `4`, or a path to the folder or the file.

        Raises:
            UnknownSource: no source goes by that name, or there is none at all.
        """
        found = sorted(self.solutions.glob("[0-9][0-9]-*/*.py"))
        if not found:
            raise UnknownSource(f"{self.solutions} holds no NN-name/name.py.")
        if name is None:
            return found
        key = Path(name).stem
        chosen = [path for path in found if key in _names(path)]
        if not chosen:
            known = "\n".join(f"  {path.parent.name}" for path in found)
            raise UnknownSource(f"There is no source for a lab {name!r}. The sources are:\n{known}")
        return chosen


def _names(source: Path) -> set[str]:
    number, _, slug = source.parent.name.partition("-")
    return {source.parent.name, number, number.lstrip("0"), slug, source.stem}


def repository() -> Layout:
    """The layout of the repository that this package is installed from, editable."""
    return Layout(Path(__file__).resolve().parents[2])
