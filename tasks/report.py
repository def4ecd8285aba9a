"""Stage `report`: the page, the tables, the figures and `results.json`."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from flowers17.config import StudySettings
from flowers17.data.source import source_from
from flowers17.stages import Job, Stage, in_order
from flowers17.transfer.weights import EXTRACTORS


def stage(settings: StudySettings, parts: Sequence[Stage], label: str = "report") -> Stage:
    """Return the stage of the report on the parts and all they need, whichever there are."""
    described = settings.model_dump(mode="json")
    described["dataset"]["source"] = source_from(settings.dataset.source).kind
    return Stage.of(
        "study",
        label,
        "tasks.report:build",
        {"settings": described},
        seed=settings.seed,
        inputs={part.label: part for part in in_order(parts)},
        tolerant=True,
    )


def build(job: Job) -> Mapping[str, Any]:
    """Write the report's files."""
    from flowers17.reporting.collect import ReportInputs
    from flowers17.reporting.report import write_report

    inputs = ReportInputs(
        artifacts=job.inputs,
        missing={label: _reason(label, job.missing) for label in job.missing},
        settings=job.config["settings"],
    )
    return write_report(inputs, job.folder)


def _reason(label: str, missing: Collection[str]) -> str:
    """Say why a stage has no artifact in words that don't depend on the machine or the run."""
    for extractor, facts in EXTRACTORS.items():
        if f"weights {extractor}" in missing and re.search(rf"\b{extractor}\b", label):
            return (
                f"no ImageNet weights: neither in the weights folder nor to be downloaded; put "
                f"{facts.file_names[0]} into the folder given as --weights-dir and run again"
            )
    return "its stage failed or was skipped; the run's log says why"
