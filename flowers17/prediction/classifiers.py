"""A classifier on features: extractors' maps of images, then what was fitted on them."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from flowers17.artifacts import Artifact
from flowers17.errors import InvalidInput
from flowers17.manifests import read_as_written
from flowers17.prediction.fitted_classifier import FittedClassifier
from flowers17.prediction.models import Answers, Loader, Model
from flowers17.prediction.networks import extractor_of
from flowers17.prediction.pictures import Block
from flowers17.transfer.extractors import feature_maps, over_images
from flowers17.transfer.rowspace import side_by_side

if TYPE_CHECKING:
    import keras


class FeatureMap:
    """The feature map of an artifact of stage `features`.

    size: side of the squares that its extractor takes.
    """

    def __init__(self, artifact: Artifact, loader: Loader) -> None:
        self._artifact, self._loader = artifact, loader
        self._config = artifact.manifest["material"]["config"]
        images = loader.artifact(artifact.manifest["inputs"]["images"])
        self.size = int(images.manifest["material"]["config"]["size"])
        self._last: tuple[Any, Any] | None = None

    def stored(self) -> np.ndarray:
        """Return the features of the data set's images: float32 (n, d), read where indexed."""
        return self._artifact.mapped("features")

    def of(self, block: Block) -> np.ndarray:
        """Return the features of a block's images: float32 (k, d)."""

        def features() -> np.ndarray:
            return feature_maps(
                self.extractor,
                block.squares[self.size],
                extractor=self._config["extractor"],
                input_size=self._config["input_size"],
                pooling=self._config["pooling"],
                mirrored=self._config.get("mirrored", False),
            )

        return np.asarray(block.once(f"features {self._artifact.reference.key}", features))

    def applied(self, images: Mapping[int, Any]) -> Any:
        """Return symbolic features, (n, d), of symbolic images: see `models.Model.applied`."""
        pixels = images[self.size]
        if self._last and self._last[0] is pixels:
            return self._last[1]
        network = over_images(self.extractor, self._config["extractor"], self.size)
        from keras import layers

        averages = self._config["pooling"] == "average"
        pooling = layers.GlobalAveragePooling2D() if averages else layers.Flatten()
        views = [pixels, pixels[:, :, ::-1]] if self._config.get("mirrored", False) else [pixels]
        maps = [pooling(network(view)) for view in views]
        self._last = (pixels, layers.Average()(maps) if len(maps) > 1 else maps[0])
        return self._last[1]

    @cached_property
    def extractor(self) -> "keras.Model":
        """The extractor, built at the first use."""
        return extractor_of(self._artifact, self._loader)


class Classifier(Model):
    """The classifier of an artifact of stage `fitted`: `fitted` on its feature maps, `maps`."""

    def __init__(self, artifact: Artifact, loader: Loader) -> None:
        super().__init__(artifact, loader)
        inputs = artifact.manifest["inputs"]
        if "classifier.json" not in artifact.manifest["files"]:
            raise InvalidInput(
                f"{self.name}: expected a stored classifier, got the fit of an older version; run "
                "`flowers17 run features` again, or `ensemble` for its members"
            )
        self.classes = tuple(artifact.json("result")["classes"])
        self.fitted = FittedClassifier.stored(artifact)
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
        filled = np.pad(columns.astype(np.float64), ((0, -n % n_at_once), (0, 0)))
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
            rows, images = self.fitted.arrays.get("rows"), None
            if rows is not None:  # of training images that it compares with
                images = side_by_side([map_.stored()[rows] for map_ in self.maps])
            proba = layers.classifier(columns, self.fitted, images)
            if proba.shape[1] != len(self.classes):
                raise ValueError(f"{proba.shape[1]} probabilities of {len(self.classes)} classes")
        return proba
