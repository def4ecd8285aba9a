"""What is known of a network of a store: its data, scores with intervals, and its lineage."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowers17.ancestry import Manifest, Place, by_place, family
from flowers17.artifacts import Artifact, Store
from flowers17.prediction.catalogue import Catalogue
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
    """What a model card tells of a network.

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
        """How people call the network."""
        return str(self.manifest["label"])

    @property
    def random_weights(self) -> bool:
        """Whether it rests on an extractor that was never trained."""
        return bool(self.result.get("random_weights"))

    @property
    def pretrained(self) -> Mapping[str, Any] | None:
        """Kind and digest of the extractor's weights that it began with; None without any."""
        found = (self.manifest["material"]["config"] or {}).get("weights")
        return None if found is None or self.random_weights else found


def facts(artifact: Artifact, loader: Loader) -> Facts:
    """Return what is known of a network, by its artifact."""
    result, store = artifact.json("result"), loader.store
    known = by_place(store.manifests())
    _, *origins = family(artifact.manifest, known)
    images = next((one for one in origins if one["stage"] == "images"), None)
    items = loader.artifact(images).json("items") if images else {}
    return Facts(
        manifest=artifact.manifest,
        result=result,
        score=_score(result),
        over_clean=_over_clean(store, artifact.manifest, known),
        by_class=tuple(_by_class(artifact, loader)),
        source=items.get("source", {}),
        verified=bool(items.get("verified")),
        n_images=len(items["names"]) if items else None,
        origins=tuple(origins),
    )


def _score(result: Mapping[str, Any]) -> Score:
    n_train, n_validation, n_correct = (
        int(result[name]) for name in ("n_train", "n_validation", "n_correct")
    )
    return Score(result["split"], result["kind"], n_train, n_validation, n_correct, {})


def _over_clean(
    store: Store, manifest: Manifest, known: Mapping[Place, Manifest]
) -> MeanSpread | None:
    """Return the mean over the repeated splits of one data set that the same was trained on."""
    scores = {}
    for one in Catalogue(store).entries:
        same = one.manifest["stage"] == manifest["stage"]
        if same and _decides(one.manifest, known) == _decides(manifest, known):
            scores[one.result["split"]] = _score(one.result)
    over = over_repeats(scores.values())
    return over if over and over.n_splits > 1 else None


def _decides(manifest: Manifest, known: Mapping[Place, Manifest]) -> tuple[Any, ...]:
    """Return what two trainings on splits of one data set have in common."""
    material = manifest["material"]
    splits = next((one for one in family(manifest, known) if one["stage"] == "splits"), None)
    refit = any(name.startswith("fold-") for name in manifest["inputs"])
    key = splits["key"] if splits else manifest["key"]
    return material["config"], material.get("seed"), key, refit


def _by_class(artifact: Artifact, loader: Loader) -> Iterator[ClassScore]:
    reference = artifact.manifest["inputs"].get("split")
    if not reference:
        return
    split = loader.artifact(reference)
    truth = split.array("labels")[split.array("validation")]
    correct = artifact.array("validation-predicted") == truth
    for label, name in enumerate(split.json("classes")):
        of_class = truth == label
        if of_class.any():
            yield ClassScore(name, int(np.sum(correct & of_class)), int(of_class.sum()))
