"""Features of new images by the extractor of a stored map."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flowers17.artifacts import Artifact
from flowers17.backbones.facts import backbone_of
from flowers17.errors import ChecksumMismatch, WeightsMissing
from flowers17.prediction.models import Loader
from flowers17.prediction.own_code import check_own_learner
from flowers17.prediction.pictures import Block
from flowers17.seeds import derived_seed
from flowers17.transfer.extractors import build_extractor, feature_maps
from flowers17.transfer.weights import resolve_weights, scaling_module

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
        if self._last is None or self._last[0] is not pixels:
            self._last = (pixels, self._features(pixels))
        return self._last[1]

    def _features(self, pixels: Any) -> Any:
        extractor = self.extractor
        import keras

        from flowers17.transfer.fine_tuning import Scaled

        layers, config = keras.layers, self._config
        name = f"features-{self._artifact.reference.key[:12]}"  # names must differ
        network = keras.Model(extractor.input, extractor.output, name=name)
        scaled = Scaled(scaling_module(config["extractor"]), config["input_size"])
        averages = config["pooling"] == "average"
        pooling = layers.GlobalAveragePooling2D() if averages else layers.Flatten()

        def features(views: Any) -> Any:
            return pooling(network(scaled(views)))

        if not config.get("mirrored", False):
            return features(pixels)
        return layers.Average()([features(pixels), features(pixels[:, :, ::-1])])

    @cached_property
    def extractor(self) -> "keras.Model":
        """The extractor, built at the first use."""
        return extractor_of(self._artifact, self._loader)


def extractor_of(artifact: Artifact, loader: Loader) -> "keras.Model":
    """A newly built extractor with the weights that an artifact was made with.

    artifact: of stage `features`, `activations` or `finetuning`. Raises WeightsMissing or
    ChecksumMismatch if these weights are not there, InvalidInput if a function that may not be run
    would build it.
    """
    material = artifact.manifest["material"]
    config, path = material["config"], _weights_path(artifact, loader)
    backbone, weights = backbone_of(config["extractor"]), config["weights"]
    if backbone.kind == "function":
        label = artifact.manifest["label"]
        check_own_learner(label, backbone.name, weights.get("code"), loader)
    with loader.building("float32"):
        return build_extractor(
            config["extractor"],
            input_size=config["input_size"],
            weights_path=path,
            seed=derived_seed(material["seed"] or 0, "features"),  # see tasks.weights
            untrained=weights["kind"] == "random",
        )


def _weights_path(artifact: Artifact, loader: Loader) -> Path | None:
    """The file or preset that an artifact was made with; None if it needed none."""
    config = artifact.manifest["material"]["config"]
    extractor, sha256 = config["extractor"], config["weights"]["sha256"]
    if "weights" in artifact.manifest["inputs"]:
        downloaded = loader.artifact(artifact.manifest["inputs"]["weights"])
        files = {name: downloaded.file(name) for name in downloaded.manifest["files"]}
        if backbone_of(extractor).kind == "hub":
            return downloaded.path
        return next(path for name, path in files.items() if ".h5" in name)
    if sha256 is None:
        return None
    source = resolve_weights(extractor, loader.weights_dir)
    if source.path is None:
        raise WeightsMissing(
            f"{extractor}: expected the weights with sha256 {sha256[:12]}…, which "
            f"{artifact.manifest['label']} was made with, found none; give their folder as "
            "--weights-dir"
        )
    if source.sha256 != sha256:
        raise ChecksumMismatch(
            f"{source.path}: expected the weights that {artifact.manifest['label']} was made with, "
            f"sha256 {sha256[:12]}…, got {str(source.sha256)[:12]}…; give the folder of those "
            "as --weights-dir"
        )
    return source.path
