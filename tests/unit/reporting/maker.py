"""Artifacts published by hand in a real store."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from flowers17.artifacts import Artifact, Store
from flowers17.digests import canonical_json, sha256_of
from flowers17.reporting.absences import AbsentStage
from flowers17.reporting.reference import PartName


def absent_stage(
    part: PartName,
    stage: str,
    label: str,
    reason: str,
    split: str = "",
    *,
    lacks_weights: bool = False,
    **configuration: Any,
) -> AbsentStage:
    """Return a stage without an artifact: it failed by itself, or there are no weights."""
    kind: Literal["weights", "failed"] = "weights" if lacks_weights else "failed"
    return AbsentStage(part, stage, label, configuration, split, kind, label, reason)


class Maker:
    """Publishes artifacts as the stages do, with manifests like theirs."""

    def __init__(self, root: Path, *, created: str = "2026-01-02T03:04:05Z") -> None:
        self.store = Store(root)
        self.created = created
        self.artifacts: dict[str, Artifact] = {}

    def publish(
        self,
        stage: str,
        label: str,
        inputs: Mapping[str, Artifact],
        arrays: Mapping[str, np.ndarray],
        values: Mapping[str, Any],
        config: Mapping[str, Any] | None = None,
    ) -> Artifact:
        """Publish one artifact and keep it under its label."""
        material = {
            "stage": stage,
            "version": 1,
            "config": {"label": label, **(config or {})},
            "seed": 17,
            "inputs": {name: artifact.reference.digest for name, artifact in inputs.items()},
            "code": {f"tasks.{stage}": sha256_of(stage)},
            "libraries": {"keras": "3.12.0", "numpy": "2.4.0"},
        }
        key = sha256_of(material)
        with self.store.writing(stage, key) as folder:
            for name, array in arrays.items():
                np.save(folder / f"{name}.npy", array, allow_pickle=False)
            for name, value in values.items():
                (folder / f"{name}.json").write_text(canonical_json(value))
            artifact = self.store.publish(
                folder,
                {
                    "stage": stage,
                    "label": label,
                    "key": key,
                    "material": material,
                    "inputs": {
                        name: artifact.reference.to_json() for name, artifact in inputs.items()
                    },
                    "metrics": {"made": 1},
                    "duration_s": 1.25,
                    "created": self.created,
                    "machine": {"processor": "A & B", "cores": 2, "system": "Linux"},
                },
            )
        self.artifacts[label] = artifact
        return artifact
