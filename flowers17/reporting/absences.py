"""Stages of a study that have no artifact: who asked for them, and what kept them from one."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from flowers17.backbones.facts import backbone_of
from flowers17.reporting.reference import PartName

NO_RESULT = "no result was made"


@dataclass(frozen=True)
class AbsentStage:
    """A stage without an artifact.

    part: the first part of the report that asks for it. configuration: the stage's own, as far as
    tables look it up. split: what it is computed on; empty if not on one. kind: `skipped` where an
    input is absent, `weights` where what is absent in the end is an extractor's weights. cause: the
    label of the stage at the root of it, its own if it failed itself.
    """

    part: PartName
    stage: str
    label: str
    configuration: Mapping[str, Any]
    split: str
    kind: Literal["weights", "failed", "skipped"]
    cause: str
    reason: str

    def is_of(self, stage: str, **identity: Any) -> bool:
        """Whether it is a stage of a name with this part, this split or this configuration."""
        own = {**self.configuration, "part": self.part, "split": self.split}
        return self.stage == stage and all(own.get(name) == identity[name] for name in identity)


def absent_stages(
    stages: Iterable[Mapping[str, Any]], labels: Collection[str]
) -> list[AbsentStage]:
    """Stages of these labels, in the order given, each with the root of its absence.

    stages: of the whole study as `tasks.report` describes them, inputs before what reads them. The
    first absent input of a stage leads to the root. A tolerant stage is built from whichever
    inputs there are: if there is any beside the data, that it is absent is its own failure.
    """
    absent: dict[str, AbsentStage] = {}
    present = set[str]()  # but the data
    for stage in stages:
        label = stage["label"]
        if label not in labels:
            present |= {label} if stage["part"] != "data" else set()
            continue
        lacking = [absent[name] for name in stage["inputs"] if name in absent]
        goes_on = stage["tolerant"] and not present.isdisjoint(stage["inputs"])
        hindrance = lacking[0] if lacking and not goes_on else None
        lacks_weights = hindrance.kind == "weights" if hindrance else stage["stage"] == "weights"
        absent[label] = AbsentStage(
            part=stage["part"],
            stage=stage["stage"],
            label=label,
            configuration=stage["configuration"],
            split=stage["split"],
            kind="weights" if lacks_weights else "skipped" if hindrance else "failed",
            cause=hindrance.cause if hindrance else label,
            reason=hindrance.reason if hindrance else _reason(stage),
        )
    return list(absent.values())


def _reason(stage: Mapping[str, Any]) -> str:
    """Reason for which a stage at the root has no artifact; no words of a machine or a run."""
    if stage["stage"] != "weights":
        return f"{stage['label']} failed; the run’s log says why"
    backbone = backbone_of(stage["configuration"]["extractor"])
    facts = backbone.facts
    file_name = facts.file_names[0] if facts else f"the folder {backbone.name}"
    return (
        "no ImageNet weights: neither in the weights folder nor to be downloaded; put "
        f"{file_name} into the folder given as --weights-dir and run again"
    )


def labels_by_reason(absent: Sequence[AbsentStage]) -> list[tuple[str, list[str]]]:
    """Each reason once, with the labels of the stages that it holds for, in their order."""
    gathered: dict[str, list[str]] = {}
    for stage in absent:
        gathered.setdefault(stage.reason, []).append(stage.label)
    return list(gathered.items())
