"""The request for a study: a profile, the data, options, and single values that differ.

One validation serves Python, the command line and the forms that Prefect's UI draws: that of
each flow has fields for the settings in `forms.yaml`.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, Self

import pydantic
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from flowers17.config import (
    CommonOptions,
    DatasetSettings,
    Model,
    ProfileName,
    RunOptions,
    StudySettings,
)
from flowers17.errors import InvalidSettings, short_repr
from flowers17.files import yaml_beside
from flowers17.profiles import PROFILES, merged, own_data_changes
from flowers17.rules import rule_problem
from flowers17.validation import SINGLE_SETTINGS, RequestModel, validated, yaml_value

_MAX_NAME_PARTS = 8


def _value_at(values: Any, name: str, default: Any = None) -> Any:
    """Value of a dotted name in nested values, or the default."""
    for part in name.split("."):
        if not isinstance(values, Mapping) or part not in values:
            return default
        values = values[part]
    return values


def _setting(name: str) -> tuple[Any, Any]:
    """Type and field of a form for a setting; left empty, it is the profile's."""
    model: Any = StudySettings
    *path, last = name.split(".")
    for part in path:
        model = model.model_fields[part].annotation
    setting = model.model_fields[last]
    profiles: dict[str, list[str]] = {}
    for profile, settings in PROFILES.items():
        value = _value_at(settings.model_dump(mode="json"), name)
        values = value if isinstance(value, list) else [value]
        words = " + ".join(f"{each:g}" if isinstance(each, float) else str(each) for each in values)
        profiles.setdefault(words or "none", []).append(profile)
    texts = [f"{words} ({', '.join(names)})" for words, names in profiles.items()]
    empty = ", ".join(texts) if len(texts) > 1 else next(iter(profiles))
    text = setting.description
    return setting.annotation | None, pydantic.Field(
        None, title=name, description=text, json_schema_extra={"empty": empty}
    )


_EMPTY: tuple[Any, ...] = (None, "", [], ())


class _Choice(Model):
    profile: ProfileName = pydantic.Field(
        "demo",
        description="`demo`: rendered flowers, minutes, no download; `quick`: real data, reduced; "
        "`report`: the study to the letter; `best`: our recipes for the highest accuracy",
    )
    dataset: str | None = pydantic.Field(
        None,
        description=DatasetSettings.model_fields["source"].description,
        json_schema_extra={"empty": "the profile's"},
    )
    seed: int | None = _setting("seed")[1]


class StudyRequest(RequestModel, CommonOptions, _Choice):
    """A profile, the data, where things lie, and single settings.

    A flow's form is a subclass with fields for some settings (`form`). A request becomes any form.
    """

    flow: ClassVar[str] = ""  # whose form it is

    set: tuple[str, ...] = pydantic.Field(
        (),
        title="Set KEY=VALUE",
        description="further settings and options, each a line KEY=VALUE as `--set` takes it "
        "(`flowers17 settings` lists them)",
        json_schema_extra={"empty": "as in the profile"},
    )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: pydantic.GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Schema of the form: no field may be null or has a default that is empty."""
        schema = handler(core_schema)
        fields = handler.resolve_ref_schema(schema)["properties"]
        for field in fields.values():
            for option in field.pop("anyOf", ()):
                if option["type"] != "null":
                    field.pop("default")
                    field.update(option)
            field["description"] = field["description"].replace("`", "")  # it shows no markdown
            if "empty" in field:  # what it means to leave the field so
                field["description"] += f"; empty: {field.pop('empty')}"
        for name in ("set", *CommonOptions.model_fields):
            fields[name] = fields.pop(name)  # behind the settings
        return schema

    @pydantic.model_serializer(mode="wrap")
    def _without_empty_values(
        self, handler: pydantic.SerializerFunctionWrapHandler
    ) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value not in _EMPTY}

    @pydantic.model_validator(mode="before")
    @classmethod
    def _without_empty_fields(cls, values: Any) -> Any:
        """Values but for those that a form left empty; of another form, as this one takes them."""
        if isinstance(values, StudyRequest) and not isinstance(values, cls):
            values = cls._values_of(values)
        if not isinstance(values, Mapping):
            return values
        if isinstance(values.get("set"), Mapping) or any(name in values for name in _LINE_OPTIONS):
            raise InvalidSettings(
                "setting set: expected lines KEY=VALUE, got the parameters of an older form; write "
                "each value as a line, such as seed=3 or ray_address=auto, in the deployment, its "
                "schedules and new runs, or run `flowers17 serve` again for the deployments"
            )
        values = {name: value for name, value in values.items() if value not in _EMPTY}
        if isinstance(lines := values.get("set"), list):
            values["set"] = [line for line in lines if line not in (None, "")]
        return values

    @classmethod
    def _values_of(cls, request: "StudyRequest") -> dict[str, Any]:
        """Values of another form: fields where this one has them, else lines."""
        fields, lines = {name: getattr(request, name) for name in StudyRequest.model_fields}, []
        for line in (*request.set, *_lines(request.own_settings)):
            key, _, text = line.partition("=")
            value = yaml_value(key, text)
            if key in SINGLE_SETTINGS and key in cls.model_fields and value not in _EMPTY:
                fields[key] = value
            else:
                lines.append(line)
        return {**fields, "set": lines}

    @pydantic.model_validator(mode="after")
    def _checked(self) -> Self:
        _ = self.settings, self.options
        for rule in self.rules if self.flow else ():
            if problem := rule_problem(self.flow, rule):
                raise InvalidSettings(f"setting rules: {problem}")
        return self

    @property
    def own_settings(self) -> dict[str, Any]:
        """Values of the fields for settings that are not empty, by name."""
        values = self.model_dump(mode="json")
        return {name: value for name, value in values.items() if name in SINGLE_SETTINGS}

    @property
    def settings(self) -> StudySettings:
        """The profile's settings with the request's own; raises InvalidSettings."""
        own = self.own_settings | ({"dataset.source": self.dataset} if self.dataset else {})
        lines = nested("--set", [pair for pair in self._pairs if pair[0] not in _LINE_OPTIONS])
        for name, value in own.items():
            if (line := _value_at(lines, name, value)) != value:
                raise InvalidSettings(
                    f"setting {name}: expected one value, got {short_repr(value)} in its field and "
                    f"{short_repr(line)} in a line KEY=VALUE; leave one of them out"
                )
        values = PROFILES[self.profile].model_dump()
        if self.profile == "best":
            source = own.get("dataset.source") or _value_at(lines, "dataset.source")
            values = merged(values, own_data_changes(source, self.weights_dir))
        return validated(StudySettings, merged(merged(values, lines), nested("form", own.items())))

    @property
    def options(self) -> RunOptions:
        """The options of the run; raises InvalidSettings."""
        common = {name: getattr(self, name) for name in CommonOptions.model_fields}
        lines = nested("--set", [pair for pair in self._pairs if pair[0] in _LINE_OPTIONS])
        return validated(RunOptions, common | lines)

    @property
    def _pairs(self) -> list[tuple[str, Any]]:
        """Name and value of each line of `set`."""
        pairs = []
        for line in self.set:
            key, equals, text = line.partition("=")
            if not (key and equals):
                raise InvalidSettings(f"--set: expected KEY=VALUE, got {short_repr(line)}")
            pairs.append((key, yaml_value(f"--set {key}", text)))
        return pairs


# What a line gives, since no form has a field for it.
_LINE_OPTIONS = [name for name in RunOptions.model_fields if name not in StudyRequest.model_fields]


AT_ONCE = "at once"
_START = (
    Literal["at once", "after its plan was approved"],
    pydantic.Field(
        AT_ONCE, description="show what would be built, why, and its time, and wait for a person"
    ),
)


def form(flow: str, *settings: str) -> type[StudyRequest]:
    """Form of a flow: that of every request, with fields for some settings, empty at first."""
    fields: dict[str, Any] = {name: _setting(name) for name in settings}
    if settings:  # a sweep shows its plan itself
        fields["start"] = _START
    name = f"{flow.capitalize()}Form"
    model = pydantic.create_model(name, __base__=StudyRequest, __doc__="", **fields)
    model.flow = flow
    return model


def request_from(assignments: Iterable[str] = (), **values: Any) -> StudyRequest:
    """Return the request for values by name and `KEY=VALUE` lines, as on the command line.

    A VALUE is read as YAML: `--set seed=3 --set features.classifiers.svm.C=1.0`.
    Raises InvalidSettings if a key is unknown, or a value missing, malformed or out of its range.
    """
    fields = {name: value for name, value in values.items() if value is not None}
    for name, value in fields.items():
        if value == "":  # of a form it would be an empty field
            raise InvalidSettings(f"setting {name}: expected a value, got an empty text")
    rest = {name: fields.pop(name) for name in _LINE_OPTIONS if name in fields}
    defaults = RunOptions.model_fields
    changed = {name: value for name, value in rest.items() if value != defaults[name].default}
    return validated(StudyRequest, {**fields, "set": [*assignments, *_lines(changed)]})


def _lines(values: Mapping[str, Any]) -> list[str]:
    """Values by name as lines KEY=VALUE."""
    return [f"{name}={json.dumps(value, default=str)}" for name, value in values.items()]


def nested(option: str, pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return values of settings by dotted names as nested ones.

    Raises InvalidSettings, naming the option, if a name has two values, or goes below one set
    before.
    """
    values: dict[str, Any] = {}
    for key, value in pairs:
        level = values
        *path, last = key.split(".")
        if len(path) > _MAX_NAME_PARTS:
            raise InvalidSettings(
                f"{option} {key}: expected a known name, got one of {len(path) + 1} parts; see "
                "`flowers17 settings`"
            )
        for name in path:
            level = level.setdefault(name, {})
            if not isinstance(level, dict):
                raise InvalidSettings(f"{option}: {short_repr(key)} goes below a value set before")
        if last in level and level[last] != value:
            raise InvalidSettings(
                f"{option} {key}: expected one value, got {short_repr(level[last])} and "
                f"{short_repr(value)}; leave one of them out"
            )
        level[last] = value
    return values


# The form of each flow; untouched, a form is its profile.
_DESCRIBED = yaml_beside(__file__, "forms.yaml")
DESCRIPTIONS: dict[str, str] = {flow: described["does"] for flow, described in _DESCRIBED.items()}
FORMS = {flow: form(flow, *described["fields"]) for flow, described in _DESCRIBED.items()}
