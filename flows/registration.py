"""Registration of the study at a Prefect server: work pool, deployments, automations.

The deployments are those of `deployments/prefect.yaml`, registered by Prefect's own command.
"""

import os
import shlex
import subprocess
import sys
import tempfile
from contextlib import suppress
from typing import Any

import yaml
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists
from prefect.workers.process import ProcessWorker

from flowers17.errors import Flowers17Error
from flowers17.forms import FORMS
from flowers17.request import StudyRequest
from flows.automations import register_automations
from flows.serve_lock import CHECKOUT, POOL

DEPLOYMENTS = CHECKOUT / "deployments" / "prefect.yaml"


async def register(request: StudyRequest, *, alone: bool = False) -> list[str]:
    """Create or update work pool, deployments and automations; return the deployments' names.

    request: the deployments' default parameters. alone: all workers run in this Python. Schedules
    of deployments that are there already stay as they are, since people switch them on in the UI.
    The API is the one that Prefect's settings name. Raises Flowers17Error if Prefect refuses.
    """
    async with get_client() as client:
        await _ensure_work_pool(client)
        known = {deployment.name for deployment in await client.read_deployments()}
        await register_automations(client)
    described = _described(request, known)
    if alone:
        # Without it, a run starts through another Python, which imports Prefect to find it.
        command = shlex.join([sys.executable, "-m", "prefect.engine"])
        for deployment in described["deployments"]:
            deployment["work_pool"] = {"name": POOL, "job_variables": {"command": command}}
    _deploy(described)
    return [deployment["name"] for deployment in described["deployments"]]


async def _ensure_work_pool(client: PrefectClient) -> None:
    pool = WorkPoolCreate(
        name=POOL,
        type=ProcessWorker.type,
        description="One run of the study at a time, as processes in its checkout.",
        base_job_template=ProcessWorker.get_default_base_job_template(),
        concurrency_limit=1,
    )
    with suppress(ObjectAlreadyExists):  # and its limit perhaps changed, on purpose
        await client.create_work_pool(pool)


def _described(request: StudyRequest, known: set[str]) -> dict[str, Any]:
    if not DEPLOYMENTS.is_file():
        raise Flowers17Error(
            f"{DEPLOYMENTS}: expected the description of the deployments; "
            "run `flowers17 serve` from an installation of the whole checkout"
        )
    described = yaml.safe_load(DEPLOYMENTS.read_text())
    for deployment in described["deployments"]:
        own = deployment.get("parameters", {})
        form = FORMS[deployment["name"]].model_validate(request)
        deployment["parameters"] = {**own, "request": form.model_dump(mode="json")}
        if deployment["name"] in known:
            deployment.pop("schedules", None)
    return described


def _deploy(described: dict[str, Any]) -> None:
    with tempfile.NamedTemporaryFile("w", prefix="flowers17-", suffix=".yaml") as stream:
        yaml.safe_dump(described, stream)
        stream.flush()
        command = ["-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", stream.name]
        process = subprocess.run(
            [sys.executable, *command],
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=os.environ,
        )
    if process.returncode:
        raise Flowers17Error(
            f"expected Prefect to register the deployments of {DEPLOYMENTS}; it said:\n"
            + "\n".join((process.stdout + process.stderr).strip().splitlines()[-15:])
        )
