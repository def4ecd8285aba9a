"""Stage `split`: one split by itself, so that what is trained on it does not depend on others."""

import json
from collections.abc import Mapping
from typing import Any

from flowers17.data.splits import Split
from flowers17.errors import InvalidInput, InvalidSettings
from flowers17.stages import Job, Stage


def stage(name: str, splits: Stage) -> Stage:
    """Return the stage of one of the splits; raises InvalidSettings if there is none of that name.

    The official ones are there if `splits` has their file.
    """
    known = _names(json.loads(splits.config))
    if name not in known:
        raise InvalidSettings(
            f"ensemble.splits, attacks.split: expected one of {', '.join(known)}, got {name!r}; "
            "raise splits.n_repeats or choose another (official ones need datasplits.mat beside "
            "the archive)"
        )
    return Stage.of(
        "split", f"{name} split", "tasks.split:build", {"name": name}, inputs={"splits": splits}
    )


def _names(config: Mapping[str, Any]) -> list[str]:
    """Return the names of what the stage `splits` makes, by its configuration."""
    official = [f"official-{k}" for k in (1, 2, 3)] if "official" in config else []
    repeats = [f"repeat-{k:02d}" for k in range(1, config["n_repeats"] + 1)]
    return ["report", "clean", *official, *repeats]


def build(job: Job) -> Mapping[str, Any]:
    """Copy the split's rows, and the labels of all images."""
    splits, name = job.inputs["splits"], job.config["name"]
    every = [Split.from_json(one) for one in splits.json("splits")["splits"]]
    found = next((one for one in every if one.name == name), None)
    if found is None:
        raise InvalidInput(
            f"expected a split {name!r}, found {', '.join(one.name for one in every)}; raise "
            "splits.n_repeats or choose another"
        )
    job.save_json("split", {"name": name, "kind": found.kind})
    job.save_json("classes", splits.json("classes"))
    job.save_array("labels", splits.array("labels"))
    job.save_array("train", found.train)
    job.save_array("validation", found.validation)
    return {"n_train": len(found.train), "n_validation": len(found.validation)}
