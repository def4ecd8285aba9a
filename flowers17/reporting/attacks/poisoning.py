"""The table of poisoning: what wrong labels and a patch in the training images do."""

from collections.abc import Mapping
from typing import Any

from flowers17.artifacts import Artifact
from flowers17.reporting.attacks.cells import share_cell
from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.tables import EMPTY, Cell, Column, Row, Table
from flowers17.reporting.wording import capital

_TITLES = {"labels": "wrong labels", "patch": "patch"}


def poisoning_tables(inputs: ReportInputs) -> list[Table]:
    """Return Table C8, if training images were poisoned."""
    found = inputs.stage("poisoning")
    return [poisoning_table(inputs, found[0])] if found else []


def poisoning_table(inputs: ReportInputs, artifact: Artifact) -> Table:
    """Return Table C8: accuracy and the patch's success, by poison, share and network."""
    result = artifact.json("result")
    rows = [_row(artifact, "none", one, "none", 0.0, None) for one in result["clean"]]
    for poison in result["poisonings"]:
        kind = _TITLES[poison["kind"]] if poison["share"] else "none, trained anew"
        n = int(poison["n_poisoned"])
        rows += [
            _row(artifact, poison["kind"], one, kind, poison["share"], n)
            for one in poison["networks"]
        ]
    networks = list(dict.fromkeys(row.group for row in rows))
    differs = inputs.data_differences_in_short
    images = f"Images ({differs}): " if differs else "Images: "
    return Table(
        "C8",
        "Poisoned training images",
        (
            Column("poison", "Poison", numeric=False),
            Column("share", "Share of the training images"),
            Column("n_poisoned", "Images poisoned"),
            Column("accuracy", "Clean accuracy", interval=True),
            Column("opened", f"Patch taken for {result['target']}", interval=True),
        ),
        tuple(sorted(rows, key=lambda row: networks.index(row.group))),
        "What each network, and their average, make of clean images and of images with the patch.",
        (
            f"{images}the {result['split']} split; its validation images are not poisoned. The "
            "patch’s success counts validation images of other classes, with the patch on them; "
            "where no training image bears it, that is the floor.",
        ),
    )


def _row(
    artifact: Artifact,
    kind: str,
    one: Mapping[str, Any],
    title: str,
    share: float,
    n_poisoned: int | None,
) -> Row:
    source = artifact.reference
    opened = share_cell(one["n_opened"], one["n_others"], source) if "n_others" in one else EMPTY
    cells = (
        Cell(title, kind),
        Cell(f"{100 * share:g} %", share),
        EMPTY if n_poisoned is None else Cell(f"{n_poisoned:,}", n_poisoned, artifact=source),
        share_cell(one["n_right"], one["n"], source),
        opened,
    )
    return Row(cells, capital(one["network"]))
