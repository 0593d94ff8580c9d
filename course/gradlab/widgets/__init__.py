"""The widgets of the course. Each is driven by what the student has just written.

A widget is imported when it is first asked for: together they need most scientific libraries, a lab two or three.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradlab.widgets.before_after import BeforeAfter
    from gradlab.widgets.behaviour import Behaviour
    from gradlab.widgets.collectives import Collectives
    from gradlab.widgets.gradient_flow import GradientFlow
    from gradlab.widgets.graph import Graph
    from gradlab.widgets.mesh import MeshExplorer
    from gradlab.widgets.optimizer_race import OptimizerRace

__all__ = ["BeforeAfter", "Behaviour", "Collectives", "GradientFlow", "Graph", "MeshExplorer", "OptimizerRace"]
_FOLDERS = {
    "BeforeAfter": "before_after",
    "Behaviour": "behaviour",
    "Collectives": "collectives",
    "GradientFlow": "gradient_flow",
    "Graph": "graph",
    "MeshExplorer": "mesh",
    "OptimizerRace": "optimizer_race",
}


def __getattr__(name: str) -> Any:
    if name not in _FOLDERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FOLDERS[name]}"), name)


def __dir__() -> list[str]:
    return __all__
