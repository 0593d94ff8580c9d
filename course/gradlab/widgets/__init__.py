"""The widgets of the course. Each is driven by what the student has just written."""

from gradlab.widgets.before_after import BeforeAfter
from gradlab.widgets.behaviour import Behaviour
from gradlab.widgets.collectives import Collectives
from gradlab.widgets.gradient_flow import GradientFlow
from gradlab.widgets.graph import Graph
from gradlab.widgets.mesh import MeshExplorer
from gradlab.widgets.optimizer_race import OptimizerRace

__all__ = ["BeforeAfter", "Behaviour", "Collectives", "GradientFlow", "Graph", "MeshExplorer", "OptimizerRace"]
