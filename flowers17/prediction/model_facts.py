"""What is known of a model of a store: its data, scores with intervals, and its lineage."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowers17.ancestry import ArtifactId, Manifest, by_id, family
from flowers17.artifacts import Artifact, Store, canonical_json
from flowers17.prediction.catalogue import KINDS, Catalogue
from flowers17.prediction.held_out import held_out, refitted
from flowers17.prediction.models import Loader
from flowers17.reporting.metrics import Interval, MeanSpread, accuracy_interval
from flowers17.reporting.records import Score, over_repeats


@dataclass(frozen=True)
class ClassScore:
    """Of a class: how many of the validation images that show it are recognised."""

    name: str
    n_correct: int
    n: int

    @property
    def interval(self) -> Interval:
        """The 95 % interval of the share."""
        return accuracy_interval(self.n_correct, self.n)


@dataclass(frozen=True)
class Facts:
    """What a model card tells of a model.

    result: its `result.json`. score: on its split. over_clean: mean over the repeated clean splits
    that the store has the same training of, None for less than two. by_class: empty if the split
    is not known. source: of the images, as their artifact describes it; verified: whether each is
    byte for byte one of Oxford Flowers-17. origins: the manifests of all that it was made from.
    """

    manifest: Manifest
    result: Mapping[str, Any]
    score: Score
    over_clean: MeanSpread | None
    by_class: tuple[ClassScore, ...]
    source: Mapping[str, Any]
    verified: bool
    n_images: int | None
    origins: tuple[Manifest, ...]

    @property
    def name(self) -> str:
        """How people call the model."""
        return str(self.manifest["label"])

    @property
    def members(self) -> tuple[str, ...]:
        """What an ensemble combines; empty for other models."""
        return tuple(self.result.get("members", ()))

    @property
    def random_weights(self) -> bool:
        """Whether it rests on an extractor that was never trained."""
        return any(one["kind"] == "random" for one in self._weights)

    @property
    def pretrained(self) -> tuple[str, ...]:
        """SHA-256 of the files of weights that extractors began with."""
        return tuple(
            dict.fromkeys(one["sha256"] for one in self._weights if one["kind"] != "random")
        )

    @property
    def near_duplicates(self) -> str:
        """Which images clean splits keep on one side, as `splits.near_duplicates` says it."""
        found = (one["material"]["config"] for one in self.origins if one["stage"] == "duplicates")
        return str((next(found, None) or {}).get("near_duplicates", "similar"))

    @property
    def _weights(self) -> list[Mapping[str, Any]]:
        configs = [one["material"]["config"] or {} for one in (self.manifest, *self.origins)]
        return [one["weights"] for one in configs if isinstance(one.get("weights"), Mapping)]


def facts(artifact: Artifact, loader: Loader) -> Facts:
    """Return what is known of a model, by its artifact."""
    result, store = artifact.json("result"), loader.store
    known = by_id(store.manifests())
    _, *origins = family(artifact.manifest, known)
    images = next((one for one in origins if one["stage"] == "images"), None)
    items = loader.artifact(images).json("items") if images else {}
    return Facts(
        manifest=artifact.manifest,
        result=result,
        score=_score(artifact.reference.stage, result),
        over_clean=_over_clean(store, artifact.manifest, known),
        by_class=tuple(_by_class(artifact, loader, result["classes"])),
        source=items.get("source", {}),
        verified=bool(items.get("verified")),
        n_images=len(items["names"]) if items else None,
        origins=tuple(origins),
    )


def _score(stage: str, result: Mapping[str, Any]) -> Score:
    of_images = refitted(result) if stage == "stacking" else result
    n_train, n_validation = int(result["n_train"]), int(result["n_validation"])
    n_correct = int(of_images["n_correct"])
    return Score(result["split"], result["kind"], n_train, n_validation, n_correct, {})


def _over_clean(
    store: Store, manifest: Manifest, known: Mapping[ArtifactId, Manifest]
) -> MeanSpread | None:
    """Return the mean over the repeated splits of one data set that the same was trained on."""
    scores = {}
    for one in Catalogue(store).entries:
        same = one.manifest["stage"] == manifest["stage"]
        if same and _decides(one.manifest, known) == _decides(manifest, known):
            scores[one.result["split"]] = _score(manifest["stage"], one.result)
    over = over_repeats(scores.values())
    return over if over and over.n_splits > 1 else None


def _decides(manifest: Manifest, known: Mapping[ArtifactId, Manifest]) -> tuple[Any, ...]:
    """Return what two models on splits of one data set have in common."""
    origins = list(family(manifest, known))
    splits = next((one for one in origins if one["stage"] == "splits"), None)
    refit = any(name.startswith("fold-") for name in manifest["inputs"])
    key = splits["key"] if splits else manifest["key"]
    models = sorted(
        canonical_json([one["material"]["config"], one["material"].get("seed")])
        for one in origins
        if one["stage"] in KINDS
    )
    return models, key, refit


def _by_class(artifact: Artifact, loader: Loader, classes: Sequence[str]) -> Iterator[ClassScore]:
    known = held_out(artifact, loader)
    if known is None:
        return
    for label, name in enumerate(classes):
        of_class = known.labels == label
        if of_class.any():
            n_correct = int(np.sum(known.is_correct & of_class))
            yield ClassScore(name, n_correct, int(of_class.sum()))
