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
from tests.support.processes import HANG_S, python
from tests.support.stores import content

CONFIGURATION = "a" * 64
ROLES = ("weights", "state", "best")


def _arrays(epoch: int, best: int, n_values: int = 40) -> dict[str, list[np.ndarray]]:
    """Arrays by role; the roles `weights` and `best` share one object if the epoch is the best."""
    weights = _weights(epoch, n_values)
    return {
        "weights": weights,
        "state": [np.array(epoch, np.int64), np.full((2, 0), 1.5, np.float32)],
        "best": weights if best == epoch else _weights(best, n_values),
    }


def _weights(epoch: int, n_values: int) -> list[np.ndarray]:
    rng = np.random.default_rng(epoch)
    return [rng.normal(size=n_values).astype(np.float32), rng.normal(size=(3, 2))]


def _save(checkpoints: Checkpoints, epoch: int, best: int, **options: Any) -> None:
    values = {"history": [0.1 * epoch], "best_epoch": best}
    checkpoints.save(epoch, _arrays(epoch, best, **options), values, since={"best": best})


BEST = {1: 1, 2: 2, 3: 2, 4: 2, 5: 2, 6: 6, 7: 6}


def _save_all(folder: Path, last: int, configuration: str = CONFIGURATION) -> None:
    with Checkpoints(folder, configuration) as checkpoints:
        for epoch in range(1, last + 1):
            _save(checkpoints, epoch, BEST[epoch])


def _latest(folder: Path, configuration: str = CONFIGURATION) -> Generation | None:
    with Checkpoints(folder, configuration) as checkpoints:
        return checkpoints.latest()


def _is_generation(generation: Generation | None, epoch: int) -> bool:
    expected = _arrays(epoch, BEST[epoch])
    assert generation is not None
    assert (generation.epoch, generation.values["best_epoch"]) == (epoch, BEST[epoch])
    assert generation.values["history"] == [0.1 * epoch]
    for role in ROLES:
        for array, expected_array in zip(generation.arrays[role], expected[role], strict=True):
            assert (array.dtype, array.shape) == (expected_array.dtype, expected_array.shape)
            assert array.tobytes() == expected_array.tobytes()
    return True


def _files_of(folder: Path, epoch: int) -> set[str]:
    manifest = json.loads((folder / f"generation-{epoch:06d}.json").read_text())
    return {
        f"generation-{epoch:06d}.json",
        *(entry["name"] for entry in manifest["files"].values()),
    }


class TestWhatIsKept:
    @pytest.mark.parametrize("last", [1, 2, 3, 5, 7])
    def test_the_newest_generation_comes_back_byte_for_byte(
        self, tmp_path: Path, last: int
    ) -> None:
        _save_all(tmp_path, last)
        assert _is_generation(_latest(tmp_path), last)

    def test_nothing_saved_gives_none(self, tmp_path: Path) -> None:
        assert _latest(tmp_path / "new" / "folder") is None

    @pytest.mark.parametrize("last", range(2, 8))
    def test_the_two_newest_are_kept_with_their_files_and_no_others(
        self, tmp_path: Path, last: int
    ) -> None:
        _save_all(tmp_path, last)
        names = _files_of(tmp_path, last) | _files_of(tmp_path, last - 1)
        assert {path.name for path in tmp_path.iterdir()} == names | {"lock"}

    @pytest.mark.parametrize("last", range(2, 8))
    def test_the_two_share_no_file(self, tmp_path: Path, last: int) -> None:
        _save_all(tmp_path, last)
        assert not _files_of(tmp_path, last) & _files_of(tmp_path, last - 1)

    def test_new_best_weights_are_written_once(self, tmp_path: Path) -> None:
        _save_all(tmp_path, 2)
        assert {path.name for path in tmp_path.glob("*-000002.npz")} == {
            "weights-000002.npz",
            "state-000002.npz",
        }

    def test_best_weights_of_long_ago_are_not_written_again(self, tmp_path: Path) -> None:
        with Checkpoints(tmp_path, CONFIGURATION) as checkpoints:
            for epoch in range(1, 9):
                _save(checkpoints, epoch, best=2)
                if epoch == 3:
                    copied = (tmp_path / "best-000003.npz").stat()
        names = {path.name for path in tmp_path.iterdir()}
        assert {"weights-000002.npz", "best-000003.npz"} <= names
        assert "weights-000003.npz" not in names
        assert (tmp_path / "best-000003.npz").stat().st_ino == copied.st_ino

    def test_going_on_after_a_restart_keeps_the_best(self, tmp_path: Path) -> None:
        for epoch in range(1, 8):
            with Checkpoints(tmp_path, CONFIGURATION) as checkpoints:
                newest = checkpoints.latest()
                assert (newest.epoch if newest else 0) == epoch - 1
                _save(checkpoints, epoch, BEST[epoch])
        assert _is_generation(_latest(tmp_path), 7)
        assert len({path.suffix for path in tmp_path.iterdir()}) == 3
        assert len(list(tmp_path.glob("generation-*"))) == 2

    def test_the_bytes_do_not_depend_on_the_time(self, tmp_path: Path) -> None:
        _save_all(tmp_path / "one", 3)
        os.utime(tmp_path / "one", (0, 0))
        _save_all(tmp_path / "two", 3)
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


def _damage(folder: Path, epoch: int, damage: str, tenth: int = 5) -> None:
    """Damage one file of a generation, at a tenth of its length."""
    role, kind = damage.split()
    path = folder / f"generation-{epoch:06d}.json"
    if role != "manifest":
        path = folder / json.loads(path.read_text())["files"][role]["name"]
    data = path.read_bytes()
    if kind == "missing":
        path.unlink()
    elif kind == "replaced":
        path.write_bytes(os.urandom(len(data)))
    elif kind == "cut":
        path.write_bytes(data[: len(data) * tenth // 10])
    else:
        position = len(data) * tenth // 10
        path.write_bytes(data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1 :])


class TestDamage:
    @pytest.mark.parametrize(("damage", "tenth"), list(_damages()))
    def test_of_the_newest_falls_back_to_the_one_before_with_a_warning(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str, tenth: int
    ) -> None:
        _save_all(tmp_path, LAST)
        _damage(tmp_path, LAST, damage, tenth)
        with Checkpoints(tmp_path, CONFIGURATION) as checkpoints:
            assert _is_generation(checkpoints.latest(), LAST - 1)
            messages = [record.getMessage() for record in caplog.records]
            if damage == "manifest missing":
                assert messages == []
            else:
                [message] = messages
                assert str(tmp_path) in message
                assert message.endswith("; the checkpoint before it is used")
            for epoch in range(LAST, 8):
                _save(checkpoints, epoch, BEST[epoch])
        assert _is_generation(_latest(tmp_path), 7)
        assert len(list(tmp_path.glob("generation-*"))) == 2

    def test_of_the_older_one_is_not_even_noticed(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        _save_all(tmp_path, LAST)
        for role in (*ROLES, "manifest"):
            _damage(tmp_path, LAST - 1, f"{role} missing")
        assert _is_generation(_latest(tmp_path), LAST)
        assert caplog.records == []

    @pytest.mark.parametrize("role", ["manifest", *ROLES])
    def test_of_all_starts_anew_and_removes_what_is_damaged(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, role: str
    ) -> None:
        _save_all(tmp_path, LAST)
        for epoch in (LAST, LAST - 1):
            _damage(tmp_path, epoch, f"{role} flipped")
        with Checkpoints(tmp_path, CONFIGURATION) as checkpoints:
            assert checkpoints.latest() is None
            assert len(caplog.records) == 2
            _save(checkpoints, 1, 1)
        assert _is_generation(_latest(tmp_path), 1)
        assert {path.name for path in tmp_path.iterdir()} == _files_of(tmp_path, 1) | {"lock"}

    @pytest.mark.parametrize(
        "text", ["", "null", "[]", "{}", '{"seal": 1}', "[" * 100_000, '{"seal": NaN}', "\udcff"]
    )
    def test_of_the_manifest_to_other_json_counts_as_damage(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
    ) -> None:
        _save_all(tmp_path, LAST)
        manifest = tmp_path / f"generation-{LAST:06d}.json"
        manifest.write_bytes(text.encode(errors="surrogateescape"))
        assert _is_generation(_latest(tmp_path), LAST - 1)
        assert len(caplog.records) == 1

    @pytest.mark.parametrize("change", [{"epoch": 3}, {"format": 2}])
    def test_a_sealed_manifest_of_another_epoch_or_format_is_not_believed(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, change: dict[str, int]
    ) -> None:
        _save_all(tmp_path, LAST)
        path = tmp_path / f"generation-{LAST:06d}.json"
        manifest = {**json.loads(path.read_text()), **change}
        del manifest["seal"]
        path.write_text(canonical_json({**manifest, "seal": sha256_of(manifest)}))
        assert _is_generation(_latest(tmp_path), LAST - 1)
        assert len(caplog.records) == 1

    def test_a_pickle_in_place_of_arrays_is_not_loaded(self, tmp_path: Path) -> None:
        _save_all(tmp_path, 1)
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
        _save_all(tmp_path, 3)
        before = content(tmp_path)
        with pytest.raises(InvalidInput, match=r"another configuration .* or delete this one"):
            _latest(tmp_path, "b" * 64)
        assert content(tmp_path) == before

    @pytest.mark.parametrize("name", ["thesis.odt", "weights.npz", "generation-1.json", ".lock"])
    def test_a_folder_with_other_files_is_refused_and_left_alone(
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
        _save_all(tmp_path, 2)
        for name in ("weights-000003.npz", "generation-000003.json", "state-000009.npz"):
            (tmp_path / f"{name}.partial").write_bytes(b"half")
        (tmp_path / "weights-000003.npz").write_bytes(b"no manifest names it")
        with Checkpoints(tmp_path, CONFIGURATION) as checkpoints:
            assert _is_generation(checkpoints.latest(), 2)
            _save(checkpoints, 3, BEST[3])
        assert _is_generation(_latest(tmp_path), 3)
        names = _files_of(tmp_path, 3) | _files_of(tmp_path, 2)
        assert {path.name for path in tmp_path.iterdir()} == names | {"lock"}


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
        _save_all(tmp_path, 2)
        with python("-c", HOLDER, str(tmp_path)) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            before = content(tmp_path)
            with pytest.raises(CheckpointsInUse, match="another process is at it"):
                _latest(tmp_path)
            assert content(tmp_path) == before
            process.kill()
            process.wait(HANG_S)
        assert _is_generation(_latest(tmp_path), 2)

    def test_is_refused_in_the_same_process(self, tmp_path: Path) -> None:
        with Checkpoints(tmp_path, CONFIGURATION), pytest.raises(CheckpointsInUse):
            _latest(tmp_path)
        assert _latest(tmp_path) is None


class TestFullDisk:
    def test_at_any_amount_of_free_space_leaves_the_generation_before_whole(
        self, tmp_path: Path
    ) -> None:
        stopped_at = set()
        for n_blocks in range(3, 48, 3):
            with mounted(tmp_path / f"disk-{n_blocks}", f"size={4096 * n_blocks}") as disk:
                folder, n_saved = disk / "checkpoints", 0
                try:
                    with Checkpoints(folder, CONFIGURATION) as checkpoints:
                        for epoch in range(1, 8):
                            _save(checkpoints, epoch, BEST[epoch], n_values=4000)
                            n_saved = epoch
                except OSError as problem:
                    if problem.errno != errno.ENOSPC:
                        raise
                    stopped_at.add(n_saved)
                    assert not list(folder.glob("*.partial"))
                newest = _latest(folder)
                assert (newest.epoch if newest else 0) == n_saved
                remount(disk, "size=1m")
                with Checkpoints(folder, CONFIGURATION) as checkpoints:
                    checkpoints.latest()
                    for epoch in range(n_saved + 1, 8):
                        _save(checkpoints, epoch, BEST[epoch], n_values=4000)
                    last = checkpoints.latest()
                assert last is not None
                expected = _arrays(7, BEST[7], n_values=4000)
                assert [array.tobytes() for array in last.arrays["best"]] == [
                    array.tobytes() for array in expected["best"]
                ]
        assert {0, 1} < stopped_at
