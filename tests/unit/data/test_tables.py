import io

import pytest

from flowers17.config.data import ColumnSettings
from flowers17.data import tables
from flowers17.data.tables import ImageFile, table_rows
from flowers17.errors import InvalidInput

GUESS = ColumnSettings()


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separator_follows_from_the_header(separator: str) -> None:
    text = separator.join(("Image Path", "Class", "patient_id")) + "\n"
    text += separator.join(("a b.png", " 007 ", "x")) + "\r\n"
    rows = table_rows("t.csv", b"\xef\xbb\xbf" + text.encode(), GUESS)
    assert rows == [ImageFile("a b.png", "007", "", "x")]


def test_labels_are_texts_as_they_stand() -> None:
    text = "path,label\n" + "".join(
        f"{k}.png,{name}\n" for k, name in enumerate(("null", "NA", "1.0"))
    )
    assert [row.class_name for row in table_rows("t.csv", text.encode(), GUESS)] == [
        "null",
        "NA",
        "1.0",
    ]


def test_words_for_parts_are_understood_and_others_refused() -> None:
    text = "path,label,split\na,x,Training\nb,x,valid\nc,x,\nd,x,TEST\n"
    rows = table_rows("t.tsv", text.replace(",", "\t").encode(), GUESS)
    assert [row.part for row in rows] == ["train", "validation", "", "test"]
    with pytest.raises(InvalidInput, match=r"got 'fold 3'.*dataset\.columns\.part=-"):
        table_rows("t.csv", b"path,label,split\na,x,fold 3\n", GUESS)
    free = ColumnSettings(part="-")
    assert table_rows("t.csv", b"path,label,split\na,x,fold 3\n", free)[0].part == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read"),
        (b"path,label\n\xff\xfe\n", "cannot be read"),
        (b"\0" * 1000, "expected a"),
        (b"path,label\na,b\nc,d,e,f\n", "cannot be read"),
        (b"width,height\n1,2\n", r"column of the images' paths.*got width, height; name it"),
    ],
)
def test_what_is_no_table_of_images_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        table_rows("t.csv", content, GUESS)


def test_rows_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_ROWS", 2)
    with pytest.raises(InvalidInput, match="at most 2 rows"):
        table_rows("t.csv", b"path,label\na,x\nb,x\nc,x\n", GUESS)


def test_parquet_is_read_or_its_extra_named(monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    content = {"path": ["a.png", "b.png"], "label": [7, 8], "size": [{"w": 1}] * 2}
    stream = io.BytesIO()
    parquet.write_table(pyarrow.table(content), stream)
    rows = table_rows("t.parquet", stream.getvalue(), GUESS)
    assert rows == [ImageFile("a.png", "7"), ImageFile("b.png", "8")]
    with pytest.raises(InvalidInput, match="cannot be read"):
        table_rows("t.parquet", stream.getvalue()[:-9], GUESS)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(InvalidInput, match=r"flowers17\[parquet\]"):
        table_rows("t.parquet", stream.getvalue(), GUESS)
