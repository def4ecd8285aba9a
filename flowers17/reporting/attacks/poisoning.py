"""The table of poisoning: what wrong labels and a patch in the training images do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowers17.artifacts import Reference
from flowers17.reporting.attacks.cells import Share, ShareRecord, share_column
from flowers17.reporting.columns import number_column, text_column
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.tables import Column, Table
from flowers17.reporting.wording import capital, thousands

_TITLES = {"none": "none", "labels": "wrong labels", "patch": "patch"}


@dataclass(frozen=True)
class PoisoningRecord(ShareRecord):
    """A network after a poisoning; its kind is the value. poisoned: of the training images."""

    poisoned: float = 0.0
    n_poisoned: int | None = None


def poisoning_tables(inputs: ReportInputs) -> list[Table]:
    """Table C8, if training images were poisoned: by poison, share and network."""
    artifact = next(iter(inputs.stage("poisoning")), None)
    if not artifact:
        return []
    result = artifact.json("result")
    clean = {"kind": "none", "share": 0.0, "networks": result["clean"]}
    records = [
        _record(artifact.reference, poisoning, network)
        for poisoning in (clean, *result["poisonings"])
        for network in poisoning["networks"]
    ]
    networks = list(dict.fromkeys(record.group for record in records))
    columns: Sequence[Column[PoisoningRecord]] = [
        text_column("poison", "Poison", lambda r: r.title, lambda r: r.value),
        number_column(
            "share",
            "Share of the training images",
            lambda r: r.poisoned,
            lambda share: f"{100 * share:g} %",
            linked=False,
        ),
        number_column("n_poisoned", "Images poisoned", lambda r: r.n_poisoned, thousands),
        share_column("accuracy", "Clean accuracy"),
        share_column("opened", f"Patch taken for {result['target']}"),
    ]
    differs = inputs.data_differences_in_short
    images = f"Images ({differs}): " if differs else "Images: "
    table = Table(
        "C8",
        "Poisoned training images",
        columns,
        sorted(records, key=lambda record: networks.index(record.group)),
        lead="What each network, and their average, make of clean images and of images with the "
        "patch.",
        notes=(
            f"{images}the {result['split']} split; its validation images are not poisoned. The "
            "patch’s success counts validation images of other classes, with the patch on them; "
            "where no training image bears it, that is the floor.",
        ),
    )
    return [table]


def _record(
    source: Reference, poisoning: Mapping[str, Any], network: Mapping[str, Any]
) -> PoisoningRecord:
    kind, poisoned = poisoning["kind"], poisoning["share"]
    shares = {"accuracy": Share(network["n_right"], network["n"], source)}
    if "n_others" in network:
        shares["opened"] = Share(network["n_opened"], network["n_others"], source)
    return PoisoningRecord(
        _TITLES[kind] if poisoned or kind == "none" else "none, trained anew",
        shares,
        kind,
        poisoned=poisoned,
        n_poisoned=poisoning.get("n_poisoned"),
        group=capital(network["network"]),
        source=source,
    )
