"""A model of a store as attacks see it: images of one size with values from 0 to 1."""

from typing import TYPE_CHECKING, cast

import numpy as np

from flowers17.artifacts import Artifact
from flowers17.errors import InvalidInput
from flowers17.learners.images import resized
from flowers17.prediction.catalogue import KINDS, Kind
from flowers17.prediction.models import Loader, Model, open_model
from flowers17.prediction.pictures import Block
from flowers17.robustness.base import batches

if TYPE_CHECKING:
    import keras

    from flowers17.prediction.ensembles import Ensemble

AT_ONCE = 32


class AttackedModel:
    """The model of an artifact of a stage of `catalogue.KINDS`, under attack.

    Images of another size than the model takes are resized, as an attacker's would be.
    method: of an ensemble, how its members are combined; None or `chosen`: as its study chose.
    Raises InvalidInput for a method that it does not have, and what `open_model` raises.
    """

    def __init__(self, artifact: Artifact, loader: Loader, method: str | None = None) -> None:
        with loader.building("float32"):  # chooses the device, which a backend reads early
            self.model = open_model(artifact.reference.to_json(), loader)
        self.kind: Kind = KINDS[artifact.reference.stage]
        # By its kind, not by its class: that would import scikit-learn for networks as well.
        is_ensemble = self.kind == "ensemble"
        self._ensemble = cast("Ensemble", self.model) if is_ensemble else None
        self._method = _method_of(self.model, artifact, method)
        self.classes = self.model.classes

    @property
    def network(self) -> "keras.Model | None":
        """The differentiable network, float32 (n, h, w, 3) in [0, 1] → (n, c); None: a black box.

        It averages an image and its mirror image if the model's predictions do.
        """
        network: keras.Model | None = getattr(self.model, "differentiable", None)
        return network

    def proba(self, images: np.ndarray) -> np.ndarray:
        """Class probabilities, float32 (n, c), of float32 (n, h, w, 3) images in [0, 1].

        Images are rounded to 8 bits, as files hold them. Every call of the model has
        the same batch size; repetitions of the last image at the end cost nothing.
        """
        pixels = np.rint(images * np.float32(255)).astype(np.uint8)
        differing = np.flatnonzero((pixels != pixels[-1]).any(axis=(1, 2, 3)))
        needed = pixels[: int(differing[-1]) + 2 if differing.size else 1]
        proba = np.concatenate(
            [self._proba_at_once(batch)[:n] for n, [batch] in batches(needed, max_size=AT_ONCE)]
        )
        return np.concatenate([proba, np.repeat(proba[-1:], len(pixels) - len(proba), axis=0)])

    def shuffle_weights(self, random: np.random.Generator) -> None:
        """Shuffle each array of weights of its network, or of its extractors, for good."""
        network = getattr(self.model, "keras_model", None)
        for trained in [network] if network else [map_.extractor for map_ in self.model.maps]:
            weights = trained.get_weights()
            trained.set_weights([random.permuted(w.ravel()).reshape(w.shape) for w in weights])

    def _proba_at_once(self, pixels: np.ndarray) -> np.ndarray:
        if self._ensemble:  # other objects may share it with another method
            self._ensemble.method = self._method
        squares = {
            size: pixels if size == pixels.shape[1] else resized(pixels, size)
            for size in self.model.sizes
        }
        return self.model.answers(Block(("",) * len(pixels), squares)).proba.astype(np.float32)


def _method_of(model: Model, artifact: Artifact, method: str | None) -> str:
    if KINDS[artifact.reference.stage] != "ensemble":
        if method is not None:
            raise InvalidInput(
                f"{model.name}: expected an ensemble to be combined by {method}, got a single "
                "model; leave the method out"
            )
        return ""
    result = artifact.json("result")
    methods = {scored["method"] for scored in result["methods"]}
    if method in (None, "chosen"):
        return str(result["chosen"]["method"])
    if method not in methods:
        raise InvalidInput(
            f"{model.name}: expected one of {', '.join(sorted(methods))}, got {method}; set "
            "attacks.methods, or ensemble.meta_learners"
        )
    return str(method)
