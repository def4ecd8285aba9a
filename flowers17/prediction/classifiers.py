"""A classifier on features: extractors, then what was fitted on their features."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from flowers17.artifacts import Artifact
from flowers17.errors import InvalidInput
from flowers17.manifests import read_as_written
from flowers17.prediction.features import FeatureMap
from flowers17.prediction.fitted_classifier import FittedClassifier
from flowers17.prediction.models import Answers, Loader, Model
from flowers17.prediction.pictures import Block
from flowers17.transfer.rowspace import side_by_side

if TYPE_CHECKING:
    import keras


class Classifier(Model):
    """The classifier of an artifact of stage `fitted`, on its feature maps, `maps`."""

    def __init__(self, artifact: Artifact, loader: Loader) -> None:
        super().__init__(artifact, loader)
        inputs = artifact.manifest["inputs"]
        if "classifier.json" not in artifact.manifest["files"]:
            raise InvalidInput(
                f"{self.name}: expected a stored classifier, got the fit of an older version; run "
                "`flowers17 run features` again, or `ensemble` for its members"
            )
        self.classes = tuple(artifact.json("result")["classes"])
        self._fitted = FittedClassifier.stored(artifact)
        self.maps = tuple(
            loader.once(inputs[name], lambda features: FeatureMap(features, loader))
            for name in self._config["maps"]
        )
        self.sizes = frozenset(map_.size for map_ in self.maps)

    def answers(self, block: Block) -> Answers:
        """Return class probabilities: float64 (n, c)."""
        columns = side_by_side([map_.of(block) for map_ in self.maps])
        # Batches of one shape: another would compile anew, which takes longer than all of them.
        n, n_at_once = len(columns), self.n_at_once
        filled = np.zeros((-(-n // n_at_once) * n_at_once, columns.shape[1]))
        filled[:n] = columns
        batches = np.split(filled, len(filled) // n_at_once)
        return Answers(np.concatenate(list(map(self.network.predict_on_batch, batches)))[:n])

    def applied(self, images: Mapping[int, Any]) -> Any:
        """Return symbolic class probabilities: see `models.Model`."""
        columns = [map_.applied(images) for map_ in self.maps]
        from flowers17.prediction import layers

        return self._classified(layers.side_by_side(columns))

    @cached_property
    def network(self) -> "keras.Model":
        """What was fitted: float64 columns → class probabilities."""
        n_columns = sum(map_.stored().shape[1] for map_ in self.maps)
        with self._loader.building("float32"):
            import keras

            columns = keras.Input((n_columns,), dtype="float64")
            return keras.Model(columns, self._classified(columns))

    def _classified(self, columns: Any) -> Any:
        """Symbolic class probabilities of symbolic columns, in their type."""
        from flowers17.prediction import layers

        with read_as_written(self.name):
            proba = layers.classifier(columns, self._fitted, self._images)
            if proba.shape[1] != len(self.classes):
                raise ValueError(f"{proba.shape[1]} probabilities of {len(self.classes)} classes")
        return proba

    @property
    def _images(self) -> np.ndarray | None:
        """The columns of the training images that it compares with: float32 (m, d)."""
        rows = self._fitted.arrays.get("rows")
        return None if rows is None else side_by_side([map_.stored()[rows] for map_ in self.maps])
