"""The tables of the data: classes, the data sheet, near-duplicates."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from flowers17.artifacts import Artifact, Reference
from flowers17.data.balance import counts_by_class
from flowers17.reporting.cells import Cell, value_cell
from flowers17.reporting.columns import Column, Record
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.records import Evaluation, Score
from flowers17.reporting.tables import TABLE_SHOWN, Table
from flowers17.reporting.words import text, worded_table


def classes_table(inputs: ReportInputs) -> Table:
    """Table D1: images of each class, in all and on each side of the splits."""
    names, columns = inputs.class_names, []
    values: list[dict[str, Any]] = [{"class": name} for name in names]

    def count(key: str, title: str, rows: Any, artifact: Artifact | None, group: str = "") -> None:
        """Add a column of how many of the rows are of each class."""
        columns.append(Column(key, title, group=group))
        labels, source = inputs.labels[rows], artifact.reference if artifact else None
        for of_class, n in zip(values, np.bincount(labels, minlength=len(names)), strict=True):
            of_class[key] = value_cell(int(n), "d", source=source)

    count("images", "Images", slice(None), inputs.images)
    for split in inputs.divided:
        if split["kind"] in ("report", "clean"):
            group = "Report’s split" if split["kind"] == "report" else "Clean split"
            for side, title in (("train", "training"), ("validation", "validation")):
                rows = np.asarray(split[side], dtype=np.int64)
                count(f"{split['name']}_{side}", title, rows, inputs.splits, group)
    tests = [split["test"] for split in inputs.divided if split["kind"] == "report"]
    if any(tests):
        count("test", "Test part", np.asarray(tests[-1]), inputs.splits)
    return worded_table("D1", list(map(Record, values)), columns=columns)


def straddling(pairs: Sequence[Mapping[str, Any]], split: Mapping[str, Any]) -> list[int]:
    """Validation images of near-duplicate pairs whose other image is in training, pair by pair."""
    train, validation = set(split["train"]), set(split["validation"])
    ends = [(pair["first"], pair["second"]) for pair in pairs]
    ends += [(second, first) for first, second in ends]
    return [held_out for held_out, other in ends if held_out in validation and other in train]


def without_twins(inputs: ReportInputs, model: Evaluation, score: Score) -> Score | None:
    """A score on those validation images that have no near-duplicate among the training images.

    None where near-duplicates were not searched for, or where every image has some.
    """
    if not inputs.duplicates:
        return None
    split = next(split for split in inputs.divided if split["name"] == score.split)
    rows = inputs.rows(score.split)
    apart = ~np.isin(rows, straddling(inputs.duplicates.json("pairs"), split))
    predicted, truth = model.predicted(score.split)[apart], inputs.labels[rows[apart]]
    if not len(truth):
        return None
    return replace(
        score,
        n_validation=len(truth),
        n_correct=int((predicted == truth).sum()),
        by_class=counts_by_class(inputs.labels, truth, predicted),
    )


def _fact(
    name: str, text: str, value: float | int | str | None = None, *, source: Reference | None
) -> Record:
    """A line of the data sheet. text: as it is shown; value: as files hold it."""
    return Record({"what": name, "value": Cell(text, value, artifact=source)}, source=source)


def datasheet_table(inputs: ReportInputs) -> Table:
    """Table D2: source, counts, sizes, near-duplicates and digests in one place."""
    facts = [*_image_facts(inputs), *_duplicate_facts(inputs), *_split_facts(inputs)]
    return worded_table("D2", facts)


def _image_facts(inputs: ReportInputs) -> Iterator[Record]:
    if not inputs.images:
        return
    source, items = inputs.images.reference, inputs.items
    kind = inputs.source_kind
    yield _fact("source", text("sources", kind) or kind, source=source)
    described = items.get("source", {})
    if "layout" in described:
        yield _fact("read as", str(described["layout"]), source=source)
    for note in described.get("notes", ()):
        yield _fact("note", str(note), source=source)
    if inputs.is_oxford17:
        yield _fact("images are those of Oxford Flowers-17", "yes, every image", source=source)
    n_images, n_classes = len(inputs.labels), len(inputs.class_names)
    yield _fact("images", f"{n_images:,}", n_images, source=source)
    yield _fact("classes", str(n_classes), n_classes, source=source)
    side = inputs.images.mapped("images").shape[1]
    yield _fact("size used", f"{side} × {side} pixels, RGB", side, source=source)
    sizes = np.asarray(items.get("original_sizes") or [[side, side]])
    for index, dimension in enumerate(("width", "height")):
        low, middle, high = (int(f(sizes[:, index])) for f in (np.min, np.median, np.max))
        extent = f"{low}–{high} pixels, median {middle}" if low != high else f"{low} pixels"
        yield _fact(f"original {dimension}", extent, source=source)
    yield _fact("made square", *_square_fact(inputs), source=source)
    copies = sum(count - 1 for count in Counter(items.get("sha256", [])).values())
    yield _fact("exact copies", str(copies), copies, source=source)
    digest = inputs.data_digest
    yield _fact("digest of images and labels", f"{digest}", digest, source=source)


def _square_fact(inputs: ReportInputs) -> tuple[str, float]:
    """How images became squares, and the mean share of an image's pixels that is cut away."""
    cut, square = inputs.share_cut, text("squares", inputs.resize)
    shares = f"{cut.mean():.1%} of an image cut away in the mean, {cut.max():.1%} at most"
    shares = shares.replace("%", " %") if cut.any() else "nothing is cut away"
    return f"{square}; {shares}", float(cut.mean())


def _duplicate_facts(inputs: ReportInputs) -> Iterator[Record]:
    if not inputs.duplicates:
        return
    name, source = "near-duplicate pairs", inputs.duplicates.reference
    if inputs.study.splits.near_duplicates == "none":
        yield _fact(name, "not searched for", source=source)
        return
    pairs = inputs.duplicates.json("pairs")
    methods = sorted({str(pair.get("method")) for pair in pairs})
    text = ", ".join([str(len(pairs)), *methods])
    metrics = inputs.duplicates_metrics
    if not metrics.get("in_crops", True):
        text += "; cropped copies were not searched for among so many images"
    if "n_look_alikes" in metrics:
        text += f"; {metrics['n_look_alikes']:,} pairs that look alike are not counted"
    yield _fact(name, text, len(pairs), source=source)
    if n_twins := metrics.get("n_twins"):
        yield _fact("test images with a twin outside", str(n_twins), n_twins, source=source)
    for split in inputs.divided:
        if split["kind"] in ("report", "clean"):
            n_cut = len(straddling(pairs, split))
            title = "report’s" if split["kind"] == "report" else "clean"
            splits = inputs.splits.reference if inputs.splits else None
            yield _fact(f"pairs cut by the {title} split", str(n_cut), n_cut, source=splits)


def _split_facts(inputs: ReportInputs) -> Iterator[Record]:
    if inputs.splits and inputs.divided:
        counts = Counter(split["kind"] for split in inputs.divided)
        text = ", ".join(f"{n} {kind}" for kind, n in counts.items())
        yield _fact("splits", text, source=inputs.splits.reference)


def duplicates_table(inputs: ReportInputs) -> Table:
    """Table D3: the pairs of images that show the same scene, the most telling first.

    Those of two classes come first, then the closest.
    """
    pairs = []
    for pair in inputs.duplicates.json("pairs") if inputs.duplicates else ():
        labels = [inputs.labels[pair[side]] for side in ("first", "second") if inputs.images]
        pairs.append((pair, sorted({inputs.class_names[label] for label in labels})))
    pairs.sort(key=lambda entry: (len(entry[1]) < 2, entry[0].get("distance") or 0))
    source = inputs.duplicates.reference if inputs.duplicates else None
    records = [
        Record(
            {
                "first": str(pair["first_name"]),
                "second": str(pair["second_name"]),
                "class": " / ".join(classes),
                "distance": pair.get("distance"),
                "method": str(pair.get("method", "")),
            },
            source=source,
        )
        for pair, classes in pairs
    ]
    return worded_table("D3", records, longest=TABLE_SHOWN, inputs=inputs)
