"""What a report needs, found among a study's artifacts and checked against each other.

One long module, since every table and figure asks the same `ReportInputs`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar, get_args

import numpy as np

from flowers17.artifacts import Artifact
from flowers17.config import CombinationSettings, FeatureMapSettings, ResizeName, StudySettings
from flowers17.data.balance import is_balanced
from flowers17.data.source import SourceKind
from flowers17.digests import sha256_of
from flowers17.errors import InvalidInput
from flowers17.reporting.absences import NO_RESULT, AbsentStage
from flowers17.reporting.attacks.records import Attack, Transfer, attack_of, transfer_of
from flowers17.reporting.ensembles.records import EnsembleResult, ensemble_results
from flowers17.reporting.finetuning.records import FineTuning, fine_tuning
from flowers17.reporting.records import (
    Evaluation,
    FeatureMap,
    TrainedNetwork,
    Training,
    disagreement,
    evaluation,
    feature_map,
    inputs_of,
    training,
)
from flowers17.reporting.reference import IMAGE_SIZE, PartName
from flowers17.reporting.words import text

_KEPT_TOGETHER = {"identical": "images of identical pixels", "none": "the groups of the source"}


Model = TypeVar("Model", Evaluation, Training, FineTuning)


@dataclass(frozen=True)
class ReportInputs:
    """A study's artifacts by label, its stages that have none, and the settings.

    absent: in the order of the flows. settings: `StudySettings` as JSON.
    """

    artifacts: Mapping[str, Artifact]
    absent: Sequence[AbsentStage]
    settings: Mapping[str, Any]

    @cached_property
    def study(self) -> StudySettings:
        """The settings, typed."""
        return StudySettings.model_validate(self.settings)

    @property
    def shown_settings(self) -> dict[str, Any]:
        """The settings as JSON, with the data's kind in the place of its path."""
        settings = self.study.model_dump(mode="json")
        if settings["dataset"]["source"] not in get_args(SourceKind):
            settings["dataset"]["source"] = self.source_kind
        return settings

    def stage(self, name: str) -> list[Artifact]:
        """Artifacts of a stage, each once, in the order of their labels."""
        by_key = {
            artifact.reference.key: artifact
            for _, artifact in sorted(self.artifacts.items())
            if artifact.manifest.get("stage") == name
        }
        return list(by_key.values())

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

    @property
    def duplicates_metrics(self) -> Mapping[str, Any]:
        """Counts of the near-duplicates' artifact, and what was kept together; empty without it."""
        metrics: Mapping[str, Any] = self.duplicates.manifest["metrics"] if self.duplicates else {}
        return metrics

    @cached_property
    def images(self) -> Artifact | None:
        """The images that the splits were made of; other sizes serve single extractors only."""
        every, size = self.stage("images"), self.study.dataset.image_size
        split = inputs_of(self.splits).get("images", {}).get("digest") if self.splits else None
        of_the_splits = [artifact for artifact in every if artifact.reference.digest == split]
        candidates = of_the_splits or [
            artifact for artifact in every if artifact.mapped("images").shape[1] == size
        ]
        return next(iter(candidates or every), None)

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

    @cached_property
    def is_balanced(self) -> bool:
        """Whether accuracy stands first rather than balanced accuracy."""
        return is_balanced(self.labels)

    def majority(self, split: str, part: str = "validation") -> float:
        """Accuracy of the class that most of a split's training images are of, on a part of it."""
        most_frequent = np.bincount(self.labels[self.rows(split, "train")]).argmax()
        return float(np.mean(self.labels[self.rows(split, part)] == most_frequent))

    def rows(self, split: str, part: str = "validation") -> np.ndarray:
        """Rows that a split holds out, or of another part, `train` or `test`, int64 (n,)."""
        rows = {each["name"]: each[part] for each in self.divided}
        if split not in rows:
            raise InvalidInput(f"expected a split {split!r}, got {', '.join(rows)}")
        return np.asarray(rows[split], dtype=np.int64)

    @property
    def resize(self) -> ResizeName:
        """How images became squares; rendered flowers are."""
        return "crop" if self.is_rendered else self.study.dataset.resize

    @cached_property
    def share_cut(self) -> np.ndarray:
        """Share of each image's pixels outside the square that is used, float64 (n,)."""
        sizes = np.asarray(self.items.get("original_sizes") or [[1, 1]])
        return (self.resize == "crop") * (1 - sizes.min(axis=1) / sizes.max(axis=1))

    @property
    def is_oxford17(self) -> bool:
        """Whether every image is byte for byte one of Oxford Flowers-17."""
        return bool(self.items.get("verified"))

    @property
    def beside_study(self) -> bool:
        """Whether the study's numbers stand beside ours: not where people study other data."""
        return self.is_oxford17 or self.source_kind in ("rendered", "oxford17", "unknown")

    @property
    def kind_of_pictures(self) -> str:
        """What captions of pictures begin with if these are no photographs."""
        return "Rendered flowers, drawn from code. " if self.is_rendered else ""

    @property
    def is_rendered(self) -> bool:
        """Whether the flowers were drawn from code."""
        return self.source_kind == "rendered"

    @property
    def source_kind(self) -> str:
        """Where the images come from: rendered, oxford17, archive or own.

        Without images as the settings say, in which a path is that of own ones.
        """
        source = self.study.dataset.source
        as_set = source if source in get_args(SourceKind) else "own"
        return str(self.items.get("source", {}).get("kind", "unknown" if self.images else as_set))

    @property
    def data_digest(self) -> str | None:
        """Digest of the data set's images and labels, whatever they were packed in."""
        if not self.images:
            return None
        return sha256_of([list(self.items.get("sha256", [])), self.labels.tolist()])

    @cached_property
    def feature_maps(self) -> dict[str, FeatureMap]:
        """Every feature map that was made, by name."""
        return {each.name: each for each in map(feature_map, self.stage("features"))}

    @cached_property
    def evaluations(self) -> list[Evaluation]:
        """Every classifier that was evaluated, in the order of labels.

        Raises InvalidInput if a result disagrees with its own predictions.
        """
        return self._checked(map(evaluation, self.stage("classifier")))

    def _checked(self, models: Iterable[Model]) -> list[Model]:
        """Models whose counts of correct answers are those of their predictions."""
        models = list(models)
        for model in models if self.images and self.splits else ():
            for score in model.scores:
                correct = self.correct(model, score.split)
                counts = len(correct), int(correct.sum())
                if counts != (score.n_validation, score.n_correct):
                    raise disagreement(
                        model.artifact,
                        f"{score.n_correct} of {score.n_validation} correct on split "
                        f"{score.split!r}, its predictions have {counts[1]} of {counts[0]}",
                    )
        return models

    def correct(self, model: Evaluation | TrainedNetwork, split: str = "") -> np.ndarray:
        """Whether each image that a split holds out was classified correctly, bool (n,).

        split: the model's first if none is named.
        """
        split = split or model.scores[0].split
        predicted = model.predicted(split)
        truth = self.labels[self.rows(split)]
        if predicted.shape != truth.shape:
            raise disagreement(
                model.artifact,
                f"{len(truth)} predictions on split {split!r}, got shape {predicted.shape}",
            )
        return predicted == truth

    @cached_property
    def trainings(self) -> list[Training]:
        """Every network that was trained from scratch, in the order of labels.

        Those that only serve ensembles are left out.
        Raises InvalidInput if a result disagrees with its own predictions.
        """
        networks = map(training, self.stage("training"))
        return self._checked(each for each in networks if not each.of_an_ensemble)

    def training(self, learner: str, augmentation: str) -> Training | None:
        """The training by the study's recipe on the report's split, if there is one."""
        trainings = {
            (each.learner, each.augmentation, each.recipe_name, each.score.kind): each
            for each in reversed(self.trainings)
        }
        return trainings.get((learner, augmentation, "report", "report"))

    @cached_property
    def own_trainings(self) -> dict[str, list[Training]]:
        """By learner, the trainings by our own recipe, in the order of the splits."""
        order = {split["name"]: place for place, split in enumerate(self.divided)}
        own = [network for network in self.trainings if network.recipe_name == "best"]
        by_learner: dict[str, list[Training]] = {}
        for network in sorted(own, key=lambda each: order.get(each.score.split, len(order))):
            by_learner.setdefault(network.learner, []).append(network)
        return by_learner

    @cached_property
    def fine_tunings(self) -> list[FineTuning]:
        """Every phase of every fine-tuned network, in the order of labels.

        Those that only serve ensembles are left out.
        Raises InvalidInput if a result disagrees with its own predictions.
        """
        networks = map(fine_tuning, self.stage("finetuning"))
        return self._checked(each for each in networks if not each.of_an_ensemble)

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

    def absent_from(self, part: PartName) -> list[AbsentStage]:
        """Stages without an artifact that a part of the report is the first to need."""
        return [stage for stage in self.absent if stage.part == part]

    def absences(self, stage: str, **identity: Any) -> list[AbsentStage]:
        """Stages without an artifact that `AbsentStage.is_of` selects."""
        return [absent for absent in self.absent if absent.is_of(stage, **identity)]

    def reason_absent(self, stage: str, **identity: Any) -> str:
        """Reason of the first of the stages that `AbsentStage.is_of` selects."""
        absences = self.absences(stage, **identity)
        return absences[0].reason if absences else NO_RESULT

    def evaluation(self, combination: CombinationSettings) -> Evaluation | None:
        """Evaluation of a combination; None if it was not run."""
        maps = tuple(each.name for each in combination.maps)
        own = combination.model_dump(exclude={"maps"})
        for classifier in self.evaluations:
            if classifier.maps == maps and own == {name: getattr(classifier, name) for name in own}:
                return classifier
        return None

    @cached_property
    def table_8(self) -> list[CombinationSettings]:
        """The cells of Table 8, extractor by extractor."""
        return [
            CombinationSettings(maps=(maps,), classifier=name)
            for maps in self.study.features.table
            for name in self.study.features.classifiers.names
        ]

    @cached_property
    def evaluations_of_table_8(self) -> list[Evaluation]:
        """The evaluations behind Table 8, those that were run."""
        return [run for cell in self.table_8 if (run := self.evaluation(cell))]

    @cached_property
    def best(self) -> Evaluation | None:
        """The best of Table 8 on the report's split; the first of them if several are."""
        scored = [(run.score("report"), run) for run in self.evaluations_of_table_8]
        headlines = [(score.headline, run) for score, run in scored if score]
        return max(headlines, key=lambda pair: pair[0])[1] if headlines else None

    def reason_missing(self, names: Sequence[str], classifier: str = "") -> str:
        """Reason of the missing numbers of these feature maps, or for a classifier on them."""
        absences = self.absences("classifier", maps=list(names), classifier=classifier)
        absences += [absent for name in names for absent in self.absences("features", name=name)]
        return absences[0].reason if absences else NO_RESULT

    @cached_property
    def has_random_weights(self) -> bool:
        """Whether any number rests on untrained weights."""
        resting = (self.feature_maps.values(), self.evaluations, self.fine_tunings)
        return any(each.random_weights for records in resting for each in records)

    @cached_property
    def _data_differences(self) -> list[str]:
        """Names of the differences of the images to the study's, as `words/data.yaml` has them."""
        differences = {
            "rendered" if self.is_rendered else "other": not self.is_oxford17,
            "square": self.resize != "crop",
            "weighted": self.study.class_weight != "none",
            "size": self.study.dataset.image_size != IMAGE_SIZE,
        }
        return [name for name, holds in differences.items() if holds]

    @cached_property
    def _differences(self) -> list[str]:
        """Names of the differences to the study in kind."""
        return self._data_differences + ["untrained"] * self.has_random_weights

    def _in_words(self, differences: Sequence[str], part: str) -> list[str]:
        sizes = {"size": self.study.dataset.image_size, "of_study": IMAGE_SIZE}
        return [text(f"difference {name}", part, **sizes) for name in differences]

    @property
    def differences(self) -> list[str]:
        """In what our numbers differ from the study's in kind; empty if they compare directly."""
        return self._in_words(self._differences, "clause")

    @property
    def differences_in_short(self) -> str:
        """The same in a few words, e.g. `rendered flowers, untrained weights`.

        Empty where the study's numbers do not stand beside ours.
        """
        return ", ".join(self._in_words(self._differences, "short")) * self.beside_study

    @property
    def data_differences_in_short(self) -> str:
        """The differences of the images alone, e.g. `rendered flowers, 80 × 80 pixels`."""
        return ", ".join(self._in_words(self._data_differences, "short")) * self.beside_study

    @property
    def less_clean(self) -> str:
        """Why clean splits may hold near-duplicates on both sides; empty if they may not."""
        look_alike = "n_look_alikes" in self.duplicates_metrics
        method = "look-alike" if look_alike else self.study.splits.near_duplicates
        return text("less clean", method)

    @property
    def kept_together(self) -> str:
        """What clean splits and folds keep on one side, e.g. `near-duplicates`."""
        own = self.study.splits.near_duplicates
        method = self.duplicates_metrics.get("kept_together", own)
        return _KEPT_TOGETHER.get(method, "near-duplicates")

    @property
    def like_the_study(self) -> bool:
        """Whether the images are the study's, cut as it cuts them, and count as in it."""
        plain = (self.resize, self.study.class_weight) == ("crop", "none")
        return self.is_oxford17 and plain

    def comparable(self, settings: FeatureMapSettings) -> bool:
        """Whether the study's number and ours measure the same thing on the same data."""
        if not self.like_the_study or settings.name not in self.feature_maps:
            return False
        feature_map = self.feature_maps[settings.name]
        return feature_map.like_the_study and not feature_map.random_weights

    def network_comparable(self, network: Training | FineTuning | None) -> bool:
        """Whether the study's number and ours measure the same training on the same data."""
        return bool(network and self.like_the_study and network.like_the_study)
