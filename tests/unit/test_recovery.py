"""Which runs `recover` can tell to be dead, by where their store is."""

from pathlib import Path
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun

from flowers17.commands.recovery import Candidate
from flowers17.request import StudyRequest
from flows.prefect_api import CHECKOUT


def _run(store: str, *, deployed: bool) -> Candidate:
    run = FlowRun(flow_id=uuid4(), deployment_id=uuid4() if deployed else None)
    return Candidate("features", run, StudyRequest(store=store), None, [])


@pytest.mark.parametrize(
    ("store", "deployed", "judged"),
    [
        ("store", True, True),
        ("store", False, False),  # relative to where a person's program runs
        ("/data/store", False, True),
        ("~/store", False, True),
        ("s3://bucket/store", False, True),
    ],
)
def test_a_relative_store_is_known_for_deployments_alone(
    store: str, deployed: bool, judged: bool
) -> None:
    assert _run(store, deployed=deployed).can_be_judged is judged


def test_a_store_is_where_the_worker_has_it() -> None:
    assert _run("store", deployed=True).store.root == CHECKOUT / "store"
    assert _run("~/store", deployed=True).store.root == Path.home() / "store"
