"""Stage `report`: the page, the tables, the figures and `results.json`."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from flowers17.config import StudySettings
from flowers17.data.source import dataset_source
from flowers17.reporting.reference import PartName
from flowers17.stages import Job, Stage, in_order

# By stage, the entries of its configuration by which the report's tables look it up.
_IDENTITY: Mapping[str, Sequence[str]] = {
    "weights": ("extractor",),
    "features": ("name",),
    "classifier": ("maps", "classifier", "n_components", "search"),
    "training": ("learner", "augmentation", "recipe_name"),
    "finetuning": ("name", "phase", "seed_number"),
    "out_of_fold": ("ensemble",),
    "stacking": ("ensemble",),
}
# Inputs that lead from a stage to the split that it is computed on.
_TO_THE_SPLIT = ("split", "folds", "out_of_fold")


def stage(
    settings: StudySettings, parts: Mapping[PartName, Sequence[Stage]], label: str = "report"
) -> Stage:
    """Stage of the report on the parts and all they need, whichever there are.

    A stage that several parts need belongs to the first of them.
    """
    described = settings.model_dump(mode="json")
    described["dataset"]["source"] = dataset_source(settings.dataset).kind
    stages = in_order(stage for of_part in parts.values() for stage in of_part)
    part_of: dict[str, PartName] = {}
    for part, of_part in parts.items():
        for needed in in_order(of_part):
            part_of.setdefault(needed.label, part)
    return Stage.of(
        "study",
        label,
        "tasks.report:build",
        {
            "settings": described,
            "stages": [_described(needed, part_of[needed.label]) for needed in stages],
        },
        seed=settings.seed,
        inputs={needed.label: needed for needed in stages},
        tolerant=True,
    )


def _described(stage: Stage, part: PartName) -> dict[str, Any]:
    """Record of a stage for the report, which names it and its cause if it has no artifact."""
    configuration = json.loads(stage.config)
    return {
        "part": part,
        "stage": stage.name,
        "label": stage.label,
        "configuration": {name: configuration[name] for name in _IDENTITY.get(stage.name, ())},
        "split": _split_of(stage),
        "inputs": [needed.label for needed in stage.inputs.values()],
        "tolerant": stage.tolerant,
    }


def _split_of(stage: Stage) -> str:
    """Name of the split that a stage is computed on; empty if it is not on one."""
    if stage.name == "split":
        return str(json.loads(stage.config)["name"])
    leading = (stage.inputs[name] for name in _TO_THE_SPLIT if name in stage.inputs)
    return next((_split_of(needed) for needed in leading), "")


def build(job: Job) -> Mapping[str, Any]:
    """Write the report's files."""
    from flowers17.reporting.absences import absent_stages
    from flowers17.reporting.inputs import ReportInputs
    from flowers17.reporting.report import write_report

    inputs = ReportInputs(
        artifacts=job.inputs,
        absent=absent_stages(job.config["stages"], job.missing),
        settings=job.config["settings"],
    )
    return write_report(inputs, job.folder)
