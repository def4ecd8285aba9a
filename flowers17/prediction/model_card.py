"""The model card of an exported model: Markdown, its numbers from the store alone."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from flowers17.artifacts import short_name
from flowers17.prediction.card_programs import program
from flowers17.prediction.catalogue import refitted_scheme
from flowers17.prediction.exporting import OUTPUT, FileCheck
from flowers17.prediction.model_facts import ModelFacts
from flowers17.reporting.classes.measures import balanced_accuracy, class_scores, macro_f1
from flowers17.reporting.lineage import duration_text
from flowers17.reporting.metrics import Measured, accuracy_interval
from flowers17.reporting.wording import interval_text

_KINDS = {
    "report": "a random split: pictures of one scene may lie on both sides of it, which flatters "
    "the accuracy",
    "clean": "pictures of one scene are kept on one side",
    "repeated": "one of several; pictures of one scene are kept on one side",
    "official": "one of the data set’s official splits",
}
# Of a clean split whose near-duplicates are not the images that look alike.
_LESS_CLEAN = {
    "identical": "only pictures of identical pixels are kept on one side",
    "none": "near-duplicates were not searched for, so that pictures of one scene may lie on both "
    "sides of it",
}
_LOOKS_AT = {
    "crop": "It looks at the central square alone.",
    "pad": "It looks at the whole image, on black where that is no square.",
    "stretch": "It looks at the whole image, stretched to a square.",
}
_SHOWN_FACTS = (
    *("learner", "classifier", "extractor", "input_size", "pixels", "configuration", "phase"),
    *("unfrozen_from", "layer_decay", "augmentation", "precision", "convolutions", "backend"),
    "n_parameters",
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
    sections = [
        f"# {_text(facts.name)}",
        f"An image classifier of {_classes(facts, labels)}, made by flowers17.",
        *_section("Use", _use(labels, file)),
        *_section("Data", _data(facts, labels)),
        *_section("Accuracy", _accuracy(facts, labels)),
        *_section("Limits", _limits(facts, labels)),
        *_section("Training", _training(facts)),
        *_section("File", _file(facts, file, sha256, check)),
        *_section("Lineage", _lineage(facts)),
        *_section("Licence", _licence(facts)),
    ]
    return "\n\n".join(sections) + "\n"


def _classes(facts: ModelFacts, labels: Mapping[str, Any]) -> str:
    """How many classes there are, and of what as far as that is known."""
    flowers = facts.verified or facts.source.get("kind") == "rendered"
    return f"{len(labels['classes'])} classes{' of flowers' * flowers}"


def _section(title: str, paragraphs: Iterator[str]) -> Iterator[str]:
    yield f"## {title}"
    yield from paragraphs


def _use(labels: Mapping[str, Any], file: str) -> Iterator[str]:
    for image_input in labels["inputs"]:
        size = image_input["shape"][1]
        yield (
            f"Input `{image_input['name']}`: uint8 (n, {size}, {size}, 3), RGB, 0 to 255; "
            f"scaling is part of the model. Before it: {image_input['before']}."
        )
    yield (
        f"Output `{OUTPUT}`: float32 (n, {len(labels['classes'])}), in the order of `classes` in "
        f"`{file}.labels.json`."
    )
    yield f"```python\n{program(file, labels['resize'])}\n```"


def _data(facts: ModelFacts, labels: Mapping[str, Any]) -> Iterator[str]:
    kind = facts.source.get("kind")
    content = {
        "rendered": "flowers drawn from code, not photographs",
        "oxford17": "Oxford Flowers-17",
        "archive": "an archive of images",
        "folder": "a folder of images",
        "packed": "an archive of images",
        "table": "a table of images",
    }.get(str(kind), "not recorded")
    if facts.verified and kind != "oxford17":
        content += ", every one verified as one of Oxford Flowers-17"
    count = f" {facts.n_images:,} images." if facts.n_images else ""
    digest = facts.source.get("digest")
    yield f"Source: {content}.{count}" + (f" Digest `{digest}`." if digest else "")
    score = facts.score
    caveat = _KINDS.get(score.kind, score.kind)
    if score.kind in ("clean", "repeated"):
        caveat = _LESS_CLEAN.get(facts.near_duplicates, caveat)
    yield (
        f"Split `{score.split}`: {score.n_train:,} images to train on, {score.n_validation:,} held "
        f"out; {caveat}."
    )
    if facts.fitted_on:
        yield (
            "Measured by the same training on this split, the model was then fitted on "
            f"{facts.fitted_on}. The scores below are those of the split."
        )
    yield "Classes: " + ", ".join(_text(name) for name in labels["classes"]) + "."


def _accuracy(facts: ModelFacts, labels: Mapping[str, Any]) -> Iterator[str]:
    score, repeats = facts.score, facts.over_clean
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
    rows = [(name, f"{value:.3f}", interval_text(interval)) for name, (value, interval) in measures]
    if repeats and repeats.interval:
        title = (
            f"{score.measure}, mean over {repeats.n_splits} clean splits, the same training on each"
        )
        rows.append((title, f"{repeats.mean:.3f}", interval_text(repeats.interval)))
    if test := score.on_test:
        title = f"{test.measure} on the {test.n_validation:,} images of the test part"
        rows.append((title, f"{test.headline:.3f}", interval_text(test.headline_interval)))
    if facts.measured.get("validation_loss") is not None:
        rows.append(("log loss", f"{facts.measured['validation_loss']:.3f}", ""))
    yield f"On the {score.n_validation:,} held-out images:"
    yield _table(("", "value", "95 % interval"), rows)
    yield (
        "An accuracy has Wilson’s interval, which covers the chance in which images were held out; "
        "a mean over splits, which share most of their images, that of Nadeau and Bengio (2003)."
    )
    if facts.answers:
        scores = class_scores(*facts.answers, labels["classes"])
        header = ("class", "recognised", "precision", "recall", "F1")
        yield _table(header, [_class_row(row) for row in scores.itertuples(index=False)])


def _class_row(row: Any) -> tuple[str, ...]:
    """Cells of a row of `class_scores`."""
    recognised = f"{row.n_correct} of {row.n_images}"
    return _text(row.name), recognised, *map(_measured, (row.precision, row.recall, row.f1))


def _measured(measured: Measured | None) -> str:
    return f"{measured.value:.3f} ({interval_text(measured.interval)})" if measured else "–"


def _limits(facts: ModelFacts, labels: Mapping[str, Any]) -> Iterator[str]:
    calibrated = (
        "Its probabilities are calibrated by one temperature, on images like those it was trained "
        "on; on others a high one is no promise."
    )
    limits = [
        "It names one of its classes for any image, whatever it shows: there is no “none of them”.",
        _LOOKS_AT[labels["resize"]],
        calibrated
        if facts.members
        else "Its probabilities are not calibrated; a high one is no promise.",
        "The accuracy is that on images like those it was trained on. This card has none for other "
        "cameras, places or times, nor under attack.",
    ]
    if facts.measured.get("recipe", {}).get("selection") == "val_loss":
        limits.append(
            "The epoch kept is the one with the lowest loss on the same held-out images, which "
            "flatters the accuracy a little."
        )
    if facts.score.kind == "report":
        limits.append("Its split is random: see Data.")
    if facts.source.get("kind") == "rendered":
        limits.append("Trained on drawings: its accuracy says nothing of photographs.")
    if facts.random_weights:
        limits.append(
            "Its extractor has random weights: it shows that the pipeline works, no more."
        )
    if facts.answers:
        scores = class_scores(*facts.answers, labels["classes"]).query("n_images > 0")
        worst = scores.iloc[int((scores.n_correct / scores.n_images).argmin())]
        if worst.n_correct < worst.n_images:
            share = f"{worst.n_correct} of {worst.n_images}"
            name = _text(worst["name"])
            limits.append(f"Of the held-out images, fewest are recognised of {name}: {share}.")
    yield "\n".join(f"- {limit}" for limit in limits)


def _training(facts: ModelFacts) -> Iterator[str]:
    result = facts.result
    rows = [(name, str(result[name])) for name in _SHOWN_FACTS if result.get(name) is not None]
    best_epoch = f"{result['best_epoch']} of {result['epochs']}" if "best_epoch" in result else ""
    rows += [("epoch kept", best_epoch)] if best_epoch else []
    for name in ("recipe", "hyperparameters"):
        settings = sorted(result.get(name, {}).items())
        rows += [(f"{name}: {setting}", str(value)) for setting, value in settings]
    rows += [("features", feature_map) for feature_map in result.get("maps", ())]
    if facts.members:
        scheme = refitted_scheme(result)
        share = f"{scheme['cross_validated']} of {result['n_train']}"
        rows += [("member", member) for member in facts.members]
        rows += [
            ("combined by", scheme["method"].replace("_", " ")),
            ("chosen on", f"{result['n_folds']} folds of the training images: {share} right"),
            ("temperature", f"{scheme['temperature']:.3f}"),
        ]
    yield _table(("", ""), [(name, _text(value)) for name, value in rows])


def _file(facts: ModelFacts, file: str, sha256: str, check: FileCheck | None) -> Iterator[str]:
    yield f"`{file}`, SHA-256 `{sha256}`."
    if check is None:
        yield "Not checked: the store lacks the images that it was trained on."
        return
    if facts.fitted_on:
        yield (
            f"Checked when it was written, on {check.n:,} of the images that it was fitted on: its "
            f"probabilities differ from the stored ones by {check.difference:.1e} at most."
        )
        return
    yield (
        f"Checked when it was written: of the {check.n:,} held-out images this file gets "
        f"{check.n_correct:,} right; the model in the store {facts.score.n_correct:,}. Its "
        f"probabilities differ from the stored ones by {check.difference:.1e} at most."
    )


def _lineage(facts: ModelFacts) -> Iterator[str]:
    rows = [
        (
            each["stage"],
            _text(str(each["label"])),
            f"`{each['key'][:12]}`",
            f"`{each['digest'][:12]}`",
        )
        for each in (facts.manifest, *facts.origins)
    ]
    yield _table(("stage", "label", "key", "digest"), rows)
    manifest = facts.manifest
    provenance = [f"Made {manifest['created']}"]
    if manifest.get("duration_s") is not None:
        provenance.append(f"in {duration_text(float(manifest['duration_s']))}")
    machine = manifest.get("machine") or {}
    if machine.get("processor"):
        provenance.append(f"on {machine['processor']}, {machine.get('cores')} cores")
    yield (
        " ".join(provenance)
        + f". `flowers17 show {short_name(manifest['stage'], manifest['key'])}` tells more."
    )
    libraries = manifest["material"].get("libraries") or {}
    if libraries:
        named = ", ".join(f"{name} {version}" for name, version in sorted(libraries.items()))
        yield f"Libraries: {named}."


def _licence(facts: ModelFacts) -> Iterator[str]:
    yield "flowers17 and what it writes by itself are under the MIT licence."
    if facts.source.get("kind") != "rendered":
        yield (
            "The weights were learnt from images, whose rights are their owners’. This card "
            "grants none; look up the terms of the data set before you pass the file on."
        )
    for sha256 in facts.pretrained:
        yield (
            f"Training began with weights learnt from ImageNet (SHA-256 `{sha256}`), which have "
            "terms of their own."
        )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(text: str) -> str:
    """Text on one line, escaped for Markdown."""
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#&" else letter for letter in text)
