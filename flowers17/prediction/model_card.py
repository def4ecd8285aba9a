"""The model card of an exported model: Markdown, its numbers from the store alone."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flowers17.artifacts import short_name
from flowers17.prediction.exporting import OUTPUT, Checked
from flowers17.prediction.held_out import refitted
from flowers17.prediction.model_facts import Facts
from flowers17.reporting.lineage import duration_text
from flowers17.reporting.wording import interval_text

_KINDS = {
    "report": "a random split, as in the study: pictures of one scene may lie on both sides of it, "
    "which flatters the accuracy",
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
# Pillow, given a path instead of an open file, does not turn an uncompressed TIFF.
_IMAGES = """labels = json.load(open("{file}.labels.json", encoding="utf-8"))
image = ImageOps.exif_transpose(Image.open(open("photo.jpg", "rb")))
if image.mode.startswith("I"):  # 16-bit grey
    image = image.convert("I").point(lambda grey: grey / 257 + 0.5).convert("RGB")
else:
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    image = Image.alpha_composite(white, image).convert("RGB")
side = min(image.size)
left, top = ((length - side + 1) // 2 for length in image.size)
image = image.crop((left, top, left + side, top + side))


def square(size):
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))[None]


images = {{one["name"]: square(one["shape"][1]) for one in labels["inputs"]}}"""
_NAMED = 'print(labels["classes"][int(proba.argmax())], float(proba.max()))'
_USES = {
    ".keras": f"""import json
import keras, numpy as np
from PIL import Image, ImageOps

model = keras.models.load_model("{{file}}", compile=False)
{_IMAGES}
proba = model.predict([images[one.name] for one in model.inputs], verbose=0)[0]
{_NAMED}""",
    ".onnx": f"""import json
import numpy as np, onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession("{{file}}", providers=["CPUExecutionProvider"])
{_IMAGES}
proba = session.run(["{OUTPUT}"], images)[0][0]
{_NAMED}""",
}

_TOLD = (
    *("learner", "classifier", "extractor", "input_size", "pixels", "configuration", "phase"),
    *("unfrozen_from", "layer_decay", "augmentation", "precision", "convolutions", "backend"),
    "n_parameters",
)


def model_card(
    known: Facts,
    labels: Mapping[str, Any],
    *,
    file: str,
    sha256: str,
    checked: Checked | None,
) -> str:
    """Return a model card.

    labels: as `exporting.labels` returns them. file, sha256: of the file that it lies beside.
    checked: how the file does on the validation images, None if it could not be tried.
    """
    parts = [
        f"# {_text(known.name)}",
        f"An image classifier of {len(labels['classes'])} classes of flowers, made by flowers17.",
        *_section("Use", _use(labels, file)),
        *_section("Data", _data(known, labels)),
        *_section("Accuracy", _accuracy(known)),
        *_section("Limits", _limits(known)),
        *_section("Training", _training(known)),
        *_section("File", _file(known, file, sha256, checked)),
        *_section("Lineage", _lineage(known)),
        *_section("Licence", _licence(known)),
    ]
    return "\n\n".join(parts) + "\n"


def _section(title: str, paragraphs: Iterator[str]) -> Iterator[str]:
    yield f"## {title}"
    yield from paragraphs


def _use(labels: Mapping[str, Any], file: str) -> Iterator[str]:
    for one in labels["inputs"]:
        size = one["shape"][1]
        yield (
            f"Input `{one['name']}`: uint8 (n, {size}, {size}, 3), RGB, 0 to 255; scaling is part "
            f"of the model. Before it: {one['before']}."
        )
    yield (
        f"Output `{OUTPUT}`: float32 (n, {len(labels['classes'])}), in the order of `classes` in "
        f"`{file}.labels.json`."
    )
    yield f"```python\n{_USES[file[file.rindex('.') :]].format(file=file)}\n```"


def _data(known: Facts, labels: Mapping[str, Any]) -> Iterator[str]:
    kind = known.source.get("kind")
    what = {
        "rendered": "flowers drawn from code, not photographs",
        "oxford17": "Oxford Flowers-17",
        "archive": "an archive of photographs",
        "folder": "a folder of photographs",
    }.get(str(kind), "not recorded")
    if known.verified and kind != "oxford17":
        what += ", every one verified as one of Oxford Flowers-17"
    count = f" {known.n_images:,} images." if known.n_images else ""
    digest = known.source.get("digest")
    yield f"Source: {what}.{count}" + (f" Digest `{digest}`." if digest else "")
    score = known.score
    about = _KINDS.get(score.kind, score.kind)
    if score.kind in ("clean", "repeated"):
        about = _LESS_CLEAN.get(known.near_duplicates, about)
    yield (
        f"Split `{score.split}`: {score.n_train:,} images to train on, {score.n_validation:,} held "
        f"out; {about}."
    )
    yield "Classes: " + ", ".join(_text(name) for name in labels["classes"]) + "."


def _accuracy(known: Facts) -> Iterator[str]:
    score = known.score
    rows = [
        (
            f"accuracy on the {score.n_validation:,} held-out images",
            f"{score.accuracy:.3f}",
            interval_text(score.interval),
        )
    ]
    if known.over_clean and known.over_clean.interval:
        over = known.over_clean
        title = f"mean over {over.n_splits} clean splits, the same training on each"
        rows.append((title, f"{over.mean:.3f}", interval_text(known.over_clean.interval)))
    if known.result.get("validation_loss") is not None:
        rows.append(
            ("log loss on the held-out images", f"{known.result['validation_loss']:.3f}", "")
        )
    yield _table(("", "value", "95 % interval"), rows)
    yield (
        "An accuracy has Wilson’s interval, which covers the chance in which images were held out; "
        "a mean over splits, which share most of their images, that of Nadeau and Bengio (2003)."
    )
    if known.by_class:
        yield _table(
            ("class", "recognised", "share", "95 % interval"),
            [
                (
                    _text(one.name),
                    f"{one.n_correct} of {one.n}",
                    f"{one.n_correct / one.n:.3f}",
                    interval_text(one.interval),
                )
                for one in known.by_class
            ],
        )


def _limits(known: Facts) -> Iterator[str]:
    calibrated = (
        "Its probabilities are calibrated by one temperature, on images like those it was trained "
        "on; on others a high one is no promise."
    )
    found = [
        "It names one of its classes for any image, whatever it shows: there is no “none of them”.",
        "It looks at the central square alone.",
        calibrated
        if known.members
        else "Its probabilities are not calibrated; a high one is no promise.",
        "The accuracy is that on images like those it was trained on. This card has none for other "
        "cameras, seasons, places or species, nor under attack.",
    ]
    if known.result.get("recipe", {}).get("selection") == "val_loss":
        found.append(
            "The epoch kept is the one with the lowest loss on the same held-out images, which "
            "flatters the accuracy a little."
        )
    if known.score.kind == "report":
        found.append("Its split is random: see Data.")
    if known.source.get("kind") == "rendered":
        found.append("Trained on drawings: its accuracy says nothing of photographs.")
    if known.random_weights:
        found.append("Its extractor has random weights: it shows that the pipeline works, no more.")
    worst = min(known.by_class, key=lambda one: one.n_correct / one.n, default=None)
    if worst and worst.n_correct < worst.n:
        share = f"{worst.n_correct} of {worst.n}"
        found.append(
            f"Of the held-out images, fewest are recognised of {_text(worst.name)}: {share}."
        )
    yield "\n".join(f"- {one}" for one in found)


def _training(known: Facts) -> Iterator[str]:
    result = known.result
    rows = [(name, str(result[name])) for name in _TOLD if result.get(name) is not None]
    kept = f"{result['best_epoch']} of {result['epochs']}" if "best_epoch" in result else ""
    rows += [("epoch kept", kept)] if kept else []
    for name in ("recipe", "hyperparameters"):
        told = sorted(result.get(name, {}).items())
        rows += [(f"{name}: {setting}", str(value)) for setting, value in told]
    rows += [("features", one) for one in result.get("maps", ())]
    if known.members:
        method = refitted(result)
        share = f"{method['cross_validated']} of {result['n_train']}"
        rows += [("member", one) for one in known.members]
        rows += [
            ("combined by", method["method"].replace("_", " ")),
            ("chosen on", f"{result['n_folds']} folds of the training images: {share} right"),
            ("temperature", f"{method['temperature']:.3f}"),
        ]
    yield _table(("", ""), [(name, _text(value)) for name, value in rows])


def _file(known: Facts, file: str, sha256: str, checked: Checked | None) -> Iterator[str]:
    yield f"`{file}`, SHA-256 `{sha256}`."
    if checked is None:
        yield "Not checked against the study: the store lacks the images that it was trained on."
        return
    yield (
        f"Checked when it was written: of the {checked.n:,} held-out images this file gets "
        f"{checked.n_correct:,} right; the study counts {known.score.n_correct:,}. Its "
        f"probabilities differ from the stored ones by {checked.difference:.1e} at most."
    )


def _lineage(known: Facts) -> Iterator[str]:
    rows = [
        (one["stage"], _text(str(one["label"])), f"`{one['key'][:12]}`", f"`{one['digest'][:12]}`")
        for one in (known.manifest, *known.origins)
    ]
    yield _table(("stage", "label", "key", "digest"), rows)
    manifest = known.manifest
    made = [f"Made {manifest['created']}"]
    if manifest.get("duration_s") is not None:
        made.append(f"in {duration_text(float(manifest['duration_s']))}")
    machine = manifest.get("machine") or {}
    if machine.get("processor"):
        made.append(f"on {machine['processor']}, {machine.get('cores')} cores")
    yield (
        " ".join(made)
        + f". `flowers17 show {short_name(manifest['stage'], manifest['key'])}` tells more."
    )
    libraries = manifest["material"].get("libraries") or {}
    if libraries:
        named = ", ".join(f"{name} {version}" for name, version in sorted(libraries.items()))
        yield f"Libraries: {named}."


def _licence(known: Facts) -> Iterator[str]:
    yield "flowers17 and what it writes by itself are under the MIT licence."
    if known.source.get("kind") != "rendered":
        yield (
            "The weights were learnt from photographs, whose rights are their owners’. This card "
            "grants none; look up the terms of the data set before you pass the file on."
        )
    for sha256 in known.pretrained:
        yield (
            f"Training began with weights learnt from ImageNet (SHA-256 `{sha256}`), which have "
            "terms of their own."
        )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    text = "".join(one if one.isprintable() else " " for one in text)
    return "".join(f"\\{one}" if one in "\\`*_[]<>|#&" else one for one in text)
