"""The flows of the study, in the order in which `study` runs them; it imports none of them."""

import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

from flowers17.config import RunOptions, StudySettings
from flowers17.stages import Stage


class ListedFlow(NamedTuple):
    """A flow: its name, which is its module's and its function's, and what it does in a line."""

    name: str
    description: str

    @property
    def module(self) -> ModuleType:
        """The flow's module; Prefect is imported with it."""
        return importlib.import_module(f"flows.{self.name}")

    def function(self) -> Any:
        """The flow itself."""
        return getattr(self.module, self.name)

    def stages(self, settings: StudySettings, options: RunOptions) -> Sequence[Stage]:
        """Stages that the flow runs by itself; `sweep`, which needs more, has none."""
        stages: Sequence[Stage] = self.module.stages(settings, options)
        return stages


_DESCRIPTIONS = {
    "dataset": "Prepare the images: decode, find near-duplicates, split, describe.",
    "learners": "Train the study's CNNs, and our own, each from its last checkpoint.",
    "features": "Extract features with pre-trained networks and evaluate classifiers on them.",
    "finetune": "Train heads on pre-trained networks, then unfreeze the networks' last blocks.",
    "ensemble": "Predict images with models that did not see them, then average and stack.",
    "attacks": "Attack models, show what fools one to the others, and check the attacks.",
    "report": "Build what is missing, then write page, tables, figures and results.",
    "study": "Run the whole study; a part that fails does not hold up the others, nor the report.",
    "sweep": "Run a flow over every combination; a failed one does not hold up the others.",
}
FLOWS = {name: ListedFlow(name, description) for name, description in _DESCRIPTIONS.items()}
