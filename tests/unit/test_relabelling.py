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


def relabel(tmp_path: Path, photos: Path, answers: str, *options: str) -> int:
    (tmp_path / "answers.csv").write_text(answers)
    words = ["--from", str(tmp_path / "answers.csv"), "--to", str(tmp_path / "mended")]
    try:
        main(["relabel", *words, "--dataset", str(photos), *options])
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
    ("answers", "messages"),
    [
        (
            "image,label\nash/00.png,elm\nash/01.png,elm\noak/00.png,elm\n",
            ["expected images of the data set, got ash/00.png, ash/01.png; see --dataset"],
        ),
        (
            "path,class\noak/00.png,elm\n",
            ["expected columns image and label, as Table N3, got path, class"],
        ),
        (
            "image,label\noak/00.png,ellm\noak/01.png, Elm \nelm/00.png,ellm\nelm/01.png,ß\n",
            [
                "oak/00.png, elm/00.png: expected a class of the data set or a --new-class, "
                "got 'ellm'; did you mean elm?",
                "oak/01.png: expected a class of the data set or a --new-class, got 'Elm'; "
                "did you mean elm?",
                "got 'ß'; the classes are elm, oak",
            ],
        ),
        (
            "image,label\noak/00.png,elm\noak/00.png,oak\nelm/01.png,elm\nelm/01.png,oak\n",
            [
                "oak/00.png: expected one label, got elm, oak; keep one of these rows",
                "elm/01.png: expected one label, got elm, oak; keep one of these rows",
            ],
        ),
        (
            "image,label\noak/00.png,\nelm/01.png, \n",
            ["expected labels, got none; fill in the column label"],
        ),
    ],
)
def test_answers_that_do_not_fit_are_told_all_and_nothing_is_written(
    tmp_path: Path,
    photos: Path,
    capsys: pytest.CaptureFixture[str],
    answers: str,
    messages: list[str],
) -> None:
    assert relabel(tmp_path, photos, answers) == 2
    printed = " ".join(capsys.readouterr().err.split())
    assert [message for message in messages if message not in printed] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.csv", "photos"]


def test_a_new_class_is_taken_once_it_is_named(tmp_path: Path, photos: Path) -> None:
    # A row that stands twice is one, and a row may end early.
    answers = "image,label\noak/00.png,ash\noak/00.png, ash \noak/01.png,Elm\nelm/00.png\n"
    assert relabel(tmp_path, photos, answers, "--new-class", "ash") == 2
    assert relabel(tmp_path, photos, answers, "--new-class", "ash", "--new-class", "Elm") == 0
    with (tmp_path / "mended" / "labels.csv").open() as stream:
        labels = [row["label"] for row in csv.DictReader(stream)]
    assert sorted(labels) == ["Elm", "ash", "elm", "elm", "elm", "oak"]


def test_semicolons_and_the_mark_of_a_spreadsheet_are_read(tmp_path: Path, photos: Path) -> None:
    assert relabel(tmp_path, photos, "\ufeffimage;given;label\noak/00.png;oak;elm\n") == 0
    assert sorted(labels_of(tmp_path / "mended" / "labels.csv").values()).count("elm") == 4


def test_a_table_that_is_not_there_is_no_such_file(
    tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--from", str(tmp_path / "none.csv"), "--to", str(tmp_path / "mended")]
    with pytest.raises(SystemExit) as end:
        main(["relabel", *words, "--dataset", str(photos)])
    assert end.value.code == 2
    printed = " ".join(capsys.readouterr().err.split())
    assert "none.csv: no such file" in printed
    assert "columns" not in printed


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
