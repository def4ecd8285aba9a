"""What a study stored of the images that a model was judged on, whatever kind of model it is."""

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
    """Rows of the data set that trained nothing, their labels, and what the study's model says.

    rows: int64 (n,). labels: int64 (n,). proba: float (n, c), as the model gives them: an
    ensemble's are those of its refitted members, calibrated.
    """

    rows: np.ndarray
    labels: np.ndarray
    proba: np.ndarray

    @property
    def is_correct(self) -> np.ndarray:
        """Which of them the study's model gets right: bool (n,)."""
        return np.asarray(self.proba.argmax(axis=1) == self.labels)


def held_out(artifact: Artifact, loader: Loader) -> HeldOut | None:
    """Return what was stored of a model's validation images; None if its split is not known."""
    inputs = artifact.manifest["inputs"]
    if artifact.reference.stage == "stacking":
        found = loader.artifact(inputs["out_of_fold"])
        rows, method = found.array("validation"), refitted(artifact.json("result"))
        proba = artifact.array(f"{method['method']}-{method['by']}-proba")
        return HeldOut(rows, found.array("labels")[rows], tempered(proba, method["temperature"]))
    if "split" not in inputs:
        return None
    split = loader.artifact(inputs["split"])
    rows = split.array("validation")
    return HeldOut(rows, split.array("labels")[rows], artifact.array("proba")[rows])


def refitted(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a stacking's `result.json` tells of its chosen method by refitted members."""
    asked = {"method": result["chosen"]["method"], "by": "refit"}
    found: Mapping[str, Any] = next(
        one for one in result["methods"] if asked.items() <= one.items()
    )
    return found


def images_of(artifact: Artifact, loader: Loader) -> dict[int, np.ndarray]:
    """Return the data set's images that a model was made from: uint8 (n, s, s, 3), by side s."""
    origins = family(artifact.manifest, by_id(loader.store.manifests()))
    found = {
        one["material"]["config"]["size"]: loader.artifact(one)
        for one in origins
        if one["stage"] == "images"
    }
    return {size: one.mapped("images") for size, one in found.items()}
