"""A real study, killed at random moments: nothing finished is lost, every byte is the same."""

import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.killed_studies import TINY, command, end, every_byte, finished, run
from tests.support.processes import python

pytestmark = [pytest.mark.server, pytest.mark.slow]

N_KILLS = 1  # 50 with --fuzz 50


@pytest.mark.timeout(2 * 60 * 60)
def test_a_study_killed_again_and_again_ends_as_if_never_disturbed(
    tmp_path: Path, prefect_api: str, fuzz: int
) -> None:
    env = {"PREFECT_API_URL": prefect_api}
    undisturbed, store = tmp_path / "undisturbed", tmp_path / "store"
    first, whole_s = _timed(undisturbed, env)
    assert first["failed"] == first["missing"] == first["reused"] == 0
    _, cached_s = _timed(undisturbed, env)
    expected = every_byte(undisturbed)
    assert {"report/results.json", "report/tables/table-08.csv"} <= expected.keys()

    moments = random.Random(17)
    n_kills = 0
    while n_kills < N_KILLS * fuzz:
        shutil.rmtree(store, ignore_errors=True)
        before = finished(store)
        is_whole = False
        while not is_whole and n_kills < N_KILLS * fuzz:
            # A kill is wasted on a run that has ended; most of the time goes into the features.
            left_s = cached_s if list(store.glob("features/*/manifest.json")) else whole_s
            with python(*command("study", store, TINY), env=env) as process:
                try:
                    process.wait(moments.uniform(0, left_s))
                    is_whole = True
                except subprocess.TimeoutExpired:
                    n_kills += 1
                end(process)
            assert not is_whole or process.returncode == 0, "a run failed that nobody killed"
            after = finished(store)
            assert before.items() <= after.items(), "something finished was made again"
            before = after
        last = run(command("study", store, TINY), env)
        assert last["reused"] + last["built"] == first["built"]
        assert before.items() <= finished(store).items()
        assert list((store / ".runs").iterdir()) == [], "killed runs left their locks"
        assert every_byte(store) == expected, f"other bytes after {n_kills} kills"
    print(f"{n_kills} kills, 0 of {sum(map(len, expected.values())):,} bytes changed")


def _timed(store: Path, env: dict[str, str]) -> tuple[dict[str, int], float]:
    """Run the study to its end; return how many stages were built or reused, and the seconds."""
    began = time.monotonic()
    return run(command("study", store, TINY), env), time.monotonic() - began
