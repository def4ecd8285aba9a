"""A training killed at any step of a save and at any moment ends with the same bytes."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flowers17.environment import keras_backend
from flowers17.fork_server import can_fork
from tests.support.forks import exit_code, run_program
from tests.support.processes import ROOT, environment, output_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def saves(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Output of `tests.support.killed_checkpoints`."""
    code = (ROOT / "tests/support/killed_checkpoints.py").read_text()
    return dict(json.loads(output_of(code, str(tmp_path_factory.mktemp("saves")))))


class TestSaveKilledAtAnyStep:
    def test_was_tried_at_every_step(self, saves: dict[str, Any]) -> None:
        kills = saves["kills"]
        assert [len(kill["steps"]) for kill in kills] == list(range(len(kills)))
        steps = kills[-1]["steps"]
        for role in ("weights", "best"):
            assert any(name.startswith(f"open {role}-000003.npz.partial w") for name in steps)
            assert f"fsync {role}-000003.npz.partial" in steps
        for step in ("fsync generation-000004.json.partial", "rename generation-000004.json"):
            assert any(name.startswith(step) for name in steps)
        assert {"fsync .", "fcntl.flock lock"} <= set(steps)
        assert "remove generation-000001.json" in steps

    def test_leaves_a_whole_generation_and_never_a_damaged_one(self, saves: dict[str, Any]) -> None:
        assert saves["warnings"] == []
        truth = {**saves["truth"], "0": {"epoch": 0}}
        for kill in saves["kills"]:
            assert kill["newest"] == truth[str(kill["newest"]["epoch"])], kill["steps"][-1:]

    def test_never_goes_back_once_the_manifest_has_its_name(self, saves: dict[str, Any]) -> None:
        for kill in saves["kills"]:
            flushed = [step for step in kill["steps"] if step.startswith("rename generation-")]
            # The last step listed was taken: the process was killed before the one after it.
            assert kill["newest"]["epoch"] == len(flushed), kill["steps"][-3:]

    def test_and_run_again_ends_with_the_same_arrays_and_no_rubbish(
        self, saves: dict[str, Any]
    ) -> None:
        for kill in saves["kills"]:
            assert kill["end"] == saves["truth"]["4"], kill["steps"][-1:]
            # After the last save nothing is left to do, and nobody comes to remove the third.
            n_expected = 3 if kill["newest"]["epoch"] == 4 else 2
            assert kill["n_generations"] in (2, n_expected)
            assert kill["partial"] == []

    def test_files_are_flushed_and_named_before_the_manifest_is_written(
        self, saves: dict[str, Any]
    ) -> None:
        """What a power cut needs beyond a kill."""
        steps = saves["kills"][-1]["steps"]
        written = steps.index("open generation-000003.json.partial w")
        for role in ("weights", "best"):
            name = f"{role}-000003.npz"
            flushed = steps.index(f"fsync {name}.partial")
            renamed = next(
                index for index, step in enumerate(steps) if step.startswith(f"rename {name}.")
            )
            assert flushed < renamed < steps.index("fsync .", renamed) < written


def _killed(folder: Path, n_kills: int, stride: int, backend: str) -> dict[str, Any]:
    """Record of `tests.support.killed_training`."""
    arguments = ("tests.support.killed_training", str(folder), str(n_kills), str(stride))
    hours = 2 * 60 * 60
    if backend == keras_backend() and can_fork():
        assert exit_code(run_program, *arguments, seconds=hours) == 0
    else:
        cache = {"JAX_COMPILATION_CACHE_DIR": str(folder / "cache")} if backend == "jax" else {}
        always = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        process = subprocess.run(
            [sys.executable, "-m", *arguments],
            env=environment(KERAS_BACKEND=backend, TF_CPP_MIN_LOG_LEVEL="3", **cache, **always),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=hours,
            check=False,
        )
        assert process.returncode == 0, process.stderr
    return dict(json.loads((folder / "ends.json").read_text()))


BACKENDS = {"tensorflow": 3, "jax": 2, "torch": 2}  # random kills; more with --fuzz
# Between kills at steps of a save: all are tried above, where nothing is trained; and with --fuzz.
STRIDE = 4


@pytest.fixture(scope="module", params=BACKENDS)
def killed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, fuzz: int
) -> dict[str, Any]:
    """Ends of killed trainings, on each installed backend."""
    backend = request.param
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    n_kills, stride = BACKENDS[backend] * fuzz, max(1, STRIDE // fuzz)
    folder = tmp_path_factory.mktemp(backend)
    return {
        "n_kills": n_kills,
        "stride": stride,
        **_killed(folder, n_kills, stride, backend),
    }


@pytest.mark.timeout(2 * 60 * 60)
class TestTrainingKilled:
    def test_at_steps_of_a_save_ends_with_the_same_bytes(self, killed: dict[str, Any]) -> None:
        kills = killed["steps"]["kills"]
        assert kills[:3] == [1, 1 + killed["stride"], 1 + 2 * killed["stride"]]
        assert kills[-1] + killed["stride"] > 9
        assert killed["steps"]["end"] == killed["undisturbed"]

    def test_at_random_moments_ends_with_the_same_bytes(self, killed: dict[str, Any]) -> None:
        assert killed["random"]["kills"] == killed["n_kills"]
        for end in killed["random"]["ends"]:
            assert end == killed["undisturbed"]

    def test_was_undisturbed_in_one_piece(self, killed: dict[str, Any]) -> None:
        _, history, best_epoch = killed["undisturbed"]
        losses = [epoch["val_loss"] for epoch in history]
        assert [epoch["epoch"] for epoch in history] == list(range(1, len(history) + 1))
        assert best_epoch == 1 + losses.index(min(losses))
