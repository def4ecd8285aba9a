"""Automations of a Prefect server: crash runs whose process died, notify of a failed study."""

from datetime import timedelta
from uuid import UUID

from prefect.automations import Automation
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

from flows.serve_lock import HEARTBEAT_S, POOL

SILENT = "flowers17: a run without a heartbeat has crashed"
FAILED = "flowers17: a scheduled study failed"
BLOCK = "flowers17"
SILENCE_S = 3 * HEARTBEAT_S
_ANY_RUN = ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]})


async def register_automations(client: PrefectClient) -> None:
    """Create the automations that are not there yet; those that are stay as people set them.

    Failed studies are reported through a notification block named BLOCK, of whatever type; without
    such a block, that automation is left out.
    """
    if not await client.read_automations_by_name(SILENT):
        await _silent_runs_crash().acreate()
    blocks = [
        block
        for block in await client.read_block_documents()
        if block.name == BLOCK
        and block.block_schema
        and "notify" in block.block_schema.capabilities
    ]
    if blocks and not await client.read_automations_by_name(FAILED):
        await _failed_studies_notify(blocks[0].id).acreate()


def _silent_runs_crash() -> Automation:
    """Let the server crash runs that stop sending heartbeats, as Prefect's documentation has it."""
    heartbeat = "prefect.flow-run.heartbeat"
    ends = {f"prefect.flow-run.{end}" for end in ("Completed", "Failed", "Cancelled", "Crashed")}
    return Automation(
        name=SILENT,
        description="Its process or machine died. Retry the run, or use `flowers17 recover`.",
        trigger=EventTrigger(
            match=_ANY_RUN,
            match_related=_related("tag", id=f"prefect.tag.{POOL}"),
            after={heartbeat},
            expect={heartbeat, *ends, "prefect.flow-run.AwaitingRetry"},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=SILENCE_S),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED, message=f"no heartbeat for {SILENCE_S} seconds"
            )
        ],
    )


def _failed_studies_notify(block: UUID) -> Automation:
    """Notify of a study that a schedule started and that failed or crashed; not of its parts."""
    return Automation(
        name=FAILED,
        description=f"Sent through the notification block `{BLOCK}`.",
        trigger=EventTrigger(
            match=_ANY_RUN,
            match_related=[
                _related("flow", name="study"),
                _related("tag", id="prefect.tag.auto-scheduled"),
                _related("tag", id=f"prefect.tag.{POOL}"),
            ],
            expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[
            SendNotification(
                block_document_id=block,
                subject="{{ flow.name }} {{ flow_run.name }}: {{ flow_run.state.name }}",
                body="{{ flow_run.state.message }}\n{{ flow_run|ui_url }}",
            )
        ],
    )


def _related(role: str, **labels: str) -> ResourceSpecification:
    named = {f"prefect.resource.{label}": [value] for label, value in labels.items()}
    return ResourceSpecification({**named, "prefect.resource.role": [role]})
