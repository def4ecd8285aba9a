"""The tables of the data: classes, the data sheet, near-duplicates."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.tables import EMPTY, Cell, Column, Row, Table

SOURCES = {
    "rendered": "rendered from code",
    "oxford17": "the official archive of Oxford Flowers-17",
    "archive": "an archive in the layout of Oxford Flowers-17",
    "folder": "a folder of class folders",
}


def classes_table(inputs: ReportInputs) -> Table:
    """Return Table D1: images a class, in all and on each side of the splits."""
    splits = [one for one in inputs.divided if one["kind"] in ("report", "clean")]
    source = inputs.images.reference if inputs.images else None
    divided = inputs.splits.reference if inputs.splits else None
    columns = [Column("class", "Class", numeric=False), Column("images", "Images")]
    totals = np.bincount(inputs.labels, minlength=len(inputs.class_names))
    sides: list[np.ndarray] = []
    for one in splits:
        title = "Report’s split" if one["kind"] == "report" else "Clean split"
        for side in ("train", "validation"):
            short = "training" if side == "train" else side
            columns.append(Column(f"{one['name']}_{side}", short, title))
            rows = np.asarray(one[side], dtype=np.int64)
            sides.append(np.bincount(inputs.labels[rows], minlength=len(inputs.class_names)))
    rows_ = [
        Row(
            (
                Cell(name),
                Cell(str(totals[label]), int(totals[label]), artifact=source),
                *(Cell(str(n[label]), int(n[label]), artifact=divided) for n in sides),
            )
        )
        for label, name in enumerate(inputs.class_names)
    ]
    lead = "Images of each class, and how the splits divide them."
    return Table("D1", "Classes", tuple(columns), tuple(rows_), lead=lead)


def straddling(pairs: Sequence[Mapping[str, Any]], split: Mapping[str, Any]) -> int:
    """Return how many near-duplicate pairs have one image on each side of a split."""
    train, held = set(split["train"]), set(split["validation"])
    return sum(
        (pair["first"] in train and pair["second"] in held)
        or (pair["first"] in held and pair["second"] in train)
        for pair in pairs
    )


def datasheet_table(inputs: ReportInputs) -> Table:
    """Return Table D2: source, counts, sizes, near-duplicates and digests in one place."""
    rows: list[Row] = []

    def add(name: str, text: str, stage: Any, value: float | int | str | None = None) -> None:
        rows.append(Row((Cell(name), Cell(text, value, artifact=stage and stage.reference))))

    if inputs.images:
        images, items = inputs.images, inputs.items
        add("source", SOURCES.get(inputs.source_kind, inputs.source_kind), images)
        if inputs.source_kind in ("oxford17", "archive"):
            verified = "yes, every image" if inputs.is_oxford17 else "no"
            add("images are those of Oxford Flowers-17", verified, images)
        add("images", f"{len(inputs.labels):,}", images, len(inputs.labels))
        add("classes", str(len(inputs.class_names)), images, len(inputs.class_names))
        side = images.mapped("images").shape[1]
        add("size used", f"{side} × {side} pixels, RGB", images, side)
        sizes = np.asarray(items.get("original_sizes") or [[side, side]])
        for index, what in enumerate(("width", "height")):
            low, middle, high = (int(f(sizes[:, index])) for f in (np.min, np.median, np.max))
            add(
                f"original {what}",
                f"{low}–{high} pixels, median {middle}" if low != high else f"{low} pixels",
                images,
            )
        copies = sum(count - 1 for count in Counter(items.get("sha256", [])).values())
        add("exact copies", str(copies), images, copies)
        add("digest of images and labels", f"{inputs.data_digest}", images, inputs.data_digest)
    if inputs.duplicates:
        pairs = inputs.duplicates.json("pairs")
        methods = sorted({str(pair.get("method")) for pair in pairs})
        found = f"{len(pairs)}" + (f", {', '.join(methods)}" if methods else "")
        if not inputs.duplicates.manifest["metrics"].get("in_crops", True):
            found += "; cropped copies were not searched for among so many images"
        searched = inputs.study.splits.near_duplicates != "none"
        if searched:
            add("near-duplicate pairs", found, inputs.duplicates, len(pairs))
        else:
            add("near-duplicate pairs", "not searched for", inputs.duplicates)
        for split in inputs.divided:
            if searched and split["kind"] in ("report", "clean"):
                cut = straddling(pairs, split)
                name = "report’s" if split["kind"] == "report" else "clean"
                add(f"pairs cut by the {name} split", str(cut), inputs.splits, cut)
    if inputs.divided:
        counts = Counter(one["kind"] for one in inputs.divided)
        text = ", ".join(f"{n} {kind}" for kind, n in counts.items())
        add("splits", text, inputs.splits)
    columns = (Column("what", "What", numeric=False), Column("value", "Value", numeric=False))
    return Table("D2", "Data sheet", columns, tuple(rows))


def duplicates_table(inputs: ReportInputs) -> Table:
    """Return Table D3: the pairs of images that show the same scene."""
    columns = (
        Column("first", "Image", numeric=False),
        Column("second", "Image", numeric=False),
        Column("class", "Class", numeric=False),
        Column("distance", "Distance"),
        Column("method", "Found by", numeric=False),
    )
    rows = []
    if inputs.duplicates:
        source = inputs.duplicates.reference
        for pair in inputs.duplicates.json("pairs"):
            distance = pair.get("distance")
            names = {
                inputs.class_names[inputs.labels[pair[side]]]
                for side in ("first", "second")
                if inputs.images
            }
            rows.append(
                Row(
                    (
                        Cell(str(pair["first_name"]), artifact=source),
                        Cell(str(pair["second_name"])),
                        Cell(" / ".join(sorted(names))),
                        EMPTY if distance is None else Cell(f"{distance:g}", distance),
                        Cell(str(pair.get("method", ""))),
                    )
                )
            )
    return Table(
        "D3",
        "Near-duplicates",
        columns,
        tuple(rows),
        lead="Pairs of images of one scene. A classifier that saw one of a pair in training has an "
        "easy time with the other.",
        notes=tuple(_duplicates_notes(inputs)),
    )


def _duplicates_notes(inputs: ReportInputs) -> Iterator[str]:
    """Yield which pairs were searched for, if not all, and what to doubt."""
    if inputs.less_clean:
        yield f"{inputs.less_clean[0].upper()}{inputs.less_clean[1:]}."
    metrics = inputs.duplicates.manifest["metrics"] if inputs.duplicates else {}
    if "oversized_group" in metrics:
        yield (
            f"One group of linked images holds {metrics['oversized_group']:,} of the "
            f"{len(inputs.labels):,}: more than one scene is likely to have. If they only look "
            "alike, set splits.near_duplicates to identical or none."
        )
