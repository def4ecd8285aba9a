"""The store: whole or absent, verified when read, locked by the kernel."""

import fcntl
import hashlib
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from flowers17 import artifacts
from flowers17.artifacts import MANIFEST, Artifact, Reference, Store
from flowers17.digests import canonical_json, file_sha256, read_sha256, sha256_of
from flowers17.errors import ArtifactDamaged, ArtifactMissing, StoreUnusable
from flowers17.store_folder import SETTLED_NS, fingerprint
from tests.support.file_systems import mounted
from tests.support.processes import HANG_S, eventually, kill, python, waits_for_lock
from tests.support.stores import (
    FILES,
    KEY,
    OTHER_KEY,
    content,
    described,
    publish,
    set_aside,
    unfinished,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_a_files_digest_is_that_of_its_bytes_now(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    for written in (b"one", b"two"):  # of one size, within one tick of the clock perhaps
        path.unlink(missing_ok=True)
        path.write_bytes(written)
        assert file_sha256(path) == hashlib.sha256(written).hexdigest()
    path.write_bytes(b"thr")
    assert file_sha256(path) == file_sha256(path) == hashlib.sha256(b"thr").hexdigest()


class TestCanonicalJson:
    def test_order_of_keys_does_not_matter(self) -> None:
        assert canonical_json({"b": {"y": 1, "x": 2}, "a": 0}) == '{"a":0,"b":{"x":2,"y":1}}'

    def test_is_ascii_whatever_the_locale(self) -> None:
        assert canonical_json("fleur séchée") == '"fleur s\\u00e9ch\\u00e9e"'

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}])
    def test_refuses_what_json_cannot_say(self, value: object) -> None:
        with pytest.raises(ValueError, match="not JSON compliant"):
            canonical_json(value)

    def test_digest_is_that_of_the_text(self) -> None:
        # printf '{"a":1}' | sha256sum
        want = "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
        assert sha256_of({"a": 1}) == want


class TestPublication:
    def test_published_files_are_read_back(self, store: Store) -> None:
        reference = publish(store).reference
        artifact = store.open(reference)
        assert {name: artifact.file(name).read_bytes() for name in FILES} == FILES
        assert artifact.json("numbers") == [1, 2, 3]

    def test_lies_under_stage_and_key(self, store: Store) -> None:
        assert publish(store).path == store.root / "numbers" / KEY

    def test_manifest_states_size_and_digest_of_each_file(self, store: Store) -> None:
        artifact = publish(store)
        assert artifact.manifest["files"] == {
            name: {"sha256": file_sha256(artifact.path / name), "size": len(bytes_)}
            for name, bytes_ in FILES.items()
        }

    def test_digest_depends_on_the_files_alone(self, store: Store) -> None:
        first = publish(store, metrics={"accuracy": 0.5}, created="2026-01-01T00:00:00Z")
        second = publish(
            store, OTHER_KEY, metrics={"accuracy": 0.9}, created="2026-01-02T00:00:00Z"
        )
        assert first.reference.digest == second.reference.digest

    @pytest.mark.parametrize(
        "files",
        [
            {**FILES, "numbers.json": b"[1, 2, 4]\n"},
            {**FILES, "more.json": b""},
            {"numbers.json": FILES["numbers.json"]},
            {"renamed.json": FILES["numbers.json"], "tables/one.csv": FILES["tables/one.csv"]},
        ],
        ids=["other bytes", "more files", "fewer files", "another name"],
    )
    def test_digest_changes_with_bytes_and_names(
        self, store: Store, files: dict[str, bytes]
    ) -> None:
        assert publish(store).reference.digest != publish(store, OTHER_KEY, files).reference.digest

    def test_a_build_that_fails_leaves_nothing(self, store: Store) -> None:
        def build() -> None:
            with store.writing("numbers", KEY) as folder:
                (folder / "half.json").write_text("[1,")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            build()
        assert store.find("numbers", KEY) is None
        assert unfinished(store) == []

    def test_what_a_killed_build_left_is_removed_by_the_next(self, store: Store) -> None:
        code = """
import os, signal, sys
from flowers17.artifacts import Store
with Store(sys.argv[1]).writing("numbers", sys.argv[2]) as folder:
    (folder / "stale.json").write_text("stale")
    os.kill(os.getpid(), signal.SIGKILL)
"""
        with python("-c", code, str(store.root), KEY) as process:
            process.wait(HANG_S)
        assert len(unfinished(store)) == 1
        assert content(publish(store).path).keys() == {*FILES, MANIFEST}
        assert unfinished(store) == []

    def test_metrics_that_are_not_json_are_refused(self, store: Store) -> None:
        with pytest.raises(ValueError, match="not JSON compliant"):
            publish(store, metrics={"loss": float("nan")})
        assert store.find("numbers", KEY) is None
        assert unfinished(store) == []

    def test_a_manifest_with_keys_that_are_numbers_is_whole(self, store: Store) -> None:
        publish(store, metrics={2: "two", 10: "ten"})
        artifact = store.find("numbers", KEY)
        assert artifact is not None
        assert artifact.manifest["metrics"] == {"2": "two", "10": "ten"}

    def test_a_second_publication_replaces_the_first(self, store: Store) -> None:
        publish(store)
        second = publish(store, files={"numbers.json": b"[9]\n"})
        assert store.open(second.reference).json("numbers") == [9]

    def test_an_artifact_without_files_is_whole(self, store: Store) -> None:
        reference = publish(store, files={}).reference
        assert store.open(reference).manifest["files"] == {}

    def test_file_that_is_not_there_is_named(self, store: Store) -> None:
        with pytest.raises(ArtifactMissing, match=r"expected a file 'x\.npy', found \['numbers"):
            publish(store).array("x")


def _edit(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


def _flip_last_bit(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def _tampered_metrics(data: bytes) -> bytes:
    return data.replace(b'"metrics": {}', b'"metrics": {"accuracy": 1.0}')


def _linked(path: Path) -> None:
    elsewhere = path.parents[3] / "elsewhere"
    shutil.move(path, elsewhere)
    path.symlink_to(elsewhere)


def _gone(path: Path) -> Path:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return path


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a flipped bit": lambda folder: _edit(folder / "numbers.json", _flip_last_bit),
    "a flipped bit further down": lambda folder: _edit(folder / "tables/one.csv", _flip_last_bit),
    "a truncated file": lambda folder: _edit(folder / "numbers.json", lambda data: data[:-1]),
    "a file cut to nothing": lambda folder: _edit(folder / "numbers.json", lambda data: b""),
    "a grown file": lambda folder: _edit(folder / "numbers.json", lambda data: data + b"\n"),
    "a missing file": lambda folder: (folder / "numbers.json").unlink(),
    "an extra file": lambda folder: (folder / "extra.json").write_text("1"),
    "an extra hidden file": lambda folder: (folder / ".extra").write_text("1"),
    "a renamed file": lambda folder: (folder / "numbers.json").rename(folder / "letters.json"),
    "a file become a link to itself moved": lambda folder: _linked(folder / "numbers.json"),
    "a dangling link": lambda folder: (folder / "link").symlink_to("nowhere"),
    "a link to a folder": lambda folder: (folder / "link").symlink_to("/"),
    "a missing manifest": lambda folder: (folder / MANIFEST).unlink(),
    "an empty manifest": lambda folder: (folder / MANIFEST).write_text(""),
    "a truncated manifest": lambda folder: _edit(folder / MANIFEST, lambda data: data[:-9]),
    "a manifest of zeros": lambda folder: _edit(folder / MANIFEST, lambda data: bytes(len(data))),
    "a manifest that is no object": lambda folder: (folder / MANIFEST).write_text("[]"),
    "altered metrics": lambda folder: _edit(folder / MANIFEST, _tampered_metrics),
    "a manifest that is a link": lambda folder: _linked(folder / MANIFEST),
    "a manifest that is a folder": lambda folder: _gone(folder / MANIFEST).mkdir(),
    "a folder become a file": lambda folder: _gone(folder).write_text(""),
    "a folder become a dangling link": lambda folder: _gone(folder).symlink_to("nowhere"),
}


class TestDamage:
    @pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
    def test_is_noticed_set_aside_and_repaired(
        self, store: Store, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
    ) -> None:
        artifact = publish(store)
        damage(artifact.path)
        with caplog.at_level(logging.WARNING):
            assert store.find("numbers", KEY) is None
        assert ["set aside and will be built again" in message for message in caplog.messages] == [
            True
        ]
        assert str(artifact.path) in caplog.text
        assert len(set_aside(store)) == 1
        assert not os.path.lexists(artifact.path)
        again = publish(store)
        assert again.reference == artifact.reference
        assert store.find("numbers", KEY) is not None

    @pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
    def test_is_never_read(self, store: Store, damage: Callable[[Path], object]) -> None:
        artifact = publish(store)
        damage(artifact.path)
        with pytest.raises((ArtifactDamaged, ArtifactMissing), match=str(artifact.path)):
            store.open(artifact.reference)

    def test_of_any_single_byte_is_noticed(self, store: Store) -> None:
        artifact = publish(store, label="numbers", metrics={"accuracy": 0.5}, duration_s=1.25)
        for name in (*FILES, MANIFEST):
            path = artifact.path / name
            content = path.read_bytes()
            for index in range(len(content)):
                flipped = bytearray(content)
                flipped[index] ^= 1 << index % 8
                path.write_bytes(flipped)
                with pytest.raises(ArtifactDamaged):
                    store.open(artifact.reference)
            path.write_bytes(content)
        store.open(artifact.reference)

    def test_two_artifacts_in_each_others_place_are_noticed(self, store: Store) -> None:
        first, second = publish(store), publish(store, OTHER_KEY, {"numbers.json": b"[0]\n"})
        first.path.rename(store.root / "aside")
        second.path.rename(first.path)
        (store.root / "aside").rename(second.path)
        assert store.find("numbers", KEY) is None
        assert store.find("numbers", OTHER_KEY) is None
        assert len(set_aside(store)) == 2

    def test_of_a_manifest_is_skipped_in_lists(
        self, store: Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        publish(store)
        (publish(store, OTHER_KEY).path / MANIFEST).write_text("{}")
        assert [manifest["key"] for manifest in store.manifests()] == [KEY]
        assert "it is skipped" in caplog.text

    def test_mended_by_another_process_meanwhile_is_not_set_aside(self, store: Store) -> None:
        artifact = publish(store)
        content = (artifact.path / "numbers.json").read_bytes()
        (artifact.path / "numbers.json").write_bytes(b"")
        results: list[Artifact | None] = []
        finder = threading.Thread(target=lambda: results.append(store.find("numbers", KEY)))
        with store.lock("numbers", KEY):
            finder.start()
            assert eventually(lambda: waits_for_lock(store.root / ".locks" / f"numbers-{KEY}"))
            (artifact.path / "numbers.json").write_bytes(content)
        finder.join()
        assert results[0] is not None
        assert set_aside(store) == []


class TestUnchangedFiles:
    """What `find` need not hash, since nothing wrote to it; whatever is opened is hashed."""

    @pytest.fixture
    def artifact(self, store: Store) -> Artifact:
        """An artifact that was found whole a while after it was written."""
        artifact = publish(store)
        time.sleep(2 * SETTLED_NS / 1e9)
        assert store.find("numbers", KEY) is not None
        return artifact

    @pytest.fixture
    def hashed(
        self, store: Store, artifact: Artifact, monkeypatch: pytest.MonkeyPatch
    ) -> list[str]:
        """The names of the files that are hashed from now on."""
        names: list[str] = []

        def watched(path: Path) -> str:
            names.append("/".join(path.relative_to(store.root).parts[2:]))
            return read_sha256(path)

        monkeypatch.setattr(artifacts, "read_sha256", watched)
        return names

    def test_are_hashed_when_they_are_opened_only(
        self, store: Store, artifact: Artifact, hashed: list[str]
    ) -> None:
        reused = store.find("numbers", KEY)
        assert reused is not None
        assert reused.reference == artifact.reference
        assert hashed == []
        store.open(artifact.reference)
        assert sorted(hashed) == sorted(FILES)

    def test_are_known_from_the_moment_they_are_published(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        flushed = artifacts.flush
        # A disk that takes a while, as it does for files that are long to hash.
        monkeypatch.setattr(
            artifacts, "flush", lambda path: (flushed(path), time.sleep(2 * SETTLED_NS / 1e9))
        )
        publish(store)
        monkeypatch.setattr(artifacts, "read_sha256", lambda path: pytest.fail(f"hashed {path}"))
        assert store.find("numbers", KEY) is not None

    def test_that_were_just_written_are_hashed_again(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = publish(store).path / "numbers.json"
        now = path.stat().st_ctime_ns + SETTLED_NS // 2
        monkeypatch.setattr(time, "time_ns", lambda: now)
        assert store.find("numbers", KEY) is not None
        path.write_bytes(path.read_bytes()[::-1])
        assert store.find("numbers", KEY) is None

    def test_of_the_same_size_and_date_with_other_bytes_are_noticed(
        self, store: Store, artifact: Artifact
    ) -> None:
        path = artifact.path / "numbers.json"
        before = path.stat()
        path.write_bytes(path.read_bytes()[::-1])
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_mtime_ns == before.st_mtime_ns
        assert store.find("numbers", KEY) is None

    def test_under_the_manifest_of_other_content_are_hashed(
        self, store: Store, artifact: Artifact, hashed: list[str]
    ) -> None:
        other_artifact = publish(store, OTHER_KEY, dict.fromkeys(FILES, b"other"))
        other_manifest = json.loads((other_artifact.path / MANIFEST).read_text())
        forged = json.loads((artifact.path / MANIFEST).read_text())
        forged |= {
            "files": other_manifest["files"],
            "digest": other_manifest["digest"],
            "seal": None,
        }
        forged["seal"] = sha256_of(forged)
        (artifact.path / MANIFEST).write_text(json.dumps(forged))
        hashed.clear()
        assert store.find("numbers", KEY) is None
        assert hashed != []

    def test_that_a_disk_lost_are_noticed_when_opened_and_then_built_again(
        self, store: Store, artifact: Artifact
    ) -> None:
        path = artifact.path / "numbers.json"
        path.write_bytes(path.read_bytes()[::-1])
        [record] = (store.root / ".verified").iterdir()
        fingerprints_file = json.loads(record.read_text())
        fingerprints_file["fingerprints"]["numbers.json"] = fingerprint(
            path
        )  # as if nothing had written to it
        record.write_text(json.dumps(fingerprints_file))
        assert store.find("numbers", KEY) is not None
        with pytest.raises(ArtifactDamaged):
            store.open(artifact.reference)
        assert store.find("numbers", KEY) is None

    @pytest.mark.parametrize(
        "text", ["", "{", "[]", "null", '{"content": 1}', '{"fingerprints": {}}']
    )
    def test_are_hashed_where_the_record_cannot_be_read(
        self, store: Store, artifact: Artifact, hashed: list[str], text: str
    ) -> None:
        [record] = (store.root / ".verified").iterdir()
        record.write_text(text)
        assert store.find("numbers", KEY) is not None
        assert sorted(hashed) == sorted(FILES)
        hashed.clear()
        assert store.find("numbers", KEY) is not None
        assert hashed == []

    def test_leave_no_record_of_what_is_discarded(self, store: Store, artifact: Artifact) -> None:
        store.discard([f"numbers/{KEY}"])
        assert list((store.root / ".verified").iterdir()) == []


class TestReferences:
    def test_survive_json(self) -> None:
        reference = Reference("numbers", KEY, "d" * 64)
        assert Reference.from_json(json.loads(json.dumps(reference.to_json()))) == reference

    def test_to_other_content_are_refused(self, store: Store) -> None:
        publish(store)
        with pytest.raises(ArtifactDamaged, match="expected content dddddddddddd…, found"):
            store.open(Reference("numbers", KEY, "d" * 64))

    def test_to_nothing_say_what_to_do(self, store: Store) -> None:
        with pytest.raises(ArtifactMissing, match="run the same command again to build stage"):
            store.open(Reference("numbers", KEY, "d" * 64))


class TestArrays:
    def test_are_read_back_exactly(self, store: Store) -> None:
        array = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
        with store.writing("numbers", KEY) as folder:
            np.save(folder / "x.npy", array)
            artifact = store.publish(folder, described("numbers", KEY))
        np.testing.assert_array_equal(artifact.array("x"), array, strict=True)

    def test_with_a_pickle_inside_are_never_loaded(self, store: Store, tmp_path: Path) -> None:
        class Bomb:
            def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
                return os.mkdir, (str(tmp_path / "exploded"),)

        with store.writing("numbers", KEY) as folder:
            np.save(folder / "x.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
            artifact = store.publish(folder, described("numbers", KEY))
        with pytest.raises(ArtifactDamaged, match="allow_pickle=False"):
            artifact.array("x")
        assert not (tmp_path / "exploded").exists()


HOLD = """
import sys
from flowers17.artifacts import Store
with Store(sys.argv[1]).lock("numbers", sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


def _is_locked(path: Path) -> bool:
    with path.open() as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


class TestLocks:
    def test_keep_other_processes_out_until_released(self, store: Store) -> None:
        path = store.root / ".locks" / f"numbers-{KEY}"
        with python("-c", HOLD, str(store.root), KEY) as process:
            assert process.stdout is not None
            assert process.stdin is not None
            assert process.stdout.readline() == "held\n"
            assert _is_locked(path)
            process.stdin.close()
            process.wait(HANG_S)
            assert not _is_locked(path)

    def test_are_freed_when_their_process_is_killed(self, store: Store) -> None:
        path = store.root / ".locks" / f"numbers-{KEY}"
        with python("-c", HOLD, str(store.root), KEY) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            assert _is_locked(path)
            kill(process.pid)
            process.wait(HANG_S)
            assert not _is_locked(path)

    def test_of_different_artifacts_do_not_touch(self, store: Store) -> None:
        with store.lock("numbers", KEY), store.lock("numbers", OTHER_KEY), store.lock("a", KEY):
            assert _is_locked(store.root / ".locks" / f"a-{KEY}")

    def test_keep_threads_of_one_process_apart(self, store: Store) -> None:
        entered = threading.Event()

        def enter() -> None:
            with store.lock("numbers", KEY):
                entered.set()

        thread = threading.Thread(target=enter)
        with store.lock("numbers", KEY):
            thread.start()
            assert eventually(lambda: waits_for_lock(store.root / ".locks" / f"numbers-{KEY}"))
            assert not entered.is_set()
        thread.join(HANG_S)
        assert entered.is_set()


class TestUnusableStores:
    def test_a_file_in_the_way(self, tmp_path: Path) -> None:
        (tmp_path / "store").write_text("a letter")
        with pytest.raises(StoreUnusable, match="a file or link is in the way; move it or"):
            publish(Store(tmp_path / "store"))
        assert (tmp_path / "store").read_text() == "a letter"

    def test_a_file_where_the_stage_goes(self, store: Store) -> None:
        store.root.mkdir()
        (store.root / "numbers").write_text("a letter")
        with pytest.raises(StoreUnusable, match="a file is in the way"):
            publish(store)
        assert unfinished(store) == []

    def test_a_file_where_the_locks_go(self, store: Store) -> None:
        store.root.mkdir()
        (store.root / ".locks").write_text("a letter")
        with pytest.raises(StoreUnusable, match="a file is in the way"):
            publish(store)

    def test_a_read_only_file_system(self, tmp_path: Path) -> None:
        with mounted(tmp_path / "disk", "ro") as disk:
            store = Store(disk / "store")
            with pytest.raises(StoreUnusable, match="read-only; mend it or choose another --store"):
                publish(store)
            assert store.find("numbers", KEY) is None

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_a_folder_without_permission(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        try:
            with pytest.raises(StoreUnusable, match="writing is not permitted"):
                publish(Store(tmp_path / "store"))
        finally:
            tmp_path.chmod(0o700)

    def test_errors_that_are_not_the_stores_stay_what_they_are(
        self, store: Store, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(NotADirectoryError), store.writing("numbers", KEY):
            (tmp_path / "file" / "below").read_text()
