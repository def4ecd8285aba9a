"""A person's labels of a data set's images, as a table and copies that `--dataset` takes."""

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from flowers17.config import DatasetSettings
from flowers17.data.layout import Layout
from flowers17.data.names import listed
from flowers17.data.source import dataset_source, encoded_images
from flowers17.data.tables import table_frame
from flowers17.errors import InvalidInput, hint_for
from flowers17.manifests import is_safe
from flowers17.reporting.tables import unguarded

COLUMNS = ("path", "label", "part", "group")


def relabelled(
    dataset: DatasetSettings, answers: Path, to: Path, new_classes: Sequence[str], console: Console
) -> Path:
    """Write `labels.csv` and the images to a new folder, and return the path of the table.

    answers: CSV with `image`, a name as in Table N3, and `label`, its class; a row without a label
    changes nothing. Parts and groups stay. new_classes: labels besides the data set's classes.
    Raises InvalidInput for rows that do not fit the data set, and if the folder exists.
    """
    partial = to.with_name(f"{to.name}.partial")
    if to.exists() or partial.exists():
        raise InvalidInput(f"{to}: expected a folder that is not there yet; name another")
    images = encoded_images(dataset_source(dataset))
    labels = _labels(answers, images.layout, (*images.layout.class_names, *new_classes))
    rows, n_changed = [], 0
    try:
        for image in images:
            class_name = images.layout.class_names[image.label]
            path = partial / "images" / image.name
            label = labels.get(image.name, class_name)
            n_changed += label != class_name
            if not is_safe(image.name) or not isinstance(image.data, bytes):
                raise InvalidInput(f"{image.name!r}: expected an image that can be copied")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image.data)
            rows.append((image.row, f"images/{image.name}", label, image.part, image.group))
        with (partial / "labels.csv").open("w", newline="", encoding="utf-8") as stream:
            lines = [COLUMNS, *(row[1:] for row in sorted(rows))]
            csv.writer(stream, lineterminator="\n").writerows(lines)
        partial.rename(to)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    console.print(f"{n_changed} of {len(rows):,} labels changed", highlight=False)
    return to / "labels.csv"


def _labels(answers: Path, layout: Layout, class_names: Sequence[str]) -> dict[str, str]:
    """Labels by image, of the rows that have one; raises InvalidInput, which tells all problems."""
    try:
        frame = table_frame(str(answers), answers.read_bytes()).fillna("").astype(str)
    except OSError as problem:
        raise InvalidInput(f"{answers}: no such file that can be read; correct --from") from problem
    if not {"image", "label"} <= {*frame}:
        raise InvalidInput(
            f"{answers}: expected columns image and label, as Table N3, got {listed(frame.columns)}"
        )
    rows = frame[["image", "label"]].map(lambda text: unguarded(text.strip())).query("label != ''")
    problems = ["expected labels, got none; fill in the column label"] if rows.empty else []
    if others := sorted({*rows["image"]} - {row.name for row in layout.rows}):
        problems.append(f"expected images of the data set, got {listed(others)}; see --dataset")
    problems += [
        f"{listed(images)}: expected a class of the data set or a --new-class, got {label!r}; "
        + hint_for(str(label), class_names, f"the classes are {listed(class_names)}")
        for label, images in rows.groupby("label")["image"]
        if label not in class_names
    ]
    problems += [
        f"{image}: expected one label, got {listed(labels)}; keep one of these rows"
        for image, labels in rows.groupby("image")["label"].unique().items()
        if len(labels) > 1
    ]
    if problems:
        raise InvalidInput(f"{answers}: " + "\n".join(problems))
    return dict(rows.to_numpy().tolist())
