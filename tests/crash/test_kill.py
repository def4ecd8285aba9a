"""A real study, killed at random moments: no orphan, nothing finished is lost, the same bytes."""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

import pytest

from flowers17.interrupts import INTERRUPTED
from flows.local_server import free_port
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
    first, whole_s = _timed(undisturbed, env)
    assert first["failed"] == first["missing"] == first["reused"] == 0
    _, cached_s = _timed(undisturbed, env)

    moments = random.Random(17)
    n_kills, before = 0, finished(store)
    while n_kills < N_KILLS:
        # A kill is wasted on a run that has ended, and most of the time goes into the features.
        left_s = cached_s if list(store.glob("features/*/manifest.json")) else whole_s
        with python(*_arguments(store), env=env) as process:
            try:
                process.wait(moments.uniform(0, left_s))
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
    assert list((store / ".runs").iterdir()) == [], "killed runs left something"
    assert before.items() <= finished(store).items()
    assert digests(store) == digests(undisturbed)
    assert results(store / "report") == results(undisturbed / "report")
    assert "results.json" in results(store / "report")
    again, _ = _timed(store, env)
    assert again == {**dict.fromkeys(last, 0), "reused": first["built"]}


def _timed(store: Path, env: dict[str, str]) -> tuple[dict[str, int], float]:
    """Run the study to its end; return how many stages were built or reused, and the seconds."""
    began = time.monotonic()
    return run(_arguments(store), env), time.monotonic() - began


def test_a_killed_command_takes_its_private_server_along(tmp_path: Path) -> None:
    env = {"PREFECT_HOME": str(tmp_path / "home")}
    with python(*_arguments(tmp_path / "store"), env=env) as process:
        assert eventually((tmp_path / "store" / ".runs").exists, 120), "no flow run began"
        family = session_members(process.pid)
        assert len(family) >= 2, "expected a server beside the command"
        end(process)


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("sign", [".runs", ".locks/features-*"])
def test_an_interrupted_command_ends_quietly_and_leaves_nobody(
    tmp_path: Path, prefect_api: str, sign: str, private: bool
) -> None:
    server = {"PREFECT_HOME": str(tmp_path / "home")}  # as if none were configured
    env = server if private else {"PREFECT_API_URL": prefect_api}
    with python(*_arguments(tmp_path / "store"), env=env) as process:
        began = eventually(lambda: any((tmp_path / "store").glob(sign)), 120)
        assert began, f"no {sign} came"
        os.killpg(process.pid, signal.SIGINT)
        _, complaints = process.communicate(timeout=30)
        assert process.returncode == INTERRUPTED
        assert not any(word in complaints for word in ("Traceback", "failed"))
        end(process)


def test_a_second_interrupt_does_not_wait_for_a_server_that_hangs(tmp_path: Path) -> None:
    with _server(tmp_path / "home") as (server, api), _at_work(tmp_path / "store", api) as process:
        server.send_signal(signal.SIGSTOP)
        os.killpg(process.pid, signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(3)
        os.killpg(process.pid, signal.SIGINT)
        _, complaints = process.communicate(timeout=10)
        assert process.returncode == INTERRUPTED
        assert "interrupted without waiting" in complaints
        end(process)


def test_a_server_that_is_gone_is_told_in_a_sentence(tmp_path: Path) -> None:
    with _server(tmp_path / "home") as (server, api), _at_work(tmp_path / "store", api) as process:
        end(server)
        _, complaints = process.communicate(timeout=60)
        assert process.returncode == 1
        assert f"expected the Prefect server at {api} to answer until the run's end" in complaints
        assert "what is finished is kept" in complaints
        assert "Traceback" not in complaints
        assert "EventsWorker" not in complaints
        end(process)


@contextmanager
def _server(home: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Serve what commands are told to use, with the address of its API."""
    port = free_port()
    address = ("--host", "127.0.0.1", "--port", str(port))
    with python("-m", "flows.database_retry", *address, env={"PREFECT_HOME": str(home)}) as server:
        api = f"http://127.0.0.1:{port}/api"
        assert eventually(lambda: _answers(api), 120), "no server came"
        yield server, api


@contextmanager
def _at_work(store: Path, api: str) -> Iterator[subprocess.Popen[str]]:
    """Run a study that has come to its first long stage, and tries a lost server once only."""
    env = {"PREFECT_API_URL": api, "PREFECT_CLIENT_MAX_RETRIES": "0"}
    with python(*_arguments(store), env=env) as process:
        assert eventually(lambda: any(store.glob(".locks/features-*")), 120), "no stage began"
        yield process


def _answers(api: str) -> bool:
    with suppress(OSError), urlopen(f"{api}/health", timeout=1):
        return True
    return False
