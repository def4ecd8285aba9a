"""A real study, killed at random moments: no orphan, nothing finished is lost, the same bytes."""

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.killed_studies import command, digests, end, finished, results, run
from tests.support.processes import eventually, python, session_members

pytestmark = [pytest.mark.server, pytest.mark.slow]

SETTINGS = (
    "dataset.n_classes=3",
    "dataset.images_per_class=8",
    "dataset.image_size=32",
    "splits.n_repeats=1",
    "learners.plain=[]",
    "learners.augmented=[]",
    "learners.best=[]",
    "fine_tuning.table=[]",
    "ensemble.ensembles=[]",
    "defences.networks=[]",
    "poisoning.networks=[]",
    "attacks.models=[]",
    "features.table=[{extractor: mobilenet}]",
    "features.combinations=[]",
    "features.classifiers.names=[knn, naive_bayes]",
)
N_KILLS = 10


def _arguments(store: Path) -> list[str]:
    return command("study", store, SETTINGS)


@pytest.mark.timeout(1200)
def test_a_study_killed_ten_times_ends_as_if_never_disturbed(
    tmp_path: Path, prefect_api: str
) -> None:
    env = {"PREFECT_API_URL": prefect_api}
    undisturbed, store = tmp_path / "undisturbed", tmp_path / "store"
    began = time.monotonic()
    first = run(_arguments(undisturbed), env)
    seconds = time.monotonic() - began
    assert first["failed"] == first["missing"] == first["reused"] == 0

    moments = random.Random(17)
    n_kills, before = 0, finished(store)
    while n_kills < N_KILLS:
        with python(*_arguments(store), env=env) as process:
            try:
                process.wait(moments.uniform(0, seconds))
            except subprocess.TimeoutExpired:
                n_kills += 1
            end(process)
        after = finished(store)
        assert before.items() <= after.items(), "something finished was made again"
        before = after
        if process.returncode == 0 and n_kills < N_KILLS:  # it came to its end: once more
            shutil.rmtree(store)
            before = {}

    last = run(_arguments(store), env)
    assert last["reused"] + last["built"] == first["built"]
    assert before.items() <= finished(store).items()
    assert digests(store) == digests(undisturbed)
    assert results(store / "report") == results(undisturbed / "report")
    assert "results.json" in results(store / "report")
    assert run(_arguments(store), env) == {**dict.fromkeys(last, 0), "reused": first["built"]}


def test_a_killed_command_takes_its_private_server_along(tmp_path: Path) -> None:
    env = {"PREFECT_HOME": str(tmp_path / "home")}
    with python(*_arguments(tmp_path / "store"), env=env) as process:
        assert eventually((tmp_path / "store" / ".runs").exists, 120), "no flow run began"
        family = session_members(process.pid)
        assert len(family) >= 2, "expected a server beside the command"
        end(process)


def test_an_interrupted_command_ends_quietly_and_leaves_nobody(
    tmp_path: Path, prefect_api: str
) -> None:
    env = {"PREFECT_API_URL": prefect_api}
    with python(*_arguments(tmp_path / "store"), env=env) as process:
        assert eventually((tmp_path / "store" / ".runs").exists, 120), "no flow run began"
        os.killpg(process.pid, signal.SIGINT)
        _, complaints = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "Traceback" not in complaints
        end(process)
