"""Every setting has its words, and there are no words without a setting."""

from importlib.resources import files

import pytest
import yaml
from pydantic import BaseModel

from flowers17.config import CommonOptions, Model, RunOptions, StudySettings

MODELS = {model.__name__: model for model in (*Model.__subclasses__(), RunOptions)}
HELP = yaml.safe_load((files("flowers17.config") / "help.yaml").read_text("utf-8"))


@pytest.mark.parametrize("name", HELP)
def test_words_are_of_fields_that_are_there(name: str) -> None:
    model = MODELS[name]
    assert model is not None
    assert HELP[name].keys() <= model.model_fields.keys()
    for field, text in HELP[name].items():
        assert model.model_fields[field].description == text


@pytest.mark.parametrize("model", [StudySettings, CommonOptions, RunOptions])
def test_every_setting_has_words(model: type[Model]) -> None:
    bare = []
    waiting: list[tuple[str, type[BaseModel]]] = [("", model)]
    while waiting:
        prefix, current = waiting.pop()
        for name, field in current.model_fields.items():
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                waiting.append((f"{prefix}{name}.", field.annotation))
            elif not field.description:
                bare.append(prefix + name)
    assert bare == []
