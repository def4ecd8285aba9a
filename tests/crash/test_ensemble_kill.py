"""Learners on folds, killed in the middle: what is finished stays, the same bytes."""

import random
import time
from collections.abc import Iterable
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

BLOCKS = {"a": "[[2]]", "b": "[[2], [2]]", "c": "[[3]]", "d": "[[4]]", "e": "[[2, 2]]"}


def _settings(names: Iterable[str], n_folds: int) -> tuple[str, ...]:
    definitions = [f"{{name: {name}, blocks: {BLOCKS[name]}, dense: 4}}" for name in names]
    members = [f"{{learner: {name}, augmentation: none}}" for name in names]
    return (
        "dataset.n_classes=2",
        "dataset.images_per_class=20",
        "dataset.image_size=16",
        "splits.n_repeats=0",
        f"learners.definitions=[{', '.join(definitions)}]",
        # One image a step: batches of one size, for which a network is compiled once.
        "learners.recipe={epochs: 2, batch_size: 1}",
        "learners.precision=float32",
        f"ensemble.n_folds={n_folds}",
        "ensemble.meta_learners=[logistic_regression]",
        f"ensemble.ensembles=[{{name: all, members: [{', '.join(members)}]}}]",
    )


def _built(root: Path, settings: Iterable[str]) -> int:
    """Build all that the command builds, in this process one after the other; return how many."""
    store, references = Store(root), dict[str, Reference]()
    request = request_from(settings, store=root, device="cpu")
    for stage in in_order(ensemble.stages(request.settings, request.options)):
        inputs = {name: references[source.label] for name, source in stage.inputs.items()}
        references[stage.label] = ensure(stage, inputs, store).reference
    return len(references)


def _n_trained(store: Path) -> int:
    return len(list((store / "training").glob("*/manifest.json")))


@pytest.mark.timeout(2 * 60 * 60)
@pytest.mark.parametrize(
    ("names", "n_folds", "n_kills"),
    [  # a network on two folds always: tests/hostile/test_kill_loop.py
        pytest.param("ab", 2, 1, marks=pytest.mark.long),
        pytest.param("abcde", 5, 3, marks=pytest.mark.long),
    ],
)
def test_learners_on_folds_killed_end_as_if_never_disturbed(
    names: str, n_folds: int, n_kills: int, tmp_path: Path, prefect_api: str
) -> None:
    settings, n_trainings = _settings(names, n_folds), len(names) * (n_folds + 1)
    env = {"PREFECT_API_URL": prefect_api}
    undisturbed, store = tmp_path / "undisturbed", tmp_path / "store"
    with prepared():
        n_stages = _built(undisturbed, settings)
    assert _n_trained(undisturbed) == n_trainings

    options = ("--device", "cpu", "--runner", "processes")
    arguments = command("ensemble", store, settings, *options)
    moments = random.Random(17)
    before = finished(store)
    for n_wanted in sorted(moments.sample(range(1, n_trainings - 4), n_kills)):
        with python(*arguments, env=env) as process:
            trained = partial(_has_trained, store, n_wanted)
            assert eventually(trained), "no fold was trained"
            time.sleep(moments.uniform(0, 1))
            assert process.poll() is None
            end(process)
        assert n_wanted <= _n_trained(store) < n_trainings, "it was not killed in the middle"
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
