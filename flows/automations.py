"""Automations of a Prefect server: crash runs whose process died, notify of studies."""

from copy import deepcopy

import yaml
from prefect.automations import Automation
from prefect.client.orchestration import PrefectClient
from prefect.events.actions import DoNothing

from flows.serve_lock import CHECKOUT

AUTOMATIONS = CHECKOUT / "deployments" / "automations.yaml"
BLOCK = "flowers17"


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
