"""Prefect homes that servers start in without migrating a database: one does, for a whole test run.

All workers of pytest-xdist know where its database is kept, by the variable TEMPLATE.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

TEMPLATE = "FLOWERS17_TESTS_DATABASE"


def migrated_home(folder: Path) -> Path:
    """A Prefect home, with a migrated database if a private server of this test run has started.

    folder: which is there.
    """
    if TEMPLATE in os.environ and (template := Path(os.environ[TEMPLATE])).exists():
        _copy(template, folder / "prefect.db")
    return folder


@contextmanager
def migrating(home: Path) -> Iterator[None]:
    """Let a private server start in a home: the first of a test run migrates for all others."""
    template = Path(os.environ[TEMPLATE])
    with template.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not template.exists():
            yield
            _copy(home / "prefect.db", template)
            return
    migrated_home(home)
    yield


def _copy(database: Path, copy: Path) -> None:
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
