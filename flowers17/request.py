"""The request for a study: a profile, the data, options, and single values that differ.

One validation serves Python, the command line and the form that Prefect's UI draws.
"""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, TypeGuard, TypeVar, get_args

from pydantic import (
    BaseModel,
    Field,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    ValidationError,
    create_model,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from flowers17.config import DatasetSettings, Model, ProfileName, RunOptions, StudySettings
from flowers17.errors import InvalidSettings, short_repr
from flowers17.plain_values import check_plain, yaml_value
from flowers17.profiles import PROFILES, merged

M = TypeVar("M", bound=BaseModel)
MAX_ERROR_LINES = 20
_MAX_NAME_PARTS = 8


class RequestModel(Model):
    """Base of requests: values must be plain, and errors are InvalidSettings in our own words.

    Prefect validates the parameters of forms and deployments with such a model itself.
    """

    @model_validator(mode="wrap")
    @classmethod
    def _validated_in_words(cls, values: Any, handler: ModelWrapValidatorHandler[M]) -> M:
        check_plain(values)
        try:
            return handler(values)
        except ValidationError as problem:
            raise _settings_error(cls, problem) from None


class _FormModel(Model):
    """A model as a form shows it: no choice between a type and None, and nothing empty stored.

    take_none: fields of which None is a value like others if it was set.
    """

    take_none: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core_schema)
        for field in handler.resolve_ref_schema(schema)["properties"].values():
            types = [option for option in field.get("anyOf", ()) if option.get("type") != "null"]
            if len(types) == 1:
                del field["anyOf"], field["default"]
                field.update(types[0])
            if "description" in field:  # Prefect's form shows no markdown
                field["description"] = field["description"].replace("`", "")
            if "empty" in field:  # what it means to leave the field so
                field["description"] += f"; empty: {field.pop('empty')}"
        return schema

    @model_serializer(mode="wrap")
    def _without_empty_values(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if self.has_value(name, value)}

    def has_value(self, name: str, value: Any) -> bool:
        """Whether a field holds a value; an empty field leaves the profile's."""
        if value is None:
            return name in self.take_none and name in self.model_fields_set
        return bool(value != {})


def _partial(model: type[BaseModel], title: str) -> type[_FormModel]:
    """Return the model with every field optional and empty, nested models likewise."""
    fields: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        annotation = info.annotation
        if _is_group(annotation):
            nested = _partial(annotation, name.replace("_", " ").capitalize())
            fields[name] = (nested, Field(nested(), description=annotation.__doc__))
        else:
            limited: Any = Annotated[annotation, *info.metadata] if info.metadata else annotation
            fields[name] = (
                limited | None,
                Field(None, description=info.description),
            )
    partial = create_model(
        f"{model.__name__}Overrides", __base__=_FormModel, __doc__=model.__doc__, **fields
    )
    partial.model_config["title"] = title
    partial.take_none = frozenset(name for name in model.model_fields if _takes_none(model, name))
    partial.model_rebuild(force=True)
    return partial


def _is_group(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _takes_none(model: type[BaseModel], name: str) -> bool:
    return type(None) in get_args(model.model_fields[name].annotation)


def _filled_values(model: _FormModel) -> dict[str, Any]:
    """Values of a partial model that are not empty."""
    values: dict[str, Any] = {}
    for name in model.model_fields_set:
        value = getattr(model, name)
        if isinstance(value, _FormModel):
            value = _filled_values(value)
        if model.has_value(name, value):
            values[name] = value
    return values


Overrides = _partial(StudySettings, "Single settings")


class _Choice(_FormModel):
    profile: ProfileName = Field(
        "demo",
        description="`demo`: rendered flowers, minutes, no download; `quick`: real data, reduced; "
        "`report`: the study to the letter; `best`: our recipes for the highest accuracy",
    )
    dataset: str | None = Field(
        None,
        min_length=1,
        description=DatasetSettings.model_fields["source"].description,
        json_schema_extra={"empty": "the profile's"},
    )


class StudyRequest(RequestModel, RunOptions, _Choice):
    """A profile, the data, where things lie, and single settings."""

    set: Overrides = Field(  # type: ignore[valid-type]
        Overrides(),
        description="values that differ from the profile's",
        json_schema_extra={"empty": "as in the profile"},
    )

    @property
    def settings(self) -> StudySettings:
        """The profile's settings with the overrides applied; raises InvalidSettings."""
        values = merged(PROFILES[self.profile].model_dump(), _filled_values(self.set))
        if self.dataset:
            values["dataset"]["source"] = self.dataset
        return validated(StudySettings, values)

    @property
    def options(self) -> RunOptions:
        """The options of the run."""
        return RunOptions(**{name: getattr(self, name) for name in RunOptions.model_fields})


def validated(model: type[M], values: Any) -> M:
    """Return the values as a model; raises InvalidSettings that names each wrong one."""
    check_plain(values)
    try:
        return model.model_validate(values)
    except ValidationError as problem:
        raise _settings_error(model, problem) from None


def _settings_error(model: type[BaseModel], problem: ValidationError) -> InvalidSettings:
    errors = problem.errors()
    # A list whose items are wrong is called too short as well, since they are not counted.
    outer = {error["loc"][:n] for error in errors for n in range(len(error["loc"]))}
    wrong = [error for error in errors if error["loc"] not in outer]
    lines = [_error_line(model, error) for error in wrong[:MAX_ERROR_LINES]]
    if len(wrong) > MAX_ERROR_LINES:
        lines.append(f"and {len(wrong) - MAX_ERROR_LINES} more")
    return InvalidSettings("\n".join(lines))


def _error_line(model: type[BaseModel], error: Any) -> str:
    if error["type"] == "value_error" and isinstance(error["ctx"]["error"], InvalidSettings):
        return str(error["ctx"]["error"])  # of `RequestModel`
    name = ".".join(str(part) for part in error["loc"]) or model.__name__
    names = _names(model)
    if name.startswith("set."):  # as the option `--set` takes it
        name = name.removeprefix("set.")
        names = [name.removeprefix("set.") for name in names if name.startswith("set.")]
    if error["type"] == "extra_forbidden":
        hint = hint_for(name, names)
        return f"setting {name}: expected a known name, got an unknown one; {hint}"
    if error["type"] == "value_error":  # of our own validators, whose messages hold the input
        return f"setting {name}: {error['ctx']['error']}"
    return f"setting {name}: {error['msg']}, got {short_repr(error['input'])}"


def hint_for(name: str, names: Sequence[str]) -> str:
    """Suggestion for an unknown name: a similar known one, or where to look."""
    near = get_close_matches(name[:100], names, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else "see `flowers17 settings`"


def _names(model: type[BaseModel], prefix: str = "") -> list[str]:
    names = []
    for name, info in model.model_fields.items():
        if _is_group(info.annotation):
            names += _names(info.annotation, f"{prefix}{name}.")
        names.append(prefix + name)
    return names


def request_from(assignments: Iterable[str] = (), **values: Any) -> StudyRequest:
    """Return the request for values by name and `KEY=VALUE` overrides, as on the command line.

    A VALUE is read as YAML: `--set seed=3 --set features.classifiers.svm.C=1.0`.
    Raises InvalidSettings if a key is unknown, or a value missing, malformed or out of its range.
    """
    pairs = []
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not (key and equals):
            raise InvalidSettings(f"--set: expected KEY=VALUE, got {short_repr(assignment)}")
        pairs.append((key, yaml_value(f"--set {key}", text)))
    overrides = nested("--set", pairs)
    fields = {name: value for name, value in values.items() if value is not None}
    return validated(StudyRequest, {**fields, "set": overrides})


def nested(option: str, pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return values of settings by dotted names as nested ones; of two of one name, the later wins.

    Raises InvalidSettings, naming the option, if a name goes below a value set before, or if a
    setting is given None that does not take it.
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
        level[last] = value
    _check_nulls(option, values, StudySettings)
    return values


def _check_nulls(
    option: str, values: Mapping[str, Any], model: type[BaseModel], prefix: str = ""
) -> None:
    """Raise InvalidSettings if a setting is given None, which to a form is an empty field."""
    for name, value in values.items():
        if name not in model.model_fields:
            continue  # what is unknown is refused with a hint
        group = model.model_fields[name].annotation
        if value is None and not _takes_none(model, name):
            raise InvalidSettings(
                f"{option} {prefix}{name}: expected a value, got null or nothing; give [] for an "
                "empty list, or leave the setting out to keep the profile's"
            )
        if _is_group(group) and isinstance(value, Mapping):
            _check_nulls(option, value, group, f"{prefix}{name}.")
