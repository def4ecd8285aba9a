"""The models of a store: their names and scores, and the default model.

Reads manifests and `result.json` only, whose digest is checked; a model's other files are verified
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
from flowers17.artifacts import Store
from flowers17.data.balance import first_measure
from flowers17.errors import ArtifactDamaged, ArtifactMissing, InvalidInput
from flowers17.files import read_regular
from flowers17.manifests import read_as_written
from flowers17.terminal import printable

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
    """A model of a store: its manifest and its `result.json`."""

    manifest: Mapping[str, Any]
    result: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Display name, e.g. `mk-2 wide, report split`."""
        return str(self.manifest["label"])

    @property
    def kind(self) -> Kind:
        """Kind of model."""
        return KINDS[self.manifest["stage"]]

    @property
    def place(self) -> ArtifactId:
        """Stage and key."""
        return artifact_id(self.manifest)

    @property
    def share(self) -> float:
        """Accuracy, or balanced accuracy where classes differ in size, by which models are ranked.

        For an ensemble, the cross-validated one of its chosen method on the training images;
        for other models, the accuracy on the validation images.
        """
        if self.kind != "ensemble":
            counts = self.result["n_correct"], self.result["n_validation"]
            return first_measure(*counts, self.result.get("by_class"))
        chosen = self.result["chosen"]
        method = next(
            scored
            for scored in self.result["methods"]
            if (scored["method"], scored["by"]) == (chosen["method"], chosen["by"])
        )
        counts = method["cross_validated"], self.result["n_train"]
        return first_measure(*counts, method.get("cross_validated_by_class"))


class Catalogue:
    """The models of a store. Models of single folds have no name: use STAGE/KEY."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._manifests = by_id(store.manifests())

    @cached_property
    def entries(self) -> list[Entry]:
        """The newest model of each name, by kind and name."""
        newest = {entry.name: entry for entry in sorted(self._models.values(), key=_age)}
        return sorted(newest.values(), key=lambda entry: (entry.kind, entry.name))

    def named(self, name: str) -> Entry:
        """The model of a name, the newest of several, or of `STAGE/KEY`, the key shortened or not.

        Raises InvalidInput, which lists the names, if there is none.
        """
        for entry in self.entries:
            if entry.name == name:
                return entry
        stage, slash, key = name.partition("/")
        matches = [
            manifest
            for place, manifest in self._manifests.items()
            if slash and key and place[0] == stage and place[1].startswith(key)
        ]
        if stage in KINDS and len(matches) == 1:
            return Entry(matches[0], self._result(matches[0]) or {})
        names = "; ".join(entry.name for entry in self.entries) or "none: run `flowers17 run` first"
        raise InvalidInput(
            f"model {name!r}: expected a name in the store {self._store.address}, or STAGE/KEY of "
            f"one; there are: {names}"
        )

    def default(self) -> tuple[Entry, str]:
        """The best model, and the reason in words.

        The ensemble with the best cross-validated accuracy in the newest study that has one, else
        in the store; else the network with the best validation accuracy, in the same order.
        Raises ArtifactMissing if there is neither.
        """
        ranked: tuple[tuple[Kind, str], ...] = (
            ("ensemble", "the ensemble with the best cross-validated share"),
            ("network", "the network with the best validation accuracy"),
        )
        for kind, reason in ranked:
            for scope, pool in self._pools():
                candidates = [entry for entry in pool if entry.kind == kind]
                if candidates:
                    return max(
                        candidates, key=lambda entry: (entry.share, *_age(entry))
                    ), f"{reason} {scope}"
        raise ArtifactMissing(
            f"{self._store.address}: expected a trained network or an ensemble, found none; run "
            "`flowers17 run learners` first"
        )

    def _pools(self) -> Iterator[tuple[str, list[Entry]]]:
        """The models of each study, newest first, then those of the whole store."""
        studies = [manifest for (stage, _), manifest in self._manifests.items() if stage == "study"]
        for study in sorted(
            studies, key=lambda manifest: (manifest["created"], manifest["key"]), reverse=True
        ):
            places = [artifact_id(manifest) for manifest in family(study, self._manifests)]
            models = [self._models[place] for place in places if place in self._models]
            yield "of the newest study that has one", models
        yield "of the store", self.entries

    @cached_property
    def _models(self) -> dict[ArtifactId, Entry]:
        """The models by stage and key, except those of single folds."""
        models = {}
        for place, manifest in self._manifests.items():
            result = self._result(manifest) if place[0] in KINDS else None
            if result is not None and result.get("kind") != "fold":
                models[place] = Entry(manifest, result)
        return models

    def _result(self, manifest: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """An artifact's `result.json`, or None with a warning if it is not as published."""
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
        label = printable(manifest["label"])
        logger.warning("%s: not as it was published; %s is passed over", path, label)
        return None


def _age(entry: Entry) -> tuple[str, str]:
    return entry.manifest["created"], entry.manifest["key"]
