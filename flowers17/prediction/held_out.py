"""The stored predictions of the images that measured a model, for every kind of model."""

from dataclasses import dataclass

import numpy as np

from flowers17.ancestry import by_id, family
from flowers17.artifacts import Artifact
from flowers17.ensemble.calibration import tempered
from flowers17.prediction.catalogue import refitted_scheme
from flowers17.prediction.models import Loader


@dataclass(frozen=True)
class HeldOut:
    """Validation images of a model, their labels and the model's stored probabilities.

    rows: of the data set, int64 (n,). labels: int64 (n,). proba: float (n, c); an ensemble's are
    those of its refitted members, calibrated. train, train_labels: those that what was measured was
    trained on.
    """

    rows: np.ndarray
    labels: np.ndarray
    proba: np.ndarray
    train: np.ndarray
    train_labels: np.ndarray


def held_out(artifact: Artifact, loader: Loader) -> HeldOut | None:
    """Stored predictions of the images that measured a model; None if its split is not known.

    A model fitted on all images was measured by others of its kind, whose predictions these are.
    """
    inputs = artifact.manifest["inputs"]
    measured = artifact.json("result").get("measured")
    if measured and "fold-01" in inputs:
        return held_out(loader.artifact(inputs["fold-01"]), loader)
    if measured:
        measures = loader.artifact(inputs["measures"])
        splits = loader.artifact(measures.manifest["inputs"]["splits"])
        labels, name = splits.array("labels"), measured["split"]
        [(rows, train)] = [
            (np.array(split["validation"], np.int64), np.array(split["train"], np.int64))
            for split in splits.json("splits")["splits"]
            if split["name"] == name
        ]
        proba = measures.array(f"{name}-proba")
        return HeldOut(rows, labels[rows], proba, train, labels[train])
    return own_predictions(artifact, loader)


def own_predictions(artifact: Artifact, loader: Loader) -> HeldOut | None:
    """A model's own stored predictions of the images that measured it; None as in `held_out`.

    They are no measure of a model that was fitted on all images, these among them.
    """
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


def images_of(artifact: Artifact, loader: Loader) -> dict[int, np.ndarray]:
    """The data set's images from which a model was made: uint8 (n, s, s, 3), by side s."""
    origins = family(artifact.manifest, by_id(loader.store.manifests()))
    artifacts = {
        manifest["material"]["config"]["size"]: loader.artifact(manifest)
        for manifest in origins
        if manifest["stage"] == "images"
    }
    return {size: images.mapped("images") for size, images in artifacts.items()}
