"""A training killed at any step of a save and at any moment ends with the same bytes."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import ROOT, environment, output_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def saves(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what `tests.support.killed_checkpoints` found."""
    code = (ROOT / "tests/support/killed_checkpoints.py").read_text()
    return dict(json.loads(output_of(code, str(tmp_path_factory.mktemp("saves")))))


class TestSaveKilledAtAnyStep:
    def test_was_tried_at_every_step(self, saves: dict[str, Any]) -> None:
        kills = saves["kills"]
        assert [len(one["taken"]) for one in kills] == list(range(len(kills)))
        taken = kills[-1]["taken"]
        for role in ("weights", "best"):
            assert any(one.startswith(f"open {role}-000003.npz.partial w") for one in taken)
            assert f"fsync {role}-000003.npz.partial" in taken
        for what in ("fsync generation-000004.json.partial", "rename generation-000004.json"):
            assert any(one.startswith(what) for one in taken)
        assert {"fsync .", "fcntl.flock lock"} <= set(taken)
        assert "remove generation-000001.json" in taken

    def test_leaves_a_whole_generation_and_never_a_damaged_one(self, saves: dict[str, Any]) -> None:
        assert saves["warnings"] == []
        truth = {**saves["truth"], "0": {"epoch": 0}}
        for one in saves["kills"]:
            assert one["found"] == truth[str(one["found"]["epoch"])], one["taken"][-1:]

    def test_never_goes_back_once_the_manifest_has_its_name(self, saves: dict[str, Any]) -> None:
        for one in saves["kills"]:
            flushed = [step for step in one["taken"] if step.startswith("rename generation-")]
            # The last step listed was taken: the process was killed before the one after it.
            assert one["found"]["epoch"] == len(flushed), one["taken"][-3:]

    def test_and_run_again_ends_with_the_same_arrays_and_no_rubbish(
        self, saves: dict[str, Any]
    ) -> None:
        for one in saves["kills"]:
            assert one["end"] == saves["truth"]["4"], one["taken"][-1:]
            # After the last save nothing is left to do, and nobody comes to remove the third.
            n_expected = 3 if one["found"]["epoch"] == 4 else 2
            assert one["n_generations"] in (2, n_expected)
            assert one["left"] == []

    def test_files_are_flushed_and_named_before_the_manifest_is_written(
        self, saves: dict[str, Any]
    ) -> None:
        """What a power cut needs beyond a kill."""
        taken = saves["kills"][-1]["taken"]
        written = taken.index("open generation-000003.json.partial w")
        for role in ("weights", "best"):
            name = f"{role}-000003.npz"
            flushed = taken.index(f"fsync {name}.partial")
            renamed = next(
                place for place, step in enumerate(taken) if step.startswith(f"rename {name}.")
            )
            assert flushed < renamed < taken.index("fsync .", renamed) < written


def _killed(folder: Path, n_kills: int, backend: str) -> dict[str, Any]:
    """Return what `tests.support.killed_training` found."""
    cache = {"JAX_COMPILATION_CACHE_DIR": str(folder / "cache")} if backend == "jax" else {}
    always = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.killed_training", str(folder), str(n_kills)],
        env=environment(KERAS_BACKEND=backend, TF_CPP_MIN_LOG_LEVEL="3", **cache, **always),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


BACKENDS = {"tensorflow": 20, "jax": 4, "torch": 4}


@pytest.fixture(scope="module", params=BACKENDS)
def killed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Return how trainings ended that were killed, on a backend that is installed."""
    backend = request.param
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    n_kills = int(os.environ.get("FLOWERS17_TEST_KILLS", BACKENDS[backend]))
    return {"wanted": n_kills, **_killed(tmp_path_factory.mktemp(backend), n_kills, backend)}


@pytest.mark.timeout(1500)
class TestTrainingKilled:
    def test_at_each_step_of_a_save_ends_with_the_same_bytes(self, killed: dict[str, Any]) -> None:
        assert killed["steps"]["kills"] >= 14
        assert killed["steps"]["end"] == killed["undisturbed"]

    def test_at_random_moments_ends_with_the_same_bytes(self, killed: dict[str, Any]) -> None:
        assert killed["random"]["kills"] == killed["wanted"]
        for end in killed["random"]["ends"]:
            assert end == killed["undisturbed"]

    def test_was_undisturbed_in_one_piece(self, killed: dict[str, Any]) -> None:
        _, history, best_epoch = killed["undisturbed"]
        losses = [one["val_loss"] for one in history]
        assert [one["epoch"] for one in history] == list(range(1, len(history) + 1))
        assert best_epoch == 1 + losses.index(min(losses))
