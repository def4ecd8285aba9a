"""A person's labels of a data set's images, as a table and copies that `--dataset` takes."""

import csv
import shutil
from pathlib import Path

from rich.console import Console

from flowers17.config import DatasetSettings
from flowers17.data.source import dataset_source, encoded_images
from flowers17.errors import InvalidInput
from flowers17.manifests import is_safe
from flowers17.reporting.tables import unguarded

COLUMNS = ("path", "label", "part", "group")


def relabelled(dataset: DatasetSettings, answers: Path, to: Path, *, console: Console) -> Path:
    """Write `labels.csv` and the images to a new folder, and return the path of the table.

    answers: CSV with `image`, a name as in Table N3, and `label`, its class; a row without a label
    changes nothing. Parts and groups stay.
    Raises InvalidInput for images that the data set does not have, and if the folder exists.
    """
    labels, partial = _labels(answers), to.with_name(f"{to.name}.partial")
    if to.exists() or partial.exists():
        raise InvalidInput(f"{to}: expected a folder that is not there yet; name another")
    images = encoded_images(dataset_source(dataset))
    rows, n_changed = [], 0
    try:
        for image in images:
            class_name = images.layout.class_names[image.label]
            path = partial / "images" / image.name
            label = labels.pop(image.name, class_name)
            n_changed += label != class_name
            if not is_safe(image.name) or not isinstance(image.data, bytes):
                raise InvalidInput(f"{image.name!r}: expected an image that can be copied")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image.data)
            rows.append((image.row, f"images/{image.name}", label, image.part, image.group))
        if labels:
            raise InvalidInput(
                f"{answers}: expected images of the data set, got {len(labels)} others, such as "
                f"{next(iter(labels))!r}; give the report's data set as --dataset"
            )
        with (partial / "labels.csv").open("w", newline="", encoding="utf-8") as stream:
            lines = [COLUMNS, *(row[1:] for row in sorted(rows))]
            csv.writer(stream, lineterminator="\n").writerows(lines)
        partial.rename(to)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    console.print(f"{n_changed} of {len(rows):,} labels changed", highlight=False)
    return to / "labels.csv"


def _labels(answers: Path) -> dict[str, str]:
    """Labels by image, of the rows that have one; raises InvalidInput without the two columns."""
    try:
        with answers.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            if not {"image", "label"} <= set(reader.fieldnames or ()):
                raise ValueError("its columns are others")
            rows = [(unguarded(row["image"] or ""), (row["label"] or "").strip()) for row in reader]
    except (OSError, ValueError, csv.Error) as problem:
        raise InvalidInput(
            f"{answers}: expected a CSV file with the columns image and label, got another "
            f"({problem}); start from Table N3's file in the report's folder tables/"
        ) from problem
    return {image: unguarded(label) for image, label in rows if label}
