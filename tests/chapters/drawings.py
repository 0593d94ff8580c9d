"""The modules that draw the chapters' figures, for tests that compute a figure's numbers again."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

CHAPTERS = Path(__file__).parents[2] / "course" / "chapters"


def load(name: str) -> ModuleType:
    """`course/chapters/figures/<name>.py`, which imports its neighbour `style`."""
    folder = str(CHAPTERS / "figures")
    sys.path.insert(0, folder)
    try:
        spec = importlib.util.spec_from_file_location(f"drawing_{name}", Path(folder) / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(folder)
        sys.modules.pop("style", None)
    return module
