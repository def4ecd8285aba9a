"""The part on what to do next, built by its stages on small studies: answers, reasons, advice."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowers17.artifacts import Artifact, Reference, Store
from tests.support.image_files import class_folders
from tests.support.processes import output_of

pytestmark = pytest.mark.slow

SETTINGS = (
    "dataset.n_classes=3",
    "dataset.images_per_class=12",
    "dataset.image_size=32",
    "splits.n_repeats=3",
    "features.weights=random",
    "features.table=[{extractor: mobilenet}]",
    "features.classifiers.names=[svm, logistic_regression]",
    "learners.definitions=[{name: tiny, blocks: [[4], [8]], dense: 16}]",
    "learners.plain=[tiny]",
    "learners.augmented=[]",
    "learners.best=[]",
    "learners.recipe.epochs=2",
    "learners.recipe.batch_size=4",
    "learners.precision=float32",
    "fine_tuning.table=[]",
    "ensemble.ensembles=[{name: pair, members: [{learner: tiny, augmentation: none}, "
    "{classifier: svm, maps: [{extractor: mobilenet}]}]}]",
    "ensemble.n_folds=2",
    "ensemble.meta_learners=[logistic_regression]",
    "next_steps.n_saliency_images=2",
)
TRAINED = (
    "next_steps.learners=[{learner: tiny, augmentation: none}]",
    "next_steps.shares=[0.25, 0.5, 0.75, 1]",
    "next_steps.n_splits=2",
)
CODE = """
import sys
from flowers17.artifacts import Store
from flowers17.request import request_from
from flowers17.stages import ensure, in_order
from flows import next_steps

store = Store(sys.argv[1])
request = request_from(sys.argv[3:], store=store.root, device="cpu", dataset=sys.argv[2])
references = {}
for stage in in_order(next_steps.stages(request.settings, request.options)):
    inputs = {name: references[needed.label] for name, needed in stage.inputs.items()}
    references[stage.label] = ensure(stage, inputs, store).reference
"""


def built(root: Path, dataset: str, *settings: str) -> dict[str, Artifact]:
    """Build the part in a process of its own; return the newest artifact of each stage."""
    output_of(CODE, str(root), dataset, *settings, timeout=500)
    store = Store(root)
    manifests = sorted(store.manifests(), key=lambda manifest: manifest["created"])
    return {each["stage"]: store.open(Reference.from_json(each)) for each in manifests}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    return built(tmp_path_factory.mktemp("next"), "rendered", *SETTINGS, *TRAINED)


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


def test_costs_are_of_every_model_and_times_are_in_no_file_that_is_compared(
    study: dict[str, Artifact],
) -> None:
    costs, report = study["costs"], study["study"]
    rows = costs.json("result")["rows"]
    assert {row["artifact"]["stage"] for row in rows} == {"fitted", "stacking", "training"}
    assert {row["reason"] for row in rows} == {""}
    assert any(row["on_front"] for row in rows)
    times = costs.manifest["metrics"]
    assert len(times) == 2 * len(rows)
    assert all(value > 0 for value in times.values())
    assert "ms_1" not in json.dumps(tables(study)["N6"])
    assert "Time an image" in report.file("index.html").read_text()
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


@pytest.mark.parametrize("counts", [{"oak": 5, "elm": 5}, {"oak": 2, "elm": 6}])
def test_few_images_get_answers_or_a_clear_word(tmp_path: Path, counts: dict[str, int]) -> None:
    photos = class_folders(tmp_path / "photos", counts)
    own = (
        *(value for value in SETTINGS if not value.startswith(("dataset.n", "dataset.images_per"))),
        "features.combinations=[]",
        "ensemble.ensembles=[]",
        "learners.plain=[]",
        "next_steps.questions=[more_images, labels, certainty]",
    )
    study = built(tmp_path / "store", str(photos), *own)
    assert {"N2", "N3", "N4"} <= tables(study).keys()
    assert (study["cross_validation"].array("folds") >= 0).all()
    for curve in study["learning_curve"].json("result")["curves"]:
        if len(curve["n_train"]) < 4:
            assert "expected at least 4 sizes of the training part" in curve["reason"]
            assert curve["reason"] in cells(tables(study)["N2"], "kind")
