"""The list of flows is the only one: what else names flows agrees with it."""

from typing import get_args

import pytest
import yaml

from flowers17.reporting.reference import PARTS
from flowers17.sweeps.settings import SweptFlow
from flows.flow_names import FLOWS, ListedFlow
from flows.report import PARTS as BUILT
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
    assert {part.name for part in PARTS} == {part.name for part in BUILT}
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
