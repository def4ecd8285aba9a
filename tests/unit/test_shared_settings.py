"""Settings that stages share are in the keys of what they change, and only if they are set."""

import json
from typing import Any

import pytest

from flowers17.config import RunOptions, StudySettings
from flowers17.request import request_from
from flowers17.stages import in_order
from flows import report
from tests.support.image_files import class_folders

TRAININGS = {"training", "finetuning", "adversarial_training", "poisoned_training"}
CLASSIFIERS = {"classifier", "fitted", "stacking", "cross_validation", "learning_curve"}


def _configs(settings: StudySettings) -> dict[str, tuple[str, dict[str, Any]]]:
    """Name and configuration of every stage of a study but the report, by title."""
    stages = in_order(report.stages(settings, RunOptions(device="cpu")))
    return {s.title: (s.name, json.loads(s.config)) for s in stages if s.name != "study"}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> StudySettings:
    root = class_folders(tmp_path_factory.mktemp("own"), {"rose": 2, "aster": 2})
    return request_from([f"dataset.source={root}"]).settings


@pytest.mark.parametrize(
    ("setting", "value", "stages"),
    [
        ("class_weight", "balanced", TRAININGS | CLASSIFIERS),
        ("resize", "pad", TRAININGS | {"images", "fitted"}),
    ],
)
def test_a_setting_is_in_the_keys_of_what_it_changes_and_only_if_set(
    setting: str, value: str, stages: set[str], settings: StudySettings
) -> None:
    before = _configs(settings)
    assert not [title for title, (_, config) in before.items() if setting in config]
    changed = settings.model_copy(update={setting: value})
    if setting == "resize":
        dataset = settings.dataset.model_copy(update={"resize": value})
        changed = settings.model_copy(update={"dataset": dataset})
    after = _configs(changed)
    assert before.keys() == after.keys()
    differing = {name for title, (name, _) in after.items() if after[title] != before[title]}
    assert differing >= stages & {name for name, _ in before.values()}
    for name, config in after.values():
        assert config.get(setting) == (value if name in differing else None)
    unset = {
        title: {k: v for k, v in config.items() if k != setting}
        for title, (_, config) in after.items()
    }
    assert unset == {title: config for title, (_, config) in before.items()}
    assert differing <= stages


def test_rendered_flowers_are_square_whatever_is_set() -> None:
    plain, padded = (request_from(values).settings for values in ([], ["dataset.resize=pad"]))
    assert _configs(plain) == _configs(padded)
