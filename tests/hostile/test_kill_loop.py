"""A real study, killed at random moments: nothing finished is lost, every byte is the same."""

import json
import random
import shutil
from pathlib import Path
from subprocess import Popen, TimeoutExpired

import pytest

from flowers17.artifacts import Artifact
from flowers17.request import request_from
from flows import report
from tests.support.builds import built
from tests.support.commands import called
from tests.support.killed_studies import (
    TINY,
    command,
    end,
    every_byte,
    finished,
    overridden,
)
from tests.support.processes import eventually, python
from tests.support.tiny_backbone import BACKBONE

pytestmark = [pytest.mark.server, pytest.mark.slow]

N_KILLS = 1  # 50 with --fuzz 50
MAPS = f"[{{extractor: '{BACKBONE}', pooling: average}}]"
STUDY = overridden(
    TINY,
    "features.weights=random",
    f"features.table={MAPS}",
    "features.classifiers.names=[naive_bayes]",
    "learners.definitions=[{name: tiny, blocks: [[2]], dense: 4}]",
    # One image a step: batches of one size, for which a network is compiled once.
    "learners.recipe={epochs: 2, batch_size: 1}",
    "learners.precision=float32",
    "ensemble.n_folds=2",
    "ensemble.meta_learners=[logistic_regression]",
    "attacks.methods=[]",
    "ensemble.ensembles=[{name: two, members: [{learner: tiny, augmentation: none}, "
    f"{{classifier: naive_bayes, maps: {MAPS}}}]}}]",
)


@pytest.mark.timeout(2 * 60 * 60)
def test_a_study_killed_again_and_again_ends_as_if_never_disturbed(
    tmp_path: Path, prefect_api: str, fuzz: int
) -> None:
    env = {"PREFECT_API_URL": prefect_api}
    store = tmp_path / "store"
    request = request_from(STUDY, store=tmp_path / "undisturbed", device="cpu")
    undisturbed = built(report.stages(request.settings, request.options), request.store)
    [page] = [manifest for manifest in undisturbed.manifests() if manifest["stage"] == "study"]
    report.export(undisturbed, Artifact(undisturbed.folder("study", page["key"]), page))
    expected, n_stages = every_byte(undisturbed.root), len(finished(undisturbed.root))
    assert {"report/results.json", "report/tables/table-08.csv"} <= expected.keys()

    moments = random.Random(17)
    n_kills = 0
    while n_kills < N_KILLS * fuzz:
        shutil.rmtree(store, ignore_errors=True)
        before = finished(store)
        is_whole = False
        while not is_whole and n_kills < N_KILLS * fuzz:
            n_wanted = moments.randrange(len(before), n_stages)
            with python(*command("study", store, STUDY, "--device", "cpu"), env=env) as process:
                # The first kill comes between a learner's trainings on folds.
                stages = "training" if n_kills == 0 else "[!.]*"

                def is_time(
                    n: int = n_wanted, stages: str = stages, process: Popen[str] = process
                ) -> bool:
                    has_begun = len(finished(store)) >= n and any(store.glob(f"{stages}/*"))
                    return has_begun or process.poll() is not None

                assert eventually(is_time), "it makes nothing more"
                try:
                    process.wait(moments.uniform(0, 1))
                    is_whole = True
                except TimeoutExpired:
                    n_kills += 1
                end(process)
            assert not is_whole or process.returncode == 0, "a run failed that nobody killed"
            after = finished(store)
            assert before.items() <= after.items(), "something finished was made again"
            before = after
        words = command("study", store, STUDY, "--device", "cpu")[1:]
        code, printed, complaints = called(*words, api=prefect_api)
        assert code == 0, complaints
        output = json.loads(printed)
        last = output["counts"]
        assert Path(output["report"]).is_file()
        assert last["reused"] + last["built"] == n_stages
        assert last["failed"] == last["missing"] == 0
        assert before.items() <= finished(store).items()
        assert list((store / ".runs").iterdir()) == [], "killed runs left their locks"
        assert every_byte(store) == expected, f"other bytes after {n_kills} kills"
    print(f"{n_kills} kills, 0 of {sum(map(len, expected.values())):,} bytes changed")
