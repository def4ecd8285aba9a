"""Checkpoints: whole or absent, two kept, damage survived, strangers refused."""

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowers17.digests import canonical_json, read_sha256, sha256_of
from flowers17.errors import CheckpointsInUse, InvalidInput
from flowers17.learners.checkpoints import Checkpoints, Generation
from tests.support.file_systems import mounted, remount
from tests.support.processes import python
from tests.support.stores import content

OURS = "a" * 64
ROLES = ("weights", "state", "best")


def _arrays(epoch: int, best: int, n_values: int = 40) -> dict[str, list[np.ndarray]]:
    """Return arrays by role; those of the best epoch are its weights, one object if it is new."""
    weights = _weights(epoch, n_values)
    return {
        "weights": weights,
        "state": [np.array(epoch, np.int64), np.full((2, 0), 1.5, np.float32)],
        "best": weights if best == epoch else _weights(best, n_values),
    }


def _weights(epoch: int, n_values: int) -> list[np.ndarray]:
    random = np.random.default_rng(epoch)
    return [random.normal(size=n_values).astype(np.float32), random.normal(size=(3, 2))]


def _save(checkpoints: Checkpoints, epoch: int, best: int, **rest: Any) -> None:
    values = {"history": [0.1 * epoch], "best_epoch": best}
    checkpoints.save(epoch, _arrays(epoch, best, **rest), values, since={"best": best})


BEST = {1: 1, 2: 2, 3: 2, 4: 2, 5: 2, 6: 6, 7: 6}


def _saved(folder: Path, last: int, configuration: str = OURS) -> None:
    with Checkpoints(folder, configuration) as checkpoints:
        for epoch in range(1, last + 1):
            _save(checkpoints, epoch, BEST[epoch])


def _latest(folder: Path, configuration: str = OURS) -> Generation | None:
    with Checkpoints(folder, configuration) as checkpoints:
        return checkpoints.latest()


def _is_whole(found: Generation | None, epoch: int) -> bool:
    expected = _arrays(epoch, BEST[epoch])
    assert found is not None
    assert (found.epoch, found.values["best_epoch"]) == (epoch, BEST[epoch])
    assert found.values["history"] == [0.1 * epoch]
    for role in ROLES:
        for one, other in zip(found.arrays[role], expected[role], strict=True):
            assert (one.dtype, one.shape) == (other.dtype, other.shape)
            assert one.tobytes() == other.tobytes()
    return True


def _files_of(folder: Path, epoch: int) -> set[str]:
    manifest = json.loads((folder / f"generation-{epoch:06d}.json").read_text())
    return {f"generation-{epoch:06d}.json", *(one["name"] for one in manifest["files"].values())}


class TestWhatIsKept:
    @pytest.mark.parametrize("last", [1, 2, 3, 5, 7])
    def test_the_newest_generation_comes_back_byte_for_byte(
        self, tmp_path: Path, last: int
    ) -> None:
        _saved(tmp_path, last)
        assert _is_whole(_latest(tmp_path), last)

    def test_nothing_saved_gives_none(self, tmp_path: Path) -> None:
        assert _latest(tmp_path / "new" / "folder") is None

    @pytest.mark.parametrize("last", range(2, 8))
    def test_the_two_newest_are_kept_with_their_files_and_no_others(
        self, tmp_path: Path, last: int
    ) -> None:
        _saved(tmp_path, last)
        kept = _files_of(tmp_path, last) | _files_of(tmp_path, last - 1)
        assert {one.name for one in tmp_path.iterdir()} == kept | {"lock"}

    @pytest.mark.parametrize("last", range(2, 8))
    def test_the_two_share_no_file(self, tmp_path: Path, last: int) -> None:
        _saved(tmp_path, last)
        assert not _files_of(tmp_path, last) & _files_of(tmp_path, last - 1)

    def test_new_best_weights_are_written_once(self, tmp_path: Path) -> None:
        _saved(tmp_path, 2)
        assert {one.name for one in tmp_path.glob("*-000002.npz")} == {
            "weights-000002.npz",
            "state-000002.npz",
        }

    def test_best_weights_of_long_ago_are_not_written_again(self, tmp_path: Path) -> None:
        with Checkpoints(tmp_path, OURS) as checkpoints:
            for epoch in range(1, 9):
                _save(checkpoints, epoch, best=2)
                if epoch == 3:
                    copied = (tmp_path / "best-000003.npz").stat()
        named = {one.name for one in tmp_path.iterdir()}
        assert {"weights-000002.npz", "best-000003.npz"} <= named
        assert "weights-000003.npz" not in named
        assert (tmp_path / "best-000003.npz").stat().st_ino == copied.st_ino

    def test_going_on_after_a_restart_keeps_the_best(self, tmp_path: Path) -> None:
        for epoch in range(1, 8):
            with Checkpoints(tmp_path, OURS) as checkpoints:
                found = checkpoints.latest()
                assert (found.epoch if found else 0) == epoch - 1
                _save(checkpoints, epoch, BEST[epoch])
        assert _is_whole(_latest(tmp_path), 7)
        assert len({one.suffix for one in tmp_path.iterdir()}) == 3
        assert len(list(tmp_path.glob("generation-*"))) == 2

    def test_the_bytes_do_not_depend_on_the_time(self, tmp_path: Path) -> None:
        _saved(tmp_path / "one", 3)
        os.utime(tmp_path / "one", (0, 0))
        _saved(tmp_path / "two", 3)
        assert content(tmp_path / "one") == content(tmp_path / "two")


LAST = 4  # its best weights are of epoch 2, in a file of an earlier epoch


def _damages() -> Iterator[tuple[str, int]]:
    for role in ("manifest", *ROLES):
        for tenth in range(10):
            yield f"{role} cut", tenth
        for tenth in (0, 3, 5, 9):
            yield f"{role} flipped", tenth
        yield f"{role} missing", 0
        yield f"{role} replaced", 0


def _damage(folder: Path, epoch: int, what: str, tenth: int = 5) -> None:
    """Damage one file of a generation, at a tenth of its length."""
    role, how = what.split()
    path = folder / f"generation-{epoch:06d}.json"
    if role != "manifest":
        path = folder / json.loads(path.read_text())["files"][role]["name"]
    whole = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "replaced":
        path.write_bytes(os.urandom(len(whole)))
    elif how == "cut":
        path.write_bytes(whole[: len(whole) * tenth // 10])
    else:
        place = len(whole) * tenth // 10
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])


class TestDamage:
    @pytest.mark.parametrize(("what", "tenth"), list(_damages()))
    def test_of_the_newest_falls_back_to_the_one_before_with_a_warning(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, what: str, tenth: int
    ) -> None:
        _saved(tmp_path, LAST)
        _damage(tmp_path, LAST, what, tenth)
        with Checkpoints(tmp_path, OURS) as checkpoints:
            assert _is_whole(checkpoints.latest(), LAST - 1)
            warned = [one.getMessage() for one in caplog.records]
            if what == "manifest missing":
                assert warned == []
            else:
                [message] = warned
                assert str(tmp_path) in message
                assert message.endswith("; the checkpoint before it is used")
            for epoch in range(LAST, 8):
                _save(checkpoints, epoch, BEST[epoch])
        assert _is_whole(_latest(tmp_path), 7)
        assert len(list(tmp_path.glob("generation-*"))) == 2

    def test_of_the_older_one_is_not_even_noticed(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        _saved(tmp_path, LAST)
        for role in (*ROLES, "manifest"):
            _damage(tmp_path, LAST - 1, f"{role} missing")
        assert _is_whole(_latest(tmp_path), LAST)
        assert caplog.records == []

    @pytest.mark.parametrize("role", ["manifest", *ROLES])
    def test_of_all_starts_anew_and_removes_what_is_damaged(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, role: str
    ) -> None:
        _saved(tmp_path, LAST)
        for epoch in (LAST, LAST - 1):
            _damage(tmp_path, epoch, f"{role} flipped")
        with Checkpoints(tmp_path, OURS) as checkpoints:
            assert checkpoints.latest() is None
            assert len(caplog.records) == 2
            _save(checkpoints, 1, 1)
        assert _is_whole(_latest(tmp_path), 1)
        assert {one.name for one in tmp_path.iterdir()} == _files_of(tmp_path, 1) | {"lock"}

    @pytest.mark.parametrize(
        "text", ["", "null", "[]", "{}", '{"seal": 1}', "[" * 100_000, '{"seal": NaN}', "\udcff"]
    )
    def test_of_the_manifest_to_other_json_counts_as_damage(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
    ) -> None:
        _saved(tmp_path, LAST)
        manifest = tmp_path / f"generation-{LAST:06d}.json"
        manifest.write_bytes(text.encode(errors="surrogateescape"))
        assert _is_whole(_latest(tmp_path), LAST - 1)
        assert len(caplog.records) == 1

    @pytest.mark.parametrize("change", [{"epoch": 3}, {"format": 2}])
    def test_a_sealed_manifest_of_another_epoch_or_format_is_not_believed(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, change: dict[str, int]
    ) -> None:
        _saved(tmp_path, LAST)
        path = tmp_path / f"generation-{LAST:06d}.json"
        manifest = {**json.loads(path.read_text()), **change}
        del manifest["seal"]
        path.write_text(canonical_json({**manifest, "seal": sha256_of(manifest)}))
        assert _is_whole(_latest(tmp_path), LAST - 1)
        assert len(caplog.records) == 1

    def test_a_pickle_in_place_of_arrays_is_not_loaded(self, tmp_path: Path) -> None:
        _saved(tmp_path, 1)
        path = tmp_path / "weights-000001.npz"
        np.savez(path, allow_pickle=True, **{"00000": np.array([print, {}], object)})
        manifest = json.loads((tmp_path / "generation-000001.json").read_text())
        del manifest["seal"]
        for entry in manifest["files"].values():
            entry["sha256"] = read_sha256(tmp_path / entry["name"])
        text = canonical_json({**manifest, "seal": sha256_of(manifest)})
        (tmp_path / "generation-000001.json").write_text(text)
        assert _latest(tmp_path) is None


class TestStrangers:
    def test_checkpoints_of_another_configuration_are_refused_and_left_alone(
        self, tmp_path: Path
    ) -> None:
        _saved(tmp_path, 3)
        before = content(tmp_path)
        with pytest.raises(InvalidInput, match=r"another configuration .* or delete this one"):
            _latest(tmp_path, "b" * 64)
        assert content(tmp_path) == before

    @pytest.mark.parametrize("name", ["thesis.odt", "weights.npz", "generation-1.json", ".lock"])
    def test_a_folder_that_is_not_ours_is_refused_and_left_alone(
        self, tmp_path: Path, name: str
    ) -> None:
        (tmp_path / name).write_text("mine")
        with pytest.raises(InvalidInput, match=f"found '{name}'; choose another folder"):
            _latest(tmp_path)
        assert content(tmp_path) == {name: b"mine"}

    def test_a_folder_with_folders_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "state-000001.npz").mkdir()
        with pytest.raises(InvalidInput, match="found 'state-000001"):
            _latest(tmp_path)

    @pytest.mark.parametrize("below", ["", "checkpoints"])
    def test_a_file_in_place_of_the_folder_is_refused(self, tmp_path: Path, below: str) -> None:
        (tmp_path / "file").write_text("mine")
        with pytest.raises(InvalidInput, match="expected a folder for checkpoints, found a file"):
            _latest(tmp_path / "file" / below)

    def test_what_a_kill_left_half_written_is_harmless_and_removed(self, tmp_path: Path) -> None:
        _saved(tmp_path, 2)
        for name in ("weights-000003.npz", "generation-000003.json", "state-000009.npz"):
            (tmp_path / f"{name}.partial").write_bytes(b"half")
        (tmp_path / "weights-000003.npz").write_bytes(b"no manifest names it")
        with Checkpoints(tmp_path, OURS) as checkpoints:
            assert _is_whole(checkpoints.latest(), 2)
            _save(checkpoints, 3, BEST[3])
        assert _is_whole(_latest(tmp_path), 3)
        kept = _files_of(tmp_path, 3) | _files_of(tmp_path, 2)
        assert {one.name for one in tmp_path.iterdir()} == kept | {"lock"}


HOLDER = """
import sys
from pathlib import Path
from flowers17.learners.checkpoints import Checkpoints
with Checkpoints(Path(sys.argv[1]), "a" * 64):
    print("held", flush=True)
    sys.stdin.readline()
"""


class TestSecondWriter:
    def test_is_refused_while_the_first_lives_even_if_that_is_killed(self, tmp_path: Path) -> None:
        _saved(tmp_path, 2)
        with python("-c", HOLDER, str(tmp_path)) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            before = content(tmp_path)
            with pytest.raises(CheckpointsInUse, match="another process is at it"):
                _latest(tmp_path)
            assert content(tmp_path) == before
            process.kill()
            process.wait(10)
        assert _is_whole(_latest(tmp_path), 2)

    def test_is_refused_in_the_same_process(self, tmp_path: Path) -> None:
        with Checkpoints(tmp_path, OURS), pytest.raises(CheckpointsInUse):
            _latest(tmp_path)
        assert _latest(tmp_path) is None


class TestFullDisk:
    def test_at_any_amount_of_free_space_leaves_the_generation_before_whole(
        self, tmp_path: Path
    ) -> None:
        stopped_at = set()
        for n_blocks in range(3, 48, 3):
            with mounted(tmp_path / f"disk-{n_blocks}", f"size={4096 * n_blocks}") as disk:
                folder, done = disk / "checkpoints", 0
                try:
                    with Checkpoints(folder, OURS) as checkpoints:
                        for epoch in range(1, 8):
                            _save(checkpoints, epoch, BEST[epoch], n_values=4000)
                            done = epoch
                except OSError as problem:
                    if problem.errno != errno.ENOSPC:
                        raise
                    stopped_at.add(done)
                    assert not list(folder.glob("*.partial"))
                found = _latest(folder)
                assert (found.epoch if found else 0) == done
                remount(disk, "size=1m")
                with Checkpoints(folder, OURS) as checkpoints:
                    checkpoints.latest()
                    for epoch in range(done + 1, 8):
                        _save(checkpoints, epoch, BEST[epoch], n_values=4000)
                    last = checkpoints.latest()
                assert last is not None
                expected = _arrays(7, BEST[7], n_values=4000)
                assert [one.tobytes() for one in last.arrays["best"]] == [
                    one.tobytes() for one in expected["best"]
                ]
        assert {0, 1} < stopped_at
