"""Locks of flow runs in a store: what dead ones leave, and what others may lay beside them."""

import os
import time
from pathlib import Path
from uuid import uuid4

import pytest

from flowers17.artifacts import Store
from tasks.liveness import died, forget_dead, living, registered


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return an empty store, beside a Prefect home of its own."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    (tmp_path / "store" / ".runs").mkdir(parents=True)
    return Store(tmp_path / "store")


def _left(store: Store, digest: str, *, days: float = 0.0) -> str:
    """Leave what a killed run does; return its name."""
    path = store.root / ".runs" / str(uuid4())
    path.write_text(digest)
    when = time.time() - days * 24 * 3600
    os.utime(path, (when, when))
    return path.name


def _names(store: Store) -> set[str]:
    return {path.name for path in (store.root / ".runs").iterdir()}


def test_the_same_run_again_removes_what_killed_ones_left(store: Store) -> None:
    for _ in range(3):
        _left(store, "same")
    other, run = _left(store, "other"), str(uuid4())
    with registered(store, run, "same"):
        assert _names(store) == {run, other}
        assert living(store) == [run]
        assert died(store, other)
    assert _names(store) == {other}


def test_what_was_killed_long_ago_is_removed_by_any_run(store: Store) -> None:
    _left(store, "old", days=15)
    recent = _left(store, "recent", days=13)
    with registered(store, str(uuid4()), "new"):
        pass
    assert _names(store) == {recent}


def test_a_living_run_keeps_its_lock(store: Store) -> None:
    first, second = str(uuid4()), str(uuid4())
    with registered(store, first, "same"):
        path = store.root / ".runs" / first
        os.utime(path, (0, 0))
        with registered(store, second, "same"):
            assert _names(store) == {first, second}
        forget_dead(store, "same")
        assert living(store) == [first]


def test_traps_in_the_folder_are_not_touched(store: Store, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("same")
    link, pipe, folder = (store.root / ".runs" / str(uuid4()) for _ in range(3))
    link.symlink_to(precious)
    os.mkfifo(pipe)
    folder.mkdir()
    (store.root / ".runs" / "letter").write_text("same")
    assert not any(died(store, path.name) for path in (link, pipe, folder))
    assert living(store) == []
    before = _names(store)
    with registered(store, str(uuid4()), "same"):
        pass
    assert _names(store) == before
    assert precious.read_text() == "same"
