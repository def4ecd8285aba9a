"""How a flow ends: what was built, cached and missing, the headline, the page, and broken rules."""

import os
from collections.abc import Mapping
from typing import Any

from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.events import emit_event
from prefect.runtime import flow_run
from prefect.states import Completed, State

from flowers17.artifacts import Reference, Store
from flowers17.config import RunOptions
from flowers17.config.run_options import SITE_STORE_VARIABLE, SITE_VARIABLE
from flowers17.errors import Flowers17Error
from flowers17.reporting.studies.records import studies_in
from flowers17.shared.store import open_store
from tasks.engine import sharing
from tasks.published import plain_text
from tasks.results import Results, StagesFailed

BROKEN = "flowers17.rule.broken"  # event
RULE_BROKEN = "Rule broken"  # state


class RulesBroken(Flowers17Error):
    """A study was made, and does not keep the rules that it was asked to keep."""


def conclusion(results: Results, options: RunOptions) -> State[Any]:
    """State in which a flow ends well; its callers get the results.

    Rules are asked of the flow that a person or a schedule started, not of its parts.
    Raises RulesBroken.
    """
    store, words = open_store(options.store), [results.counts]
    if results.study:
        words.append(headline(store.open(results.study).json("results").get("headline")))
    words.append(page_of_run(store, results))
    broken = _broken(results, options) if options.rules and not sharing() else []
    message = "; ".join(filter(None, [*broken, *words]))
    if broken:
        identity = f"prefect.flow-run.{flow_run.get_id()}"
        run = {"prefect.resource.id": identity, "prefect.resource.name": flow_run.get_name() or ""}
        emit_event(BROKEN, resource=run, payload={"broken": broken})
        raise RulesBroken(message)
    return Completed(message=message, data=results)


def headline(best: Mapping[str, Any] | None) -> str:
    """A study's headline in words, with its 95 % interval; empty if it has none.

    >>> headline({"kind": "best ensemble", "accuracy": 0.9361, "interval": [0.8742, 0.9991]})
    'best ensemble 0.936 (0.874–0.999)'
    """
    if best is None:
        return ""
    interval = "–".join(f"{end:.3f}" for end in best["interval"] or ())
    return f"{best['kind']} {best['accuracy']:.3f}" + (f" ({interval})" if interval else "")


def with_page(problem: StagesFailed, options: RunOptions) -> StagesFailed:
    """The same error, which names the page of the report on what there is, if it was written."""
    page = page_of_run(open_store(options.store), problem.results)
    text = f"{problem}\nThe report on what there is: {page}"
    return StagesFailed(text, problem.results) if page else problem


def _broken(results: Results, options: RunOptions) -> list[str]:
    from flowers17.reporting.studies.guard import broken_rules, last_before

    studies = studies_in(options.store) if results.study else []
    for study in studies:
        if results.study and study.manifest["key"] == results.study.key:
            return broken_rules(options.rules, study, last_before(study, studies))
    return ["rules: expected one study to ask them of, this flow has none"]


def page_of_run(store: Store, results: Results) -> str:
    """Lead from the run to its report; returns the address, the path where no site is, or "".

    A site that shows another store has no page of the report. The report on the whole study lies in
    a place of its own (`flows.report`).
    """
    reference = results.get("report", results.study)
    if not isinstance(reference, Reference):
        return ""
    artifact = store.open(reference)
    title = artifact.manifest["label"].capitalize()
    site = os.environ.get(SITE_VARIABLE)
    if site and os.environ.get(SITE_STORE_VARIABLE, store.address) == store.address:
        address = f"{site}/reports/{reference.key}/"
        create_link_artifact(address, title, key="page", description=plain_text(title))
        return address
    page = store.root / "report" / "index.html"
    page = page if "report" in results else artifact.file("index.html")
    create_markdown_artifact(f"`{page}`", key="page", description=plain_text(title))
    return str(page)
