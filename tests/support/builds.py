"""Stages built as a flow builds them, without a flow: forked from one process that has Keras."""

import logging
from collections.abc import Iterable
from pathlib import Path

from flowers17.artifacts import Reference, Store
from flowers17.isolation import ensure_isolated
from flowers17.stages import Stage, ensure, existing, in_order

logger = logging.getLogger(__name__)


def built(stages: Iterable[Stage], root: Path) -> Store:
    """Store in which stages and their inputs are built, each that trains in a process of its own.

    The processes are forked, so that Keras is imported once for all tests of a worker.
    """
    store, references = Store(root), dict[str, Reference]()
    for stage in in_order(stages):
        inputs = {name: references[source.label] for name, source in stage.inputs.items()}
        outcome = existing(stage, inputs, store)
        if outcome is None and stage.isolated:
            outcome = ensure_isolated(stage, inputs, store, progress=lambda *_: None, logger=logger)
        references[stage.label] = (outcome or ensure(stage, inputs, store)).reference
    return store
