"""Stages of `ensemble` at small size: nothing held out is seen, and the flow repeats nothing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowers17.artifacts import Artifact, Reference, Store
from flowers17.request import request_from
from flows import ensemble
from tests.support.builds import built as built_stages
from tests.support.commands import called
from tests.support.tiny_backbone import BACKBONE

pytestmark = pytest.mark.slow

N_FOLDS = 2
SETTINGS = (
    "dataset.n_classes=3",
    "dataset.images_per_class=16",
    "dataset.image_size=32",
    "splits.n_repeats=0",
    "features.weights=random",
    "learners.definitions=[{name: tiny, blocks: [[4], [8]], dense: 16}, "
    "{name: other, blocks: [[4]], dense: 8}]",
    "learners.recipe.epochs=6",
    "learners.recipe.learning_rate=0.1",
    "learners.recipe.batch_size=8",
    "learners.best_recipe={epochs: 1, batch_size: 8, resolutions: [1.0]}",
    "learners.precision=float32",
    f"ensemble.n_folds={N_FOLDS}",
    "ensemble.ensembles=[{name: all, members: [{learner: tiny, augmentation: none}, "
    "{learner: other, recipe: best}, "
    f"{{classifier: svm, maps: [{{extractor: '{BACKBONE}'}}]}}]}}]",
)
STACKED = "stacking of all, clean split"


def _artifacts(store: Path, stage: str) -> dict[str, Artifact]:
    """Return a stage's artifacts by label."""
    found = [one for one in Store(store).manifests() if one["stage"] == stage]
    return {one["label"]: Artifact(store / stage / one["key"], one) for one in found}


def _input(store: Path, artifact: Artifact, name: str) -> Artifact:
    return Store(store).open(Reference.from_json(artifact.manifest["inputs"][name]))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with an ensemble and its report."""
    root = tmp_path_factory.mktemp("ensemble") / "store"
    request = request_from(SETTINGS, store=root, device="cpu")
    return built_stages(ensemble.stages(request.settings, request.options), root).root


@pytest.fixture(scope="module")
def out_of_fold(built: Path) -> Artifact:
    [found] = _artifacts(built, "out_of_fold").values()
    return found


def _models(built: Path, out_of_fold: Artifact) -> Iterator[tuple[str, str, Artifact]]:
    """Yield each model of each member in their order; which: a fold's number, or `refit`."""
    for member in out_of_fold.json("members")["members"]:
        for which in (*map(str, range(1, N_FOLDS + 1)), "refit"):
            model = _input(built, out_of_fold, f"{member['name']}/{which}")
            yield member["name"], which, model


def test_no_model_saw_what_it_predicts_out_of_fold(built: Path, out_of_fold: Artifact) -> None:
    folds, seen = out_of_fold.array("folds"), []
    validation = out_of_fold.array("validation")
    for member, which, model in _models(built, out_of_fold):
        split = _input(built, model, "split")
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


def test_the_columns_are_the_models_own_probabilities(built: Path, out_of_fold: Artifact) -> None:
    folds, columns = out_of_fold.array("folds"), out_of_fold.json("members")["columns"]
    assert columns[3:5] == ["other best/daffodil", "other best/snowdrop"]
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
    built: Path, out_of_fold: Artifact
) -> None:
    tiny, other, svm = out_of_fold.json("members")["members"]
    refit = _input(built, out_of_fold, "tiny/refit").json("result")
    assert refit["epochs"] == tiny["refit_epochs"] == round(np.mean(tiny["epochs"]))
    assert refit["recipe"]["selection"] == "last"
    assert len(tiny["epochs"]) == N_FOLDS
    assert other["epochs"] == [1] * N_FOLDS
    assert svm["epochs"] is None


def test_every_scheme_is_evaluated_and_reported(built: Path) -> None:
    result: dict[str, Any] = _artifacts(built, "stacking")[STACKED].json("result")
    schemes_and_learners = {(one["scheme"], one["meta_learner"]) for one in result["stackings"]}
    assert len(schemes_and_learners) == len(result["stackings"]) == 9
    assert {one["n_validation"] for one in result["stackings"]} == {result["n_validation"]} == {12}
    assert {one["by"] for one in result["methods"]} == {"average", "refit"}
    [report] = _artifacts(built, "study").values()
    tables = report.json("results")["tables"]
    for number in ("4b", "5b", "5-leak", "5-paired", "5-calibration", "6b"):
        assert tables[number]["rows"], number
    for figure in ("5b", "6b"):
        assert (report.path / "figures" / f"figure-0{figure}.svg").is_file()


@pytest.mark.server
def test_the_flow_reuses_every_stage(built: Path, prefect_api: str) -> None:
    n_stages = len(list(Store(built).manifests()))
    words = ("run", "ensemble", "--store", str(built), "--device", "cpu", "--json")
    code, printed, complaints = called(*words, api=prefect_api, settings=SETTINGS)
    assert code == 0, complaints
    counts = json.loads(printed)["counts"]
    assert counts == {**dict.fromkeys(counts, 0), "reused": n_stages}
