"""Settings of a sweep, and its combinations: every variant with every value of every axis.

Settings are a flow, and a grid of settings, a list of variants, or both.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, Self

from pydantic import Field, JsonValue, model_validator

from flowers17 import validation
from flowers17.config import StudySettings
from flowers17.digests import canonical_json
from flowers17.errors import InvalidSettings, hint_for, short_repr
from flowers17.profiles import merged
from flowers17.request import StudyRequest, nested

MAX_COMBINATIONS = 256
SweptFlow = Literal["study", "learners", "features", "finetune", "ensemble", "attacks"]


class SweepSettings(validation.RequestModel):
    """A flow, and its variants, each with every combination of the axes' values."""

    flow: SweptFlow = Field("study", description="what each combination runs")
    axes: tuple[str, ...] = Field(
        (),
        description="a setting and the values that it takes in turn, each a line KEY=[VALUE, …] as "
        "--axis takes it; all are combined with all",
    )
    variants: tuple[str, ...] = Field(
        (),
        description="settings that belong together, each a line {KEY: VALUE, …} as --variant takes "
        "it; each variant meets all values of the axes",
    )

    @model_validator(mode="after")
    def _checked(self) -> Self:
        _ = self.values_by_axis, self.values_by_variant
        return self

    @property
    def values_by_axis(self) -> list[tuple[str, list[JsonValue]]]:
        """Setting and values of each axis; raises InvalidSettings if one is malformed."""
        return [_axis(line) for line in self.axes]

    @property
    def values_by_variant(self) -> list[dict[str, Any]]:
        """Nested values of each variant; raises InvalidSettings if one is malformed."""
        return [_variant(line) for line in self.variants]


def sweep_from(
    axes: Iterable[str] = (), variants: Iterable[str] = (), *, flow: str = "study"
) -> SweepSettings:
    """Return the sweep for `KEY=[VALUE, …]` axes and `{KEY: VALUE, …}` variants, both as YAML.

    >>> sweep_from(["seed=[1, 2]"]).values_by_axis
    [('seed', [1, 2])]

    Raises InvalidSettings if one is malformed, or names no setting.
    """
    values = {"flow": flow, "axes": list(axes), "variants": list(variants)}
    return validation.validated(SweepSettings, values)


def _axis(line: str) -> tuple[str, list[JsonValue]]:
    setting, equals, text = line.partition("=")
    values = validation.yaml_value(f"--axis {setting}", text) if setting and equals else None
    if not isinstance(values, list) or not values:
        raise InvalidSettings(
            f"--axis: expected KEY=[VALUE, …] with at least one value, got {short_repr(line)}"
        )
    validation.check_plain({setting: values})
    return setting, values


def _variant(line: str) -> dict[str, Any]:
    values = validation.yaml_value("--variant", line)
    if not isinstance(values, dict) or not values:
        raise InvalidSettings(f"--variant: expected {{KEY: VALUE, …}}, got {short_repr(line)}")
    validation.check_plain(values)
    return nested("--variant", values.items())


@dataclass(frozen=True)
class Combination:
    """One study of a sweep: its assigned values, and all settings.

    assigned: values as text by setting, in the order of variants and axes; words: display text of
    each, e.g. `svm.C=1.0`, by setting.
    """

    assigned: Mapping[str, str]
    words: Mapping[str, str]
    settings: StudySettings

    @property
    def name(self) -> str:
        """Display name, unique in its sweep."""
        return ", ".join(self.words.values())


def combinations(request: StudyRequest, sweep: SweepSettings) -> list[Combination]:
    """Return every combination of a sweep over the request's settings, the last axis fastest.

    The sweep's values win over those of the request.
    Raises InvalidSettings if there is nothing to sweep over, if an axis names no single setting or
    one that something else sets, if a value is wrong, if two combinations are the same, or if there
    are more than MAX_COMBINATIONS.
    """
    choices = _choices(sweep)
    base = request.settings
    known: dict[str, Combination] = {}
    for choice in product(*choices):
        values = {setting: value for part in choice for setting, value in part.items()}
        assigned = {
            setting: value if isinstance(value, str) else canonical_json(value)
            for setting, value in values.items()
        }
        words = {setting: f"{setting_tail(setting)}={value}" for setting, value in assigned.items()}
        changed = merged(base.model_dump(), nested("sweep", values.items()))
        combination = Combination(assigned, words, validation.validated(StudySettings, changed))
        settings = combination.settings.model_dump_json()
        if settings in known:
            raise InvalidSettings(
                f"expected combinations that differ, got {known[settings].name!r} and "
                f"{combination.name!r} with the same settings; leave one of them out"
            )
        known[settings] = combination
    return list(known.values())


def _choices(sweep: SweepSettings) -> list[Sequence[Mapping[str, Any]]]:
    """Return the lists that a combination takes one entry of: variants, and values of each axis."""
    variants = [dict(_single_values(values)) for values in sweep.values_by_variant]
    if not variants and not sweep.axes:
        raise InvalidSettings(
            "expected at least one axis or variant to sweep over, got none; give "
            "--axis 'seed=[17, 18]', for instance"
        )
    assigned = {setting for variant in variants for setting in variant}
    for setting in assigned:
        _check_setting("variant", setting)
    for setting, _ in sweep.values_by_axis:
        _check_setting("axis", setting)
        if setting in assigned:
            raise InvalidSettings(
                f"axis {setting}: expected a setting that no other axis or variant sets; give "
                "all its values in one place"
            )
        assigned.add(setting)
    choices: list[Sequence[Mapping[str, Any]]] = [variants] if variants else []
    choices += [[{setting: value} for value in values] for setting, values in sweep.values_by_axis]
    n = math.prod(map(len, choices))
    if n > MAX_COMBINATIONS:
        product_of = " × ".join(str(len(values)) for values in choices)
        raise InvalidSettings(
            f"expected at most {MAX_COMBINATIONS} combinations, got {n} ({product_of}); take "
            "fewer values, or several sweeps: they share artifacts, too"
        )
    return choices


def setting_tail(setting: str) -> str:
    """Return the last two parts of a setting's name, which no two settings have in common.

    >>> setting_tail("features.classifiers.svm.C")
    'svm.C'
    """
    return ".".join(setting.split(".")[-2:])


def _single_values(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each single setting of nested values, known or not, by its dotted name."""
    for name, value in values.items():
        is_group = isinstance(value, Mapping) and value
        if prefix + name in validation.SINGLE_SETTINGS or not is_group:
            yield prefix + name, value
        else:
            yield from _single_values(value, f"{prefix}{name}.")


def _check_setting(source: str, setting: str) -> None:
    if setting in validation.SINGLE_SETTINGS:
        return
    members = [name for name in validation.SINGLE_SETTINGS if name.startswith(f"{setting}.")]
    if members:
        raise InvalidSettings(
            f"{source} {setting}: expected a single setting, got a group of them; {members[0]}, "
            "for instance, is one"
        )
    hint = hint_for(setting, validation.SINGLE_SETTINGS)
    raise InvalidSettings(
        f"{source} {setting}: expected a known setting, got an unknown one; {hint}"
    )
