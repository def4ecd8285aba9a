"""`relabel` writes a data set with a person's labels, and leaves the given one as it is."""

import csv
from pathlib import Path

import pytest

from flowers17.cli import main
from flowers17.config import DatasetSettings
from flowers17.data.source import dataset_source, encoded_images
from tests.support.image_files import class_folders, listing


def labels_of(dataset: Path) -> dict[str, str]:
    """Class of each image of a data set, by the bytes of the image."""
    images = encoded_images(dataset_source(DatasetSettings(source=str(dataset))))
    return {image.sha256: images.layout.class_names[image.label] for image in images}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "photos", {"oak": 3, "elm": 3})


def relabel(tmp_path: Path, photos: Path, answers: str) -> int:
    (tmp_path / "answers.csv").write_text(answers)
    words = ["--from", str(tmp_path / "answers.csv"), "--to", str(tmp_path / "mended")]
    try:
        main(["relabel", *words, "--dataset", str(photos)])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_labels_that_were_given_replace_the_old_ones_and_no_others(
    tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, contents = labels_of(photos), listing(photos)
    # As Table N3's file is, with a column more and rows left empty.
    answers = "image,given,label\noak/00.png,oak,elm\nelm/01.png,elm,\noak/02.png,oak,oak\n"
    assert relabel(tmp_path, photos, answers) == 0
    printed = capsys.readouterr()
    assert printed.out.split() == [str(tmp_path / "mended" / "labels.csv")]
    assert "1 of 6 labels changed" in printed.err
    after = labels_of(tmp_path / "mended" / "labels.csv")
    changed = {digest for digest in before if before[digest] != after[digest]}
    assert {(before[digest], after[digest]) for digest in changed} == {("oak", "elm")}
    assert len(changed) == 1
    assert listing(photos) == contents


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ("image,label\nash/00.png,elm\n", "got 1 others, such as 'ash/00.png'"),
        ("path,class\noak/00.png,elm\n", "expected a CSV file with the columns image and label"),
    ],
)
def test_answers_of_other_images_are_refused_and_nothing_is_written(
    tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str], answers: str, message: str
) -> None:
    assert relabel(tmp_path, photos, answers) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.csv", "photos"]


def test_a_folder_that_is_there_is_not_written_to(
    tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mended").mkdir()
    assert relabel(tmp_path, photos, "image,label\noak/00.png,elm\n") == 2
    assert "not there yet" in " ".join(capsys.readouterr().err.split())
    assert list((tmp_path / "mended").iterdir()) == []


def test_parts_and_groups_of_a_table_stay(tmp_path: Path, photos: Path) -> None:
    rows = [
        [f"{name}/{k:02d}.png", name, "test" if k == 2 else "train", f"{name}{k // 2}"]
        for name in ("oak", "elm")
        for k in range(3)
    ]
    with (photos / "table.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["path", "label", "part", "group"], *rows])
    assert relabel(tmp_path, photos / "table.csv", "image,label\noak/00.png,elm\n") == 0
    with (tmp_path / "mended" / "labels.csv").open() as stream:
        written = {row["path"]: row for row in csv.DictReader(stream)}
    assert written["images/oak/00.png"]["label"] == "elm"
    assert [written[f"images/{path}"]["part"] for path, *_ in rows] == [row[2] for row in rows]
    assert [written[f"images/{path}"]["group"] for path, *_ in rows] == [row[3] for row in rows]
