"""The flows of the study, in the order in which `study` runs them; it imports none of them."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from flowers17.config import Places, StudySettings
from flowers17.stages import Stage


@dataclass(frozen=True)
class ListedFlow:
    """A flow: its name, what it does in a line, and the module of its graph if not its own."""

    name: str
    description: str
    graph: str = ""

    @property
    def entrypoint(self) -> str:
        """Where Prefect finds the flow, from the checkout: `file:function`."""
        return f"flows/{self.name}.py:{self.name}"

    def function(self) -> Callable[..., Any]:
        """Return the flow itself; Prefect is imported with it."""
        function: Callable[..., Any] = getattr(_module(self.name), self.name)
        return function

    def stages(self, settings: StudySettings, places: Places) -> Sequence[Stage]:
        """Return the stages that the flow runs by itself; not of `sweep`, whose graph has more."""
        stages: Sequence[Stage] = _module(self.graph or self.name).stages(settings, places)
        return stages


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"flows.{name}")


_LISTED = (
    ListedFlow("dataset", "Prepare the images: decode, find near-duplicates, split, describe."),
    ListedFlow("learners", "Train the study's CNNs, and our own, each from its last checkpoint."),
    ListedFlow(
        "features", "Extract features with pre-trained networks and evaluate classifiers on them."
    ),
    ListedFlow(
        "finetune", "Train heads on pre-trained networks, then unfreeze the networks' last blocks."
    ),
    ListedFlow(
        "ensemble", "Predict images with models that did not see them, then average and stack."
    ),
    ListedFlow(
        "attacks", "Attack models, show what fools one to the others, and check the attacks."
    ),
    ListedFlow("report", "Build what is missing, then write page, tables, figures and results."),
    ListedFlow(
        "study",
        "Run the whole study; a part that fails does not hold up the others, nor the report.",
        graph="report",
    ),
    ListedFlow(
        "sweep", "Run a flow over every combination; a failed one does not hold up the others."
    ),
)
FLOWS = {listed.name: listed for listed in _LISTED}
