"""The flows of the study, in the order in which `study` runs them; it imports none of them."""

import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from flowers17.config import RunOptions, StudySettings
from flowers17.request import DESCRIPTIONS

if TYPE_CHECKING:  # it imports NumPy
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

    def stages(self, settings: StudySettings, options: RunOptions) -> "Sequence[Stage]":
        """Stages that the flow runs by itself; `sweep`, which needs more, has none."""
        stages: Sequence[Stage] = self.module.stages(settings, options)
        return stages


FLOWS = {name: ListedFlow(name, description) for name, description in DESCRIPTIONS.items()}
