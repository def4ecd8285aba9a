"""What a flow would run or reuse on a store, and why, without running anything."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from flowers17.artifacts import Reference, Store
from flowers17.estimates import Estimate, estimate, n_bytes
from flowers17.manifests import Manifest
from flowers17.materials import Precedents, differences
from flowers17.stages import Stage, existing, key_material


@dataclass(frozen=True)
class Step:
    """Action on a stage, the reasons for it, and what it is expected to take.

    estimate: of a stage that would run; None of one that is reused.
    """

    label: str
    stage: str
    action: Literal["run", "reuse"]
    why: tuple[str, ...]
    key: str | None = None
    estimate: Estimate | None = None


def plan(stages: Sequence[Stage], store: Store) -> list[Step]:
    """Steps, one for each stage, in the order given, inputs first.

    A stage whose input would be built anew counts as run, though it is reused after all if that
    input comes out the same. A tolerant one is looked up without inputs that may stay away: an
    optional stage that reads nothing, such as a download, and what needs it. Reasons compare with
    the artifact of the stage's label that differs least. Only the store is read; a damaged
    artifact is set aside.
    """
    precedents = Precedents(store.manifests())
    known: dict[str, Reference | None] = {}
    alike: dict[str, Manifest | None] = {}  # of each stage its artifact, or the nearest
    sizes: dict[str, float | None] = {}
    may_stay_away: dict[str, bool] = {}
    steps = []
    for stage in stages:
        inputs = {name: known[needed.title] for name, needed in stage.inputs.items()}
        pending = [name for name, reference in inputs.items() if reference is None]
        away = [name for name in pending if may_stay_away[stage.inputs[name].title]]
        known_enough = not pending or (stage.tolerant and away == pending)
        outcome = existing(stage, inputs, store) if known_enough else None
        known[stage.title] = outcome.reference if outcome else None
        may_stay_away[stage.title] = stage.optional and (bool(away) or not stage.inputs)
        if outcome:
            key = outcome.reference.key
            steps.append(Step(stage.title, stage.name, "reuse", ("whole in the store",), key))
            alike[stage.title] = manifest = precedents.by_id.get((stage.name, key))
            sizes[stage.title] = n_bytes(manifest) if manifest else None
            continue
        material = key_material(stage, inputs)
        pending_like = {name: alike[stage.inputs[name].title] for name in pending}
        before = precedents.of_label(stage.label, material, pending_like)
        why = differences(before["material"], material, ignore=pending) if before else []
        why += [f"input {name} would be built anew" for name in pending]
        if not why:
            why = ["damaged or deleted" if before else "never built"]
        read = {name: sizes[needed.title] for name, needed in stage.inputs.items()}
        cost = estimate(stage, before or precedents.of_stage(material), read, precedents)
        alike[stage.title], sizes[stage.title] = before, cost.n_bytes
        steps.append(Step(stage.title, stage.name, "run", tuple(why), estimate=cost))
    return steps
