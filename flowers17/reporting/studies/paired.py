"""Two studies on the same images: who alone is right, model by model, and whether by chance."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from flowers17.artifacts import short_name
from flowers17.errors import InvalidInput
from flowers17.reporting.paired_comparisons import PairedComparison, paired_comparisons
from flowers17.reporting.studies.records import Manifest, Study

PREDICTING = ("training", "finetuning", "classifier")


def compared_models(before: Study, after: Study) -> dict[str, list[Any]]:
    """McNemar’s test of each training, fine-tuning and classifier that both studies have, as JSON.

    tests: first is before, second after; split: its name in the study before. same: labels of
    models with equal content in both, which need no test. untested: in words, models that could not
    be tested, and why.

    Only on the same images: of one digest, and in the same rows of a split, whatever its name;
    a classifier is tested on the first such split. All p-values are corrected together (Holm).
    Raises ArtifactDamaged if a file is not as published, InvalidInput if a result disagrees with
    its own predictions.
    """
    try:
        first, second = _answers(before, after)
    except _Untestable as reason:
        return {"tests": [], "same": [], "untested": [f"nothing is tested: {reason}"]}
    names: list[tuple[str, str]] = []
    answers: list[tuple[np.ndarray, np.ndarray]] = []
    equal: list[str] = []
    untested: list[str] = []
    for label, model in before.parts.items():
        counterpart = after.parts.get(label)
        if counterpart is None or not model["stage"] == counterpart["stage"] in PREDICTING:
            continue
        if not (first.scores(model) and second.scores(counterpart)):  # on the folds of an ensemble
            continue
        if model["digest"] == counterpart["digest"]:
            equal.append(label)
        elif splits := _common_split(first, second, model, counterpart):
            names.append((label, splits[0]))
            answers.append(
                (first.correct(model, splits[0]), second.correct(counterpart, splits[1]))
            )
        else:
            untested.append(f"{label}: its validation images differ")
    if not (names or equal or untested):
        untested.append("nothing is tested: the two have no training and no classifier in common")
    tests = [
        {
            "label": label,
            "split": split,
            "n_validation": comparison.n_images,
            "before": comparison.first_accuracy,
            "after": comparison.second_accuracy,
            "test": asdict(comparison.test),
            "p_holm": comparison.p_holm,
        }
        for (label, split), comparison in zip(names, paired_comparisons(answers), strict=True)
    ]
    return {"tests": tests, "same": equal, "untested": untested}


def tested_pair(
    before: Study,
    after: Study,
    models: Sequence[Manifest | None],
    splits: Sequence[str | None],
) -> PairedComparison | None:
    """McNemar’s test of one model of each study, on the images that a split of each holds out.

    None unless these are the same and both models' predictions are stored. Raises as
    `compared_models`.
    """
    if not all(model and model["stage"] in PREDICTING for model in models):
        return None
    try:
        answers = _answers(before, after)
        rows = [each.held_out[str(split)] for each, split in zip(answers, splits, strict=True)]
    except (_Untestable, KeyError):
        return None
    if not np.array_equal(rows[0], rows[1]):
        return None
    first, second = (
        each.correct(model, str(split))
        for each, model, split in zip(answers, models, splits, strict=True)
        if model
    )
    return paired_comparisons([(first, second)])[0]


def _answers(before: Study, after: Study) -> "tuple[_Answers, _Answers]":
    """Predictions of two studies of the same images; raises _Untestable."""
    if before.results["data"]["digest"] != after.results["data"]["digest"]:
        raise _Untestable("the two studies have different images")
    first, second = _Answers(before), _Answers(after)
    if not np.array_equal(first.labels, second.labels):
        raise _Untestable("the two studies name the images’ classes differently")
    return first, second


class _Untestable(Exception):
    """Why nothing can be tested."""


class _Answers:
    """Predictions of a study's models for the images that its splits hold out.

    Raises _Untestable if the study has none, or no longer.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        if not study.manifest:
            raise _Untestable(f"{study.title} lies outside its store, predictions are only there")
        splits = next((part for part in study.parts.values() if part["stage"] == "splits"), None)
        images = study.manifest_of(splits["inputs"]["images"]) if splits else None
        if study.results["data"]["digest"] is None or not splits or not images:
            raise _Untestable(f"{study.title} has no splits or images, or the store no longer")
        self.labels = study.array(images, "labels")
        self.held_out: dict[str, np.ndarray] = {
            str(split["name"]): np.asarray(split["validation"], np.int64)
            for split in study.json(splits, "splits")["splits"]
        }

    def scores(self, model: Manifest) -> dict[str, Mapping[str, Any]]:
        """Scores in a model's result, by split of the study."""
        result = self.study.json(model, "result")
        scores = result["splits"] if model["stage"] == "classifier" else [result]
        by_split = {score.get("name", score.get("split")): score for score in scores}
        return {name: by_split[name] for name in self.held_out if name in by_split}

    def correct(self, model: Manifest, split: str) -> np.ndarray:
        """Whether each image that the split holds out is classified correctly, bool (n,)."""
        kind = split if model["stage"] == "classifier" else "validation"
        truth = self.labels[self.held_out[split]]
        predicted = self.study.array(model, f"{kind}-predicted")
        n_correct = self.scores(model)[split]["n_correct"]
        if predicted.shape != truth.shape or int(np.sum(predicted == truth)) != n_correct:
            raise InvalidInput(
                f"{short_name(model['stage'], model['key'])}: expected {n_correct} of {len(truth)} "
                f"correct on split {split!r}, its predictions say otherwise; remove the artifact "
                "and run the same command again"
            )
        return np.asarray(predicted == truth)


def _common_split(
    first: _Answers, second: _Answers, model: Manifest, counterpart: Manifest
) -> tuple[str, str] | None:
    """Names in both studies of the first split that holds out the same images."""
    names = second.scores(counterpart)
    for name in first.scores(model):
        rows = first.held_out[name]
        # The name is tried first: several splits may hold out the same images.
        for candidate in sorted(names, key=lambda candidate: candidate != name):
            if np.array_equal(rows, second.held_out[candidate]):
                return name, candidate
    return None
