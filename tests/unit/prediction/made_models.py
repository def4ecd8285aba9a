"""Models published by hand in a real store: networks with drawn weights, and ensembles' results."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from flowers17.artifacts import Artifact, Store
from flowers17.config import RecipeSettings
from flowers17.digests import canonical_json, file_sha256, sha256_of
from tests.support import tiny_training
from tests.support.stores import material, publish
from tests.support.tiny_training import SIZE, STACKED, STATEFUL, fresh

CLASSES = ["daisy", "iris", "=tulip"]
TWO_SIZES = RecipeSettings(resolutions=(0.5, 1.0), flips_at_test=True)


@dataclass(frozen=True)
class Maker:
    """Publishes artifacts in a store, all made at one time."""

    store: Store
    created: str = "2026-01-02T03:04:05Z"

    def publish(
        self,
        stage: str,
        label: str,
        values: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray] | None = None,
        *,
        config: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Artifact] | None = None,
    ) -> Artifact:
        """Publish an artifact with a manifest like a stage's."""
        files = {f"{name}.json": canonical_json(value).encode() for name, value in values.items()}
        for name, array in (arrays or {}).items():
            stream = io.BytesIO()
            np.save(stream, array, allow_pickle=False)
            files[f"{name}.npy"] = stream.getvalue()
        materials = material(config, made=[stage, label, values, self.created])
        return publish(
            self.store,
            sha256_of(materials),
            files,
            stage=stage,
            label=label,
            material=materials,
            inputs={
                name: artifact.reference.to_json() for name, artifact in (inputs or {}).items()
            },
            created=self.created,
        )


def definition_of(learner: str) -> dict[str, Any]:
    """The entry `definition` of a training's configuration, for a learner of `tiny_training`."""
    if learner == STATEFUL:
        return {"sha256": file_sha256(Path(tiny_training.__file__))}
    return STACKED.model_dump(mode="json")


def network(
    maker: Maker,
    label: str,
    model: keras.Model | None = None,
    *,
    learner: str = STACKED.name,
    recipe: RecipeSettings = RecipeSettings(),
    definition: Mapping[str, Any] | None = None,
    precision: str = "float32",
    n_correct: int = 5,
    config: Mapping[str, Any] | None = None,
    inputs: Mapping[str, Artifact] | None = None,
    **result: Any,
) -> Artifact:
    """Publish a network as its training would; without a model, one with the first weights."""
    model = model or fresh(learner, any_size=learner == STATEFUL)
    arrays = {
        f"weights/{index:03d}": weights.numpy() for index, weights in enumerate(model.weights)
    }
    described = {
        "classes": CLASSES,
        "image_size": SIZE,
        "recipe": recipe.model_dump(mode="json"),
        "split": "clean",
        "kind": "clean",
        "n_correct": n_correct,
        "n_train": 20,
        "n_validation": 10,
        **result,
    }
    configuration = {
        "learner": learner,
        "definition": definition or definition_of(learner),
        "precision": precision,
        **(config or {}),
    }
    return maker.publish(
        "training", label, {"result": described}, arrays, config=configuration, inputs=inputs
    )


def stacking(maker: Maker, label: str, cross_validated: int) -> Artifact:
    """Publish what an ensemble's methods got right of 20 images; `average` was chosen."""
    methods = [
        {"method": "average", "by": by, "cross_validated": cross_validated, "n_correct": 6}
        for by in ("refit", "average")
    ]
    methods.append({"method": "random_forest", "by": "average", "cross_validated": 20})
    result = {
        "split": "clean",
        "kind": "clean",
        "n_train": 20,
        "n_validation": 10,
        "methods": methods,
        "chosen": {"method": "average", "by": "average"},
    }
    return maker.publish("stacking", label, {"result": result})


def study(maker: Maker, **inputs: Artifact) -> Artifact:
    """Publish a report on artifacts."""
    return maker.publish("study", "report", {}, inputs=inputs)
