"""What single artifacts hold: a feature map, an evaluation, a training, and their inputs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from flowers17.artifacts import Artifact
from flowers17.config import RecipeSettings
from flowers17.learners.resolutions import resolution
from flowers17.reporting.metrics import Interval, MeanSpread, accuracy_interval, mean_spread
from flowers17.reporting.reference import AUGMENTED_EPOCHS, IMAGE_SIZE, PLAIN_EPOCHS

# What the study does not tell of its recipe, or what has no effect in it.
RECIPE_FREE = {"epochs", "batch_size", "warmup", "mixup_until"}


@dataclass(frozen=True)
class Score:
    """One classifier on one split."""

    split: str
    kind: str
    n_train: int
    n_validation: int
    n_correct: int
    chosen: Mapping[str, Any]

    @property
    def accuracy(self) -> float:
        """Share of the validation images that were classified correctly."""
        return self.n_correct / self.n_validation

    @property
    def interval(self) -> Interval:
        """The accuracy's 95 % interval."""
        return accuracy_interval(self.n_correct, self.n_validation)


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
    scores: Mapping[str, Score]

    def score(self, kind: str) -> Score | None:
        """Return the score on the first split of a kind, if there is one."""
        return next((one for one in self.scores.values() if one.kind == kind), None)

    @cached_property
    def repeated(self) -> MeanSpread | None:
        """Mean and spread over the repeated clean splits, if there are any."""
        return over_repeats(self.scores.values())

    def predicted(self, split: str) -> np.ndarray:
        """Return the predicted classes, int64 (n_validation,), in the split's order."""
        return self.artifact.array(f"{split}-predicted")

    def proba(self, split: str) -> np.ndarray:
        """Return the class probabilities, float64 (n_validation, n_classes)."""
        return self.artifact.array(f"{split}-proba")


@dataclass(frozen=True)
class Training:
    """One learner, trained under one augmentation and recipe on one split.

    recipe_name: `report` for the study's, `best` for our own. n_operations: floating-point ones of
    one forward pass of one image. best_epoch: from 1; the losses and the training accuracy are
    those of that epoch, the score is that of the weights kept from it.
    """

    artifact: Artifact
    learner: str
    augmentation: str
    recipe_name: str
    recipe: RecipeSettings
    score: Score
    n_parameters: int
    n_operations: float
    epochs: int
    best_epoch: int
    train_loss: float | None
    train_accuracy: float | None
    validation_loss: float | None
    image_size: int
    precision: str

    @cached_property
    def history(self) -> list[Mapping[str, Any]]:
        """Each epoch's losses, accuracies and learning rate."""
        return list(self.artifact.json("history")["epochs"])

    @cached_property
    def layers(self) -> list[Mapping[str, Any]]:
        """Each layer's name, kind, output shape and parameters."""
        return list(self.artifact.json("layers"))

    @property
    def predicted(self) -> np.ndarray:
        """The predicted classes, int64 (n_validation,), in the split's order."""
        return self.artifact.array("validation-predicted")

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
        ours = self.recipe_name != "report"
        return not ours and not self.tag and self.image_size == IMAGE_SIZE

    @property
    def tag(self) -> str:
        """In what the study's recipe was changed, in short; empty for our own recipe."""
        if self.recipe_name != "report":
            return ""
        return recipe_tag(self.recipe, self.epochs, augmented=self.augmentation != "none")

    @property
    def of_an_ensemble(self) -> bool:
        """Whether it serves an ensemble only: on a fold, or as long as its folds found best."""
        refit = any(name.startswith("fold-") for name in inputs_of(self.artifact))
        return refit or self.score.kind == "fold"


def recipe_tag(recipe: RecipeSettings, epochs: int, *, augmented: bool) -> str:
    """Return in what a recipe, for that many epochs, differs from the study's, in short."""
    wanted = AUGMENTED_EPOCHS if augmented else PLAIN_EPOCHS
    ours, theirs = (one.model_dump(exclude=RECIPE_FREE) for one in (recipe, RecipeSettings()))
    parts = [] if ours == theirs else ["another recipe"]
    if epochs != wanted:
        parts.append(f"{epochs} epoch{'s' * (epochs != 1)}")
    return ", ".join(parts)


def over_repeats(scores: Iterable[Score]) -> MeanSpread | None:
    """Return mean and spread over the scores on repeated clean splits; None without any."""
    repeated = [one for one in scores if one.kind == "repeated"]
    if not repeated:
        return None
    return mean_spread(
        [one.accuracy for one in repeated],
        n_train=min(one.n_train for one in repeated),
        n_validation=max(one.n_validation for one in repeated),
    )


def inputs_of(artifact: Artifact) -> dict[str, Mapping[str, Any]]:
    """Return, by name, the references (stage, key, digest) that an artifact was made from."""
    material = artifact.manifest.get("material") or {}
    for given in (artifact.manifest.get("inputs"), material.get("inputs")):
        found = {name: value for name, value in (given or {}).items() if isinstance(value, Mapping)}
        if found:
            return found
    return {}


def feature_map(artifact: Artifact) -> FeatureMap:
    """Return the feature map that an artifact of the stage `features` holds."""
    info = artifact.json("extractor")
    weights = info.get("weights") or {}
    kind = str(weights.get("kind", "unknown"))
    shape = tuple(int(side) for side in info.get("map_shape", ()))
    columns = np.load(artifact.file("features.npy"), mmap_mode="r", allow_pickle=False).shape[1]
    return FeatureMap(
        artifact=artifact,
        name=info["name"],
        extractor=info["extractor"],
        input_size=int(info["input_size"]),
        pixels=info.get("pixels", "dataset"),
        pooling=info.get("pooling", "flatten"),
        shape=shape,
        n_columns=int(columns),
        n_parameters=int(info["n_parameters"]),
        n_layers=int(info["n_layers"]),
        weights=kind,
        random_weights=bool(info.get("random_weights", kind == "random")),
    )


def evaluation(artifact: Artifact) -> Evaluation:
    """Return the evaluation that an artifact of the stage `classifier` holds."""
    result = artifact.json("result")
    scores = {
        one["name"]: Score(
            one["name"],
            one["kind"],
            int(one["n_train"]),
            int(one["n_validation"]),
            int(one["n_correct"]),
            one.get("chosen") or {},
        )
        for one in result["splits"]
    }
    return Evaluation(
        artifact,
        tuple(result["maps"]),
        result["classifier"],
        result.get("n_components"),
        bool(result.get("search")),
        bool(result.get("random_weights")),
        scores,
    )


def training(artifact: Artifact) -> Training:
    """Return the training that an artifact of the stage `training` holds."""
    result = artifact.json("result")
    score = Score(
        result["split"],
        result["kind"],
        int(result["n_train"]),
        int(result["n_validation"]),
        int(result["n_correct"]),
        {},
    )
    return Training(
        artifact=artifact,
        learner=result["learner"],
        augmentation=result["augmentation"],
        recipe_name=result["recipe_name"],
        recipe=RecipeSettings.model_validate(result["recipe"]),
        score=score,
        n_parameters=int(result["n_parameters"]),
        n_operations=float(result["n_operations"]),
        epochs=int(result["epochs"]),
        best_epoch=int(result["best_epoch"]),
        train_loss=result["train_loss"],
        train_accuracy=result["train_accuracy"],
        validation_loss=result["validation_loss"],
        image_size=int(result["image_size"]),
        precision=result["precision"],
    )
