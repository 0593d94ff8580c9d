"""The bank of misconceptions: wrong implementations with the belief behind each."""

import importlib
import inspect
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_BANK: dict[str, list["Mistake"]] = defaultdict(list)


@dataclass(frozen=True)
class Mistake:
    """A wrong implementation of an exercise. `position` is the one it stands in for among the check's arguments."""

    exercise: str
    implementation: Callable[..., Any]
    position: int

    @property
    def name(self) -> str:
        return self.implementation.__name__

    @property
    def title(self) -> str:
        """The name as words."""
        return self.name.replace("_", " ").capitalize()

    @property
    def belief(self) -> str:
        """What somebody who makes this mistake believes."""
        return self._paragraphs[0]

    @property
    def advice(self) -> str:
        """What to look at."""
        return " ".join(self._paragraphs[1:])

    @property
    def _paragraphs(self) -> list[str]:
        text = inspect.getdoc(self.implementation) or ""
        return [" ".join(part.split()) for part in text.split("\n\n")]


def mistake(*, of: str, position: int = 0) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Puts a wrong implementation of exercise `of` into the bank.

    Its docstring states the belief in its first paragraph, and then what to look at. Where the check takes several
    implementations, `position` says which one is wrong; the others stay the student's own.
    """

    def register(implementation: Callable[..., Any]) -> Callable[..., Any]:
        entry = Mistake(of, implementation, position)
        if "\n\n" not in (inspect.getdoc(implementation) or ""):
            raise TypeError(f"{entry.name}: the docstring needs a belief, an empty line, and what to look at")
        _BANK[f"{implementation.__module__}:{of}"].append(entry)
        return implementation

    return register


def mistakes_of(lab: str, exercise: str) -> list[Mistake]:
    """The known mistakes of an exercise of the lab whose modules are called `lab`, in the order of the bank."""
    module = f"gradlab.mistakes.{lab}"
    importlib.import_module(module)
    return _BANK[f"{module}:{exercise}"]
