"""Two studies on the same images: who alone is right, model by model, and whether by chance."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowers17.artifacts import short_name
from flowers17.errors import InvalidInput
from flowers17.reporting.metrics import PairedTest, holm, mcnemar
from flowers17.reporting.studies.records import Manifest, Study

PREDICTING = ("training", "finetuning", "classifier")


@dataclass(frozen=True)
class PairedComparison:
    """One training, fine-tuning or classifier of both studies, image by image.

    split: as it is called before. before, after: accuracies on its n_validation images; p_holm:
    the test's p-value, corrected for all tests.
    """

    label: str
    split: str
    n_validation: int
    before: float
    after: float
    test: PairedTest
    p_holm: float


@dataclass(frozen=True)
class PairedTests:
    """The tests that were made, and what was not tested.

    same: labels of what has equal content in both, where there is nothing to test. untested: in
    words, what else was not tested, and why.
    """

    tests: tuple[PairedComparison, ...]
    same: tuple[str, ...]
    untested: tuple[str, ...]


@dataclass(frozen=True)
class _Tested:
    label: str
    split: str
    before: np.ndarray
    after: np.ndarray


def paired_tests(before: Study, after: Study) -> PairedTests:
    """Return McNemar’s test of each training and classifier that both studies have.

    Only on the same images: of one digest, and in the same rows of a split, whatever it is called;
    a classifier is tested on the first such split. All p-values are corrected together (Holm).
    Raises ArtifactDamaged if a file is not as published, InvalidInput if a result disagrees with
    its own predictions.
    """
    try:
        if before.results["data"]["digest"] != after.results["data"]["digest"]:
            raise _Untestable("the two studies have different images")
        first, second = _Answers(before), _Answers(after)
        if not np.array_equal(first.labels, second.labels):
            raise _Untestable("the two studies name the images’ classes differently")
    except _Untestable as reason:
        return PairedTests((), (), (f"nothing is tested: {reason}",))
    found: list[_Tested] = []
    same, elsewhere = [], []
    for label, part in before.parts.items():
        other = after.parts.get(label)
        if other is None or not part["stage"] == other["stage"] in PREDICTING:
            continue
        if not (first.scores(part) and second.scores(other)):  # on the folds of an ensemble
            continue
        if part["digest"] == other["digest"]:
            same.append(label)
        elif split := _common_split(first, second, part, other):
            right = first.correct(part, split[0]), second.correct(other, split[1])
            found.append(_Tested(label, split[0], *right))
        else:
            elsewhere.append(label)
    untested = [f"{label}: its validation images differ" for label in elsewhere]
    if not (found or same or untested):
        untested.append("nothing is tested: the two have no training and no classifier in common")
    return PairedTests(_corrected(found), tuple(same), tuple(untested))


def _corrected(found: list[_Tested]) -> tuple[PairedComparison, ...]:
    tests = [mcnemar(one.before, one.after) for one in found]
    adjusted = holm([test.p_value for test in tests])
    return tuple(
        PairedComparison(
            one.label,
            one.split,
            len(one.before),
            float(one.before.mean()),
            float(one.after.mean()),
            test,
            p,
        )
        for one, test, p in zip(found, tests, adjusted, strict=True)
    )


class _Untestable(Exception):
    """Why nothing can be tested."""


class _Answers:
    """What a study's models say of the images that its splits hold out.

    Raises _Untestable if it has none, or no longer.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        if not study.manifest:
            raise _Untestable(f"{study.title} lies outside its store, predictions are only there")
        parts = [one for one in study.parts.values() if one["stage"] == "splits"]
        images = study.made(parts[0]["inputs"]["images"]) if parts else None
        if study.results["data"]["digest"] is None or images is None:
            raise _Untestable(f"{study.title} has no splits or images, or the store no longer")
        self.labels = study.array(images, "labels")
        self.held_out: dict[str, np.ndarray] = {
            str(one["name"]): np.asarray(one["validation"], np.int64)
            for one in study.json(parts[0], "splits")["splits"]
        }

    def scores(self, part: Manifest) -> dict[str, Mapping[str, Any]]:
        """Return what a training's or classifier's result says, by split of the study."""
        result = self.study.json(part, "result")
        listed = result["splits"] if part["stage"] == "classifier" else [result]
        by_name = {one.get("name", one.get("split")): one for one in listed}
        return {name: by_name[name] for name in self.held_out if name in by_name}

    def correct(self, part: Manifest, split: str) -> np.ndarray:
        """Return whether each image that the split holds out is classified correctly, bool (n,)."""
        kind = split if part["stage"] == "classifier" else "validation"
        predicted = self.study.array(part, f"{kind}-predicted")
        truth = self.labels[self.held_out[split]]
        wanted = self.scores(part)[split]["n_correct"]
        if predicted.shape != truth.shape or int(np.sum(predicted == truth)) != wanted:
            raise InvalidInput(
                f"{short_name(part['stage'], part['key'])}: expected {wanted} of {len(truth)} "
                f"correct on split {split!r}, its predictions say otherwise; remove the artifact "
                "and run the same command again"
            )
        return np.asarray(predicted == truth)


def _common_split(
    first: _Answers, second: _Answers, part: Manifest, other: Manifest
) -> tuple[str, str] | None:
    """Return what both studies call the first split that holds out the same images."""
    others = second.scores(other)
    for name in first.scores(part):
        rows = first.held_out[name]
        # The name is tried first: several splits may hold out the same images.
        for called in sorted(others, key=lambda one: one != name):
            if np.array_equal(rows, second.held_out[called]):
                return name, called
    return None
