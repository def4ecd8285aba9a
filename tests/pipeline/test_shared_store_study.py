"""A sweep on object storage: two machines at once build each artifact once, to a folder's bytes."""

import json
import signal
import subprocess
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flowers17.shared.store import CACHE_VARIABLE, SharedStore
from tests.support.commands import called
from tests.support.killed_studies import overridden
from tests.support.object_storage import BUCKET, ObjectStorage, object_storage
from tests.support.processes import HANG_S, eventually, kill, python, session_members
from tests.support.serving import SMALL
from tests.support.tiny_backbone import BACKBONE

pytestmark = [pytest.mark.server, pytest.mark.slow]

CODE = "import sys; from flowers17.cli import main; main(sys.argv[1:])"
TABLE = f"features.table=[{{extractor: '{BACKBONE}', pooling: average}}]"
AXIS = "features.classifiers.knn.n_neighbors=[1, 3]"
SWEEP = ("sweep", "features", "--axis", AXIS, "--runner", "processes")
N_REPORTS = 2 + 1
N_STAGES = 7 + 2 * 2 + N_REPORTS  # shared by both settings, a fit and a refit of each, reports
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


def _settings(*words: str) -> tuple[str, ...]:
    study = overridden(SMALL, TABLE, "features.classifiers.names=[knn]")
    return study if words[0] == "sweep" else ()


@contextmanager
def _machine(api: str, cache: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run `flowers17 …` in a process of its own, as a machine with a cache of its own."""
    chosen = [word for setting in _settings(*words) for word in ("--set", setting)]
    env = {"PREFECT_API_URL": api, CACHE_VARIABLE: str(cache)}
    with python("-c", CODE, *words, *chosen, env=env) as process:
        yield process


def _output(api: str, cache: Path, *words: str) -> Any:
    """Output of `flowers17 … --json` in this process, as a machine with a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(cache))
        code, printed, complaints = called(*words, "--json", api=api, settings=_settings(*words))
    assert code == 0, complaints
    return json.loads(printed)


def _manifests(storage: ObjectStorage) -> list[str]:
    return [name for name in storage.names() if name.endswith("/manifest.json")]


def _store(storage: ObjectStorage, cache: Path) -> SharedStore:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(cache))
        return SharedStore(storage.address)


@pytest.mark.long  # with one that is killed, below, always
def test_two_sweeps_at_once_build_each_artifact_once_to_the_bytes_of_a_folder(
    storage: ObjectStorage, prefect_api: str, tmp_path: Path
) -> None:
    storage.prefix = "at-once"
    words = (*SWEEP, "--store", storage.address)
    with _machine(prefect_api, tmp_path / "one", *words, "--json") as process:
        assert eventually(lambda: _manifests(storage)), "the first machine never began"
        here = _output(prefect_api, tmp_path / "two", *words)
        printed, complaints = process.communicate(timeout=HANG_S)
    assert process.returncode == 0, complaints
    there = json.loads(printed)
    built, reused = (
        here["counts"][ending] + there["counts"][ending] for ending in ("built", "reused")
    )
    assert (built, reused) == (N_STAGES, N_STAGES)
    assert len(_manifests(storage)) == N_STAGES
    assert here["summary"] == there["summary"]
    assert here["summary"] == _summary_of_the_same_bytes(storage, prefect_api, tmp_path)


def _summary_of_the_same_bytes(storage: ObjectStorage, api: str, place: Path) -> dict[str, Any]:
    """Summary of the sweep in a folder, where each artifact has the digest that it has here."""
    folder = place / "folder"
    alone = _output(api, place, *SWEEP, "--store", str(folder))
    folder_manifests = [json.loads(path.read_text()) for path in folder.glob("*/*/manifest.json")]
    storage_manifests = _store(storage, place / "three").manifests()
    assert _digests(folder_manifests) == _digests(storage_manifests)
    return dict(alone["summary"])


def _digests(manifests: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Return the digest of each artifact by its key; reports hold times, which differ."""
    digests = {
        manifest["key"]: manifest["digest"]
        for manifest in manifests
        if manifest["stage"] not in ("study", "sweep")
    }
    assert len(digests) == N_STAGES - N_REPORTS
    return digests


def test_a_killed_sweep_costs_the_other_at_most_what_was_being_built_and_no_byte(
    storage: ObjectStorage, prefect_api: str, tmp_path: Path
) -> None:
    storage.prefix = "killed"
    words = (*SWEEP, "--store", storage.address)
    with _machine(prefect_api, tmp_path / "one", *words) as process:

        def kill_all() -> None:
            assert eventually(lambda: len(_manifests(storage)) >= 3)
            for pid in session_members(process.pid):
                kill(pid)
            assert process.wait(HANG_S) == -signal.SIGKILL

        assert eventually(lambda: _manifests(storage)), "the first machine never began"
        with ThreadPoolExecutor() as pool:
            killing = pool.submit(kill_all)
            output = _output(prefect_api, tmp_path / "two", *words)
            killing.result()
    assert output["failed"] == {}
    assert output["counts"]["built"] + output["counts"]["reused"] == N_STAGES
    assert len(_manifests(storage)) == N_STAGES
    unfinished = [name for name in storage.names() if name.startswith(".unfinished/")]
    assert unfinished == []
    # Every manifest was created once: the one that is there is the one that was there first.
    writes = [url for url in storage.requests("PUT", "200") if f"/{BUCKET}/killed/" in url]
    created = [url for url in writes if url.endswith("/manifest.json")]
    assert len(created) == len(set(created)) == N_STAGES
    assert output["summary"] == _summary_of_the_same_bytes(storage, prefect_api, tmp_path)


def test_commands_read_it_and_a_third_machine_builds_nothing(
    storage: ObjectStorage, prefect_api: str, tmp_path: Path
) -> None:
    storage.prefix = "killed"
    options = ("--store", storage.address)
    cache = tmp_path / "three"
    third = _output(prefect_api, cache, *SWEEP, *options)
    assert third["counts"]["reused"] == N_STAGES
    assert len(_output(prefect_api, cache, "show", *options)) == N_STAGES
    assert _output(prefect_api, tmp_path / "four", "compare", *options)
    assert _output(prefect_api, cache, "gc", *options, "--dry-run", "--older-than", "0") == []
