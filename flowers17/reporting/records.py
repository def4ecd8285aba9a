"""What single artifacts hold: a feature map, an evaluation, a training, and their inputs.

One long module, since evaluations and trainings are read and checked by the same functions.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np

from flowers17.artifacts import Artifact
from flowers17.config import RecipeSettings
from flowers17.data.balance import ByClass, first_measure
from flowers17.errors import InvalidInput
from flowers17.learners.images import resolution
from flowers17.reporting.metrics import (
    Interval,
    MeanSpread,
    accuracy_interval,
    balanced_interval,
    mean_spread,
)
from flowers17.reporting.reference import AUGMENTED_EPOCHS, IMAGE_SIZE, PLAIN_EPOCHS
from flowers17.reporting.titles import augmentation_title, learner_title

# What the study does not tell of its recipe, or what has no effect in it.
RECIPE_FREE = {"epochs", "batch_size", "warmup", "mixup_until"}
ACCURACY, HEADLINE = attrgetter("accuracy"), attrgetter("headline")  # of a Score

Record = TypeVar("Record")


@dataclass(frozen=True)
class Score:
    """One classifier on one split.

    by_class: see `data.balance.counts_by_class`; test: of the split's test part, see
    `data.balance.test_score`.
    """

    split: str
    kind: str
    n_train: int
    n_validation: int
    n_correct: int
    chosen: Mapping[str, Any] = field(default_factory=dict)
    by_class: ByClass | None = None
    test: Mapping[str, Any] | None = None

    @property
    def on_test(self) -> "Score | None":
        """The score on the test part; None without one."""
        if not self.test:
            return None
        counts = {"n_validation": self.test["n"], "n_correct": self.test["n_correct"]}
        return replace(self, **counts, by_class=self.test["by_class"], test=None)

    @property
    def accuracy(self) -> float:
        """Share of the validation images that were classified correctly."""
        return self.n_correct / self.n_validation

    @property
    def interval(self) -> Interval:
        """The accuracy's 95 % interval."""
        return accuracy_interval(self.n_correct, self.n_validation)

    @property
    def measure(self) -> str:
        """Name of the measure that stands first: balanced accuracy where classes differ in size."""
        return "balanced accuracy" if self.by_class else "accuracy"

    @property
    def headline(self) -> float:
        """Value of that measure."""
        return first_measure(self.n_correct, self.n_validation, self.by_class)

    @property
    def headline_interval(self) -> Interval:
        """The 95 % interval of that measure."""
        return balanced_interval(self.by_class) if self.by_class else self.interval


@dataclass(frozen=True)
class FeatureMap:
    """One extractor's features, as its artifact describes them."""

    artifact: Artifact
    name: str
    extractor: str
    input_size: int
    pixels: str
    pooling: str
    shape: tuple[int, ...]
    n_columns: int
    n_parameters: int
    n_layers: int
    weights: str
    random_weights: bool

    @property
    def like_the_study(self) -> bool:
        """Whether it is what the study's Table 7 and 8 describe: 128×128 images, flattened."""
        return (self.input_size, self.pixels, self.pooling) == (IMAGE_SIZE, "dataset", "flatten")


@dataclass(frozen=True)
class Evaluation:
    """One classifier on one set of features, over all splits."""

    artifact: Artifact
    maps: tuple[str, ...]
    classifier: str
    n_components: int | None
    search: bool
    random_weights: bool
    scores: Sequence[Score]

    def score(self, kind: str) -> Score | None:
        """The score on the first split of a kind, if there is one."""
        return next((score for score in self.scores if score.kind == kind), None)

    @cached_property
    def repeated(self) -> MeanSpread | None:
        """Mean and spread over the repeated clean splits, if there are any."""
        return over_repeats(self.scores)

    @cached_property
    def headline(self) -> MeanSpread | None:
        """The same of the measure that stands first: see `Score.headline`."""
        return over_repeats(self.scores, HEADLINE)

    def predicted(self, split: str) -> np.ndarray:
        """Predicted classes, int64 (n_validation,), in the split's order."""
        return self.artifact.array(f"{split}-predicted")

    def proba(self, split: str) -> np.ndarray:
        """Class probabilities, float64 (n_validation, n_classes)."""
        return self.artifact.array(f"{split}-proba")


@dataclass(frozen=True, kw_only=True)
class TrainedNetwork:
    """What trainings from scratch and phases of fine-tuning have in common.

    recipe_name: `report` for the study's, `best` for our own. best_epoch: from 1; the losses and
    the training accuracy are those of that epoch, the score is that of the weights kept from it.
    """

    artifact: Artifact
    augmentation: str
    recipe_name: str
    recipe: RecipeSettings
    score: Score
    n_parameters: int
    epochs: int
    best_epoch: int
    train_accuracy: float | None
    validation_loss: float | None
    precision: str

    @cached_property
    def history(self) -> list[Mapping[str, Any]]:
        """Each epoch's losses, accuracies and learning rate."""
        return list(self.artifact.json("history")["epochs"])

    @property
    def scores(self) -> Sequence[Score]:
        """Its only score."""
        return [self.score]

    def predicted(self, split: str) -> np.ndarray:
        """The predicted classes of its split, int64 (n_validation,), in the split's order."""
        return self.artifact.array("validation-predicted")

    @property
    def of_an_ensemble(self) -> bool:
        """Whether it serves an ensemble only: on a fold, or as long as its folds found best."""
        refit = any(name.startswith("fold-") for name in inputs_of(self.artifact))
        return refit or self.score.kind == "fold"


@dataclass(frozen=True, kw_only=True)
class Training(TrainedNetwork):
    """One learner, trained under one augmentation and recipe on one split.

    n_operations: floating-point ones of one forward pass of one image.
    """

    learner: str
    n_operations: float
    train_loss: float | None
    image_size: int

    @property
    def title(self) -> str:
        """Display name: `Mk-2, #3 wide mix`; `residual, our own recipe`."""
        own = self.recipe_name == "best"
        recipe = "our own recipe" if own else augmentation_title(self.augmentation)
        return f"{learner_title(self.learner)}, {recipe}"

    @cached_property
    def layers(self) -> list[Mapping[str, Any]]:
        """Each layer's name, kind, output shape and parameters."""
        return list(self.artifact.json("layers"))

    @property
    def layer_counts(self) -> tuple[int, int, int]:
        """Numbers of convolutions, of local poolings, and of dense layers without the output."""
        kinds = [str(layer["kind"]) for layer in self.layers]
        pools = [kind for kind in kinds if kind.endswith("Pooling2D") and "Global" not in kind]
        n_convolutions = sum("Conv2D" in kind for kind in kinds)
        return n_convolutions, len(pools), max(0, kinds.count("Dense") - 1)

    @property
    def training_operations(self) -> float:
        """Floating-point operations of the whole training, forward and backward.

        A backward pass counts as two forward ones, and an image at a part of the size as the part's
        square; validation does not count.
        """
        squares = sum(resolution(self.recipe, epoch + 1) ** 2 for epoch in range(self.epochs))
        return 3 * self.n_operations * self.score.n_train * squares

    @property
    def like_the_study(self) -> bool:
        """Whether it was trained as the study trains: same recipe, epochs, and size of images."""
        own_recipe = self.recipe_name != "report"
        return not own_recipe and not self.tag and self.image_size == IMAGE_SIZE

    @property
    def tag(self) -> str:
        """Changes of the study's recipe, in short; empty for our own recipe."""
        if self.recipe_name != "report":
            return ""
        of_the_study = PLAIN_EPOCHS if self.augmentation == "none" else AUGMENTED_EPOCHS
        return recipe_tag(self.recipe, self.epochs, of_the_study)


def recipe_tag(
    recipe: RecipeSettings,
    epochs: int,
    of_the_study: int,
    study: RecipeSettings = RecipeSettings(),
    *,
    same_head: bool = True,
) -> str:
    """Differences of a recipe and its number of epochs from the study's, in short."""
    own, other = (each.model_dump(exclude=RECIPE_FREE) for each in (recipe, study))
    parts = [] if own == other and same_head else ["another recipe"]
    if epochs != of_the_study:
        parts.append(f"{epochs} epoch{'s' * (epochs != 1)}")
    return ", ".join(parts)


def over_repeats(
    scores: Iterable[Score], measure: Callable[[Score], float] = ACCURACY
) -> MeanSpread | None:
    """Mean and spread over the scores on repeated clean splits; None without any."""
    repeated = [score for score in scores if score.kind == "repeated"]
    if not repeated:
        return None
    return mean_spread(
        [measure(score) for score in repeated],
        n_train=min(score.n_train for score in repeated),
        n_validation=max(score.n_validation for score in repeated),
    )


def inputs_of(artifact: Artifact) -> dict[str, Mapping[str, Any]]:
    """References (stage, key, digest) to an artifact's inputs, by name."""
    inputs = artifact.manifest.get("inputs") or {}
    return {name: value for name, value in inputs.items() if isinstance(value, Mapping)}


def disagreement(artifact: Artifact, problem: str) -> InvalidInput:
    """The error of an artifact whose result is not what its arrays say. problem: expected what."""
    return InvalidInput(
        f"{artifact.path}: expected {problem}; remove the artifact and run the same command again"
    )


def feature_map(artifact: Artifact) -> FeatureMap:
    """Feature map that an artifact of the stage `features` holds."""
    info = artifact.json("extractor")
    columns = np.load(artifact.file("features.npy"), mmap_mode="r", allow_pickle=False).shape[1]
    own = {"artifact", "shape", "n_columns", "weights"}
    names = {each.name for each in fields(FeatureMap)} - own
    return FeatureMap(
        artifact=artifact,
        shape=tuple(info["map_shape"]),
        n_columns=int(columns),
        weights=info["weights"]["kind"],
        **{name: info[name] for name in names},
    )


def evaluation(artifact: Artifact) -> Evaluation:
    """Evaluation that an artifact of the stage `classifier` holds."""
    result = artifact.json("result")
    return Evaluation(
        artifact,
        tuple(result["maps"]),
        result["classifier"],
        result.get("n_components"),
        bool(result.get("search")),
        bool(result.get("random_weights")),
        [score_of(split, split["name"]) for split in result["splits"]],
    )


def score_of(result: Mapping[str, Any], split: str) -> Score:
    """Score that a result, or its entry for a split, holds."""
    counts = {name: result[name] for name in ("n_train", "n_validation", "n_correct")}
    chosen, by_class, test = (result.get(name) for name in ("chosen", "by_class", "test"))
    return Score(split, result["kind"], **counts, chosen=chosen or {}, by_class=by_class, test=test)


def record_of(record: type[Record], artifact: Artifact, **derived: Any) -> Record:
    """Record of a network; what is not derived has its result's names."""
    result = artifact.json("result")
    derived |= {
        "artifact": artifact,
        "score": score_of(result, result["split"]),
        "recipe": RecipeSettings.model_validate(result["recipe"]),
    }
    names = {each.name for each in fields(record)}  # type: ignore[arg-type]
    return record(**derived, **{name: result[name] for name in names - derived.keys()})


def training(artifact: Artifact) -> Training:
    """Training that an artifact of the stage `training` holds."""
    n_operations = float(artifact.json("result")["n_operations"])
    return record_of(Training, artifact, n_operations=n_operations)
