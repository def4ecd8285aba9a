"""Registration of the study at a Prefect server: work pool, deployments, automations.

The deployments are those of `deployments/prefect.yaml`, as `prefect deploy` would register them;
that command would take seconds to import Prefect once more.
"""

import shlex
import sys
from contextlib import suppress
from copy import deepcopy
from typing import Any

import yaml
from httpx import HTTPError
from prefect import Flow
from prefect.automations import Automation
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig
from prefect.events.actions import DoNothing
from prefect.exceptions import ObjectAlreadyExists, PrefectException
from prefect.schedules import Schedule
from prefect.workers.process import ProcessWorker

from flowers17.errors import Flowers17Error
from flowers17.request import FORMS, StudyRequest
from flowers17.rules import rule_problem
from flows.prefect_api import CHECKOUT, POOL

DEPLOYMENTS = CHECKOUT / "deployments" / "prefect.yaml"
AUTOMATIONS = CHECKOUT / "deployments" / "automations.yaml"
BLOCK = "flowers17"


async def register(request: StudyRequest, *, alone: bool = False) -> list[str]:
    """Create or update work pool, deployments and automations; return the deployments' names.

    request: the deployments' default parameters. alone: all workers run in this Python. Schedules
    of deployments that are there already stay as they are, since people switch them on in the UI.
    The API is the one that Prefect's settings name. Raises Flowers17Error if Prefect refuses.
    """
    if not DEPLOYMENTS.is_file():
        raise Flowers17Error(
            f"{DEPLOYMENTS}: expected the description of the deployments; "
            "run `flowers17 serve` from an installation of the whole checkout"
        )
    deployments = yaml.safe_load(DEPLOYMENTS.read_text())["deployments"]
    async with get_client() as client:
        pool = WorkPoolCreate(
            name=POOL,
            type=ProcessWorker.type,
            description="One run of the study at a time, as processes in its checkout.",
            base_job_template=ProcessWorker.get_default_base_job_template(),
            concurrency_limit=1,
        )
        with suppress(ObjectAlreadyExists):  # and its limit perhaps changed, on purpose
            await client.create_work_pool(pool)
        known = {deployment.name for deployment in await client.read_deployments()}
        await register_automations(client)
    for described in deployments:
        name = described["name"]
        form = form_of(name, request).model_dump(mode="json")
        described["parameters"] = {**described.get("parameters", {}), "request": form}
        try:
            await _register(described, alone=alone, is_known=name in known)
        except (PrefectException, HTTPError) as problem:
            raise Flowers17Error(
                f"expected Prefect to register the deployment {name} of {DEPLOYMENTS}; it said: "
                f"{problem}"
            ) from problem
    return [described["name"] for described in deployments]


def form_of(flow: str, request: StudyRequest) -> StudyRequest:
    """A flow's form with a request's values; of its rules with those that the flow may keep."""
    rules = [rule for rule in request.rules if not rule_problem(flow, rule)]
    return FORMS[flow].model_validate(request.model_copy(update={"rules": tuple(rules)}))


async def _register(described: dict[str, Any], *, alone: bool, is_known: bool) -> None:
    flow = await Flow.afrom_source(str(CHECKOUT), described["entrypoint"])
    schedules = [Schedule(**schedule) for schedule in described.get("schedules", ())]
    limit = described.get("concurrency_limit")
    # Without it, a run starts through another Python, which imports Prefect to find it.
    command = {"command": shlex.join([sys.executable, "-m", "prefect.engine"])} if alone else {}
    deployment = await flow.ato_deployment(
        described["name"],
        description=described["description"],
        tags=described["tags"],
        parameters=described["parameters"],
        schedules=None if is_known else schedules,
        concurrency_limit=ConcurrencyLimitConfig(**limit) if limit else None,
        work_pool_name=POOL,
        job_variables=command,
    )
    if is_known:  # a field that is not set stays as it is at the server
        deployment.model_fields_set.discard("schedules")
    await deployment.aapply()


async def register_automations(client: PrefectClient) -> None:
    """Create the automations that are not there yet; those that are stay as people set them.

    Without a notification block, those that notify are not created, or do nothing until there is
    one, as `automations.yaml` says.
    """
    blocks = [
        block.id
        for block in await client.read_block_documents()
        if block.name == BLOCK
        and block.block_schema
        and "notify" in block.block_schema.capabilities
    ]
    for described in yaml.safe_load(AUTOMATIONS.read_text()):
        known = await client.read_automations_by_name(described["name"])
        [action] = described["actions"] = deepcopy(described["actions"])  # YAML's may be shared
        if action["type"] == "send-notification" and blocks:
            action["block_document_id"] = blocks[0]
            if known and known[0].actions == [DoNothing()]:
                await client.delete_automation(known.pop().id)
        elif action["type"] == "send-notification":
            if described.get("enabled", True):
                continue
            described["actions"] = [{"type": "do-nothing"}]
        if not known:
            await Automation.model_validate(described).acreate()
