"""The list of flows is the only one: what else names flows agrees with it."""

from pathlib import Path
from typing import get_args

import pytest
import yaml

from flowers17.reporting.reference import PARTS
from flowers17.request import StudyRequest
from flowers17.sweeps.settings import SweptFlow
from flows.flow_names import FLOWS, ListedFlow
from flows.report import PARTS as BUILT
from flows.study_flow import study_flow
from tasks.results import Absent, Results, StagesFailed
from tests.support.image_files import class_folders
from tests.support.processes import ROOT

DEPLOYMENTS = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text())["deployments"]


@pytest.mark.parametrize("listed", FLOWS.values(), ids=lambda listed: listed.name)
def test_every_flow_is_called_and_described_as_it_is_listed(listed: ListedFlow) -> None:
    flow = listed.function()
    assert flow.name == listed.name
    assert flow.description.splitlines()[0] == listed.description


def test_every_flow_module_is_listed() -> None:
    modules = ROOT.joinpath("flows").glob("*.py")
    with_flows = {path.stem for path in modules if "\n@study_flow\n" in path.read_text()}
    assert with_flows == set(FLOWS)


def test_every_flow_has_its_deployment() -> None:
    assert {deployment["name"]: deployment["entrypoint"] for deployment in DEPLOYMENTS} == {
        name: f"flows/{name}.py:{name}" for name in FLOWS
    }


def test_swept_flows_and_the_parts_of_the_report_are_listed_ones() -> None:
    assert set(get_args(SweptFlow)) < set(FLOWS)
    # The scores on a given test part come from all flows.
    assert {part.name for part in PARTS} == {part.name for part in BUILT} | {"test"}
    modules = [part.parts.__module__ for part in BUILT]
    assert modules == [f"flows.{name}" for name in list(FLOWS)[: len(BUILT)]]


@pytest.mark.parametrize(
    ("document", "start", "flows"),
    [
        ("README.md", "| flows |", set(FLOWS) - {"sweep"}),
        ("docs/sweeps.md", "The flow is ", set(get_args(SweptFlow))),
    ],
)
def test_documents_name_the_flows_that_are_listed(
    document: str, start: str, flows: set[str]
) -> None:
    text = (ROOT / document).read_text()
    [line] = [line for line in text.splitlines() if line.startswith(start)]
    assert set(line.split("`")[1::2]) == flows


def test_failed_stages_hand_on_what_their_errors_know() -> None:
    results = {"a": Absent("no", False, {"unusable": [1]}), "b": Absent("after a", False)}
    assert StagesFailed("two failed", results).details == {"unusable": [1]}


def test_flow_checks_the_data_as_its_settings_read_them(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "own", {"a": 2, "b": 2})
    elsewhere = class_folders(tmp_path / "elsewhere", {"c": 1})
    (root / "a" / "link.png").symlink_to(elsewhere / "c" / "00.png")

    def dataset(request: StudyRequest) -> Results:
        return Results()

    check = study_flow(dataset).fn
    request = StudyRequest(profile="quick", dataset=str(root))
    assert "set dataset.links=follow" in str(check(request).message)  # type: ignore[attr-defined]
    follows = request.model_copy(update={"set": ("dataset.links=follow",)})
    assert check(follows).is_completed()  # type: ignore[attr-defined]
