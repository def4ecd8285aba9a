"""The stored predictions of a model's validation images, for every kind of model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowers17.ancestry import by_id, family
from flowers17.artifacts import Artifact
from flowers17.ensemble.calibration import tempered
from flowers17.prediction.models import Loader


@dataclass(frozen=True)
class HeldOut:
    """Validation images of a model, their labels and the model's stored probabilities.

    rows: of the data set, int64 (n,). labels: int64 (n,). proba: float (n, c); an ensemble's are
    those of its refitted members, calibrated. train, train_labels: those that it was trained on.
    """

    rows: np.ndarray
    labels: np.ndarray
    proba: np.ndarray
    train: np.ndarray
    train_labels: np.ndarray

    @property
    def is_correct(self) -> np.ndarray:
        """Whether the model classifies each correctly: bool (n,)."""
        return np.asarray(self.proba.argmax(axis=1) == self.labels)


def held_out(artifact: Artifact, loader: Loader) -> HeldOut | None:
    """Stored predictions of a model's validation images; None if its split is not known."""
    inputs = artifact.manifest["inputs"]
    if artifact.reference.stage == "stacking":
        out_of_fold = loader.artifact(inputs["out_of_fold"])
        rows, scheme = out_of_fold.array("validation"), refitted_scheme(artifact.json("result"))
        proba = artifact.array(f"{scheme['method']}-{scheme['by']}-proba")
        train, labels = out_of_fold.array("folds") >= 0, out_of_fold.array("labels")
        calibrated = tempered(proba, scheme["temperature"])
        return HeldOut(rows, labels[rows], calibrated, np.flatnonzero(train), labels[train])
    if "split" not in inputs:
        return None
    split = loader.artifact(inputs["split"])
    rows, train, labels = (split.array(name) for name in ("validation", "train", "labels"))
    return HeldOut(rows, labels[rows], artifact.array("proba")[rows], train, labels[train])


def refitted_scheme(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """The entry of a stacking's chosen method with refitted members, from its `result.json`."""
    identity = {"method": result["chosen"]["method"], "by": "refit"}
    scheme: Mapping[str, Any] = next(
        entry for entry in result["methods"] if identity.items() <= entry.items()
    )
    return scheme


def images_of(artifact: Artifact, loader: Loader) -> dict[int, np.ndarray]:
    """The data set's images from which a model was made: uint8 (n, s, s, 3), by side s."""
    origins = family(artifact.manifest, by_id(loader.store.manifests()))
    artifacts = {
        manifest["material"]["config"]["size"]: loader.artifact(manifest)
        for manifest in origins
        if manifest["stage"] == "images"
    }
    return {size: images.mapped("images") for size, images in artifacts.items()}
