"""The model card of an exported model: Markdown from `templates/`, its numbers from the store."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowers17.artifacts import Artifact, short_name
from flowers17.backbones.facts import known_facts
from flowers17.manifests import Manifest, artifact_id, by_id, family
from flowers17.prediction.catalogue import Catalogue, Entry, refitted_scheme
from flowers17.prediction.evidence import held_out
from flowers17.prediction.exporting import OUTPUT, FileCheck
from flowers17.prediction.models import Loader
from flowers17.reporting.classes.measures import balanced_accuracy, class_scores, macro_f1
from flowers17.reporting.html import environment
from flowers17.reporting.lineage import duration_text
from flowers17.reporting.metrics import Measured, accuracy_interval
from flowers17.reporting.wording import interval_text

_SHOWN_FACTS = (
    *("learner", "classifier", "extractor", "input_size", "pixels", "configuration", "phase"),
    *("unfrozen_from", "layer_decay", "augmentation", "precision", "convolutions", "backend"),
    "n_parameters",
)


@dataclass(frozen=True)
class ModelFacts:
    """The facts of a model card.

    entry: of the catalogue; a model that was fitted on all images has the scores of the same
    training on splits. answers: labels and predicted classes of the held-out images, None if the
    split is not known. source: of the images, as in their artifact; verified: whether each is byte
    for byte one of Oxford Flowers-17. origins: the manifests of all artifacts it was made from.
    """

    entry: Entry
    answers: tuple[np.ndarray, np.ndarray] | None
    source: Mapping[str, Any]
    verified: bool
    n_images: int | None
    origins: tuple[Manifest, ...]

    @property
    def measured(self) -> Mapping[str, Any]:
        """The `result.json` that the scores are from, or the entry of a classifier's split."""
        measured: Mapping[str, Any] = self.entry.result.get("measured", self.entry.result)
        return measured

    @property
    def weights(self) -> dict[str, Mapping[str, Any]]:
        """Weights that training began with by extractor: their kind, and SHA-256 if of a file."""
        manifests = (self.entry.manifest, *self.origins)
        configs = [manifest["material"]["config"] or {} for manifest in manifests]
        configs = [config for config in configs if isinstance(config.get("weights"), Mapping)]
        return {config["extractor"]: config["weights"] for config in configs}

    @property
    def near_duplicates(self) -> str:
        """Which images clean splits keep on one side, in the words of `splits.near_duplicates`."""
        for manifest in self.origins:
            if manifest["stage"] == "duplicates":
                values = {**(manifest["material"]["config"] or {}), **manifest.get("metrics", {})}
                return str(values.get("kept_together", values.get("near_duplicates", "similar")))
        return "similar"


def model_facts(artifact: Artifact, loader: Loader) -> ModelFacts:
    """The facts of the model of an artifact."""
    manifests = by_id(loader.store.manifests())
    entry = Catalogue(loader.store).named("/".join(artifact_id(artifact.manifest)))
    _, *origins = family(artifact.manifest, manifests)
    images = next((manifest for manifest in origins if manifest["stage"] == "images"), None)
    items = loader.artifact(images).json("items") if images else {}
    stored = held_out(artifact, loader)
    return ModelFacts(
        entry=entry,
        answers=(stored.labels, stored.proba.argmax(axis=1)) if stored else None,
        source=items.get("source", {}),
        verified=bool(items.get("verified")),
        n_images=len(items["names"]) if items else None,
        origins=tuple(origins),
    )


def model_card(
    facts: ModelFacts,
    labels: Mapping[str, Any],
    *,
    file: str,
    sha256: str,
    check: FileCheck | None,
) -> str:
    """A model card in Markdown.

    labels: see `exporting.labels`. file, sha256: of the exported file. check: the file's
    predictions of the validation images, None if the store does not have them.
    """
    templates = environment("flowers17.prediction", is_html=False)  # Markdown: `text` escapes
    templates.filters.update(text=_text, interval=interval_text, duration=duration_text)
    classes: list[Any] = []
    worst = None
    if facts.answers:
        scores = class_scores(*facts.answers, labels["classes"])
        classes = list(scores.itertuples(index=False))
        shown = [row for row in classes if row.n_images]
        worst = min(shown, key=lambda row: row.n_correct / row.n_images)
    return templates.get_template("card.md.jinja").render(
        facts=facts,
        labels=labels,
        file=file,
        sha256=sha256,
        check=check,
        output=OUTPUT,
        short=short_name,
        classes=classes,
        worst=worst,
        measures=list(_measures(facts)),
        settings=[(name, _text(value)) for name, value in _settings(facts)],
        imagenet=known_facts(),
    )


def _measures(facts: ModelFacts) -> Iterator[tuple[str, str, str]]:
    """Rows of measures on the held-out images, the one that counts first: name, value, interval."""
    score, repeats = facts.entry.score, facts.entry.over_clean
    measures = [("accuracy", Measured(score.accuracy, score.interval))]
    if facts.answers:
        truth, predicted = facts.answers
        n_largest = int(np.bincount(truth).max())
        largest = Measured(n_largest / len(truth), accuracy_interval(n_largest, len(truth)))
        measures += [
            ("accuracy of the largest class alone", largest),
            ("balanced accuracy", balanced_accuracy(truth, predicted)),
            ("macro-F1", macro_f1(truth, predicted)),
        ]
    if score.by_class:
        measures = [*measures[2:], *measures[:2]]
    if repeats and repeats.n_splits > 1:
        title = f"mean over {repeats.n_splits} clean splits, the same training on each"
        measures.append((f"{score.measure}, {title}", Measured(repeats.mean, repeats.interval)))
    if test := score.on_test:
        title = f"{test.measure} on the {test.n_validation:,} images of the test part"
        measures.append((title, Measured(test.headline, test.headline_interval)))
    for name, (value, interval) in measures:
        yield name, f"{value:.3f}", interval_text(interval)
    if facts.measured.get("validation_loss") is not None:
        yield "log loss", f"{facts.measured['validation_loss']:.3f}", ""


def _settings(facts: ModelFacts) -> Iterator[tuple[str, str]]:
    """Names and values of what the model was trained with."""
    result = facts.entry.result
    for name in _SHOWN_FACTS:
        if result.get(name) is not None:
            yield name, str(result[name])
    if "best_epoch" in result:
        yield "epoch kept", f"{result['best_epoch']} of {result['epochs']}"
    for name in ("recipe", "hyperparameters"):
        for setting, value in sorted(result.get(name, {}).items()):
            yield f"{name}: {setting}", str(value)
    for feature_map in np.atleast_1d(result.get("maps", ())):  # of a fine-tuned network, a name
        yield "features", feature_map
    if facts.entry.kind == "ensemble":
        scheme = refitted_scheme(result)
        for member in result["members"]:
            yield "member", member
        yield "combined by", scheme["method"].replace("_", " ")
        share = f"{scheme['cross_validated']} of {result['n_train']}"
        yield "chosen on", f"{result['n_folds']} folds of the training images: {share} right"
        yield "temperature", f"{scheme['temperature']:.3f}"


def _text(text: str) -> str:
    """Text on one line, escaped for Markdown."""
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#&" else letter for letter in text)
