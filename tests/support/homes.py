"""Prefect homes that servers of a test's own start in without migrating a database."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path


def migrated_home(folder: Path) -> Path:
    """A Prefect home with a copy of the database of the server that all tests share.

    folder: which is there. That server (`prefect_api`) has started.
    """
    shared = Path(os.environ["PREFECT_HOME"]) / "prefect.db"
    with (
        closing(sqlite3.connect(shared)) as source,
        closing(sqlite3.connect(folder / shared.name)) as copy,
    ):
        source.backup(copy)
    return folder
