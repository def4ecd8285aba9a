"""A sweep on object storage: two machines at once build each artifact once, to a folder's bytes."""

import json
import signal
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from flowers17.shared.store import CACHE_VARIABLE, SharedStore
from tests.support.object_storage import BUCKET, ObjectStorage, object_storage
from tests.support.processes import HANG_S, eventually, kill, python, session_members
from tests.support.serving import SMALL

pytestmark = [pytest.mark.server, pytest.mark.slow]

CODE = "import sys; from flowers17.cli import main; main(sys.argv[1:])"
AXIS = "features.classifiers.knn.n_neighbors=[1, 3]"
SWEEP = ("sweep", "features", "--axis", AXIS, "--runner", "processes")
N_REPORTS = 2 + 1
N_STAGES = 8 + 2 * 2 + N_REPORTS  # shared by both settings, a fit and a refit of each, reports
LEASE_S = "10"  # longer than a loaded machine lets a renewal wait


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStorage]:
    with (
        object_storage(tmp_path_factory.mktemp("storage")) as storage,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in {**storage.variables, "FLOWERS17_LEASE_S": LEASE_S}.items():
            patch.setenv(name, value)
        yield storage


@contextmanager
def _command(api: str, cache: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run `flowers17 …` as a machine with a cache of its own."""
    small = [word for setting in SMALL for word in ("--set", setting)]
    chosen = small if words[0] in ("run", "sweep") else []
    env = {"PREFECT_API_URL": api, CACHE_VARIABLE: str(cache)}
    with python("-c", CODE, *words, *chosen, env=env) as process:
        yield process


def _output(process: subprocess.Popen[str]) -> Any:
    printed, complaints = process.communicate(timeout=HANG_S)
    assert process.returncode == 0, complaints
    return json.loads(printed)


def _manifests(storage: ObjectStorage) -> list[str]:
    return [name for name in storage.names() if name.endswith("/manifest.json")]


def _store(storage: ObjectStorage, cache: Path) -> SharedStore:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(cache))
        return SharedStore(storage.address)


def test_two_sweeps_at_once_build_each_artifact_once_to_the_bytes_of_a_folder(
    storage: ObjectStorage, prefect_api: str, tmp_path: Path
) -> None:
    storage.prefix = "at-once"
    words = (*SWEEP, "--store", storage.address, "--json")
    with ExitStack() as stack:
        processes = [
            stack.enter_context(_command(prefect_api, tmp_path / name, *words))
            for name in ("one", "two")
        ]
        outputs = [_output(process) for process in processes]
    built, reused = (
        sum(output["counts"][ending] for output in outputs) for ending in ("built", "reused")
    )
    assert (built, reused) == (N_STAGES, N_STAGES)
    assert len(_manifests(storage)) == N_STAGES
    assert outputs[0]["summary"] == outputs[1]["summary"]
    folder = tmp_path / "folder"
    with _command(prefect_api, tmp_path, *SWEEP, "--store", str(folder), "--json") as process:
        alone = _output(process)
    folder_manifests = [json.loads(path.read_text()) for path in folder.glob("*/*/manifest.json")]
    storage_manifests = _store(storage, tmp_path / "three").manifests()
    assert _digests(folder_manifests) == _digests(storage_manifests)
    assert alone["summary"] == outputs[0]["summary"]


def _digests(manifests: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Return the digest of each artifact by its key; reports hold times, which differ."""
    digests = {
        manifest["key"]: manifest["digest"]
        for manifest in manifests
        if manifest["stage"] not in ("study", "sweep")
    }
    assert len(digests) == N_STAGES - N_REPORTS
    return digests


def test_a_sweep_that_is_killed_costs_the_other_at_most_what_was_being_built(
    storage: ObjectStorage, prefect_api: str, tmp_path: Path
) -> None:
    storage.prefix = "killed"
    words = (*SWEEP, "--store", storage.address, "--json")
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(_command(prefect_api, tmp_path / name, *words))
            for name in ("one", "two")
        )
        assert eventually(lambda: len(_manifests(storage)) >= 3)
        for pid in session_members(first.pid):
            kill(pid)
        assert first.wait(HANG_S) == -signal.SIGKILL
        output = _output(second)
    assert output["failed"] == {}
    assert output["counts"]["built"] + output["counts"]["reused"] == N_STAGES
    assert len(_manifests(storage)) == N_STAGES
    unfinished = [name for name in storage.names() if name.startswith(".unfinished/")]
    assert unfinished == []
    # Every manifest was created once: the one that is there is the one that was there first.
    writes = [url for url in storage.requests("PUT", "200") if f"/{BUCKET}/killed/" in url]
    created = [url for url in writes if url.endswith("/manifest.json")]
    assert len(created) == len(set(created)) == N_STAGES


def test_commands_read_it_and_a_third_machine_builds_nothing(
    storage: ObjectStorage, prefect_api: str, tmp_path: Path
) -> None:
    storage.prefix = "at-once"
    options = ("--store", storage.address)
    cache = tmp_path / "three"
    with _command(prefect_api, cache, *SWEEP, *options, "--json") as process:
        assert _output(process)["counts"]["reused"] == N_STAGES
    with _command(prefect_api, cache, "show", *options, "--json") as process:
        assert len(_output(process)) == N_STAGES
    with _command(prefect_api, tmp_path / "four", "compare", *options, "--json") as process:
        assert _output(process)
    with _command(
        prefect_api, cache, "gc", *options, "--dry-run", "--older-than", "0", "--json"
    ) as process:
        assert _output(process) == []
