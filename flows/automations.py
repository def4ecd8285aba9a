"""Automations of a Prefect server: crash runs whose process died, notify of studies.

What notifies goes through a notification block named BLOCK, of whatever type.
"""

from datetime import timedelta
from uuid import UUID

from prefect.automations import Automation
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, DoNothing, SendNotification
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

from flows.serve_lock import HEARTBEAT_S, POOL
from tasks.conclusion import BROKEN, RULE_BROKEN

SILENT = "flowers17: a run without a heartbeat has crashed"
FAILED = "flowers17: a scheduled study failed"
GUARDED = "flowers17: a study broke a rule"
BLOCK = "flowers17"
SILENCE_S = 3 * HEARTBEAT_S
_ANY_RUN = ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]})


async def register_automations(client: PrefectClient) -> None:
    """Create the automations that are not there yet; those that are stay as people set them.

    Without a notification block, failed studies have none, and broken rules one that does nothing
    until there is a block. The latter is off until a person switches it on.
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
    block = blocks[0].id if blocks else None
    if block and not await client.read_automations_by_name(FAILED):
        ends = {"prefect.flow-run.Failed", "prefect.flow-run.Crashed"}
        tags = (_related("tag", id=f"prefect.tag.{tag}") for tag in ("auto-scheduled", POOL))
        study = _related("flow", name="study")  # not its parts
        await _notifying(FAILED, block, ends, study, *tags, enabled=True).acreate()
    guarded = await client.read_automations_by_name(GUARDED)
    if guarded and block and guarded[0].actions == [DoNothing()]:
        await client.delete_automation(guarded.pop().id)
    if not guarded:
        await _notifying(GUARDED, block, {BROKEN}, enabled=False).acreate()


def _silent_runs_crash() -> Automation:
    """Let the server crash runs that stop sending heartbeats, as Prefect's documentation has it."""
    heartbeat = "prefect.flow-run.heartbeat"
    names = ("Completed", "Failed", "Cancelled", "Crashed", RULE_BROKEN)
    ends = {f"prefect.flow-run.{name}" for name in names}
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


def _notifying(
    name: str, block: UUID | None, events: set[str], *related: ResourceSpecification, enabled: bool
) -> Automation:
    """Tell of each run with one of these events; without a block do nothing yet."""
    notification = block and SendNotification(
        block_document_id=block,
        subject="{{ flow.name }} {{ flow_run.name }}: {{ flow_run.state.name }}",
        body="{{ flow_run.state.message }}\n{{ flow_run|ui_url }}",
    )
    return Automation(
        name=name,
        description=f"Sent through the notification block `{BLOCK}`.",
        enabled=enabled,
        trigger=EventTrigger(
            match=_ANY_RUN,
            match_related=list(related),
            expect=events,
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[notification or DoNothing()],
    )


def _related(role: str, **labels: str) -> ResourceSpecification:
    named = {f"prefect.resource.{label}": [value] for label, value in labels.items()}
    return ResourceSpecification({**named, "prefect.resource.role": [role]})
