"""Stages without a result stand in the part of the report that asks for them, with their cause."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from flowers17.config import RunOptions
from flowers17.reporting.absences import AbsentStage, absent_stages, labels_by_reason
from flowers17.request import request_from
from flows import attacks, ensemble, features, report

CASES = ("report", "best")


def _described(profile: str, flow: Any = report, *settings: str) -> list[dict[str, Any]]:
    """Return the stages of a profile's report as its configuration describes them."""
    request = request_from(settings, profile=profile, dataset="rendered", store="none")
    [stage] = flow.stages(request.settings, request.options)
    return list(json.loads(stage.config)["stages"])


def _without(described: Sequence[Any], *labels: str) -> dict[str, AbsentStage]:
    """Return, by label, what is absent where the stages of these labels failed."""
    absent = set(labels)
    for stage in described:
        if not stage["tolerant"] and absent & set(stage["inputs"]):
            absent.add(stage["label"])
    return {stage.label: stage for stage in absent_stages(described, absent)}


@pytest.fixture(scope="module", params=CASES)
def described(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return _described(request.param)


def _parts(described: Sequence[Any], stage: str) -> set[str]:
    return {entry["part"] for entry in described if entry["stage"] == stage}


@pytest.mark.parametrize("stage", ["images", "duplicates", "splits", "datasheet"])
def test_data_stand_in_the_part_of_the_data(described: list[dict[str, Any]], stage: str) -> None:
    assert "data" in _parts(described, stage)
    assert {entry["part"] for entry in described if entry["label"] in (stage, "images@128")} == {
        "data"
    }


@pytest.mark.parametrize("stage", ["transfer", "poisoning"])
def test_what_attacks_lead_to_stands_in_part_c_alone(
    described: list[dict[str, Any]], stage: str
) -> None:
    assert _parts(described, stage) == {"c"}


def test_split_of_ensembles_stands_in_their_part(described: list[dict[str, Any]]) -> None:
    [split] = [entry for entry in described if entry["label"] == "clean split"]
    assert split["part"] == "a2"


def test_what_only_ensembles_read_stands_in_their_part() -> None:
    parts = {entry["label"]: entry["part"] for entry in _described("best")}
    # The features in coordinates, and a network whose refit takes no epochs from folds.
    assert parts["rows mobilenet@320-original-average-mirrored"] == "a2"
    assert parts["residual best, clean split"] == "a2"
    assert parts["residual best, repeat-01 split"] == "a1"


def test_refit_that_only_attacks_need_stands_in_their_part() -> None:
    described = _described("report", attacks, "ensemble.ensembles=[]")
    [refit] = [entry for entry in described if entry["label"] == "mk-2 wide refit, clean split"]
    assert refit["part"] == "c"


def test_stacking_that_lacks_weights_says_which_file_to_bring() -> None:
    described = _described("best", ensemble)
    weights = "weights mobilenet"
    absent = _without(described, weights)
    stackings = [stage for stage in absent.values() if stage.stage == "stacking"]
    assert stackings
    for stage in stackings:
        assert (stage.part, stage.kind, stage.cause) == ("a2", "weights", weights)
        assert "mobilenet_notop.weights.h5 into the folder" in stage.reason


def test_cause_is_followed_to_the_stage_that_failed_itself() -> None:
    absent = _without(_described("report"), "images@128")
    assert {stage.cause for stage in absent.values()} == {"images@128"}
    assert absent["images@128"].kind == "failed"
    assert {stage.kind for stage in absent.values() if stage.stage != "images"} == {"skipped"}
    [(reason, labels)] = labels_by_reason(
        [stage for stage in absent.values() if stage.part == "a1"]
    )
    assert reason == "images@128 failed; the run’s log says why"
    assert labels[:2] == ["report split", "baseline, report split"]


def test_tolerant_stage_fails_by_itself_unless_it_has_no_input_but_the_data() -> None:
    def stage(label: str, *inputs: str, tolerant: bool = False, part: str = "c") -> dict[str, Any]:
        own = {"part": part, "stage": label, "configuration": {}, "split": "", "label": label}
        return {**own, "inputs": inputs, "tolerant": tolerant}

    described = [stage("a"), stage("b"), stage("c", "a", "b", tolerant=True)]
    causes = [absent.cause for absent in absent_stages(described, {"a", "c"})]
    assert causes == ["a", "c"]
    assert [absent.cause for absent in absent_stages(described, {"a", "b", "c"})] == ["a", "b", "a"]
    data = [stage("d", part="data"), stage("a"), stage("c", "a", "d", tolerant=True)]
    assert [absent.cause for absent in absent_stages(data, {"a", "c"})] == ["a", "a"]


def test_tables_find_a_stage_by_its_configuration_part_and_split() -> None:
    absent = list(_without(_described("report"), "images@128").values())
    wide = {"learner": "mk-2", "augmentation": "wide", "recipe_name": "report"}
    chosen = [stage.label for stage in absent if stage.is_of("training", split="report", **wide)]
    assert chosen == ["mk-2 wide, report split"]
    of_ensembles = {stage.label for stage in absent if stage.is_of("training", part="a2", **wide)}
    assert {"mk-2 wide, clean fold 1", "mk-2 wide refit, clean split"} <= of_ensembles
    assert [stage.label for stage in absent if stage.is_of("stacking", ensemble="study")] == [
        "stacking of study, clean split"
    ]


def test_description_of_the_stages_tells_nothing_of_the_machine() -> None:
    settings = request_from((), profile="demo").settings
    stages = [
        report.stages(settings, RunOptions(store=store, device=device, workers=workers))[0]
        for store, device, workers in (("here", "cpu", 1), ("there", "auto", 4))
    ]
    assert stages[0].config == stages[1].config


def test_part_that_is_run_alone_names_the_data_too() -> None:
    described = _described("demo", features)
    assert {entry["part"] for entry in described} == {"data", "b1"}
    assert {entry["stage"] for entry in described if entry["part"] == "data"} == {
        *("images", "duplicates", "splits"),
    }
