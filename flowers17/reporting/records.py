"""What single artifacts hold: a feature map, a classifier's evaluation, the inputs of either."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from flowers17.artifacts import Artifact
from flowers17.reporting.metrics import Interval, MeanSpread, accuracy_interval, mean_spread
from flowers17.reporting.reference import IMAGE_SIZE


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
        scores = [one for one in self.scores.values() if one.kind == "repeated"]
        if not scores:
            return None
        return mean_spread(
            [one.accuracy for one in scores],
            n_train=min(one.n_train for one in scores),
            n_validation=max(one.n_validation for one in scores),
        )

    def predicted(self, split: str) -> np.ndarray:
        """Return the predicted classes, int64 (n_validation,), in the split's order."""
        return self.artifact.array(f"{split}-predicted")

    def proba(self, split: str) -> np.ndarray:
        """Return the class probabilities, float64 (n_validation, n_classes)."""
        return self.artifact.array(f"{split}-proba")


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
