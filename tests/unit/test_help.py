"""Every setting has its words, and there are no words without a setting."""

import re
from functools import reduce
from importlib.resources import files

import pytest
import yaml
from pydantic import BaseModel

from flowers17.config import CommonOptions, Model, RunOptions, StudySettings
from flowers17.request import request_from
from flowers17.validation import SINGLE_SETTINGS

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


def _is_list_of_records(setting: str) -> bool:
    *groups, name = setting.split(".")
    model = reduce(lambda m, group: m.model_fields[group].annotation, groups, StudySettings)
    annotation = str(model.model_fields[name].annotation)
    return annotation.startswith("tuple[") and "flowers17.config" in annotation


@pytest.mark.parametrize("setting", [*filter(_is_list_of_records, SINGLE_SETTINGS)])
def test_words_of_a_list_of_records_have_an_example_that_can_be_set(setting: str) -> None:
    group, _, name = setting.rpartition(".")
    field = type(reduce(getattr, group.split("."), StudySettings())).model_fields[name]
    example = re.search(r"such as `(\[\{.*?\}\])`", field.description or "")
    assert example
    settings = request_from([f"{setting}={example[1]}"]).settings
    assert len(reduce(getattr, setting.split("."), settings)) == 1
