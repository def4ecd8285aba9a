"""Links, pipes, folders and deep JSON in a store: none is followed, emptied or waited for."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import cast
from uuid import uuid4

import numpy as np
import pytest

from flowers17.artifacts import MANIFEST, Store
from flowers17.cli import main
from flowers17.data.download import _Part
from flowers17.digests import read_sha256
from flowers17.errors import ArtifactDamaged, InvalidInput, StoreUnusable
from flowers17.files import open_regular, replacing
from flowers17.learners.checkpoints import LOCK, Checkpoints
from flowers17.robustness.batches import resumed_arrays
from flowers17.shared.claims import Mirror
from flowers17.shared.remote import Remote
from flowers17.shared.store import SharedStore
from flowers17.stages import ensure
from flowers17.store_folder import OWN_FOLDERS
from flows.report import export
from tasks.liveness import died, forget, forget_dead, lives, living, registered
from tests.support.stores import KEY, OTHER_KEY, content, publish, reseal, set_aside
from tests.support.toy import number

SECRET = b"a letter"
WRITTEN = (".locks", ".partial", "numbers")  # where a build writes


@pytest.fixture(autouse=True)
def _never_waits() -> Iterator[None]:
    """End a test that waits for a pipe: two minutes only end a hang."""

    def ended(number: int, frame: FrameType | None) -> None:
        raise TimeoutError("waited for a pipe")

    before = signal.signal(signal.SIGALRM, ended)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """Return a file outside the store, which is as it was after the test."""
    path = tmp_path / "secret"
    path.write_bytes(SECRET)
    return path


@pytest.fixture
def store(tmp_path: Path, secret: Path) -> Iterator[Store]:
    yield Store(tmp_path / "store")
    assert secret.read_bytes() == SECRET
    assert not (tmp_path / "nowhere").exists()


IN_THE_WAY: dict[str, Callable[[Path, Path], object]] = {
    "a link": lambda path, secret: path.symlink_to(secret),
    "a link to nothing": lambda path, secret: path.symlink_to(secret.parent / "nowhere"),
    "a hard link": lambda path, secret: path.hardlink_to(secret),
    "a pipe": lambda path, secret: os.mkfifo(path),
    "a folder": lambda path, secret: path.mkdir(),
    "deep JSON": lambda path, secret: path.write_text("[" * 100_000),
}
in_the_way = pytest.mark.parametrize("put", IN_THE_WAY.values(), ids=IN_THE_WAY)


@in_the_way
def test_in_place_of_a_lock(
    put: Callable[[Path, Path], object], store: Store, secret: Path
) -> None:
    path = store.root / ".locks" / f"numbers-{KEY}"
    path.parent.mkdir(parents=True)
    put(path, secret)
    assert not store.is_locked(path.name)
    harmless = path.is_file() and not path.is_symlink()
    if harmless:
        publish(store)
        return
    with pytest.raises(StoreUnusable, match=rf"store {path}: .* in the way|no regular file"):
        publish(store)


@in_the_way
def test_in_place_of_fingerprints(
    put: Callable[[Path, Path], object], store: Store, secret: Path
) -> None:
    artifact = publish(store)
    [path] = (store.root / ".verified").iterdir()
    path.unlink()
    put(path, secret)
    for _ in range(2):
        reused = store.find("numbers", KEY)
        assert reused is not None
        assert reused.reference == artifact.reference
    (artifact.path / "numbers.json").write_bytes(b"[6, 6, 6]\n")
    assert store.find("numbers", KEY) is None
    publish(store)
    store.discard([f"numbers/{KEY}"])


@in_the_way
def test_in_place_of_a_pin(put: Callable[[Path, Path], object], store: Store, secret: Path) -> None:
    path = store.root / ".pins" / "numbers" / KEY
    path.parent.mkdir(parents=True)
    put(path, secret)
    if path.is_file() and not path.is_symlink():
        store.pin(f"numbers/{KEY}")
    else:
        with pytest.raises(StoreUnusable, match=r"in the way|no regular file"):
            store.pin(f"numbers/{KEY}")


@in_the_way
@pytest.mark.parametrize("name", [MANIFEST, "numbers.json"])
def test_in_place_of_a_file_of_an_artifact(
    name: str, put: Callable[[Path, Path], object], store: Store, secret: Path
) -> None:
    artifact = publish(store)
    path = artifact.path / name
    path.unlink()
    put(path, secret)
    with pytest.raises(ArtifactDamaged):
        store.open(artifact.reference)
    assert (list(store.manifests()) == []) == (name == MANIFEST)
    assert store.find("numbers", KEY) is None
    assert len(set_aside(store)) == 1


@pytest.mark.parametrize("name", [*OWN_FOLDERS, "numbers"])
def test_a_folder_of_the_store_that_is_a_link_is_refused(
    name: str, store: Store, tmp_path: Path
) -> None:
    colleague = tmp_path / "others"
    publish(Store(colleague), OTHER_KEY)
    (colleague / "thesis").mkdir()
    (colleague / f"numbers-{KEY}").write_text("mine")
    before = content(colleague)
    store.root.mkdir()
    (store.root / name).symlink_to(colleague)
    refused = pytest.raises(StoreUnusable, match=f"{name}.*link is in the way")
    with refused if name in OWN_FOLDERS else nullcontext():
        store.check_writable()
    if name in WRITTEN:
        with pytest.raises(StoreUnusable, match=f"{name}.*link is in the way"):
            publish(store)
    if name in (".partial", ".damaged", ".unfinished"):
        with pytest.raises(StoreUnusable, match="link is in the way"):
            list(store.leftovers())
    assert list(store.manifests()) == []
    with refused if name == "numbers" else nullcontext():
        assert store.find("numbers", KEY) is None
    assert content(colleague) == before
    assert (colleague / "thesis").is_dir()


def test_a_stage_that_is_a_link_is_not_read_or_collected(store: Store, tmp_path: Path) -> None:
    elsewhere = publish(Store(tmp_path / "other"))
    store.root.mkdir()
    (store.root / "numbers").symlink_to(elsewhere.path.parent)
    assert list(store.manifests()) == []
    key = elsewhere.reference.key
    for action in (
        lambda: store.open(elsewhere.reference),
        lambda: store.find("numbers", key),
        lambda: publish(store),
        lambda: store.discard([f"numbers/{key}"]),
    ):
        with pytest.raises(StoreUnusable, match="numbers: a link is in the way"):
            action()
    assert elsewhere.path.is_dir()
    assert Store(tmp_path / "other").open(elsewhere.reference)


def test_what_lies_behind_a_link_is_neither_pinned_nor_forgotten(
    store: Store, tmp_path: Path
) -> None:
    other = Store(tmp_path / "other")
    publish(other)
    other.pin(f"numbers/{KEY}")
    artifact = publish(store)
    before = content(other.root)
    shutil.rmtree(store.root / ".verified")
    (store.root / ".verified").symlink_to(other.root / ".verified")
    (store.root / ".pins").mkdir()
    (store.root / ".pins" / "numbers").symlink_to(other.root / ".pins" / "numbers")
    assert store.pinned() == set()
    assert store.find("numbers", KEY) is not None
    (artifact.path / "numbers.json").write_bytes(b"[6, 6, 6]\n")
    assert store.find("numbers", KEY) is None
    publish(store)
    store.discard([f"numbers/{KEY}"])
    assert content(other.root) == before


def test_a_run_neither_reads_nor_removes_locks_behind_a_link(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    others, run = tmp_path / "others", str(uuid4())
    others.mkdir()
    for name in (run, f".{run}", str(uuid4())):
        (others / name).write_text("same")
        os.utime(others / name, (0, 0))
    before = content(others)
    store.root.mkdir()
    (store.root / ".runs").symlink_to(others)
    with pytest.raises(StoreUnusable, match="a link is in the way"), registered(store, run, "same"):
        pass
    forget_dead(store)
    forget(store, run)
    assert (living(store), died(store, run), lives(store, run)) == ([], False, False)
    assert content(others) == before


def test_a_run_does_not_empty_a_file_that_is_linked_in_place_of_its_lock(
    store: Store, secret: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    run = str(uuid4())
    (store.root / ".runs").mkdir(parents=True)
    (store.root / ".runs" / f".{run}").hardlink_to(secret)
    with registered(store, run, "digest"):
        assert living(store) == [run]


@pytest.mark.parametrize("kind", ["a link", "a hard link"])
def test_a_download_writes_into_no_file_of_others(kind: str, secret: Path, tmp_path: Path) -> None:
    part = _Part(tmp_path / "weights.part")
    IN_THE_WAY[kind](part.path, secret)
    part.note.write_text('{"url": "http://a", "validator": "b"}')
    assert part.resumable_bytes("http://a", checked_at_end=True) == (0, None)
    with part.opened(resumed=False) as stream:
        stream.write(b"new")
    IN_THE_WAY["a link"](part.path.with_name("note"), secret)
    part.path.with_name("note").rename(part.note)
    part.describe("http://a", None)
    assert part.path.read_bytes() == b"new"
    assert secret.read_bytes() == SECRET


def test_a_report_is_copied_over_no_folder_of_others(store: Store, tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "index.html").write_text("mine")
    artifact = publish(store)
    (store.root / "report").symlink_to(tmp_path / "others")
    export(store, artifact)
    assert (store.root / "report" / "numbers.json").is_file()
    assert content(tmp_path / "others") == {"index.html": b"mine"}


def test_a_cache_sends_no_file_behind_a_link(secret: Path, tmp_path: Path) -> None:
    folder = tmp_path / "unfinished"
    folder.mkdir()
    (folder / "own").write_bytes(b"own")
    (folder / "linked").symlink_to(secret)
    mirror = Mirror(cast(Remote, None), ".unfinished/a", folder, lambda: True, 1.0)
    assert list(mirror._files()) == ["own"]


def test_a_cache_replaces_nothing_through_a_stage_that_is_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWERS17_CACHE", str(tmp_path / "cache"))
    shared, victim = SharedStore("s3://bucket"), Store(tmp_path / "victim")
    artifact = publish(victim)
    sealed = (artifact.path / MANIFEST).read_bytes()
    monkeypatch.setattr(shared, "remote", SimpleNamespace(read=lambda name: sealed))
    shared.root.mkdir(parents=True)
    (shared.root / "numbers").symlink_to(artifact.path.parent)
    (artifact.path / "numbers.json").write_bytes(b"[4]\n")
    before = content(victim.root)
    for action in (lambda: shared.find("numbers", KEY), lambda: shared.open(artifact.reference)):
        with pytest.raises(StoreUnusable, match="a link is in the way"):
            action()
    assert content(victim.root) == before


@pytest.mark.parametrize("stage", ["..", "/", ".damaged", "a/b", "\x1b]0;x\x07"])
def test_gc_deletes_nothing_outside_whatever_a_manifest_calls_itself(
    stage: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thesis = tmp_path / KEY
    thesis.mkdir()
    (thesis / "chapter").write_text("mine")
    artifact = publish(store, created="2020-01-01T00:00:00Z")
    reseal(artifact.path / MANIFEST, lambda manifest: manifest.update(stage=stage))
    main_code(["gc", "--store", str(store.root), "--keep-studies", "0"])
    assert (thesis / "chapter").read_text() == "mine"
    assert artifact.path.is_dir()


def main_code(arguments: list[str]) -> int:
    try:
        main(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_the_root_of_a_store_may_be_a_link(store: Store, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    store.root.symlink_to(tmp_path / "disk")
    store.check_writable()
    first = ensure(number("a", 1), {}, store)
    assert ensure(number("a", 1), {}, store).reused
    assert store.open(first.reference).json("total") == 1
    assert len(list(store.manifests())) == 1
    store.pin(f"number/{first.reference.key}")
    assert len(store.pinned()) == 1
    store.discard([f"number/{first.reference.key}"])
    assert list(store.manifests()) == []


@pytest.mark.parametrize("inside", ["", "detector", "batches/0"])
def test_what_is_unfinished_and_a_link_is_refused(
    inside: str, store: Store, tmp_path: Path
) -> None:
    path = store.root / ".unfinished" / f"numbers-{KEY}" / inside
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path)
    with pytest.raises(StoreUnusable, match="link is in the way"):
        store.unfinished("numbers", KEY)


@pytest.mark.parametrize("name", [LOCK, "generation-000001.json", "weights-000001.npz.partial"])
@in_the_way
def test_among_checkpoints(
    put: Callable[[Path, Path], object], name: str, secret: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    put(folder / name, secret)
    harmless = (folder / name).is_file() and not (folder / name).is_symlink()
    refused = pytest.raises(InvalidInput, match=f"found '{name}'")
    with nullcontext() if harmless else refused, Checkpoints(folder, "a" * 64) as checkpoints:
        assert checkpoints.latest() is None
        checkpoints.save(1, {"weights": []}, {})
    assert secret.read_bytes() == SECRET


@pytest.mark.parametrize("name", ["a.partial", "a"])
@pytest.mark.parametrize("kind", ["a link", "a link to nothing", "a hard link", "a pipe"])
def test_where_a_file_is_replaced(name: str, kind: str, secret: Path, tmp_path: Path) -> None:
    IN_THE_WAY[kind](tmp_path / name, secret)
    with replacing(tmp_path / "a") as stream:
        stream.write(b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert secret.read_bytes() == SECRET
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("kind", ["a link", "a pipe", "deep JSON"])
def test_in_place_of_a_batch(kind: str, secret: Path, tmp_path: Path) -> None:
    IN_THE_WAY[kind](tmp_path / "000000-000002.batch", secret)
    arrays = {"x": np.arange(2)}
    np.testing.assert_array_equal(
        resumed_arrays(tmp_path, 2, 2, lambda part: arrays)["x"], arrays["x"]
    )
    assert secret.read_bytes() == SECRET


def test_a_file_below_a_linked_folder_is_not_opened(tmp_path: Path, secret: Path) -> None:
    (tmp_path / "linked").symlink_to(tmp_path)
    with pytest.raises(OSError, match="linked"):
        open_regular(tmp_path / "linked" / "secret", below=tmp_path)
    assert read_sha256(tmp_path / "linked" / "secret")
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        read_sha256(tmp_path / "folder")


def test_a_forged_lease_expires_as_ours_does() -> None:
    from flowers17.shared.claims import _parsed

    lease = {"owner": "a", "expires_s": 60.0}
    assert _parsed(json.dumps(lease).encode()) == lease
    for twisted in (b"[" * 100_000, b'{"expires_s": 1e300}', b'{"expires_s": NaN}', b"{}", b"\xff"):
        assert _parsed(twisted) == {}
