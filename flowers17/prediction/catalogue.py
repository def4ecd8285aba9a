"""The models of a store: their names and scores, and the default model.

Reads manifests and `result.json` only, whose digest is checked; a model's other files are verified
when it is opened.
"""

import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from flowers17.artifacts import Store
from flowers17.data.balance import first_measure
from flowers17.digests import canonical_json
from flowers17.errors import ArtifactMissing, Flowers17Error, InvalidInput
from flowers17.files import read_regular
from flowers17.manifests import ArtifactId, artifact_id, by_id, family, read_as_written
from flowers17.reporting.metrics import MeanSpread
from flowers17.reporting.records import HEADLINE, Score, over_repeats, score_of
from flowers17.terminal import printable

Kind = Literal["network", "classifier", "ensemble"]
KINDS: Mapping[str, Kind] = {
    "training": "network",
    "finetuning": "network",
    "fitted": "classifier",
    "stacking": "ensemble",
}
ADVICE = "run `flowers17 run features` first, or `learners`, `finetune` or `ensemble`"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A model of a store: its manifest and its `result.json`.

    over_clean: mean of the measure that stands first over the repeated clean splits on which the
    store has the same training, as the report has it; None without such splits.
    """

    manifest: Mapping[str, Any]
    result: Mapping[str, Any]
    over_clean: MeanSpread | None = None

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

    @cached_property
    def score(self) -> Score:
        """The score on validation images, of an ensemble with refitted members.

        Of a model fitted on all images, that of the same classifier or training on a split.
        """
        measured = self.result.get("measured", self.result)
        counts = refitted_scheme(self.result) if self.kind == "ensemble" else measured
        counted = {name: counts.get(name) for name in ("n_correct", "by_class", "test")}
        return score_of({**measured, **counted}, measured["split"])

    @cached_property
    def cross_validated(self) -> float | None:
        """Cross-validated share of an ensemble's chosen method on the training images."""
        if self.kind != "ensemble":
            return None
        chosen = self.result["chosen"]
        method = scheme_of(self.result, chosen["method"], chosen["by"])
        counts = method["cross_validated"], self.result["n_train"]
        return first_measure(*counts, method.get("cross_validated_by_class"))

    @property
    def share(self) -> float:
        """Accuracy, or balanced accuracy where classes differ in size, by which models are ranked.

        For an ensemble, the cross-validated one; for other models the mean over repeated clean
        splits, if there are any, else that of the score.
        """
        if self.cross_validated is not None:
            return self.cross_validated
        return self.over_clean.mean if self.over_clean else self.score.headline

    @property
    def measured_on(self) -> str:
        """Images of its score, in words."""
        return f"{self.score.n_validation:,} held out, {self.score.split} split"

    @property
    def fitted_on(self) -> str:
        """Images that it was fitted on, in words."""
        n_images = f"{self.result['n_train']:,} images"
        return f"all {n_images}" if self.is_of_all else f"{n_images}, {self.result['split']} split"

    @property
    def is_of_all(self) -> bool:
        """Whether it was fitted on all images that may be fitted on."""
        return bool(self.result["kind"] == "all")

    @property
    def rank(self) -> tuple[bool, float, bool]:
        """What models of a kind are ranked by: a score on the report's split flatters."""
        flatters = self.score.kind == "report" and self.kind != "ensemble" and not self.over_clean
        return not flatters, self.share, self.is_of_all


class Catalogue:
    """The models of a store, or of some of its manifests, such as a study's family.

    Models of single folds have no name: use STAGE/KEY.
    """

    def __init__(self, store: Store, manifests: Iterable[Mapping[str, Any]] | None = None) -> None:
        self._store = store
        self._manifests = by_id(store.manifests() if manifests is None else manifests)

    @cached_property
    def entries(self) -> list[Entry]:
        """The newest model of each name, by kind and name."""
        newest = {
            entry.name: entry
            for entry in sorted(self._models.values(), key=lambda entry: _age(entry.manifest))
        }
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
            [match] = matches
            known = self._models.get(artifact_id(match))
            return known or Entry(match, self._result(match) or {})
        names = "; ".join(entry.name for entry in self.entries) or f"none: {ADVICE}"
        raise InvalidInput(
            f"model {name!r}: expected a name in the store {self._store.address}, or STAGE/KEY of "
            f"one; there are: {names}"
        )

    def default(self) -> tuple[Entry, str]:
        """The best model, and the reason in words.

        The ensemble with the best cross-validated share in the newest study that has one, else in
        the store; else the single model with the best on validation images, in the same order, on
        clean splits if any was measured there: see `Entry.share`.
        Raises ArtifactMissing if there is neither.
        """
        for kinds, reason in (
            (("ensemble",), "the ensemble with the best cross-validated"),
            (("network", "classifier"), "the single model with the best validation"),
        ):
            for scope, pool in self._pools():
                candidates = [entry for entry in pool if entry.kind in kinds]
                if candidates:
                    best = max(candidates, key=lambda entry: (entry.rank, _age(entry.manifest)))
                    return best, f"{reason} {best.score.measure} {scope}"
        raise ArtifactMissing(
            f"{self._store.address}: expected a model that was fitted, found none; {ADVICE}"
        )

    def _pools(self) -> Iterator[tuple[str, list[Entry]]]:
        """The models of each study, newest first, then those of the whole store."""
        studies = [manifest for (stage, _), manifest in self._manifests.items() if stage == "study"]
        for study in sorted(studies, key=_age, reverse=True):
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
        scores: dict[Any, dict[str, Score]] = defaultdict(dict)  # by training, by split
        for place, manifest in sorted(self._manifests.items(), key=lambda item: _age(item[1])):
            own = []
            if place in models and not models[place].is_of_all:
                own = [models[place].score]
            elif place[0] == "classifier" and "result.json" in manifest["files"]:
                own = _scores(self._result(manifest) or {})
            if own:
                scores[self._training(manifest)] |= {score.split: score for score in own}
        return {
            place: replace(entry, over_clean=over_repeats(scores[training].values(), HEADLINE))
            for place, entry in models.items()
            for training in [self._training(self._measured(entry))]
        }

    def _measured(self, entry: Entry) -> Mapping[str, Any]:
        """Manifest of the training that measured a model: its own, or that on the first split."""
        fold = entry.manifest["inputs"].get("fold-01") if "measured" in entry.result else None
        return self._manifests.get(artifact_id(fold), entry.manifest) if fold else entry.manifest

    def _training(self, manifest: Mapping[str, Any]) -> tuple[Any, ...]:
        """Everything that models of the same training on other splits have in common."""
        origins = list(family(manifest, self._manifests))
        is_classifier = manifest["stage"] in ("fitted", "classifier")
        splits = [origin["key"] for origin in origins if origin["stage"] == "splits"]
        made_from = {"features"} if is_classifier else KINDS.keys()
        configs = sorted(
            # Without how images become squares, which no classifier's measures have.
            canonical_json([{**(config or {}), "resize": None}, origin["material"].get("seed")])
            for origin in origins
            for config in [origin["material"]["config"]]
            if origin is manifest or origin["stage"] in made_from
        )
        is_refit = any(name.startswith("fold-") for name in manifest["inputs"])
        return is_classifier, *(splits or [manifest["key"]])[:1], is_refit, *configs

    def _result(self, manifest: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """An artifact's `result.json`, or None with a warning if it is not as published."""
        path = self._store.folder(manifest["stage"], manifest["key"]) / "result.json"
        try:
            self._store.local_folder(manifest["stage"], manifest["key"])  # fetched if remote
            data = read_regular(path, below=self._store.root)
            if hashlib.sha256(data).hexdigest() == manifest["files"]["result.json"]["sha256"]:
                result = dict(json.loads(data))
                with read_as_written(str(path)):
                    scores = _scores(result)
                    if manifest["stage"] in KINDS and result.get("kind") != "fold":  # it is ranked
                        entry = Entry(manifest, result)
                        scores, _ = [entry.score], (entry.rank, entry.fitted_on)
                    repeated = {score.split: replace(score, kind="repeated") for score in scores}
                    over_repeats(repeated.values(), HEADLINE)
                return result
        except (OSError, KeyError, ValueError, TypeError, RecursionError, Flowers17Error):
            pass
        label = printable(manifest["label"])
        logger.warning("%s: not as it was published; %s is passed over", path, label)
        return None


def _scores(result: Mapping[str, Any]) -> list[Score]:
    """Scores of a classifier's evaluation, one a split; none of other results."""
    return [score_of(split, split["name"]) for split in result.get("splits", ())]


def _age(manifest: Mapping[str, Any]) -> tuple[str, str]:
    """When an artifact was made, and its key, which decides between equals."""
    return manifest["created"], manifest["key"]


def refitted_scheme(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """The entry of a stacking's chosen method with refitted members, from its `result.json`."""
    return scheme_of(result, result["chosen"]["method"], "refit")


def scheme_of(result: Mapping[str, Any], method: str, by: str) -> Mapping[str, Any]:
    """The entry of a method with members of a kind, from a stacking's `result.json`."""
    identity = {"method": method, "by": by}
    schemes: Iterable[Mapping[str, Any]] = result["methods"]
    return next(scheme for scheme in schemes if identity.items() <= scheme.items())
