"""Correct implementations that differ from the reference: each must get full marks.

One module a lab. They hold the checks to judging what a function does, and not how it was written.
"""

import importlib
from collections import defaultdict
from collections.abc import Callable
from typing import Any

_BANK: dict[str, list[Callable[..., Any]]] = defaultdict(list)


def alternative(*, of: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers a correct implementation of exercise `of`.

    Where the check takes several implementations, the function takes none and returns them all as a tuple.
    """

    def register(implementation: Callable[..., Any]) -> Callable[..., Any]:
        _BANK[f"{implementation.__module__}:{of}"].append(implementation)
        return implementation

    return register


def alternatives_of(lab: str, exercise: str) -> list[Callable[..., Any]]:
    """The alternatives of an exercise of the lab whose modules are called `lab`."""
    module = f"gradlab_grading.alternatives.{lab}"
    importlib.import_module(module)
    return _BANK[f"{module}:{exercise}"]
