"""The tables of the data: classes, the data sheet, near-duplicates."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowers17.artifacts import Artifact
from flowers17.reporting.cells import value_cell
from flowers17.reporting.columns import number_column, text_column
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.tables import TABLE_SHOWN, Cell, Column, Record, RecordOf, Table
from flowers17.reporting.words import worded_table

SOURCES = {
    "rendered": "rendered from code",
    "oxford17": "the official archive of Oxford Flowers-17",
    "archive": "an archive in the layout of Oxford Flowers-17",
    "own": "labelled images of your own",
}


def classes_table(inputs: ReportInputs) -> Table:
    """Table D1: images of each class, in all and on each side of the splits."""
    columns: list[Column[RecordOf[int]]] = [
        text_column("class", "Class", lambda r: inputs.class_names[r.of]),
        _images_column(inputs, inputs.images, "images", "Images", inputs.labels),
    ]
    for split in inputs.divided:
        if split["kind"] not in ("report", "clean"):
            continue
        group = "Report’s split" if split["kind"] == "report" else "Clean split"
        for side, title in (("train", "training"), ("validation", "validation")):
            labels = inputs.labels[np.asarray(split[side], dtype=np.int64)]
            key = f"{split['name']}_{side}"
            columns.append(_images_column(inputs, inputs.splits, key, title, labels, group))
    tests = {split["kind"]: split["test"] for split in inputs.divided if split["kind"] == "report"}
    if any(tests.values()):
        labels = inputs.labels[np.asarray(tests["report"])]
        columns.append(_images_column(inputs, inputs.splits, "test", "Test part", labels))
    records = [RecordOf(label) for label in range(len(inputs.class_names))]
    return worded_table("D1", columns, records)


def _images_column(
    inputs: ReportInputs,
    artifact: Artifact | None,
    key: str,
    title: str,
    labels: np.ndarray,
    group: str = "",
) -> Column[RecordOf[int]]:
    """Column of how many of the labels are of a class."""
    counts = np.bincount(labels, minlength=len(inputs.class_names))
    source = artifact.reference if artifact else None
    return Column(key, title, lambda r: value_cell(int(counts[r.of]), "d", source=source), group)


def straddling(pairs: Sequence[Mapping[str, Any]], split: Mapping[str, Any]) -> int:
    """Number of near-duplicate pairs with one image on each side of a split."""
    train, validation = set(split["train"]), set(split["validation"])
    return sum(
        (pair["first"] in train and pair["second"] in validation)
        or (pair["first"] in validation and pair["second"] in train)
        for pair in pairs
    )


@dataclass(frozen=True)
class Fact(Record):
    """A line of the data sheet. text: as it is shown; value: as files hold it."""

    name: str
    text: str
    value: float | int | str | None = None


_FACT_COLUMNS: tuple[Column[Fact], ...] = (
    text_column("what", "What", lambda r: r.name),
    Column("value", "Value", lambda r: Cell(r.text, r.value, artifact=r.source), numeric=False),
)


def datasheet_table(inputs: ReportInputs) -> Table:
    """Table D2: source, counts, sizes, near-duplicates and digests in one place."""
    facts = [*_image_facts(inputs), *_duplicate_facts(inputs), *_split_facts(inputs)]
    return worded_table("D2", _FACT_COLUMNS, facts)


def _image_facts(inputs: ReportInputs) -> Iterator[Fact]:
    if not inputs.images:
        return
    source, items = inputs.images.reference, inputs.items
    yield Fact("source", SOURCES.get(inputs.source_kind, inputs.source_kind), source=source)
    described = items.get("source", {})
    if "layout" in described:
        yield Fact("read as", str(described["layout"]), source=source)
    for note in described.get("notes", ()):
        yield Fact("note", str(note), source=source)
    if inputs.is_oxford17:
        yield Fact("images are those of Oxford Flowers-17", "yes, every image", source=source)
    n_images, n_classes = len(inputs.labels), len(inputs.class_names)
    yield Fact("images", f"{n_images:,}", n_images, source=source)
    yield Fact("classes", str(n_classes), n_classes, source=source)
    side = inputs.images.mapped("images").shape[1]
    yield Fact("size used", f"{side} × {side} pixels, RGB", side, source=source)
    sizes = np.asarray(items.get("original_sizes") or [[side, side]])
    for index, dimension in enumerate(("width", "height")):
        low, middle, high = (int(f(sizes[:, index])) for f in (np.min, np.median, np.max))
        text = f"{low}–{high} pixels, median {middle}" if low != high else f"{low} pixels"
        yield Fact(f"original {dimension}", text, source=source)
    yield Fact("made square", *_square_fact(inputs), source=source)
    copies = sum(count - 1 for count in Counter(items.get("sha256", [])).values())
    yield Fact("exact copies", str(copies), copies, source=source)
    digest = inputs.data_digest
    yield Fact("digest of images and labels", f"{digest}", digest, source=source)


def _square_fact(inputs: ReportInputs) -> tuple[str, float]:
    """How images became squares, and the mean share of an image's pixels that is cut away."""
    cut = inputs.share_cut
    text = {"crop": "central square", "pad": "padded with black", "stretch": "stretched"}
    shares = f"{cut.mean():.1%} of an image cut away in the mean, {cut.max():.1%} at most"
    shares = shares.replace("%", " %") if cut.any() else "nothing is cut away"
    return f"{text[inputs.resize]}; {shares}", float(cut.mean())


def _duplicate_facts(inputs: ReportInputs) -> Iterator[Fact]:
    if not inputs.duplicates:
        return
    name, source = "near-duplicate pairs", inputs.duplicates.reference
    if inputs.study.splits.near_duplicates == "none":
        yield Fact(name, "not searched for", source=source)
        return
    pairs = inputs.duplicates.json("pairs")
    methods = sorted({str(pair.get("method")) for pair in pairs})
    text = ", ".join([str(len(pairs)), *methods])
    metrics = inputs.duplicates_metrics
    if not metrics.get("in_crops", True):
        text += "; cropped copies were not searched for among so many images"
    if "n_look_alikes" in metrics:
        text += f"; {metrics['n_look_alikes']:,} pairs that look alike are not counted"
    yield Fact(name, text, len(pairs), source=source)
    if n_twins := metrics.get("n_twins"):
        yield Fact("test images with a twin outside", str(n_twins), n_twins, source=source)
    for split in inputs.divided:
        if split["kind"] in ("report", "clean"):
            n_cut = straddling(pairs, split)
            title = "report’s" if split["kind"] == "report" else "clean"
            splits = inputs.splits.reference if inputs.splits else None
            yield Fact(f"pairs cut by the {title} split", str(n_cut), n_cut, source=splits)


def _split_facts(inputs: ReportInputs) -> Iterator[Fact]:
    if inputs.splits and inputs.divided:
        counts = Counter(split["kind"] for split in inputs.divided)
        text = ", ".join(f"{n} {kind}" for kind, n in counts.items())
        yield Fact("splits", text, source=inputs.splits.reference)


@dataclass(frozen=True)
class DuplicateRecord(Record):
    """A pair of near-duplicates as their artifact describes it. classes: of its images, sorted."""

    pair: Mapping[str, Any]
    classes: Sequence[str]


_DUPLICATE_COLUMNS: tuple[Column[DuplicateRecord], ...] = (
    Column(
        "first",
        "Image",
        lambda r: Cell(str(r.pair["first_name"]), artifact=r.source),
        numeric=False,
    ),
    text_column("second", "Image", lambda r: str(r.pair["second_name"])),
    text_column("class", "Class", lambda r: " / ".join(r.classes)),
    number_column("distance", "Distance", lambda r: r.pair.get("distance"), "g", linked=False),
    text_column("method", "Found by", lambda r: str(r.pair.get("method", ""))),
)


def duplicates_table(inputs: ReportInputs) -> Table:
    """Table D3: the pairs of images that show the same scene, the most telling first."""
    records = _duplicate_records(inputs)
    return worded_table("D3", _DUPLICATE_COLUMNS, records, longest=TABLE_SHOWN, inputs=inputs)


def _duplicate_records(inputs: ReportInputs) -> list[DuplicateRecord]:
    """The pairs, those of two classes first, then the closest."""
    records = []
    for pair in inputs.duplicates.json("pairs") if inputs.duplicates else ():
        labels = [inputs.labels[pair[side]] for side in ("first", "second") if inputs.images]
        classes = sorted({inputs.class_names[label] for label in labels})
        source = inputs.duplicates.reference if inputs.duplicates else None
        records.append(DuplicateRecord(pair, classes, source=source))
    return sorted(records, key=lambda r: (len(r.classes) < 2, r.pair.get("distance") or 0))
