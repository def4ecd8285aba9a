"""Stage `split`: a single split, so that trainings on it do not depend on the other splits."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flowers17.artifacts import Artifact
from flowers17.data.splits import Split
from flowers17.errors import InvalidInput, InvalidSettings
from flowers17.stages import Job, Stage


def stage(name: str, splits: Stage) -> Stage:
    """Stage of a split by name; raises InvalidSettings for an unknown name.

    The official splits exist if `splits` has their file.
    """
    names = _names(json.loads(splits.config))
    if name not in names:
        raise InvalidSettings(
            f"ensemble.splits, attacks.split: expected one of {', '.join(names)}, got {name!r}; "
            "raise splits.n_repeats or choose another (official ones need datasplits.mat beside "
            "the archive)"
        )
    return Stage.of("split", f"{name} split", config={"name": name}, inputs={"splits": splits})


def of_all_images(images: Stage, splits: Stage) -> Stage:
    """Stage of all images but those of a given test part, in the form of a split.

    Its validation images are those of the split that measures the model. They are among its
    training images: they tell whether a copy of a model predicts the same, and measure nothing.
    """
    inputs = {"images": images, "splits": splits}
    return Stage.of("split", "all images", config={"name": "all"}, inputs=inputs)


def measuring_split(splits: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The split whose validation images measure a model: the first that keeps scenes together.

    splits: as `Split.to_json` writes them, or a classifier's scores on them.
    """
    return next((split for split in splits if split["kind"] != "report"), splits[0])


def _names(config: Mapping[str, Any]) -> list[str]:
    """Names of the splits of a stage `splits`, from its configuration."""
    official = [f"official-{k}" for k in (1, 2, 3)] if "official" in config else []
    repeats = [f"repeat-{k:02d}" for k in range(1, config["n_repeats"] + 1)]
    return ["report", "clean", *official, *repeats]


def build(job: Job) -> Mapping[str, Any]:
    """Copy the split's rows, and the labels of all images."""
    splits, name = job.inputs["splits"], job.config["name"]
    labels, described = splits.array("labels"), splits.json("splits")["splits"]
    by_name = {value["name"]: Split.from_json(value) for value in described}
    if name == "all":
        measuring = by_name[measuring_split(described)["name"]]
        parts = job.inputs["images"].json("items").get("parts") or [""] * len(labels)
        is_test = np.array(parts) == "test"
        kind, train, test = "all", np.flatnonzero(~is_test), np.flatnonzero(is_test)
        validation = np.intersect1d(measuring.validation, train)
    elif name in by_name:
        split = by_name[name]
        kind, train = split.kind, split.train
        validation, test = split.validation, split.test
    else:
        raise InvalidInput(
            f"expected a split {name!r}, found {', '.join(by_name)}; raise splits.n_repeats or "
            "choose another"
        )
    job.save_json("split", {"name": name, "kind": kind})
    job.save_json("classes", splits.json("classes"))
    arrays = {"labels": labels, "train": train, "validation": validation, "test": test}
    job.save_arrays(arrays)
    return {"n_train": len(train), "n_validation": len(validation)}


def test_rows(split: Artifact) -> np.ndarray:
    """Rows of a split's test part, int64 (n,); none of a fold or of poisoned images."""
    return split.array("test") if "test.npy" in split.manifest["files"] else np.empty(0, np.int64)


def described(split: Artifact) -> dict[str, Any]:
    """What results on a split say of it: its name, kind and classes."""
    names = {"split": "name", "split_kind": "kind"}
    record = split.json("split")
    return {key: record[name] for key, name in names.items()} | {"classes": split.json("classes")}


def score_on(split: Artifact, proba: np.ndarray) -> dict[str, Any]:
    """Score of probabilities of all images, (n, n_classes), on the split's held-out parts."""
    from flowers17.data.balance import counts_by_class, test_score

    labels, validation, test = split.array("labels"), split.array("validation"), test_rows(split)
    predicted, record = proba[validation].argmax(axis=1), split.json("split")
    return {
        "split": record["name"],
        "kind": record["kind"],
        "n_train": len(split.array("train")),
        "n_validation": len(validation),
        "n_correct": int((predicted == labels[validation]).sum()),
        "by_class": counts_by_class(labels, labels[validation], predicted),
        "test": test_score(labels, test, proba[test]),
    }
