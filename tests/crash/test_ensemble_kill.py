"""Five learners on five folds, killed in the middle: what is finished stays, the same bytes."""

import random
import time
from functools import partial
from pathlib import Path

import pytest

from flowers17.artifacts import Reference, Store
from flowers17.request import request_from
from flowers17.stages import ensure, in_order
from flows import ensemble
from tests.support.killed_studies import command, digests, end, finished, results, run
from tests.support.processes import eventually, python
from tests.support.tiny_training import prepared

pytestmark = [pytest.mark.server, pytest.mark.slow]

N_FOLDS = 5
BLOCKS = {"a": "[[2]]", "b": "[[3]]", "c": "[[4]]", "d": "[[2], [2]]", "e": "[[2, 2]]"}
N_TRAININGS = len(BLOCKS) * (N_FOLDS + 1)
SETTINGS = (
    "dataset.n_classes=2",
    "dataset.images_per_class=20",
    "dataset.image_size=16",
    "splits.n_repeats=0",
    "learners.definitions=["
    + ", ".join(f"{{name: {name}, blocks: {blocks}, dense: 4}}" for name, blocks in BLOCKS.items())
    + "]",
    # One image a step: batches of one size, for which a network is compiled once.
    "learners.recipe={epochs: 2, batch_size: 1}",
    "learners.precision=float32",
    f"ensemble.n_folds={N_FOLDS}",
    "ensemble.meta_learners=[logistic_regression]",
    "ensemble.ensembles=[{name: all, members: ["
    + ", ".join(f"{{learner: {name}, augmentation: none}}" for name in BLOCKS)
    + "]}]",
)
N_KILLS = 3


def _built(root: Path) -> int:
    """Build all that the command builds, in this process one after the other; return how many."""
    store, references = Store(root), dict[str, Reference]()
    request = request_from(SETTINGS, store=root, device="cpu")
    for stage in in_order(ensemble.stages(request.settings, request.options)):
        inputs = {name: references[source.label] for name, source in stage.inputs.items()}
        references[stage.label] = ensure(stage, inputs, store).reference
    return len(references)


def _n_trained(store: Path) -> int:
    return len(list((store / "training").glob("*/manifest.json")))


@pytest.mark.timeout(1200)
def test_five_learners_on_five_folds_killed_end_as_if_never_disturbed(
    tmp_path: Path, prefect_api: str
) -> None:
    env = {"PREFECT_API_URL": prefect_api}
    undisturbed, store = tmp_path / "undisturbed", tmp_path / "store"
    with prepared():
        n_stages = _built(undisturbed)
    assert _n_trained(undisturbed) == N_TRAININGS == 30

    options = ("--device", "cpu", "--runner", "processes")
    arguments = command("ensemble", store, SETTINGS, *options)
    moments = random.Random(17)
    before = finished(store)
    for n_wanted in sorted(moments.sample(range(1, 25), N_KILLS)):
        with python(*arguments, env=env) as process:
            trained = partial(_has_trained, store, n_wanted)
            assert eventually(trained, 300), "no fold was trained"
            time.sleep(moments.uniform(0, 1))
            assert process.poll() is None
            end(process)
        assert n_wanted <= _n_trained(store) < N_TRAININGS, "it was not killed in the middle"
        assert before.items() <= finished(store).items(), "something finished was made again"
        before = finished(store)

    last = run(arguments, env)
    counts = {"reused": len(before), "built": n_stages - len(before)}
    assert last == {**dict.fromkeys(last, 0), **counts}
    assert before.items() <= finished(store).items(), "something finished was made again"
    assert digests(store) == digests(undisturbed)
    for stage in ("training", "out_of_fold", "stacking", "study"):
        assert results(store / stage) == results(undisturbed / stage), stage
    for folder in (".partial", ".unfinished"):
        assert not list((store / folder).iterdir())


def _has_trained(store: Path, n_trainings: int) -> bool:
    return _n_trained(store) >= n_trainings
