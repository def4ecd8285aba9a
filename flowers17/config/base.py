"""Base of all settings."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

OWN_RECIPES = yaml.safe_load((Path(__file__).parent / "recipes.yaml").read_text("utf-8"))
_HELP = yaml.safe_load((Path(__file__).parent / "help.yaml").read_text("utf-8"))


class Model(BaseModel):
    """A frozen model that rejects unknown keys; `help.yaml` describes its settings by its name."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        for name, description in _HELP.get(cls.__name__, {}).items():
            cls.model_fields[name].description = description
