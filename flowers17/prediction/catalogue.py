"""What a store can predict with: names, scores, and which is taken when none is named.

Reads manifests and `result.json` only, whose digest is checked; what is chosen is verified whole
when it is opened.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from flowers17.ancestry import ArtifactId, artifact_id, by_id, family
from flowers17.artifacts import Store, read_as_written
from flowers17.errors import ArtifactDamaged, ArtifactMissing, InvalidInput
from flowers17.files import read_regular
from flowers17.terminal import shown

Kind = Literal["network", "classifier", "ensemble"]
KINDS: Mapping[str, Kind] = {
    "training": "network",
    "finetuning": "network",
    "fitted": "classifier",
    "stacking": "ensemble",
}
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A model of a store: its manifest, and what its `result.json` says of it."""

    manifest: Mapping[str, Any]
    result: Mapping[str, Any]

    @property
    def name(self) -> str:
        """How people call it, e.g. `mk-2 wide, report split`."""
        return str(self.manifest["label"])

    @property
    def kind(self) -> Kind:
        """What it is."""
        return KINDS[self.manifest["stage"]]

    @property
    def place(self) -> ArtifactId:
        """Its stage and key."""
        return artifact_id(self.manifest)

    @property
    def share(self) -> float:
        """What it is ranked by: the share of images that it gets right.

        Of an ensemble's chosen method, cross-validated over the training images; of others, of
        the validation images.
        """
        if self.kind != "ensemble":
            return float(self.result["n_correct"] / self.result["n_validation"])
        chosen = self.result["chosen"]
        method = next(
            one
            for one in self.result["methods"]
            if (one["method"], one["by"]) == (chosen["method"], chosen["by"])
        )
        return float(method["cross_validated"] / self.result["n_train"])


class Catalogue:
    """The models of a store. Those on single folds of an ensemble go by STAGE/KEY only."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._manifests = by_id(store.manifests())

    @cached_property
    def entries(self) -> list[Entry]:
        """The newest model of each name, by kind and name."""
        newest = {one.name: one for one in sorted(self._models.values(), key=_age)}
        return sorted(newest.values(), key=lambda one: (one.kind, one.name))

    def named(self, name: str) -> Entry:
        """Return the model of a name, the newest of several, or of `STAGE/KEY`, shortened or not.

        Raises InvalidInput with the names that there are.
        """
        for one in self.entries:
            if one.name == name:
                return one
        stage, slash, key = name.partition("/")
        found = [
            one
            for place, one in self._manifests.items()
            if slash and key and place[0] == stage and place[1].startswith(key)
        ]
        if stage in KINDS and len(found) == 1:
            return Entry(found[0], self._result(found[0]) or {})
        there = "; ".join(one.name for one in self.entries) or "none: run `flowers17 run` first"
        raise InvalidInput(
            f"model {name!r}: expected a name in the store {self._store.address}, or STAGE/KEY of "
            f"one; there are: {there}"
        )

    def default(self) -> tuple[Entry, str]:
        """Return the best model, and in words why it is that.

        The ensemble with the best cross-validated share in the newest study that has one; else
        one of the store; else the network with the best validation accuracy, in the same order.
        Raises ArtifactMissing if there is neither.
        """
        ranked: tuple[tuple[Kind, str], ...] = (
            ("ensemble", "the ensemble with the best cross-validated share"),
            ("network", "the network with the best validation accuracy"),
        )
        for kind, why in ranked:
            for where, pool in self._pools():
                found = [one for one in pool if one.kind == kind]
                if found:
                    return max(found, key=lambda one: (one.share, *_age(one))), f"{why} {where}"
        raise ArtifactMissing(
            f"{self._store.address}: expected a trained network or an ensemble, found none; run "
            "`flowers17 run learners` first"
        )

    def _pools(self) -> Iterator[tuple[str, list[Entry]]]:
        """Yield the models of each study, newest first, then those of the whole store."""
        studies = [one for (stage, _), one in self._manifests.items() if stage == "study"]
        for study in sorted(studies, key=lambda one: (one["created"], one["key"]), reverse=True):
            places = [artifact_id(one) for one in family(study, self._manifests)]
            found = [self._models[place] for place in places if place in self._models]
            yield "of the newest study that has one", found
        yield "of the store", self.entries

    @cached_property
    def _models(self) -> dict[ArtifactId, Entry]:
        """The models by stage and key, but those on single folds."""
        found = {}
        for place, manifest in self._manifests.items():
            result = self._result(manifest) if place[0] in KINDS else None
            if result is not None and result.get("kind") != "fold":
                found[place] = Entry(manifest, result)
        return found

    def _result(self, manifest: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return an artifact's `result.json`, or None with a warning if it is not as published."""
        path = self._store.folder(manifest["stage"], manifest["key"]) / "result.json"
        try:
            data = read_regular(path, below=self._store.root)
            if hashlib.sha256(data).hexdigest() == manifest["files"]["result.json"]["sha256"]:
                result = dict(json.loads(data))
                if result.get("kind") != "fold":  # others are ranked
                    with read_as_written(str(path)):
                        _ = Entry(manifest, result).share
                return result
        except (OSError, KeyError, ValueError, TypeError, RecursionError, ArtifactDamaged):
            pass
        label = shown(manifest["label"])
        logger.warning("%s: not as it was published; %s is passed over", path, label)
        return None


def _age(one: Entry) -> tuple[str, str]:
    return one.manifest["created"], one.manifest["key"]
