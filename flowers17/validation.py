"""Validation of what a person asks for: plain values only, and errors in our own words."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ModelWrapValidatorHandler, ValidationError, model_validator

from flowers17.config import Model, StudySettings
from flowers17.errors import InvalidSettings, expectation, short_repr
from flowers17.plain_values import check_plain

M = TypeVar("M", bound=BaseModel)
MAX_ERROR_LINES = 20


class RequestModel(Model):
    """Base of requests: values must be plain, and errors are InvalidSettings in our own words.

    So they are also if such a model is constructed in Python.
    """

    @model_validator(mode="wrap")
    @classmethod
    def _validated_in_words(cls, values: Any, handler: ModelWrapValidatorHandler[M]) -> M:
        check_plain(values)
        try:
            return handler(values)
        except ValidationError as problem:
            raise _settings_error(cls, problem) from None


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
    if error["type"] == "extra_forbidden":
        hint = hint_for(name, tuple(single_settings(model)))
        return f"setting {name}: expected a known name, got an unknown one; {hint}"
    if error["type"] == "value_error":  # of our own validators, whose messages hold the input
        return f"setting {name}: {error['ctx']['error']}"
    if error["input"] is None:
        return (
            f"setting {name}: expected a value, got null or nothing; give [] for an empty list, or "
            "leave the setting out to keep the profile's"
        )
    return f"setting {name}: {expectation(error)}, got {short_repr(error['input'])}"


def hint_for(name: str, names: Sequence[str]) -> str:
    """Suggestion for an unknown name: a similar known one, or where to look."""
    near = get_close_matches(name[:100], names, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else "see `flowers17 settings`"


def single_settings(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all settings below a model that are no groups of settings."""
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from single_settings(info.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


SINGLE_SETTINGS = tuple(single_settings(StudySettings))
