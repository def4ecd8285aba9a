"""Settings of a sweep: a flow, and a grid of settings, a list of variants, or both."""

from collections.abc import Iterable
from typing import Literal

from pydantic import Field, JsonValue

from flowers17.config import Model
from flowers17.errors import InvalidSettings, short_repr
from flowers17.plain_values import check_plain, yaml_value
from flowers17.request import Overrides, RequestModel, nested, validated

SweptFlow = Literal["study", "learners", "features", "finetune", "ensemble", "attacks"]


class Axis(Model):
    """A setting and the values that it takes in turn."""

    setting: str = Field(
        description="a name that flowers17 settings lists, e.g. features.classifiers.svm.C"
    )
    values: tuple[JsonValue, ...] = Field(
        min_length=1, description="the values it takes in turn, each as JSON"
    )


class SweepSettings(RequestModel):
    """A flow, and its variants, each with every combination of the axes' values."""

    flow: SweptFlow = Field("study", description="what each combination runs")
    axes: tuple[Axis, ...] = Field(
        (), description="settings, each with its values; all are combined with all"
    )
    variants: tuple[Overrides, ...] = Field(  # type: ignore[valid-type]
        (), description="settings that belong together; each variant meets all values of the axes"
    )


def sweep_from(
    axes: Iterable[str] = (), variants: Iterable[str] = (), *, flow: str = "study"
) -> SweepSettings:
    """Return the sweep for `KEY=[VALUE, …]` axes and `{KEY: VALUE, …}` variants, both as YAML.

    >>> sweep_from(["seed=[1, 2]"]).axes[0].values
    (1, 2)

    Raises InvalidSettings if one is malformed, or names no setting.
    """
    return validated(
        SweepSettings,
        {
            "flow": flow,
            "axes": [_axis(text) for text in axes],
            "variants": [_variant(text) for text in variants],
        },
    )


def _axis(text: str) -> dict[str, JsonValue]:
    setting, equals, values = text.partition("=")
    parsed = yaml_value(f"--axis {setting}", values) if setting and equals else None
    if not isinstance(parsed, list) or not parsed:
        raise InvalidSettings(
            f"--axis: expected KEY=[VALUE, …] with at least one value, got {short_repr(text)}"
        )
    check_plain({setting: parsed})
    return {"setting": setting, "values": parsed}


def _variant(text: str) -> Overrides:  # type: ignore[valid-type]
    parsed = yaml_value("--variant", text)
    if not isinstance(parsed, dict) or not parsed:
        raise InvalidSettings(f"--variant: expected {{KEY: VALUE, …}}, got {short_repr(text)}")
    return validated(Overrides, nested("--variant", parsed.items()))
