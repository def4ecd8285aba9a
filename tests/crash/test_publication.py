"""An artifact is whole or absent, whenever its builder is killed and wherever the disk is full."""

import json
from pathlib import Path
from typing import Any

import pytest

from flowers17.artifacts import MANIFEST, Store
from flowers17.errors import StoreUnusable
from flowers17.stages import Stage, ensure, existing
from tests.support.file_systems import mounted, remount
from tests.support.processes import ROOT, output_of
from tests.support.stores import content, unfinished
from tests.support.toy import number


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The record of `tests.support.killed_at`."""
    code = (ROOT / "tests/support/killed_at.py").read_text()
    return dict(json.loads(output_of(code, str(tmp_path_factory.mktemp("killed")))))


class TestKilledAtAnyStep:
    def test_was_tried_at_every_step(self, killed: dict[str, Any]) -> None:
        assert len(killed["kills"]) == len(killed["steps"]) > 15

    def test_leaves_an_artifact_whole_or_absent(self, killed: dict[str, Any]) -> None:
        assert [kill["k"] for kill in killed["kills"] if kill["there"] != kill["whole"]] == []
        assert not any(kill["set aside"] for kill in killed["kills"])

    def test_and_run_again_ends_with_the_same_bytes(self, killed: dict[str, Any]) -> None:
        assert killed["bytes"].keys() == {"large.npy", "total.json"}
        assert [kill["k"] for kill in killed["kills"] if kill["bytes"] != killed["bytes"]] == []
        assert len({kill["digest"] for kill in killed["kills"]}) == 1

    def test_reuses_what_was_published(self, killed: dict[str, Any]) -> None:
        assert [kill["k"] for kill in killed["kills"] if kill["reused"] != kill["whole"]] == []
        assert any(kill["reused"] for kill in killed["kills"])

    def test_leaves_no_rubbish_behind(self, killed: dict[str, Any]) -> None:
        assert [kill["k"] for kill in killed["kills"] if kill["left"]] == []


class TestOrderOfSteps:
    """What a power cut needs beyond a kill: everything on the disk before the rename."""

    def _steps(self, killed: dict[str, Any]) -> tuple[list[str], str, int]:
        steps = killed["steps"]
        [rename] = [step for step in steps if step.startswith("rename ")]
        return steps, rename.removeprefix("rename "), steps.index(rename)

    def test_files_are_flushed_before_the_manifest_is_written(self, killed: dict[str, Any]) -> None:
        steps, folder, _ = self._steps(killed)
        written = steps.index(f"open {folder}/{MANIFEST} w")
        for name in killed["bytes"]:
            assert steps.index(f"fsync {folder}/{name}") < written

    def test_manifest_and_folder_are_flushed_before_the_rename(
        self, killed: dict[str, Any]
    ) -> None:
        steps, folder, rename = self._steps(killed)
        manifest = steps.index(f"fsync {folder}/{MANIFEST}")
        assert manifest < steps.index(f"fsync {folder}") < rename

    def test_the_new_names_are_flushed_after_the_rename(self, killed: dict[str, Any]) -> None:
        steps, _, rename = self._steps(killed)
        assert {"fsync number", "fsync ."} <= set(steps[rename:])


def _stage(n_bytes: int) -> Stage:
    return number("large", 1, config={"n_bytes": n_bytes})


class TestFullDisk:
    def test_is_said_and_the_same_command_goes_on_once_there_is_space(self, tmp_path: Path) -> None:
        with mounted(tmp_path / "disk", "size=1m") as disk:
            store = Store(disk / "store")
            small = ensure(number("small", 3), {}, store)
            with pytest.raises(StoreUnusable, match="the disk is full; free space and run the sam"):
                ensure(_stage(4_000_000), {}, store)
            assert existing(_stage(4_000_000), {}, store) is None
            assert unfinished(store) == []
            remount(disk, "size=8m")
            assert not ensure(_stage(4_000_000), {}, store).reused
            assert ensure(number("small", 3), {}, store).reference == small.reference
            assert ensure(number("small", 3), {}, store).reused

    @pytest.mark.parametrize("kind", ["blocks", "inodes"])
    def test_at_any_amount_of_free_space_publishes_all_or_nothing(
        self, tmp_path: Path, kind: str
    ) -> None:
        n_full = 0
        for free in range(1, 24):
            limit = f"size={4096 * free}" if kind == "blocks" else f"nr_inodes={free}"
            with mounted(tmp_path / f"{kind}-{free}", limit) as disk:
                store = Store(disk / "store")
                try:
                    ensure(_stage(20_000), {}, store)
                except StoreUnusable:
                    n_full += 1
                    assert not [name for name in content(disk) if name.startswith("store/number")]
                    assert unfinished(store) == []
                    remount(disk, "size=1m,nr_inodes=100")
                    ensure(_stage(20_000), {}, store)
                assert existing(_stage(20_000), {}, store) is not None
        assert 5 <= n_full < 23
