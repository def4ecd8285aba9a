"""A real study, killed at random moments: no orphan, nothing finished is lost, the same bytes."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from flowers17.artifacts import MANIFEST, Store
from tests.support.processes import eventually, kill, python, session_members
from tests.support.stores import content

pytestmark = [pytest.mark.server, pytest.mark.slow]

COMMAND = Path(sys.executable).with_name("flowers17")
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


def _arguments(store: Path, flow: str = "study") -> list[str]:
    chosen = [word for one in SETTINGS for word in ("--set", one)]
    return [str(COMMAND), "run", flow, "--store", str(store), "--json", *chosen]


def _run(store: Path, env: dict[str, str]) -> dict[str, int]:
    """Run the study to its end; return how many stages were built and how many reused."""
    with python(*_arguments(store), env=env) as process:
        printed, complaints = process.communicate(timeout=180)
    assert process.returncode == 0, complaints
    counts: dict[str, int] = json.loads(printed)["counts"]
    return counts


def _digests(store: Path) -> dict[str, str]:
    """Return what was made, by label and key; the report's page tells times and is left out."""
    return {
        f"{one['label']} {one['key']}": one["digest"] if one["stage"] != "study" else ""
        for one in Store(store).manifests()
    }


def _report(store: Path) -> dict[str, bytes]:
    """Return the bytes of all that a report has beside the page: results, tables, figures."""
    files = content(store / "report")
    assert "results.json" in files
    return {name: data for name, data in files.items() if name not in ("index.html", MANIFEST)}


def _finished(store: Path) -> dict[str, tuple[int, int]]:
    """Return which artifacts there are, and by inode and time whether they were made anew."""
    found = {path: path.stat() for path in store.glob(f"[!.]*/*/{MANIFEST}")}
    return {str(path): (stat.st_ino, stat.st_mtime_ns) for path, stat in found.items()}


@pytest.mark.timeout(1200)
def test_a_study_killed_ten_times_ends_as_if_never_disturbed(
    tmp_path: Path, prefect_api: str
) -> None:
    env = {"PREFECT_API_URL": prefect_api}
    undisturbed, store = tmp_path / "undisturbed", tmp_path / "store"
    began = time.monotonic()
    first = _run(undisturbed, env)
    seconds = time.monotonic() - began
    assert first["failed"] == first["missing"] == first["reused"] == 0

    moments = random.Random(17)
    n_kills, before = 0, _finished(store)
    while n_kills < N_KILLS:
        with python(*_arguments(store), env=env) as process:
            try:
                process.wait(moments.uniform(0, seconds))
            except subprocess.TimeoutExpired:
                kill(process.pid)
                n_kills += 1
            process.wait(30)
            assert eventually(partial(_is_gone, process.pid)), "an orphan lives on"
        after = _finished(store)
        assert before.items() <= after.items(), "something finished was made again"
        before = after
        if process.returncode == 0 and n_kills < N_KILLS:  # it came to its end: once more
            shutil.rmtree(store)
            before = {}

    last = _run(store, env)
    assert last["reused"] + last["built"] == first["built"]
    assert before.items() <= _finished(store).items()
    assert _digests(store) == _digests(undisturbed)
    assert _report(store) == _report(undisturbed)
    assert _run(store, env) == {**dict.fromkeys(last, 0), "reused": first["built"]}


def test_a_killed_command_takes_its_private_server_along(tmp_path: Path) -> None:
    env = {"PREFECT_HOME": str(tmp_path / "home")}
    with python(*_arguments(tmp_path / "store"), env=env) as process:
        assert eventually((tmp_path / "store" / ".runs").exists, 120), "no flow run began"
        family = session_members(process.pid)
        assert len(family) >= 2, "expected a server beside the command"
        kill(process.pid)
        process.wait(30)
        assert eventually(partial(_is_gone, process.pid)), "an orphan lives on"


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
        assert eventually(partial(_is_gone, process.pid)), "an orphan lives on"


def _is_gone(session: int) -> bool:
    return session_members(session) == []
