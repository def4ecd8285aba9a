"""Values of settings as people give them: read from YAML, and checked before they are anything.

A value is plain if JSON has it and nothing about it is a trap: no date, no infinite number, no
character that a terminal or a file name takes for something else, nothing huge or deep.
"""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

import yaml

from flowers17.errors import InvalidSettings, shown

MOST_CHARACTERS = 65_536
MOST_VALUES = 20_000
DEEPEST = 16
_MOST_DIGITS = 300  # of the largest float
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # and halves of characters
_READ = ("null", "bool", "int", "float")
_RESOLVERS = {
    first: [(tag, form) for tag, form in resolvers if tag.rpartition(":")[2] in _READ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def yaml_value(where: str, text: str) -> Any:
    """Return what a text says as YAML; raises InvalidSettings that begins with `where`."""
    if len(text) > MOST_CHARACTERS:
        raise InvalidSettings(
            f"{where}: expected at most {MOST_CHARACTERS} characters, got {len(text)}"
        )
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as problem:
        raise InvalidSettings(
            f"{where}: expected a YAML value, got {shown(text)} ({problem.problem})"
        ) from problem
    except (yaml.YAMLError, ValueError, ArithmeticError) as problem:
        raise InvalidSettings(
            f"{where}: expected a YAML value, got {shown(text)} ({problem})"
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
        if self._depth > DEEPEST:
            raise self._refused(f"expected lists at most {DEEPEST} deep", event)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names: set[Any] = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:str" or key.value in names:
                raise self._refused(f"expected names, each once, got {shown(key.value)}", key)
            names.add(key.value)
        return super().construct_mapping(node, deep)

    @staticmethod
    def _refused(problem: str, what: Any) -> yaml.MarkedYAMLError:
        return yaml.MarkedYAMLError(None, None, problem, what.start_mark)


def check_plain(values: Any) -> None:
    """Raise InvalidSettings, which names the setting, if one of nested values is not plain."""
    for n, (where, depth, value) in enumerate(_parts(values)):
        name = ".".join(map(str, where)) or "the request"
        problem: str | None
        if n >= MOST_VALUES:
            problem = f"expected at most {MOST_VALUES} values in all, got more"
        elif depth > DEEPEST:
            problem = f"expected values at most {DEEPEST} deep, got deeper ones"
        else:
            problem = _trap(value)
        if problem:
            raise InvalidSettings(f"setting {name.removeprefix('set.')}: {problem}")


Part = tuple[tuple[Any, ...], int, Any]


def _parts(values: Any) -> Iterator[Part]:
    """Yield where a value stands, how deep, and the value; each key of a mapping as a value."""
    waiting: list[Part] = [((), 0, values)]
    while waiting:
        where, depth, value = part = waiting.pop()
        yield part
        inner: list[tuple[Any, Any]] = []
        if isinstance(value, Mapping):
            yield from ((where, depth, name) for name in value)
            inner = list(value.items())
        elif isinstance(value, list | tuple):
            inner = list(enumerate(value))
        waiting += [((*where, name), depth + 1, one) for name, one in reversed(inner)]


def _trap(value: Any) -> str | None:
    """Return what is wrong with a single value, if something is."""
    if isinstance(value, PurePath):
        value = str(value)
    if isinstance(value, str):
        if len(value) > MOST_CHARACTERS:
            return f"expected at most {MOST_CHARACTERS} characters, got {len(value)}"
        if _CONTROL.search(value):
            return f"expected text without control characters, got {shown(value)}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"expected a finite number, got {value}"
    if isinstance(value, int) and abs(value) >= 10**_MOST_DIGITS:
        return f"expected a number of at most {_MOST_DIGITS} digits, got a longer one"
    return None
