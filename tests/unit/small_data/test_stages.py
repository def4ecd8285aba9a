"""Stages of the questions on results that tell little: an answer, or a clear word in its place."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from flowers17.errors import WeightsMissing
from flowers17.small_data.conformal import class_thresholds
from flowers17.stages import Job
from tasks import costs, cross_validation, next_steps

N, CLASSES = 30, ["oak", "elm", "ash"]
LABELS = np.arange(N) % 3


class Stored(SimpleNamespace):
    """An artifact that holds arrays and JSON values."""

    def json(self, name: str) -> Any:
        return self.values[name]

    def array(self, name: str) -> np.ndarray:
        return np.asarray(self.values[name])


def job(folder: Path, config: dict[str, Any] | None = None, **artifacts: Any) -> Job:
    unfinished = folder / "unfinished"
    return Job(config or {}, 1, artifacts, {}, None, folder, unfinished)  # type: ignore[arg-type]


def result(folder: Path) -> Any:
    return json.loads((folder / "result.json").read_text())


def out_of_fold(proba: np.ndarray, folds: np.ndarray, reason: str = "") -> Stored:
    values = {"proba": proba, "folds": folds, "labels": LABELS, "groups": np.arange(N)}
    values["result"] = {"reason": reason, "judge": {"label": "svm"}}
    return Stored(values=values)


IMAGES = Stored(values={"items": {"class_names": CLASSES, "names": [f"{k}.jpg" for k in range(N)]}})
DUPLICATES = Stored(values={"pairs": [], "groups": np.arange(N)})
ONE_HOT, FOLDS = np.eye(3)[LABELS], np.arange(N) // 3 % 5
NEVER = np.where(np.arange(3) == 2, 0.0, [0.6, 0.4, 0]) + 0.2 * ONE_HOT


@pytest.mark.parametrize(
    ("proba", "folds"),
    [
        pytest.param(NEVER / NEVER.sum(axis=1, keepdims=True), FOLDS, id="a class never predicted"),
        pytest.param(np.full((N, 3), 1 / 3), FOLDS, id="no class before another"),
        pytest.param(ONE_HOT, np.where(LABELS == 2, -1, FOLDS), id="a class in no fold"),
    ],
)
def test_probabilities_that_tell_little_give_answers_that_say_so(
    proba: np.ndarray, folds: np.ndarray, tmp_path: Path
) -> None:
    best, n = out_of_fold(proba, folds), int((folds >= 0).sum())
    next_steps.build_label_errors(job(tmp_path, best=best, images=IMAGES, duplicates=DUPLICATES))
    labels = result(tmp_path)
    low, high = labels["n_by_chance"][1:]
    assert 0 <= low <= high <= n == labels["n_images"]
    assert labels["n_suspects"] <= high, "what such probabilities say of labels is chance"
    next_steps.build_prediction_sets(job(tmp_path, {"coverage": 0.9}, best=best, images=IMAGES))
    [every, *of_class] = result(tmp_path)["rows"]
    assert every["n_images"] == n == sum(row["n_images"] for row in of_class)
    assert every["coverage"]["value"] >= 0.9 - 1 / n
    assert 1 <= every["size"] <= 3
    for row in of_class:
        assert 0 <= row["coverage"]["interval"][0] <= row["coverage"]["interval"][1] <= 1


@pytest.mark.parametrize(("coverage", "n_needed"), [(0.5, 1), (0.9, 9), (0.95, 19), (0.99, 99)])
def test_as_many_images_are_needed_as_first_give_sets_a_threshold(
    coverage: float, n_needed: int, tmp_path: Path
) -> None:
    best = out_of_fold(ONE_HOT, FOLDS)
    next_steps.build_prediction_sets(
        job(tmp_path, {"coverage": coverage}, best=best, images=IMAGES)
    )
    told = result(tmp_path)
    assert (told["n_calibrating"], told["n_needed"]) == (N - 6, n_needed)
    labels = np.zeros(n_needed, np.int64)
    proba = np.tile([0.6, 0.4], (n_needed, 1))
    assert class_thresholds(proba, labels, coverage)[0] == 0.6
    if n_needed > 1:
        assert class_thresholds(proba[1:], labels[1:], coverage)[0] == 0


def test_a_reason_of_the_judge_stands_in_place_of_both_answers(tmp_path: Path) -> None:
    best = out_of_fold(ONE_HOT, FOLDS, reason="too few images")
    next_steps.build_label_errors(job(tmp_path, best=best, images=IMAGES, duplicates=DUPLICATES))
    assert result(tmp_path) == {"reason": "too few images"}
    next_steps.build_prediction_sets(job(tmp_path, {"coverage": 0.9}, best=best, images=IMAGES))
    assert result(tmp_path) == {"reason": "too few images"}


def evaluated() -> Stored:
    """A classifier's evaluation on a report's and on a clean split."""
    score = {"kind": "clean", "n_correct": 1, "n_validation": 3, "by_class": None, "chosen": {}}
    values = {
        "clean-proba": np.full((6, 3), 1 / 3),
        "result": {
            "splits": [{**score, "name": "report"}, {**score, "name": "clean"}],
            **{"maps": [], "classifier": "svm", "n_components": None, "search": False},
        },
    }
    reference = SimpleNamespace(key="k", to_json=lambda: {"stage": "classifier", "key": "k"})
    return Stored(values=values, manifest={"label": "svm on mobilenet"}, reference=reference)


def splits(labels: np.ndarray) -> Stored:
    train, validation = list(range(6, len(labels))), list(range(6))
    rows = {"seed": None, "test": [], "train": train, "validation": validation}
    both = [{"name": name, "kind": name, **rows} for name in ("report", "clean")]
    return Stored(values={"labels": labels, "splits": {"splits": both}})


@pytest.mark.parametrize(
    ("groups", "predicted", "reason"),
    [
        (
            np.arange(N),
            1,
            "names one class for every image alike; add images, or other classifiers",
        ),
        (LABELS, 1, "every class needs two images that are not near-duplicates of each other"),
        (np.arange(N), None, ""),
    ],
)
def test_a_judge_that_cannot_tell_says_why(
    groups: np.ndarray,
    predicted: int | None,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proba = ONE_HOT if predicted is None else np.eye(3)[np.full(N, predicted)]
    fit = SimpleNamespace(proba=lambda rows: proba[rows])
    monkeypatch.setattr(cross_validation, "fits_of", lambda _, __, ___, parts: [fit] * len(parts))
    inputs = {"splits": splits(LABELS), "duplicates": Stored(values={"groups": groups})}
    cross_validation.build(job(tmp_path, {"n_classifiers": 1}, **inputs, svm=evaluated()))
    told = result(tmp_path)["reason"]
    assert reason in told
    assert bool(told) == bool(reason)


def test_a_study_without_models_lacks_costs_and_saliency(tmp_path: Path) -> None:
    for build in (costs.build_costs, costs.build_saliency):
        with pytest.raises(WeightsMissing, match="expected a model that predicts, got none"):
            build(job(tmp_path, {"device": "cpu", "n_images": 1, "onnx": True}))
