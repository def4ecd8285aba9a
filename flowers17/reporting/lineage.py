"""How each artifact of a study came to be, in the words and links of the report."""

import json
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

from flowers17.artifacts import Artifact, Reference
from flowers17.reporting.inputs import ReportInputs, inputs_of
from flowers17.reporting.wording import true_minus

_ORDER = (
    *("archive", "images", "duplicates", "splits", "datasheet"),
    *("split", "folds", "fold", "augmentations", "training", "weights", "backbone", "features"),
    *("rows", "activations", "finetuning", "fitted", "out_of_fold", "stacking", "attack"),
    *("transfer", "exploratory", "adversarial_training", "defences"),
    *("poisoned", "poisoned_training", "poisoning"),
)


def anchor_of(reference: Reference) -> str:
    """Anchor of an artifact's description in the page.

    >>> anchor_of(Reference("splits", "0123456789abcdef", "…"))
    'lineage-splits-0123456789ab'
    """
    return f"lineage-{reference.stage}-{reference.key[:12]}"


def lineages(inputs: ReportInputs) -> dict[str, list[dict[str, Any]]]:
    """Lineage of every artifact by stage, in the order in which stages build on each other.

    label, reference and config are the artifact's own. origins: by name, the reference of an input
    and its anchor, empty if the page does not describe it. facts, details: by title, each a text or
    pairs of a name and a value; empty ones too.
    """
    artifacts = {
        artifact.reference.key: (label, artifact)
        for label, artifact in sorted(inputs.artifacts.items())
    }
    known = {each.reference: anchor_of(each.reference) for _, each in artifacts.values()}
    by_stage: dict[str, list[dict[str, Any]]] = {}
    for label, artifact in sorted(artifacts.values(), key=itemgetter(0)):
        lineage = _lineage(label, artifact, known)
        by_stage.setdefault(artifact.reference.stage, []).append(lineage)
    return {stage: by_stage[stage] for stage in (*_ORDER, *by_stage) if stage in by_stage}


def _lineage(label: str, artifact: Artifact, known: Mapping[Reference, str]) -> dict[str, Any]:
    manifest = artifact.manifest
    material: Mapping[str, Any] = manifest.get("material") or {}
    references = {name: Reference.from_json(value) for name, value in inputs_of(artifact).items()}
    seconds, seed = manifest.get("duration_s"), material.get("seed")
    created = str(manifest.get("created") or "").replace("T", " ").replace("Z", " UTC")
    duration = "unknown time" if seconds is None else duration_text(float(seconds))
    return {
        "label": str(manifest.get("label") or label),
        "reference": artifact.reference,
        "origins": {
            name: (origin, known.get(origin, "")) for name, origin in sorted(references.items())
        },
        "config": json.dumps(material.get("config") or {}, indent=1, sort_keys=True),
        "facts": {
            "metrics": _pairs(manifest.get("metrics")),
            "made in": f"{duration}, {created}".removesuffix(", "),
            "machine": _machine_text(manifest.get("machine") or {}),
        },
        "details": {
            "seed": "" if seed is None else str(seed),
            "libraries": _pairs(material.get("libraries")),
            "code": _pairs(material.get("code")),
        },
    }


def _pairs(values: Mapping[str, Any] | None) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, true_minus(str(value)) if isinstance(value, int | float) else str(value))
        for name, value in sorted((values or {}).items())
    )


def duration_text(seconds: float) -> str:
    """Display text of a duration.

    >>> duration_text(0.41), duration_text(75), duration_text(7260)
    ('0.4 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left} min" if hours else f"{minutes} min {rest} s"


def _machine_text(machine: Mapping[str, Any]) -> str:
    cores, python = machine.get("cores"), machine.get("python")
    parts = (
        machine.get("processor") or machine.get("architecture"),
        cores and f"{cores} cores",
        machine.get("system"),
        python and f"Python {python}",
    )
    return ", ".join(str(part) for part in parts if part)
