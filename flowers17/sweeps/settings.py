"""Settings of a sweep: a flow, and a grid of settings, a list of variants, or both."""

from collections.abc import Iterable
from typing import Any, Literal, Self

from pydantic import Field, JsonValue, model_validator

from flowers17.errors import InvalidSettings, short_repr
from flowers17.plain_values import check_plain, yaml_value
from flowers17.request import nested
from flowers17.validation import RequestModel, validated

SweptFlow = Literal["study", "learners", "features", "finetune", "ensemble", "attacks"]


class SweepSettings(RequestModel):
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
    return validated(SweepSettings, {"flow": flow, "axes": list(axes), "variants": list(variants)})


def _axis(line: str) -> tuple[str, list[JsonValue]]:
    setting, equals, text = line.partition("=")
    values = yaml_value(f"--axis {setting}", text) if setting and equals else None
    if not isinstance(values, list) or not values:
        raise InvalidSettings(
            f"--axis: expected KEY=[VALUE, …] with at least one value, got {short_repr(line)}"
        )
    check_plain({setting: values})
    return setting, values


def _variant(line: str) -> dict[str, Any]:
    values = yaml_value("--variant", line)
    if not isinstance(values, dict) or not values:
        raise InvalidSettings(f"--variant: expected {{KEY: VALUE, …}}, got {short_repr(line)}")
    check_plain(values)
    return nested("--variant", values.items())
