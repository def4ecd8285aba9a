"""The list of flows is the only one: what else names flows agrees with it."""

import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from prefect.flows import load_flow_from_entrypoint

from flowers17.reporting.reference import PARTS
from flowers17.request import StudyRequest
from flowers17.sweeps.combinations import SweptFlow
from flows.flow_names import FLOWS, ListedFlow
from flows.prefect_api import SETTINGS
from flows.registration import AUTOMATIONS
from flows.registration import DEPLOYMENTS as DESCRIBED
from flows.report import PARTS as BUILT
from flows.study_flow import study_flow
from tasks import leftovers
from tasks.conclusion import BROKEN, RULE_BROKEN
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
    with_flows = {
        path.stem
        for path in modules
        if re.search(r"\n@study_flow\n| = PART\.flow\(", path.read_text())
    }
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
    absent = {"a": Absent("no", False, {"unusable": [1]}), "b": Absent("after a", False)}
    results = Results(absent)
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


def test_automations_know_the_states_and_events_of_runs() -> None:
    described = yaml.safe_load(AUTOMATIONS.read_text())
    silent, _, guarded = (automation["trigger"] for automation in described)
    assert f"prefect.flow-run.{RULE_BROKEN}" in silent["expect"]
    assert silent["within"] == 3 * int(SETTINGS["worker"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"])
    assert guarded["expect"] == [BROKEN]


def test_images_hold_what_is_registered() -> None:
    lines = (ROOT / "deployments" / "Dockerfile.dockerignore").read_text().splitlines()
    for path in (AUTOMATIONS, DESCRIBED):
        assert f"!{path.relative_to(ROOT)}" in lines


@pytest.mark.parametrize("described", DEPLOYMENTS, ids=lambda described: described["name"])
def test_entrypoints_lead_to_flows_of_their_names(described: dict[str, Any]) -> None:
    assert load_flow_from_entrypoint(str(ROOT / described["entrypoint"])).name == described["name"]


class TestCancelling:
    """The process of a cancelled run ends soon, whatever it still does."""

    @pytest.fixture
    def ends_after(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        seconds: list[float] = []
        monkeypatch.setattr(leftovers.interrupts, "leave_after", seconds.append)
        monkeypatch.setattr(leftovers, "get_client", lambda **_: nullcontext())
        return seconds

    def test_that_has_no_stage_at_work(self, ends_after: list[float]) -> None:
        leftovers.cancel_tasks([], leave=True)
        assert ends_after
        assert ends_after[0] <= 3

    def test_but_that_of_a_command_ends_by_itself(self, ends_after: list[float]) -> None:
        leftovers.cancel_tasks([], leave=False)
        assert ends_after == []
