"""The widgets of the course. Each is driven by what the student has just written."""

from gradlab.widgets.behaviour import Behaviour
from gradlab.widgets.optimizer_race import OptimizerRace

__all__ = ["Behaviour", "OptimizerRace"]
