"""Stage `duplicates`: same-scene pairs of images, and the groups that they form."""

from collections.abc import Mapping
from typing import Any

from flowers17.config import StudySettings
from flowers17.stages import Job, Stage


def stage(settings: StudySettings, images: Stage) -> Stage:
    """Return the stage of the near-duplicates among the images."""
    return Stage.of("duplicates", "duplicates", "tasks.duplicates:build", inputs={"images": images})


def build(job: Job) -> Mapping[str, Any]:
    """Find pairs by perceptual hashing and add Flowers-17's known ones."""
    from flowers17.data.duplicates import (
        groups,
        known_pairs,
        merged_pairs,
        near_duplicate_pairs,
    )

    items = job.inputs["images"].json("items")
    names = items["names"]
    known = known_pairs(names) if items["verified"] else []
    found = near_duplicate_pairs(
        job.inputs["images"].array("images"),
        progress=lambda done, total: job.progress(done, total, "images"),
    )
    pairs = merged_pairs(known, found)
    job.save_json(
        "pairs",
        [
            {
                "first": pair.first,
                "second": pair.second,
                "first_name": names[pair.first],
                "second_name": names[pair.second],
                "distance": pair.distance,
                "method": "known" if pair.distance is None else "perceptual hash",
            }
            for pair in pairs
        ],
    )
    job.save_array("groups", groups(pairs, len(names)))
    return {"n_pairs": len(pairs), "n_known": len(known)}
