"""A model of a store as attacks see it: it takes images of one size as numbers from 0 to 1."""

from typing import TYPE_CHECKING, cast

import numpy as np

from flowers17.artifacts import Artifact
from flowers17.errors import InvalidInput
from flowers17.learners.images import resized
from flowers17.prediction.catalogue import KINDS, Kind
from flowers17.prediction.models import Loader, Model
from flowers17.prediction.pictures import Block
from flowers17.prediction.predicting import opened

if TYPE_CHECKING:
    import keras

    from flowers17.prediction.ensembles import Ensemble

AT_ONCE = 32


class Attacked:
    """The model of an artifact of a stage of `catalogue.KINDS`, under attack.

    Images of another size than the model takes are resized, as an attacker's would be.
    method: of an ensemble, how its members are combined; None or `chosen`: as its study chose.
    Raises InvalidInput for a method that it has not, and what opening the model raises.
    """

    def __init__(self, artifact: Artifact, loader: Loader, method: str | None = None) -> None:
        with loader.building("float32"):  # chooses the device, which a backend reads early
            self._model = opened(artifact.reference.to_json(), loader)
        self.kind: Kind = KINDS[artifact.reference.stage]
        # Not asked of its class: that would import scikit-learn for networks as well.
        is_ensemble = self.kind == "ensemble"
        self._ensemble = cast("Ensemble", self._model) if is_ensemble else None
        self._method = _method_of(self._model, artifact, method)
        self.classes = self._model.classes

    @property
    def network(self) -> "keras.Model | None":
        """What gradients are taken of, float32 (n, h, w, 3) in [0, 1] → (n, c); None: a black box.

        Where predictions average an image and its mirror image, so does it.
        """
        network: keras.Model | None = getattr(self._model, "differentiable", None)
        return network

    def proba(self, images: np.ndarray) -> np.ndarray:
        """Return probabilities, float32 (n, c), of float32 (n, h, w, 3) images in [0, 1].

        Images are rounded to 8 bits, as files hold them. The model is always asked about equally
        many; images at the end that repeat the last one cost nothing.
        """
        pixels = np.rint(images * np.float32(255)).astype(np.uint8)
        n_needed = _n_needed(pixels)
        parts = []
        for start in range(0, n_needed, AT_ONCE):
            chunk = pixels[start : start + AT_ONCE]
            filled = np.concatenate([chunk, np.repeat(chunk[-1:], AT_ONCE - len(chunk), axis=0)])
            parts.append(self._answered(filled)[: len(chunk)])
        found = np.concatenate(parts)
        return np.concatenate([found, np.repeat(found[-1:], len(pixels) - len(found), axis=0)])

    def _answered(self, pixels: np.ndarray) -> np.ndarray:
        if self._ensemble:  # others may combine its members otherwise
            self._ensemble.method = self._method
        squares = {
            size: pixels if size == pixels.shape[1] else resized(pixels, size)
            for size in self._model.sizes
        }
        return self._model.answers(Block(("",) * len(pixels), squares)).proba.astype(np.float32)


def _method_of(model: Model, artifact: Artifact, method: str | None) -> str:
    if KINDS[artifact.reference.stage] != "ensemble":
        if method is not None:
            raise InvalidInput(
                f"{model.name}: expected an ensemble to be combined by {method}, got a single "
                "model; leave the method out"
            )
        return ""
    result = artifact.json("result")
    made = {one["method"] for one in result["methods"]}
    if method in (None, "chosen"):
        return str(result["chosen"]["method"])
    if method not in made:
        raise InvalidInput(
            f"{model.name}: expected one of {', '.join(sorted(made))}, got {method}; set "
            "attacks.methods, or ensemble.meta_learners"
        )
    return str(method)


def _n_needed(pixels: np.ndarray) -> int:
    """Return how many images there are up to the first of those at the end that are the same."""
    differing = np.flatnonzero((pixels != pixels[-1]).any(axis=(1, 2, 3)))
    return int(differing[-1]) + 2 if differing.size else 1
