"""The table of poisoning: what wrong labels and a patch in the training images do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowers17.reporting.attacks.cells import share_column
from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.columns import number_column, text_column
from flowers17.reporting.tables import Column, Record, Table
from flowers17.reporting.wording import capital, thousands

_TITLES = {"none": "none", "labels": "wrong labels", "patch": "patch"}


@dataclass(frozen=True)
class PoisoningRecord(Record):
    """A network after a poisoning, as the stage describes them, or before any (of kind none).

    network: its counts of validation images, and of those of other classes with the patch on them.
    """

    poisoning: Mapping[str, Any]
    network: Mapping[str, Any]

    @property
    def title(self) -> str:
        """Display name of the poison."""
        kind, share = self.poisoning["kind"], self.poisoning["share"]
        return _TITLES[kind] if share or kind == "none" else "none, trained anew"


def _opened(record: PoisoningRecord) -> tuple[int, int] | None:
    """Number of images with the patch that are taken for the target, and of all."""
    network = record.network
    return (network["n_opened"], network["n_others"]) if "n_others" in network else None


def poisoning_tables(inputs: ReportInputs) -> list[Table]:
    """Table C8, if training images were poisoned: by poison, share and network."""
    artifact = next(iter(inputs.stage("poisoning")), None)
    if not artifact:
        return []
    result = artifact.json("result")
    clean = {"kind": "none", "share": 0.0, "networks": result["clean"]}
    records = [
        PoisoningRecord(
            poisoning, network, group=capital(network["network"]), source=artifact.reference
        )
        for poisoning in (clean, *result["poisonings"])
        for network in poisoning["networks"]
    ]
    networks = list(dict.fromkeys(record.group for record in records))
    columns: Sequence[Column[PoisoningRecord]] = [
        text_column("poison", "Poison", lambda r: r.title, lambda r: r.poisoning["kind"]),
        number_column(
            "share",
            "Share of the training images",
            lambda r: r.poisoning["share"],
            lambda share: f"{100 * share:g} %",
            linked=False,
        ),
        number_column(
            "n_poisoned", "Images poisoned", lambda r: r.poisoning.get("n_poisoned"), thousands
        ),
        share_column(
            "accuracy", "Clean accuracy", lambda r: (r.network["n_right"], r.network["n"])
        ),
        share_column("opened", f"Patch taken for {result['target']}", _opened),
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
