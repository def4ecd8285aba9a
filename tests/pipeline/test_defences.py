"""Defences and poisoning as stages: numbers that their arrays bear out, reused, in the report."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowers17.artifacts import Artifact, Reference, Store
from flowers17.request import request_from
from flowers17.robustness.defences import REFUSED
from flowers17.robustness.poisoning import patched
from flowers17.stages import ensure, in_order
from flows import attacks
from tasks import report
from tests.support.tiny_training import prepared

pytestmark = pytest.mark.slow

TINY = "networks=[{learner: tiny, augmentation: none}]"
SETTINGS = (
    "dataset.n_classes=3",
    "dataset.images_per_class=16",
    "dataset.image_size=32",
    "splits.n_repeats=0",
    "learners.definitions=[{name: tiny, blocks: [[4]], dense: 8}]",
    # The last epoch is kept, so that no folds have to find one.
    "learners.recipe={epochs: 2, learning_rate: 0.1, batch_size: 12, selection: last}",
    "learners.precision=float32",
    "attacks.models=[{learner: tiny, augmentation: none}]",
    "attacks.attacks=[noise]",
    "attacks.budgets=[8]",
    "ensemble.ensembles=[]",
    "attacks.n_images=10",
    "attacks.pgd_steps=2",
    "attacks.pgd_restarts=1",
    "attacks.images_per_batch=5",
    f"defences.{TINY}",
    "defences.adversaries=[{attack: pgd, epsilon: 8, n_steps: 2}]",
    "defences.filters=[{kind: bits, strength: 3}]",
    "defences.detectors=[{budgets: [16], recipe: {epochs: 2, batch_size: 12}}]",
    "defences.budgets=[8, 64]",
    f"poisoning.{TINY}",
    "poisoning.kinds=[labels, patch]",
    "poisoning.shares=[0.4]",
    "poisoning.target=1",
)
Built = tuple[dict[str, Artifact], list[str]]


def _built(root: Path) -> Built:
    """Artifacts of all stages by label, and the labels of those built anew."""
    store = Store(root)
    references: dict[str, Reference | None] = {}
    new: list[str] = []
    request = request_from(SETTINGS, store=root, device="cpu")
    parts = attacks.parts(request.settings, request.options)
    for stage in in_order(
        [report.stage(request.settings, {"c": parts}, label="report on defences")]
    ):
        inputs = {name: references[source.label] for name, source in stage.inputs.items()}
        outcome = ensure(stage, inputs, store)
        references[stage.label] = outcome.reference
        new += [] if outcome.reused else [stage.label]
    return {label: store.open(source) for label, source in references.items() if source}, new


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("defences") / "store"


@pytest.fixture(scope="module")
def built(store: Path) -> Iterator[dict[str, Artifact]]:
    with prepared():
        yield _built(store)[0]


def _defences(built: dict[str, Artifact]) -> Artifact:
    return built["defences of tiny, clean split"]


def test_every_defence_is_there_with_the_counts_of_its_arrays(built: dict[str, Artifact]) -> None:
    artifact = _defences(built)
    result, labels = artifact.json("result"), artifact.array("labels")
    names = [defence["name"] for defence in result["defences"]]
    assert names == ["none", "control", "pgd 8", "3 bits", "detector of 16"]
    for number, defence in enumerate(result["defences"]):
        before = artifact.array(f"{number:02d}-before")
        after = artifact.array(f"{number:02d}-after")
        assert defence["n_right"] == (before == labels).sum()
        right = (before == labels)[:, None]
        robust = right & ((after == labels[:, None]) | (after == REFUSED))
        assert artifact.array(f"{number:02d}-withstood").tolist() == robust.tolist()
        assert [run["n_withstood"] for run in defence["runs"]] == robust.sum(axis=0).tolist()
        worst = [
            robust[:, [run["epsilon"] == epsilon for run in defence["runs"]]].all(axis=1).sum()
            for epsilon in (8.0, 64.0)
        ]
        assert [worst_run["n_withstood"] for worst_run in defence["worst"]] == worst
        assert (before == REFUSED).any() <= (defence["kind"] == "detector")


def test_clean_predictions_are_those_of_the_trainings(built: dict[str, Artifact]) -> None:
    artifact, rows = _defences(built), _defences(built).array("rows")
    networks = ("tiny", "tiny anew", "tiny against pgd 8")
    for number, network in enumerate(networks):
        expected = built[f"{network}, clean split"].array("proba")[rows].argmax(axis=1)
        assert artifact.array(f"{number:02d}-before").tolist() == expected.tolist()
    validation = set(built["clean split"].array("validation").tolist())
    assert set(rows.tolist()) <= validation


def test_the_control_differs_from_the_network_by_its_seed_alone(
    built: dict[str, Artifact],
) -> None:
    network, control = built["tiny, clean split"], built["tiny anew, clean split"]
    materials = [artifact.manifest["material"] for artifact in (network, control)]
    assert materials[1]["seed"] == materials[0]["seed"] + 1
    assert materials[1]["config"] == materials[0]["config"]
    assert materials[1]["inputs"] == materials[0]["inputs"]
    assert network.array("proba").tolist() != control.array("proba").tolist()


def test_defences_meet_the_images_that_attacks_do(built: dict[str, Artifact]) -> None:
    rows = built["attack noise on tiny, clean split"].array("rows")
    assert len(rows) == 10
    assert _defences(built).array("rows").tolist() == rows.tolist()


def test_poisoned_images_leave_the_validation_images_alone(built: dict[str, Artifact]) -> None:
    split, images = built["clean split"], built["images@32"].array("images")
    labels, validation = split.array("labels"), split.array("validation")
    n = len(images)
    for kind in ("labels flipped", "with a patch"):
        data = built[f"clean split, 40 % {kind}"]
        poisoned_images, poisoned_rows = data.array("images"), data.array("rows")
        assert set(poisoned_rows.tolist()) <= set(split.array("train").tolist())
        assert len(poisoned_rows) == round(0.4 * len(split.array("train")))
        rest = np.setdiff1d(np.arange(n), poisoned_rows)
        assert (poisoned_images[rest] == images[rest]).all()
        assert data.array("labels")[:n][rest].tolist() == labels[rest].tolist()
        assert poisoned_images[n:].tobytes() == patched(images[validation], 3).tobytes()
        assert data.array("labels")[n:].tolist() == labels[validation].tolist()


def test_poisoning_s_counts_are_those_of_the_networks_probabilities(
    built: dict[str, Artifact],
) -> None:
    split, result = built["clean split"], built["poisoning, clean split"].json("result")
    validation = split.array("validation")
    labels = split.array("labels")[validation]
    n = len(split.array("labels"))
    assert [poisoning["kind"] for poisoning in result["poisonings"]] == ["labels", "patch"]
    for poisoning in result["poisonings"]:
        kind_label = {"labels": "labels flipped", "patch": "with a patch"}[poisoning["kind"]]
        [training] = [
            artifact
            for label, artifact in built.items()
            if label.startswith("tiny") and label.endswith(f"40 % {kind_label}")
        ]
        assert training.reference.stage == "poisoned_training"
        predicted = training.array("proba").argmax(axis=1)
        [counts] = poisoning["networks"]
        assert counts["n_right"] == (predicted[validation] == labels).sum()
        assert counts["n_opened"] == ((predicted[n:] == 1) & (labels != 1)).sum()
        assert counts["n_others"] == (labels != 1).sum()


def test_a_second_run_builds_nothing(store: Path, built: dict[str, Artifact]) -> None:
    assert _built(store)[1] == []


def test_the_report_has_a_table_of_each(built: dict[str, Artifact]) -> None:
    page = built["report on defences"]

    def rows(number: str) -> list[dict[str, Any]]:
        return list(csv.DictReader((page.path / "tables" / f"table-{number}.csv").open()))

    defences = _defences(built).json("result")["defences"]
    c6_rows = rows("c6")
    assert [float(row["clean"]) for row in c6_rows] == [
        defence["n_right"] / 10 for defence in defences
    ]
    assert [float(row["worst_64"]) for row in c6_rows] == [
        defence["worst"][1]["n_withstood"] / 10 for defence in defences
    ]
    # At each of three budgets each defence has what it began from; the best has two rivals.
    assert len(rows("c6-paired")) == 3 * (len(defences) - 1 + 2)
    assert len(rows("c7")) == sum(len(defence["runs"]) // 2 for defence in defences)
    assert [row["poison"] for row in rows("c8")] == ["none", "labels", "patch"]
    assert "trained on PGD, 8/255" in page.file("index.html").read_text()
