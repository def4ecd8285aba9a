"""Tables of images: CSV, TSV or Parquet with a path and a label a row, read with pandas."""

import io
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from posixpath import basename, dirname, normpath, splitext
from typing import TYPE_CHECKING

from flowers17.config.data import ColumnSettings
from flowers17.data.encoded import ImageFile
from flowers17.data.names import TABLE_SUFFIXES, WORDS, listed, part_named, suffix
from flowers17.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd

MAX_TABLE_BYTES = 64 * 2**20
MAX_ROWS = 5_000_000
NO_COLUMN = "-"

_GUESSES: dict[str, str] = WORDS["columns"]


def table_rows(name: str, content: bytes, columns: ColumnSettings) -> list[ImageFile]:
    """Rows of a table. content: of the file; columns: their names, or empty to guess them.

    Raises InvalidInput if it is no table, lacks a column, or a row has no path or no label.
    """
    frame = table_frame(name, content)
    column_of = {
        role: column
        for role in _GUESSES
        if (column := _column(role, getattr(columns, role), list(frame.columns), name))
    }
    frame = frame[list(column_of.values())].set_axis(list(column_of), axis=1)
    frame = frame.map(lambda value: "" if value is None or value != value else str(value).strip())
    for role in ("path", "label"):
        if lines := [str(row + 2) for row, value in enumerate(frame[role]) if not value]:
            raise InvalidInput(
                f"table {name}: expected a {role} in each row, got none in line {listed(lines)}; "
                "fill them in or remove these rows"
            )
    if "part" in frame:
        frame["part"] = frame["part"].map(_part)
    frame = frame.rename(columns={"label": "class_name"})
    return [
        ImageFile(**dict(zip(frame.columns, values, strict=True)))
        for values in zip(*(frame[column] for column in frame), strict=True)
    ]


def is_table(path: str) -> bool:
    """Whether a file's name is that of a table."""
    return suffix(path) in TABLE_SUFFIXES and not basename(path).startswith(".")


def only_table(
    place: str, files: Sequence[str], columns: ColumnSettings, read: Callable[[str], bytes]
) -> str:
    """Path of the table of a source, or an empty text if there is none."""

    def is_image_table(path: str) -> bool:
        content = read(path)
        with suppress(InvalidInput):
            return bool(table_rows(path, content, ColumnSettings()))
        return False

    tables = [path for path in files if is_table(path)]
    is_guess = columns == ColumnSettings()
    if is_guess:
        tables = [path for path in tables if is_image_table(path)]
    if len(tables) > 1 or not (tables or is_guess):
        raise InvalidInput(
            f"{place}: expected one table of images, got {listed(tables) or 'none'}; give the "
            "path of the table itself as the data set"
        )
    return tables[0] if tables else ""


def images_of_table(
    place: str,
    table: str,
    files: Sequence[str],
    columns: ColumnSettings,
    read: Callable[[str], bytes],
    notes: list[str],
) -> list[ImageFile]:
    """Images of a table's rows; raises InvalidInput if rows and files do not fit."""
    path_of = _paths_by_text(table, files)
    images: dict[str, ImageFile] = {}
    lost, contradictory = [], []
    for row in table_rows(table, read(table), columns):
        image = row._replace(path=path_of(row.path))
        if not image.path:
            lost.append(row.path)
        elif images.setdefault(image.path, image) != image:
            contradictory.append(image.path)
    for paths, reason in (
        (lost, "whose path names no file, or more than one"),
        (contradictory, "that contradict an earlier row of the same image"),
    ):
        if paths:
            raise InvalidInput(
                f"{place}, table {table}: expected a file for each row, and one class for each "
                f"file, got rows {reason}: {listed(paths)}; correct or remove them"
            )
    if others := sorted({*files} - {*images}):
        notes.append(f"ignored, because the table {table} does not name them: {listed(others)}")
    return list(images.values())


def _paths_by_text(table: str, files: Iterable[str]) -> Callable[[str], str]:
    """Function from what a table calls a file, to its path if there is exactly one.

    It is a path from the table's folder, or an end of a path, with the suffix or without.
    """
    known, paths_by_name = frozenset(files), defaultdict(list)
    for path in known:
        for name in {basename(path), splitext(basename(path))[0]}:
            paths_by_name[name].append(path)

    def path_of(text: str) -> str:
        value = normpath(text.replace("\\", "/")).lstrip("/")
        if (path := normpath(f"{dirname(table)}/{value}").lstrip("/")) in known:
            return path
        ends = [
            path
            for path in paths_by_name[basename(value)]
            if f"/{path}".endswith((f"/{value}", f"/{value}{splitext(path)[1]}"))
        ]
        return ends[0] if len(ends) == 1 else ""

    return path_of


def _part(value: str) -> str:
    if value and not part_named(value):
        raise InvalidInput(
            f"expected train, validation or test as the part of an image, got {value!r}; write one "
            "of these, or name another column, or none: --set dataset.columns.part=-"
        )
    return part_named(value)


def table_frame(name: str, content: bytes) -> "pd.DataFrame":
    """All of a table, texts as they stand; raises InvalidInput if it is too large or no table."""
    import pandas as pd

    if len(content) > MAX_TABLE_BYTES:
        raise InvalidInput(f"table {name}: expected at most {MAX_TABLE_BYTES:,} bytes, got more")
    try:
        if suffix(name) == ".parquet":
            from pyarrow import parquet

            file = parquet.ParquetFile(io.BytesIO(content))
            n_rows = file.metadata.num_rows
            # Nested columns are left out; nothing is read if there are too many rows.
            flat = [field.name for field in file.schema_arrow if not field.type.num_fields]
            table = file.read(columns=flat if n_rows <= MAX_ROWS else [])
            frame = table.to_pandas(integer_object_nulls=True)
        else:
            header = content[:65_536].partition(b"\n")[0].decode("utf-8", "replace")
            separator = "\t" if suffix(name) == ".tsv" else max(",;\t|", key=header.count)
            frame = pd.read_csv(
                io.BytesIO(content), sep=separator, dtype=str, keep_default_na=False,
                encoding="utf-8-sig", skipinitialspace=True, nrows=MAX_ROWS + 1,
            )  # fmt: skip
            n_rows = len(frame)
    except ImportError:
        raise InvalidInput(
            f"table {name}: expected the extra that reads Parquet, got none installed; "
            "pip install 'flowers17[parquet]', or write the table as CSV"
        ) from None
    except Exception as problem:  # the readers raise errors of many kinds
        raise InvalidInput(
            f"table {name}: expected a table as CSV, TSV or Parquet with a row of names, got what "
            f"cannot be read ({problem}); write it again as UTF-8"
        ) from problem
    if n_rows > MAX_ROWS:
        raise InvalidInput(f"table {name}: expected at most {MAX_ROWS:,} rows, got more")
    return frame.rename(columns=str)


def _column(role: str, setting: str, names: Sequence[str], table: str) -> str | None:
    """Column of a table that plays a role, or None if a role that is optional has none."""
    if setting == NO_COLUMN and role in ("part", "group"):
        return None
    if setting and setting not in names:
        raise InvalidInput(
            f"table {table}: expected the column {setting!r} that dataset.columns.{role} "
            f"names, got {listed(names)}"
        )
    usual = {re.sub(r"[ -]", "_", name.strip().casefold()): name for name in names}
    column = setting or next((usual[g] for g in _GUESSES[role].split() if g in usual), None)
    if not column and role in ("path", "label"):
        raise InvalidInput(
            f"table {table}: expected a column of the images' {role}s, such as `{role}`, got "
            f"{listed(names)}; name it: --set dataset.columns.{role}=…"
        )
    return column
