"""Stage `split`: a single split, so that trainings on it do not depend on the other splits."""

import json
from collections.abc import Mapping
from typing import Any

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
    return Stage.of(
        "split", f"{name} split", "tasks.split:build", {"name": name}, inputs={"splits": splits}
    )


def _names(config: Mapping[str, Any]) -> list[str]:
    """Names of the splits of a stage `splits`, from its configuration."""
    official = [f"official-{k}" for k in (1, 2, 3)] if "official" in config else []
    repeats = [f"repeat-{k:02d}" for k in range(1, config["n_repeats"] + 1)]
    return ["report", "clean", *official, *repeats]


def build(job: Job) -> Mapping[str, Any]:
    """Copy the split's rows, and the labels of all images."""
    splits, name = job.inputs["splits"], job.config["name"]
    all_splits = [Split.from_json(value) for value in splits.json("splits")["splits"]]
    split = next((candidate for candidate in all_splits if candidate.name == name), None)
    if split is None:
        raise InvalidInput(
            f"expected a split {name!r}, found {', '.join(split.name for split in all_splits)}; "
            "raise splits.n_repeats or choose another"
        )
    job.save_json("split", {"name": name, "kind": split.kind})
    job.save_json("classes", splits.json("classes"))
    job.save_array("labels", splits.array("labels"))
    job.save_array("train", split.train)
    job.save_array("validation", split.validation)
    return {"n_train": len(split.train), "n_validation": len(split.validation)}
