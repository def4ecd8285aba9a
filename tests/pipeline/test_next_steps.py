"""The part on what to do next, built by its stages on small studies: answers, reasons, advice."""

import csv
import json
import signal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowers17.artifacts import Artifact, Reference, Store
from flowers17.learners.images import scaled
from flowers17.prediction.evidence import held_out, images_of
from flowers17.prediction.models import Loader
from tasks.costs import unseeing_model
from tests.support.builds import built
from tests.support.commands import called
from tests.support.forks import exit_code
from tests.support.image_files import class_folders
from tests.support.killed_studies import overridden
from tests.support.next_steps_study import build_with_log, stages
from tests.support.tiny_backbone import BACKBONE

pytestmark = pytest.mark.slow

SETTINGS = (
    "dataset.n_classes=3",
    "dataset.images_per_class=12",
    "dataset.image_size=32",
    "splits.n_repeats=3",
    "features.weights=random",
    f"features.table=[{{extractor: '{BACKBONE}'}}]",
    "features.combinations=[]",
    "features.classifiers.names=[svm, logistic_regression]",
    "learners.definitions=[{name: tiny, blocks: [[4]], dense: 8}]",
    "learners.plain=[tiny]",
    "learners.augmented=[]",
    "learners.best=[]",
    "learners.recipe.epochs=2",
    "learners.recipe.batch_size=3",
    "learners.precision=float32",
    "fine_tuning.table=[]",
    "ensemble.ensembles=[{name: pair, members: [{learner: tiny, augmentation: none}, "
    f"{{classifier: svm, maps: [{{extractor: '{BACKBONE}'}}]}}]}}]",
    "ensemble.n_folds=2",
    "ensemble.meta_learners=[logistic_regression]",
    "next_steps.n_saliency_images=2",
)
TRAINED = (
    "next_steps.learners=[{learner: tiny, augmentation: none}]",
    "next_steps.shares=[0.25, 0.5, 0.75, 1]",
    "next_steps.n_splits=2",
)


def newest(root: Path) -> dict[str, Artifact]:
    """The newest artifact of each stage of a store."""
    store = Store(root)
    manifests = sorted(store.manifests(), key=lambda manifest: manifest["created"])
    return {each["stage"]: store.open(Reference.from_json(each)) for each in manifests}


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[str]]]:
    """A store whose part was killed after a model's saliency, and after two models' costs.

    And the work of each process on single models, by what killed it.
    """
    root, work = tmp_path_factory.mktemp("next"), dict[str, list[str]]()
    of_part = stages(root, "rendered", (*SETTINGS, *TRAINED))
    for stage, n_before in (("saliency", 1), ("costs", 2), ("", 0)):
        log = root.with_name(f"work before {stage}")
        ending = exit_code(build_with_log, of_part, root, stage, n_before, log)
        assert ending == (-signal.SIGKILL if stage else 0)
        work[stage] = log.read_text().splitlines()
    return root, work


@pytest.fixture(scope="module")
def study(interrupted: tuple[Path, dict[str, list[str]]]) -> dict[str, Artifact]:
    return newest(interrupted[0])


def tables(study: dict[str, Artifact]) -> dict[str, Any]:
    return dict(study["study"].json("results")["tables"])


def cells(table: dict[str, Any], key: str) -> list[Any]:
    return [row["cells"][key]["value"] for row in table["rows"]]


def test_each_question_has_its_table_its_figure_and_its_sentence(
    study: dict[str, Artifact],
) -> None:
    numbers = {number for number in tables(study) if number.startswith("N")}
    assert numbers == {"N1", "N2", "N3", "N4", "N5", "N6"}
    page = study["study"].file("index.html").read_text()
    assert [f'id="figure-N{k}"' in page for k in (2, 4, 5, 6)] == [True] * 4
    steps = study["study"].json("results")["next_steps"]
    assert 3 <= len(steps) <= 5
    assert {step["numbers"] for step in steps} <= {f"Table {number}" for number in numbers}
    assert cells(tables(study)["N1"], "step") == [step["text"] for step in steps]


def test_out_of_fold_probabilities_cover_every_image_once(study: dict[str, Artifact]) -> None:
    best = study["cross_validation"]
    folds, proba, groups = (best.array(name) for name in ("folds", "proba", "groups"))
    assert (folds >= 0).all()
    assert proba.sum(axis=1) == pytest.approx(np.ones(36))
    assert all(len(np.unique(folds[groups == group])) == 1 for group in np.unique(groups))


def test_curves_are_of_classifiers_and_of_a_trained_network(study: dict[str, Artifact]) -> None:
    curves = study["learning_curve"].json("result")["curves"]
    assert curves[-1]["label"] == "tiny"
    assert len(curves) == 3
    for curve in curves:
        assert np.shape(curve["accuracies"]) == (2, len(curve["n_train"]))
        assert curve["n_train"] == sorted(curve["n_train"])
    evaluated = study["classifier"].json("result")["splits"][-1]
    assert curves[0]["n_train"][-1] == evaluated["n_train"]


def test_coverage_is_that_of_the_sets_that_are_stored(study: dict[str, Artifact]) -> None:
    is_covered = study["prediction_sets"].array("is-covered")
    [every, *of_class] = tables(study)["N4"]["rows"]
    share = every["cells"]["coverage"]
    assert share["value"] == pytest.approx(is_covered.mean())
    assert share["interval"][0] <= share["value"] <= share["interval"][1]
    n_covered = [row["cells"]["coverage"]["value"] * 12 for row in of_class]
    assert sum(n_covered) == pytest.approx(is_covered.sum())


def test_killed_between_models_only_the_rest_is_computed(
    interrupted: tuple[Path, dict[str, list[str]]], study: dict[str, Artifact]
) -> None:
    _, work = interrupted
    n_models = len(study["costs"].json("result")["rows"])
    assert n_models > 3
    assert work["saliency"] == ["saliency"]
    assert work["costs"] == ["saliency", "costs", "costs"]
    assert work[""] == ["costs"] * (n_models - 2)
    assert not list((interrupted[0] / ".unfinished").iterdir())


def test_costs_are_of_every_model_and_times_are_in_no_file_that_is_compared(
    study: dict[str, Artifact],
) -> None:
    costs, report = study["costs"], study["study"]
    rows = costs.json("result")["rows"]
    assert {row["artifact"]["stage"] for row in rows} == {"fitted", "stacking", "training"}
    assert {row["reason"] for row in rows} == {""}
    assert any(row["on_front"] for row in rows)
    times = costs.manifest["metrics"]
    kinds = {row["artifact"]["stage"] for row in rows}
    as_onnx = len(kinds) if find_spec("onnxruntime") else 0  # a stage for each kind of model
    assert len(times) == 2 * len(rows) + 2 * as_onnx
    assert sum(name.endswith(("onnx_1", "onnx_32")) for name in times) == 2 * as_onnx
    assert all(value > 0 for value in times.values())
    assert "ms_1" not in json.dumps(tables(study)["N6"])
    page = report.file("index.html").read_text()
    assert "Time an image" in page
    assert "<code>make setup EXTRAS=onnx</code>" in page
    assert "Time an image" not in report.file("results.json").read_text()
    assert not (report.path / "figures" / "figure-n6.svg").exists()
    with report.file("tables/table-n6.csv").open() as stream:
        assert not any("ms_" in name for name in next(csv.reader(stream)))


def test_parameters_are_those_of_the_network(study: dict[str, Artifact]) -> None:
    trained = study["training"].json("result")["n_parameters"]
    rows = study["costs"].json("result")["rows"]
    counted = [row["n_parameters"] for row in rows if row["artifact"]["stage"] == "training"]
    assert counted == [trained]


def test_saliency_changes_where_the_weights_are_shuffled(study: dict[str, Artifact]) -> None:
    rows = study["saliency"].json("result")["rows"]
    assert sorted(row["stage"] for row in rows) == ["fitted", "training"]
    for row in rows:
        assert row["reason"] == ""
        maps = study["saliency"].array(f"{row['stage']}-maps")
        assert maps.shape == (len(row["rows"]), 8, 8)
        assert row["similarity"] < 0.6


def test_maps_are_of_models_that_had_not_seen_the_images(
    interrupted: tuple[Path, dict[str, list[str]]], study: dict[str, Artifact]
) -> None:
    loader = Loader(Store(interrupted[0]), device="cpu", own_learners=[BACKBONE])
    models, gaps = [row["model"] for row in study["saliency"].json("result")["rows"]], {}
    for manifest in loader.store.manifests():
        if manifest["label"] in models and manifest["stage"] in ("fitted", "training"):
            artifact = loader.artifact(manifest)
            own, images = held_out(artifact, loader), images_of(artifact, loader)
            assert own
            model = unseeing_model(artifact, loader, own)
            proba = model.proba(scaled(images[max(images)][own.rows]))
            gaps[manifest["label"]] = float(np.abs(proba - own.proba).max())
    assert max(gaps.values()) < 1e-5
    assert gaps.keys() == set(models)
    assert any(model.endswith("all images") for model in models)


@pytest.mark.parametrize("counts", [{"oak": 5, "elm": 5}, {"oak": 2, "elm": 6}])
def test_few_images_get_answers_or_a_clear_word(tmp_path: Path, counts: dict[str, int]) -> None:
    photos = class_folders(tmp_path / "photos", counts)
    own = overridden(
        SETTINGS,
        "features.combinations=[]",
        "ensemble.ensembles=[]",
        "learners.plain=[]",
        "next_steps.questions=[more_images, labels, certainty]",
    )
    own = tuple(each for each in own if not each.startswith(("dataset.n", "dataset.images_per")))
    root = tmp_path / "store"
    built(stages(root, str(photos), own), root)
    study = newest(root)
    assert {"N2", "N3", "N4"} <= tables(study).keys()
    assert (study["cross_validation"].array("folds") >= 0).all()
    for curve in study["learning_curve"].json("result")["curves"]:
        if len(curve["n_train"]) < 4:
            assert "expected at least 4 sizes of the training part" in curve["reason"]
            assert curve["reason"] in cells(tables(study)["N2"], "kind")


@pytest.mark.server
def test_without_a_classifier_the_rest_goes_on_and_the_run_completes(
    tmp_path: Path, prefect_api: str
) -> None:
    own = overridden(
        SETTINGS,
        "features.weights=imagenet",
        "features.table=[{extractor: mobilenet}]",
        "features.combinations=[]",
        "ensemble.ensembles=[]",
        "learners.recipe.epochs=1",
    )
    (tmp_path / "weights").mkdir()
    places = ("--store", str(tmp_path / "store"), "--weights-dir", str(tmp_path / "weights"))
    words = ("run", "next_steps", *places, "--device", "cpu", "--json")
    code, printed, complaints = called(*words, api=prefect_api, settings=own)
    assert code == 0, complaints
    output = json.loads(printed)
    assert output["counts"]["failed"] == 0
    assert output["counts"]["missing"] > 0
    report = Path(output["report"])
    results = json.loads((report.parent / "results.json").read_text())
    assert {name for name in results["tables"] if name.startswith("N")} == {"N5", "N6"}
    page = report.read_text()
    missing = page[page.index('id="missing-next"') :].partition("</section>")[0]
    assert "put mobilenet_notop.weights.h5 into the folder given as --weights-dir" in missing
    for question in ("learning curves", "labels that look wrong", "prediction sets"):
        assert question in missing
    assert "log says why" not in missing
