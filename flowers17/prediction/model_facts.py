"""Facts about a model of a store: its data, scores with intervals, and lineage."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowers17.ancestry import ArtifactId, Manifest, by_id, family
from flowers17.artifacts import Artifact
from flowers17.digests import canonical_json
from flowers17.prediction.catalogue import KINDS, Catalogue, Entry
from flowers17.prediction.held_out import held_out
from flowers17.prediction.models import Loader
from flowers17.reporting.metrics import MeanSpread
from flowers17.reporting.records import HEADLINE, Score, over_repeats, score_of


@dataclass(frozen=True)
class ModelFacts:
    """The facts of a model card.

    result: its `result.json`. fitted_on: words for all images, if it was fitted on them; its scores
    are then those of the same training on splits. score: on its split. over_clean: mean of the
    measure that stands first over those repeated clean splits on which the store has the same
    training, None for less than two. answers: labels and predicted classes of the held-out images,
    None if the split is not known. source: of the images, as in their artifact; verified: whether
    each is byte for byte one of Oxford Flowers-17. origins: the manifests of all artifacts it was
    made from.
    """

    manifest: Manifest
    result: Mapping[str, Any]
    score: Score
    over_clean: MeanSpread | None
    answers: tuple[np.ndarray, np.ndarray] | None
    source: Mapping[str, Any]
    verified: bool
    n_images: int | None
    origins: tuple[Manifest, ...]
    fitted_on: str = ""

    @property
    def name(self) -> str:
        """Display name of the model."""
        return str(self.manifest["label"])

    @property
    def measured(self) -> Mapping[str, Any]:
        """The `result.json` that the scores are from, or the entry of a classifier's split."""
        measured: Mapping[str, Any] = self.result.get("measured", self.result)
        return measured

    @property
    def members(self) -> tuple[str, ...]:
        """Names of an ensemble's members; empty for other models."""
        return tuple(self.result.get("members", ()))

    @property
    def random_weights(self) -> bool:
        """Whether its extractor was never trained."""
        return any(weights["kind"] == "random" for weights in self._weights)

    @property
    def pretrained(self) -> tuple[str, ...]:
        """SHA-256 of the files of its extractors' pretrained weights."""
        return tuple(
            dict.fromkeys(
                weights["sha256"] for weights in self._weights if weights["kind"] != "random"
            )
        )

    @property
    def near_duplicates(self) -> str:
        """Which images clean splits keep on one side, in the words of `splits.near_duplicates`."""
        for manifest in self.origins:
            if manifest["stage"] == "duplicates":
                values = {**(manifest["material"]["config"] or {}), **manifest.get("metrics", {})}
                return str(values.get("kept_together", values.get("near_duplicates", "similar")))
        return "similar"

    @property
    def _weights(self) -> list[Mapping[str, Any]]:
        configs = [config["material"]["config"] or {} for config in (self.manifest, *self.origins)]
        return [
            config["weights"] for config in configs if isinstance(config.get("weights"), Mapping)
        ]


def model_facts(artifact: Artifact, loader: Loader) -> ModelFacts:
    """The facts of the model of an artifact."""
    result, manifests = artifact.json("result"), by_id(loader.store.manifests())
    entry = Entry(artifact.manifest, result)
    _, *origins = family(artifact.manifest, manifests)
    images = next((manifest for manifest in origins if manifest["stage"] == "images"), None)
    items = loader.artifact(images).json("items") if images else {}
    stored = held_out(artifact, loader)
    return ModelFacts(
        manifest=artifact.manifest,
        result=result,
        fitted_on=entry.fitted_on if entry.is_of_all else "",
        score=entry.score,
        over_clean=_over_clean(loader, artifact, manifests),
        answers=(stored.labels, stored.proba.argmax(axis=1)) if stored else None,
        source=items.get("source", {}),
        verified=bool(items.get("verified")),
        n_images=len(items["names"]) if items else None,
        origins=tuple(origins),
    )


def _over_clean(
    loader: Loader, artifact: Artifact, manifests: Mapping[ArtifactId, Manifest]
) -> MeanSpread | None:
    """Mean over the repeated splits of one data set on which the same model was trained."""
    inputs, manifest = artifact.manifest["inputs"], artifact.manifest
    if "measures" in inputs:
        measures = loader.artifact(inputs["measures"]).json("result")["splits"]
        scores = {split["name"]: score_of(split, split["name"]) for split in measures}
    else:
        if "measured" in artifact.json("result"):
            manifest = loader.artifact(inputs["fold-01"]).manifest
        material = _common_material(manifest, manifests)
        scores = {
            entry.result["split"]: entry.score
            for entry in Catalogue(loader.store).entries
            if entry.manifest["stage"] == manifest["stage"]
            and not entry.is_of_all
            and _common_material(entry.manifest, manifests) == material
        }
    repeats = over_repeats(scores.values(), HEADLINE)
    return repeats if repeats and repeats.n_splits > 1 else None


def _common_material(
    manifest: Manifest, manifests: Mapping[ArtifactId, Manifest]
) -> tuple[Any, ...]:
    """Everything that models of the same training on other splits have in common."""
    origins = list(family(manifest, manifests))
    splits = next((manifest for manifest in origins if manifest["stage"] == "splits"), None)
    refit = any(name.startswith("fold-") for name in manifest["inputs"])
    key = splits["key"] if splits else manifest["key"]
    models = sorted(
        canonical_json([manifest["material"]["config"], manifest["material"].get("seed")])
        for manifest in origins
        if manifest["stage"] in KINDS
    )
    return models, key, refit
