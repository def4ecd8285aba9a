"""Flow `ensemble` at small size: nothing held out is seen, and a second run repeats nothing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowers17.artifacts import Artifact, Reference, Store
from tests.support.commands import called

pytestmark = [pytest.mark.server, pytest.mark.slow]

N_FOLDS = 2
SETTINGS = (
    "dataset.n_classes=3",
    "dataset.images_per_class=16",
    "dataset.image_size=32",
    "splits.n_repeats=0",
    "features.weights=random",
    "learners.definitions=[{name: tiny, blocks: [[4], [8]], dense: 16}]",
    "learners.recipe.epochs=6",
    "learners.recipe.learning_rate=0.1",
    "learners.recipe.batch_size=8",
    "learners.best_recipe.epochs=1",
    "learners.best_recipe.batch_size=8",
    "learners.precision=float32",
    f"ensemble.n_folds={N_FOLDS}",
    "ensemble.ensembles=[{name: all, members: [{learner: tiny, augmentation: none}, "
    "{learner: residual, recipe: best}, {classifier: svm, maps: [{extractor: mobilenet}]}]}]",
)
STACKED = "stacking of all, clean split"


def _counts(api: str, store: Path, *options: str) -> dict[str, int]:
    words = ("run", "ensemble", "--store", str(store), "--device", "cpu", "--json", *options)
    code, printed, complaints = called(*words, api=api, settings=SETTINGS)
    assert code == 0, complaints
    return dict(json.loads(printed)["counts"])


def _artifacts(store: Path, stage: str) -> dict[str, Artifact]:
    """Return a stage's artifacts by label."""
    found = [one for one in Store(store).manifests() if one["stage"] == stage]
    return {one["label"]: Artifact(store / stage / one["key"], one) for one in found}


def _input(store: Path, artifact: Artifact, name: str) -> Artifact:
    return Store(store).open(Reference.from_json(artifact.manifest["inputs"][name]))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, prefect_api: str) -> tuple[Path, int]:
    """A store with an ensemble and its report, and how many stages that took."""
    store = tmp_path_factory.mktemp("ensemble") / "store"
    counts = _counts(prefect_api, store, "--runner", "processes")
    assert counts["failed"] == counts["reused"] == 0
    return store, counts["built"]


@pytest.fixture(scope="module")
def out_of_fold(built: tuple[Path, int]) -> Artifact:
    [found] = _artifacts(built[0], "out_of_fold").values()
    return found


def _models(built: tuple[Path, int], out_of_fold: Artifact) -> Iterator[tuple[str, str, Artifact]]:
    """Yield each model of each member in their order; which: a fold's number, or `refit`."""
    for member in out_of_fold.json("members")["members"]:
        for which in (*map(str, range(1, N_FOLDS + 1)), "refit"):
            model = _input(built[0], out_of_fold, f"{member['name']}/{which}")
            yield member["name"], which, model


def test_no_model_saw_what_it_predicts_out_of_fold(
    built: tuple[Path, int], out_of_fold: Artifact
) -> None:
    folds, seen = out_of_fold.array("folds"), []
    validation = out_of_fold.array("validation")
    for member, which, model in _models(built, out_of_fold):
        split = _input(built[0], model, "split")
        train = set(split.array("train").tolist())
        assert not train & set(validation.tolist())
        if which != "refit":
            held_out = np.flatnonzero(folds == int(which) - 1)
            assert not train & set(held_out.tolist())
            # Our recipe keeps its last epoch, and only watches the held-out images.
            watches = set(split.array("validation").tolist()) == set(held_out.tolist())
            assert watches is (member != "tiny")
        seen.append((member, which))
    assert len(seen) == 3 * (N_FOLDS + 1)


def test_the_columns_are_the_models_own_probabilities(
    built: tuple[Path, int], out_of_fold: Artifact
) -> None:
    folds, columns = out_of_fold.array("folds"), out_of_fold.json("members")["columns"]
    assert columns[3:5] == ["residual best/daffodil", "residual best/snowdrop"]
    said: dict[str, list[np.ndarray]] = {which: [] for which in ("1", "2", "refit")}
    for _, which, model in _models(built, out_of_fold):
        said[which].append(model.array("proba").astype(np.float32))
    found = out_of_fold.array("out-of-fold")
    for fold in range(N_FOLDS):
        wanted = np.hstack(said[str(fold + 1)])[folds == fold]
        assert found[folds == fold].tobytes() == wanted.tobytes()
    assert np.isnan(found[folds < 0]).all()
    assert out_of_fold.array("refit").tobytes() == np.hstack(said["refit"]).tobytes()
    average = out_of_fold.array("average")[folds < 0]
    each = [np.hstack(said[str(fold + 1)])[folds < 0] for fold in range(N_FOLDS)]
    np.testing.assert_allclose(average, np.mean(each, axis=0), rtol=1e-6)


def test_a_refit_trains_for_the_epochs_that_its_folds_found(
    built: tuple[Path, int], out_of_fold: Artifact
) -> None:
    tiny, residual, svm = out_of_fold.json("members")["members"]
    refit = _input(built[0], out_of_fold, "tiny/refit").json("result")
    assert refit["epochs"] == tiny["refit_epochs"] == round(np.mean(tiny["epochs"]))
    assert refit["recipe"]["selection"] == "last"
    assert len(tiny["epochs"]) == N_FOLDS
    assert residual["epochs"] == [1] * N_FOLDS
    assert svm["epochs"] is None


def test_every_scheme_is_evaluated_and_reported(built: tuple[Path, int]) -> None:
    result: dict[str, Any] = _artifacts(built[0], "stacking")[STACKED].json("result")
    schemes_and_learners = {(one["scheme"], one["meta_learner"]) for one in result["stackings"]}
    assert len(schemes_and_learners) == len(result["stackings"]) == 9
    assert {one["n_validation"] for one in result["stackings"]} == {result["n_validation"]} == {12}
    assert {one["by"] for one in result["methods"]} == {"average", "refit"}
    [report] = _artifacts(built[0], "study").values()
    tables = report.json("results")["tables"]
    for number in ("4b", "5b", "5-leak", "5-paired", "5-calibration", "6b"):
        assert tables[number]["rows"], number
    for figure in ("5b", "6b"):
        assert (report.path / "figures" / f"figure-0{figure}.svg").is_file()


def test_a_second_run_reuses_every_stage(built: tuple[Path, int], prefect_api: str) -> None:
    counts = _counts(prefect_api, built[0])
    assert counts == {**dict.fromkeys(counts, 0), "reused": built[1]}
