"""Validation of what a person asks for: plain values only, and errors in our own words.

A value is plain if JSON has it and nothing about it is a trap: no date, no infinite number, no
control character, nothing huge or deep.
"""

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ModelWrapValidatorHandler, ValidationError, model_validator

from flowers17.config import Model, StudySettings
from flowers17.errors import InvalidSettings, expectation, hint_for, short_repr

M = TypeVar("M", bound=BaseModel)
MAX_ERROR_LINES = 20
MAX_CHARACTERS = 65_536
MAX_VALUES = 20_000
MAX_DEPTH = 16
_MAX_DIGITS = 300  # of the largest float
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # and halves of characters
_IMPLICIT_TYPES = ("null", "bool", "int", "float")
_RESOLVERS = {
    first: [(tag, form) for tag, form in resolvers if tag.rpartition(":")[2] in _IMPLICIT_TYPES]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def yaml_value(source: str, text: str) -> Any:
    """Return the value of a YAML text; raises InvalidSettings, which begins with `source`."""
    if len(text) > MAX_CHARACTERS:
        raise InvalidSettings(
            f"{source}: expected at most {MAX_CHARACTERS} characters, got {len(text)}"
        )
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as problem:
        raise InvalidSettings(
            f"{source}: expected a YAML value, got {short_repr(text)} ({problem.problem})"
        ) from problem
    except (yaml.YAMLError, ValueError, ArithmeticError) as problem:
        raise InvalidSettings(
            f"{source}: expected a YAML value, got {short_repr(text)} ({problem})"
        ) from problem


class _Loader(yaml.SafeLoader):
    """YAML without tags, anchors, aliases, merges and dates; names are the keys, each once."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.yaml_implicit_resolvers = _RESOLVERS
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if getattr(event, "anchor", None) or getattr(event, "tag", None):
            raise self._refused("expected no tags (!), anchors (&) and aliases (*)", event)
        if self._depth > MAX_DEPTH:
            raise self._refused(f"expected lists at most {MAX_DEPTH} deep", event)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names: set[Any] = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:str" or key.value in names:
                raise self._refused(f"expected names, each once, got {short_repr(key.value)}", key)
            names.add(key.value)
        return super().construct_mapping(node, deep)

    @staticmethod
    def _refused(problem: str, element: Any) -> yaml.MarkedYAMLError:
        return yaml.MarkedYAMLError(None, None, problem, element.start_mark)


def check_plain(values: Any) -> None:
    """Raise InvalidSettings, which names the setting, if any of nested values is not plain."""
    pending: list[tuple[tuple[Any, ...], Any]] = [((), values)]
    for n in itertools.count():
        if not pending:
            return
        path, value = pending.pop()
        problem = _value_problem(value)
        if n >= MAX_VALUES:
            problem = f"expected at most {MAX_VALUES} values in all, got more"
        elif len(path) > MAX_DEPTH:
            problem = f"expected values at most {MAX_DEPTH} deep, got deeper ones"
        if problem:
            name = ".".join(map(str, path)) or "the request"
            raise InvalidSettings(f"setting {name}: {problem}")
        if isinstance(value, Mapping):
            pending += [((*path, name), value[name]) for name in reversed(value)]
            pending += [(path, name) for name in value]
        elif isinstance(value, list | tuple):
            pending += [((*path, i), value[i]) for i in reversed(range(len(value)))]


def _value_problem(value: Any) -> str | None:
    """Reason why a single value is not plain; None if it is."""
    if isinstance(value, PurePath):
        value = str(value)
    if isinstance(value, str):
        if len(value) > MAX_CHARACTERS:
            return f"expected at most {MAX_CHARACTERS} characters, got {len(value)}"
        if _CONTROL.search(value):
            return f"expected text without control characters, got {short_repr(value)}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"expected a finite number, got {value}"
    if isinstance(value, int) and abs(value) >= 10**_MAX_DIGITS:
        return f"expected a number of at most {_MAX_DIGITS} digits, got a longer one"
    return None


class RequestModel(Model):
    """Base of requests: values must be plain, and errors are InvalidSettings in our own words.

    So they are also if such a model is constructed in Python.
    """

    @model_validator(mode="wrap")
    @classmethod
    def _validated_in_words(cls, values: Any, handler: ModelWrapValidatorHandler[M]) -> M:
        return _in_words(cls, handler, values)


def validated(model: type[M], values: Any) -> M:
    """Return the values as a model; raises InvalidSettings that names each wrong one."""
    return _in_words(model, model.model_validate, values)


def _in_words(model: type[BaseModel], validate: Callable[[Any], M], values: Any) -> M:
    check_plain(values)
    try:
        return validate(values)
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


def single_settings(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all settings below a model that are no groups of settings."""
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from single_settings(info.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


SINGLE_SETTINGS = tuple(single_settings(StudySettings))
