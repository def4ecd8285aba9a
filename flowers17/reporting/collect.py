"""What a report needs, found among a study's artifacts and checked against each other.

One long module, since every table and figure asks the same `ReportInputs`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from flowers17.artifacts import Artifact, sha256_of
from flowers17.config import CombinationSettings, FeatureMapSettings, StudySettings
from flowers17.errors import InvalidInput
from flowers17.reporting.attacks.records import Attack, Transfer, attack_of, transfer_of
from flowers17.reporting.ensembles.records import EnsembleResult, ensemble_results
from flowers17.reporting.finetuning.records import FineTuning, fine_tuning
from flowers17.reporting.records import (
    Evaluation,
    FeatureMap,
    Score,
    Training,
    evaluation,
    feature_map,
    inputs_of,
    training,
)
from flowers17.reporting.reference import IMAGE_SIZE

# Labels of trainings, of the splits that they read, and of the augmentations' pictures.
_FROM_SCRATCH = re.compile(r"(\S+( \S+)?, )?\S+ split$|augmentations$")
# Labels of what only ensembles need: folds, base models on them and refit, and what reads those.
_OF_ENSEMBLES = re.compile(
    r"(folds|out-of-fold|stacking) of |.*\bfold \d+\b|.+ refit, \S+ split$|\S+ on .+, \S+ split$"
)
# Labels of fine-tuned networks, and of the activations that they are trained on.
_OF_FINE_TUNING = re.compile(r"(fine-tuning|activations) \S+")
# Labels of attacks, of their images shown to other models, of defences and of poisoning.
_OF_ATTACKS = re.compile(
    r"attack \S+ on |transfer, |defences of |.+ against \S+ \S+, |poisoning, |"
    r".*\bsplit, (not poisoned|\S+ % (labels flipped|with a patch))$"
)
# What a clean split is worth where near-duplicates are not the images that look alike.
_LESS_CLEAN = {
    "identical": "only images of identical pixels were kept together (splits.near_duplicates), so "
    "that others of one scene may lie on both sides of clean splits and of folds",
    "none": "near-duplicates were not searched for (splits.near_duplicates), so that images of one "
    "scene may lie on both sides of clean splits and of folds",
}


Network = TypeVar("Network", Training, FineTuning)


@dataclass(frozen=True)
class ReportInputs:
    """A study's artifacts by label, the labels that have none and why, and the settings.

    settings: `StudySettings` as JSON.
    """

    artifacts: Mapping[str, Artifact]
    missing: Mapping[str, str]
    settings: Mapping[str, Any]

    @cached_property
    def study(self) -> StudySettings:
        """The settings, typed."""
        return StudySettings.model_validate(self.settings)

    def stage(self, name: str) -> list[Artifact]:
        """Return the artifacts of a stage, each once, in the order of their labels."""
        found = {
            artifact.reference.key: artifact
            for _, artifact in sorted(self.artifacts.items())
            if artifact.manifest.get("stage") == name
        }
        return list(found.values())

    def _first(self, stage: str) -> Artifact | None:
        return next(iter(self.stage(stage)), None)

    @cached_property
    def splits(self) -> Artifact | None:
        """The splits' artifact."""
        return self._first("splits")

    @cached_property
    def duplicates(self) -> Artifact | None:
        """The near-duplicates' artifact."""
        return self._first("duplicates")

    @cached_property
    def datasheet(self) -> Artifact | None:
        """The data sheet's artifact."""
        return self._first("datasheet")

    @cached_property
    def images(self) -> Artifact | None:
        """The images that the splits were made of; other sizes serve single extractors only."""
        candidates = self.stage("images")
        wanted = inputs_of(self.splits).get("images") if self.splits else None
        for artifact in candidates:
            if wanted and artifact.reference.digest == wanted.get("digest"):
                return artifact
        size = self.study.dataset.image_size
        for artifact in candidates:
            if artifact.mapped("images").shape[1] == size:
                return artifact
        return candidates[0] if candidates else None

    @cached_property
    def items(self) -> Mapping[str, Any]:
        """Names, classes, digests and source of the images; empty without images."""
        return self.images.json("items") if self.images else {}

    @cached_property
    def class_names(self) -> list[str]:
        """The classes, in the order of their labels."""
        return [str(name) for name in self.items.get("class_names", [])]

    @cached_property
    def labels(self) -> np.ndarray:
        """Label of each image, int64 (n,)."""
        return self.images.array("labels") if self.images else np.zeros(0, dtype=np.int64)

    @cached_property
    def divided(self) -> list[Mapping[str, Any]]:
        """The splits, in their order; empty without splits."""
        return list(self.splits.json("splits")["splits"]) if self.splits else []

    def validation_rows(self, split: str) -> np.ndarray:
        """Return the rows that a split holds out, int64 (n_validation,)."""
        for one in self.divided:
            if one["name"] == split:
                return np.asarray(one["validation"], dtype=np.int64)
        raise InvalidInput(
            f"expected a split {split!r}, found {[one['name'] for one in self.divided]}"
        )

    @property
    def is_oxford17(self) -> bool:
        """Whether every image is byte for byte one of Oxford Flowers-17."""
        return bool(self.items.get("verified"))

    @property
    def is_rendered(self) -> bool:
        """Whether the flowers were drawn from code."""
        return self.source_kind == "rendered"

    @property
    def source_kind(self) -> str:
        """Where the images come from: rendered, oxford17, archive or folder."""
        return str(self.items.get("source", {}).get("kind", "unknown"))

    @property
    def data_digest(self) -> str | None:
        """Digest of the data set's images and labels, whatever they were packed in."""
        if not self.images:
            return None
        return sha256_of([list(self.items.get("sha256", [])), self.labels.tolist()])

    @cached_property
    def feature_maps(self) -> dict[str, FeatureMap]:
        """Every feature map that was made, by name."""
        return {one.name: one for one in map(feature_map, self.stage("features"))}

    @cached_property
    def evaluations(self) -> list[Evaluation]:
        """Every classifier that was evaluated, in the order of labels.

        Raises InvalidInput if a result disagrees with its own predictions.
        """
        return [self._evaluation(artifact) for artifact in self.stage("classifier")]

    def _evaluation(self, artifact: Artifact) -> Evaluation:
        found = evaluation(artifact)
        for score in found.scores.values():
            if score.kind == "report" and self.images and self.splits:
                self._check(artifact, score, self.correct(found, score.split))
        return found

    def _check(self, artifact: Artifact, score: Score, correct: np.ndarray) -> None:
        if (len(correct), int(correct.sum())) != (score.n_validation, score.n_correct):
            raise InvalidInput(
                f"{artifact.path}: expected {score.n_correct} of {score.n_validation} correct on "
                f"split {score.split!r}, its predictions have {int(correct.sum())} of "
                f"{len(correct)}; remove the artifact and run the same command again"
            )

    def correct(self, evaluation: Evaluation, split: str) -> np.ndarray:
        """Return whether each held-out image was classified correctly, bool (n_validation,)."""
        return self._correct(evaluation.artifact, split, evaluation.predicted(split))

    def _correct(self, artifact: Artifact, split: str, predicted: np.ndarray) -> np.ndarray:
        truth = self.labels[self.validation_rows(split)]
        if predicted.shape != truth.shape:
            raise InvalidInput(
                f"{artifact.path}: expected {len(truth)} predictions on split {split!r}, got shape "
                f"{predicted.shape}; remove the artifact and run the same command again"
            )
        return predicted == truth

    @cached_property
    def trainings(self) -> list[Training]:
        """Every network that was trained from scratch, in the order of labels.

        Those that only serve ensembles are left out.
        Raises InvalidInput if a result disagrees with its own predictions.
        """
        every = [training(artifact) for artifact in self.stage("training")]
        return [self._checked(one) for one in every if not one.of_an_ensemble]

    def training(self, learner: str, augmentation: str) -> Training | None:
        """Return the training by the study's recipe on the report's split, if there is one."""
        wanted = (learner, augmentation, "report", "report")
        for one in self.trainings:
            if (one.learner, one.augmentation, one.recipe_name, one.score.kind) == wanted:
                return one
        return None

    @cached_property
    def own_trainings(self) -> dict[str, list[Training]]:
        """By learner, the trainings by our own recipe, in the order of the splits."""
        order = {one["name"]: place for place, one in enumerate(self.divided)}
        found: dict[str, list[Training]] = {}
        for one in sorted(self.trainings, key=lambda one: order.get(one.score.split, len(order))):
            if one.recipe_name == "best":
                found.setdefault(one.learner, []).append(one)
        return found

    @property
    def untrained(self) -> dict[str, str]:
        """Why, by label, a network was not trained, or what only networks from scratch need."""
        return {
            label: why
            for label, why in self.missing.items()
            if _FROM_SCRATCH.match(label) and label not in self.uncombined
        }

    @cached_property
    def fine_tunings(self) -> list[FineTuning]:
        """Every phase of every fine-tuned network, in the order of labels.

        Those that only serve ensembles are left out.
        Raises InvalidInput if a result disagrees with its own predictions.
        """
        every = [fine_tuning(artifact) for artifact in self.stage("finetuning")]
        return [self._checked(one) for one in every if not one.of_an_ensemble]

    def _checked(self, one: Network) -> Network:
        """Return a network whose count of correct answers is that of its predictions."""
        if self.images and self.splits:
            self._check(one.artifact, one.score, self.correct_of(one))
        return one

    def correct_of(self, one: Training | FineTuning) -> np.ndarray:
        """Return whether each held-out image was classified correctly, bool (n_validation,)."""
        return self._correct(one.artifact, one.score.split, one.predicted)

    @cached_property
    def untuned(self) -> dict[str, str]:
        """Why, by label, a network was not fine-tuned, or what only fine-tuning needs."""
        return {
            label: why
            for label, why in self.missing.items()
            if _OF_FINE_TUNING.match(label) and label not in self.uncombined
        }

    @cached_property
    def ensemble_results(self) -> list[EnsembleResult]:
        """Every ensemble on every split, as the settings name them, the splits in their order.

        Raises InvalidInput if a result disagrees with its own predictions.
        """
        names = [ensemble.name for ensemble in self.study.ensemble.ensembles]
        splits = [split["name"] for split in self.divided]

        def order(result: EnsembleResult) -> tuple[int, str, int]:
            rank = names.index(result.name) if result.name in names else len(names)
            split = splits.index(result.split) if result.split in splits else len(splits)
            return rank, result.name, split

        return sorted(
            ensemble_results(self.stage("out_of_fold"), self.stage("stacking")), key=order
        )

    @cached_property
    def attacks(self) -> list[Attack]:
        """Every attack on every model, in the order of labels.

        Raises InvalidInput if a result disagrees with its own predictions.
        """
        return [attack_of(artifact) for artifact in self.stage("attack")]

    @cached_property
    def transfers(self) -> list[Transfer]:
        """Images made on one network and shown to every model, split by split."""
        return [transfer_of(artifact) for artifact in self.stage("transfer")]

    @cached_property
    def unattacked(self) -> dict[str, str]:
        """Why, by label, an attack was not made, or its images were not shown to others."""
        return {label: why for label, why in self.missing.items() if _OF_ATTACKS.match(label)}

    @cached_property
    def uncombined(self) -> dict[str, str]:
        """Why, by label, an ensemble was not made, or what only ensembles need."""
        return {label: why for label, why in self.missing.items() if _OF_ENSEMBLES.match(label)}

    @property
    def has_features(self) -> bool:
        """Whether features were extracted, or should have been."""
        asked = any(label.startswith("features ") for label in self.missing)
        return asked or bool(self.feature_maps)

    def evaluation(self, combination: CombinationSettings) -> Evaluation | None:
        """Return the evaluation of a combination, if it was run."""
        wanted = (
            tuple(one.name for one in combination.maps),
            combination.classifier,
            combination.n_components,
            combination.search,
        )
        for one in self.evaluations:
            if (one.maps, one.classifier, one.n_components, one.search) == wanted:
                return one
        return None

    @cached_property
    def table_8(self) -> list[CombinationSettings]:
        """The cells of Table 8, extractor by extractor."""
        return [
            CombinationSettings(maps=(one,), classifier=name)
            for one in self.study.features.table
            for name in self.study.features.classifiers.names
        ]

    @cached_property
    def evaluations_of_table_8(self) -> list[Evaluation]:
        """The evaluations behind Table 8, those that were run."""
        return [found for one in self.table_8 if (found := self.evaluation(one))]

    @cached_property
    def best(self) -> Evaluation | None:
        """The best of Table 8 on the report's split; the first of them if several are."""
        scored = [(one.score("report"), one) for one in self.evaluations_of_table_8]
        counted = [(score.accuracy, one) for score, one in scored if score]
        return max(counted, key=lambda pair: pair[0])[1] if counted else None

    def reason_missing(self, names: Sequence[str], classifier: str = "") -> str:
        """Return why there is nothing for these feature maps, or for a classifier on them."""
        for name in names:
            elsewhere = {*self.uncombined, *self.untuned, *self.unattacked}
            others = sorted(set(self.missing) - elsewhere)
            labels = [one for one in others if name in re.split(r"[\s,]+", one)]
            wanted = (f"features {name}", f"{classifier} on {name}")
            labels.sort(key=lambda label: label not in wanted)
            if labels:
                return self.missing[labels[0]]
        return "no result was made"

    @cached_property
    def has_random_weights(self) -> bool:
        """Whether any number rests on untrained weights."""
        resting = (self.feature_maps.values(), self.evaluations, self.fine_tunings)
        return any(one.random_weights for several in resting for one in several)

    @cached_property
    def _data_differences(self) -> list[tuple[str, str]]:
        """Each difference of the images to the study's, as a clause and in short."""
        found = []
        if self.is_rendered:
            clause = "the flowers are rendered from code, not photographs of Oxford Flowers-17"
            found.append((clause, "rendered flowers"))
        elif not self.is_oxford17:
            found.append(("the images are not those of Oxford Flowers-17", "other images"))
        size = self.study.dataset.image_size
        if size != IMAGE_SIZE:
            clause = f"the images measure {size} × {size} pixels, not {IMAGE_SIZE} × {IMAGE_SIZE}"
            found.append((clause, f"{size} × {size} pixels"))
        return found

    @cached_property
    def _differences(self) -> list[tuple[str, str]]:
        """Each difference to the study in kind, as a clause and in short."""
        if not self.has_random_weights:
            return self._data_differences
        clause = "the extractors’ weights are random, not trained on ImageNet"
        return [*self._data_differences, (clause, "untrained weights")]

    @property
    def differences(self) -> list[str]:
        """In what our numbers differ from the study's in kind; empty if they compare directly."""
        return [clause for clause, _ in self._differences]

    @property
    def differences_in_short(self) -> str:
        """The same in a few words, e.g. `rendered flowers, untrained weights`."""
        return ", ".join(short for _, short in self._differences)

    @property
    def less_clean(self) -> str:
        """Why clean splits may hold near-duplicates on both sides; empty if they may not."""
        return _LESS_CLEAN.get(self.study.splits.near_duplicates, "")

    @property
    def data_differences_in_short(self) -> str:
        """The differences of the images alone, e.g. `rendered flowers, 80 × 80 pixels`."""
        return ", ".join(short for _, short in self._data_differences)

    def comparable(self, one: FeatureMapSettings) -> bool:
        """Whether the study's number and ours measure the same thing on the same data."""
        made = self.feature_maps.get(one.name)
        return bool(self.is_oxford17 and made and made.like_the_study and not made.random_weights)
