"""A classifier on features: fitted again on its split's training images for each block.

Fitting is deterministic and takes seconds, so no fitted scikit-learn model is stored or read.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from flowers17.artifacts import Artifact
from flowers17.config import ClassifierSettings, ResizeName
from flowers17.data.splits import Split
from flowers17.prediction.features import FeatureMap, RowSpace
from flowers17.prediction.models import Answers, Loader
from flowers17.prediction.pictures import Block
from flowers17.seeds import derived_seed
from flowers17.transfer.classifier_evaluation import fitted_proba, fitting_task
from flowers17.transfer.rowspace import side_by_side


class Classifier:
    """The classifier of an artifact of stage `fitted`."""

    n_at_once = 1024
    members: tuple[str, ...] = ()

    def __init__(self, artifact: Artifact, loader: Loader) -> None:
        self._artifact, self._loader = artifact, loader
        self._config = artifact.manifest["material"]["config"]
        self._inputs = artifact.manifest["inputs"]
        self.name: str = artifact.manifest["label"]
        self.classes = tuple(artifact.json("result")["classes"])
        self._maps = self._feature_maps()
        self.maps = tuple(self._maps)
        self.sizes = frozenset(map_.size for map_ in self._maps)
        self.resize: ResizeName = self._config.get("resize", "crop")

    def answers(self, block: Block) -> Answers:
        """Return class probabilities: float64 (n, c)."""
        split = self._loader.artifact(self._inputs["split"])
        train = split.array("train")
        n_train, n_new = len(train), len(block.paths)
        task = fitting_task(
            self._name,
            **self._read(train, block),
            labels=np.concatenate([split.array("labels")[train], np.zeros(n_new, np.int64)]),
            split=_split(split, np.arange(n_train), np.arange(n_train, n_train + n_new)),
            seed=self._seed,
            class_weight=self._config.get("class_weight"),
        )
        return Answers(fitted_proba(self._name, self._settings, task)[n_train:])

    def applied(self, images: Mapping[int, Any]) -> Any:
        """Return symbolic class probabilities: see `models.Model`."""
        columns = [map_.applied(images) for map_ in self._maps]
        from flowers17.prediction import layers

        split = self._loader.artifact(self._inputs["split"])
        stored = side_by_side([map_.stored() for map_ in self._maps])
        task = fitting_task(
            self._name,
            features=stored,
            rows=self._space.rows if self._space else None,
            labels=split.array("labels"),
            split=_split(split, split.array("train"), split.array("validation")),
            seed=self._seed,
            class_weight=self._config.get("class_weight"),
        )
        joined = layers.side_by_side(columns)
        return layers.classifier(joined, self._name, self._settings, task, stored)

    @property
    def _name(self) -> str:
        return str(self._config["classifier"])

    @property
    def _settings(self) -> ClassifierSettings:
        return ClassifierSettings.model_validate({self._name: self._config["hyperparameters"]})

    @property
    def _seed(self) -> int:
        return derived_seed(self._artifact.manifest["material"]["seed"] or 0, "fitted")

    def _read(self, train: np.ndarray, block: Block) -> dict[str, Any]:
        """Features or row-space coordinates of the training images, then of the new images."""
        if self._space is None:
            stored = side_by_side([map_.stored()[train] for map_ in self._maps])
            return {
                "features": np.vstack(
                    [stored, side_by_side([map_.of(block) for map_ in self._maps])]
                )
            }
        rows = self._space.rows[train]
        inside = np.column_stack([rows, np.zeros(len(rows))])
        return {"rows": np.vstack([inside, self._space.of(block)])}

    def _feature_maps(self) -> list[FeatureMap]:
        inputs = self._inputs
        if "rows" in inputs:
            inputs = self._loader.artifact(inputs["rows"]).manifest["inputs"]
        references = [inputs[name] for name in self._config["maps"]]
        return [
            self._loader.once(reference, lambda artifact: FeatureMap(artifact, self._loader))
            for reference in references
        ]

    @cached_property
    def _space(self) -> RowSpace | None:
        if "rows" not in self._inputs:
            return None
        space: RowSpace = self._loader.once(
            self._inputs["rows"], lambda artifact: RowSpace(artifact, self._maps)
        )
        return space


def _split(artifact: Artifact, train: np.ndarray, validation: np.ndarray) -> Split:
    described = artifact.json("split")
    return Split(described["name"], described["kind"], None, train, validation)
