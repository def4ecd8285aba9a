"""Layouts by the names of files alone: what a person would take them for."""

import unicodedata
from collections.abc import Iterable, Mapping

import pytest

from flowers17.config.data import ColumnSettings
from flowers17.data.layout import Layout, layout_of
from flowers17.errors import InvalidInput

NO_COLUMNS = ColumnSettings()


def layout(
    files: Iterable[str],
    tables: Mapping[str, str] = {},
    columns: ColumnSettings = NO_COLUMNS,
    **options: object,
) -> Layout:
    return layout_of(
        "folder own",
        [*files, *tables],
        columns=columns,
        read=lambda name: tables[name].encode(),
        **options,  # type: ignore[arg-type]
    )


def images(*folders: str, n: int = 2) -> list[str]:
    return [f"{folder}/{k}.jpg" for folder in folders for k in range(n)]


CLASSES = {
    "class folders": (images("b", "a"), ("a", "b")),
    "a folder around them": (images("set/data/b", "set/data/a"), ("a", "b")),
    "nested classes": (
        images("Fruit/Apple/Gala", "Fruit/Apple/Fuji", "Fruit/Kiwi"),
        ("Apple/Fuji", "Apple/Gala", "Kiwi"),
    ),
    "a class named like a part": (images("train", "bus", "car"), ("bus", "car", "train")),
    "files without a suffix": (["a/0001", "a/0002", "b/0001", "b/0002"], ("a", "b")),
}


@pytest.mark.parametrize("case", CLASSES)
def test_leaf_folders_are_classes(case: str) -> None:
    files, class_names = CLASSES[case]
    understood = layout(files)
    assert understood.class_names == class_names
    assert not understood.notes
    assert {row.part for row in understood.rows} == {""}
    assert sorted(understood.rows, key=lambda row: (row.label, row.name)) == list(understood.rows)


@pytest.mark.parametrize(
    "parts",
    [
        ("train", "val", "test"),
        ("Training", "valid", "Testing"),
        ("training", "validation", "testing"),
        ("training_set", "val_set", "test_set"),
        ("seg_train/seg_train", "seg_val/seg_val", "seg_test/seg_test"),
        ("own/train/Fruit", "own/val/Fruit", "own/test/Fruit"),
    ],
)
def test_parts_above_the_classes_are_taken_as_given(parts: tuple[str, str, str]) -> None:
    sizes = dict(zip(parts, (5, 2, 3), strict=True))
    files = [
        path for part, n in sizes.items() for path in images(f"{part}/daisy", f"{part}/tulip", n=n)
    ]
    understood = layout(files)
    assert understood.class_names == ("daisy", "tulip")
    assert understood.summary == "2 classes, 10 + 4 + 6 images, parts as given"
    assert {row.part for row in understood.rows if "rain" in row.path} == {"train"}


def test_parts_below_the_classes_are_taken_as_given() -> None:
    understood = layout(images("a/train", "a/test", "b/train", "b/test"))
    assert understood.class_names == ("a", "b")
    assert understood.summary == "2 classes, 4 training + 4 test images, parts as given"


def test_parts_without_class_folders_are_refused_in_words() -> None:
    with pytest.raises(InvalidInput, match=r"in each part.*directly in test1, train;"):
        layout(images("train", "test1"))


def test_test_images_without_a_class_are_ignored_with_a_word() -> None:
    understood = layout([*images("train/a", "train/b"), *images("test", n=4)])
    assert understood.summary == "2 classes, 4 training images, parts as given"
    assert "ignored: 4 of the test part's images" in understood.notes[0]


def test_class_that_only_the_test_part_has_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"at least 2 images a class.*got c \(no image\)"):
        layout(images("train/a", "train/b", "test/a", "test/c"))


def test_each_kind_of_rubbish_is_named_once_with_its_count() -> None:
    rubbish = ["README.txt", "LICENSE", "labels.csv", "a/Thumbs.db", "b/Thumbs.db", "a/GT.csv"]
    hidden = [".DS_Store", "__MACOSX/a/._0.jpg", "__MACOSX/b/._0.jpg", "a/.ipynb_checkpoints"]
    scripts = ["code/run.sh", "annotations/a.xml", "convert.rb"]
    understood = layout(
        [*images("a", "b"), *rubbish, *hidden, *scripts], {"labels.csv": "name,label\n"}
    )
    [note] = understood.notes
    assert note == (
        "ignored, because they are not images: 2 × *.csv, 2 × Thumbs.db, 1 × .DS_Store, "
        "1 × .ipynb_checkpoints, 1 × LICENSE, 1 × README.txt, 1 × __MACOSX, 1 × a.xml, "
        "1 × convert.rb, 1 × run.sh"
    )
    assert len(understood.rows) == 4


def test_unknown_file_in_a_class_folder_is_not_ignored() -> None:
    understood = layout([*images("a", "b"), "a/photo.jpg_old", "b/scan.pdf"])
    assert len(understood.rows) == 6


def test_images_beside_class_folders_are_refused_together() -> None:
    with pytest.raises(InvalidInput, match=r"got these beside them: loose\.png, x/more\.png;"):
        layout([*images("a", "x/b"), "loose.png", "x/more.png"])


def test_classes_without_images_are_named_together() -> None:
    with pytest.raises(InvalidInput, match=r"got c \(one image\), zinnia \(no image\)"):
        layout([*images("a", "b"), "c/1.png"], empty=["zinnia", "a/empty"])


def test_two_unicode_spellings_of_a_name_are_one_class() -> None:
    composed, decomposed = (unicodedata.normalize(form, "Gänse") for form in ("NFC", "NFD"))
    understood = layout(images(composed, decomposed, "rose"))
    assert understood.class_names == (composed, "rose")
    assert "written in two ways" in understood.notes[0]


def test_names_that_differ_in_case_or_spaces_are_told() -> None:
    understood = layout(images("Red rose", "red_rose", "tulip"))
    assert len(understood.class_names) == 3
    assert "'Red rose', 'red_rose'" in understood.notes[0]


MASKS = {
    "a suffix of the name": [*images("a", "b"), "a/0_mask.png", "b/1 (mask).png"],
    "another kind of file": [*images("a", "b"), "a/0.png", "a/1.png", "b/0.png"],
    "a folder": images("images", "masks"),
}


@pytest.mark.parametrize("case", MASKS)
def test_segmentation_masks_are_told(case: str) -> None:
    files = MASKS[case]
    understood = layout(files)
    assert len(understood.rows) == len(files)
    assert len(understood.notes) == 1
    assert "segmentation masks" in understood.notes[0]


TABLE = "filename,species,split,patient\n" + "".join(
    f"{k}.jpg,{'ab'[k % 2]},{part},p{k // 2}\n"
    for k, part in enumerate(("train", "train", "train", "train", "val", "val", "test", "test"))
)


@pytest.mark.parametrize("folder", ["", "set/", "set/pictures/"])
def test_table_gives_classes_parts_and_groups(folder: str) -> None:
    files = [f"{folder}{k}.jpg" for k in range(9)]
    name = "labels.csv" if not folder else "set/labels.csv"
    understood = layout(files, {name: TABLE})
    assert understood.summary == "2 classes, 4 + 2 + 2 images, parts as given, 4 groups"
    assert understood.notes == (
        f"ignored, because the table {name} does not name them: {folder}8.jpg",
    )
    row = next(row for row in understood.rows if row.path == f"{folder}5.jpg")
    assert (understood.class_names[row.label], row.part, row.group) == ("b", "validation", "p2")


def test_columns_can_be_named() -> None:
    table = "what;where;label\nrose;0;x\nrose;1;y\naster;2;x\naster;3;y\n"
    files = [f"all/{k}.png" for k in range(4)]
    columns = ColumnSettings(path="where", label="what", group="-")
    understood = layout(files, {"t.csv": table}, columns)
    assert understood.class_names == ("aster", "rose")
    assert understood.rows[0].path == "all/2.png"
    with pytest.raises(InvalidInput, match=r"the column 'no' that dataset\.columns\.label names"):
        layout(files, {"t.csv": table}, ColumnSettings(path="where", label="no"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("0.jpg,a\n0.jpg,b\n1.jpg,b\n", r"rows that contradict an earlier row.*: 0\.jpg"),
        ("0.jpg,a\n7.jpg,b\n../x.jpg,b\n", r"rows whose path names no file.*7\.jpg, \.\./x\.jpg"),
        ("0.jpg,\n1.jpg,b\n", "a label in each row, got none in line 2"),
    ],
)
def test_rows_that_do_not_fit_are_told_together(rows: str, message: str) -> None:
    files = [f"{k}.jpg" for k in range(4)]
    table = {"labels.csv": "path,label\n" + rows}
    with pytest.raises(InvalidInput, match=message):
        layout(files, table, table="labels.csv")


def test_table_does_not_count_beside_class_folders() -> None:
    understood = layout(images("a", "b"), {"labels.csv": "path,label\na/0.jpg,x\n"})
    assert understood.class_names == ("a", "b")


def test_two_tables_are_a_question() -> None:
    table = "path,label\n0.jpg,x\n"
    with pytest.raises(InvalidInput, match=r"one table of images, got a\.csv, b\.csv; give"):
        layout(["0.jpg", "1.jpg"], {"a.csv": table, "b.csv": table})


def test_flat_images_without_a_table_are_refused() -> None:
    with pytest.raises(InvalidInput, match="at least 2 class folders, got one, 'photos'"):
        layout(images("photos"))
    with pytest.raises(InvalidInput, match="at least 2 class folders, got none"):
        layout([])
