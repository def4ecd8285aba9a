"""Base of all settings."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from flowers17.files import yaml_beside

OWN_RECIPES = yaml_beside(__file__, "recipes.yaml")
_HELP = yaml_beside(__file__, "help.yaml")


class Model(BaseModel):
    """A frozen model that rejects unknown keys; `help.yaml` describes its settings by its name."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        for name, description in _HELP.get(cls.__name__, {}).items():
            cls.model_fields[name].description = description
