"""Stage `duplicates`: same-scene pairs of images, and the groups that they form."""

from collections.abc import Mapping
from typing import Any

from flowers17.config import StudySettings
from flowers17.data.duplicates import groups, known_pairs, near_duplicate_pairs
from flowers17.stages import Job, Stage


def stage(settings: StudySettings, images: Stage) -> Stage:
    """Return the stage of the near-duplicates among the images."""
    return Stage.of("duplicates", "duplicates", "tasks.duplicates:build", inputs={"images": images})


def build(job: Job) -> Mapping[str, Any]:
    """Find pairs by perceptual hashing; Flowers-17's known pairs come first."""
    items = job.inputs["images"].json("items")
    names = items["names"]
    known = known_pairs(names) if items["verified"] else []
    places = {(pair.first, pair.second) for pair in known}
    found = near_duplicate_pairs(
        job.inputs["images"].array("images"),
        progress=lambda done, total: job.progress(done, total, "images"),
    )
    found = [pair for pair in found if (pair.first, pair.second) not in places]
    methods = [(pair, "known") for pair in known] + [(pair, "perceptual hash") for pair in found]
    job.save_json(
        "pairs",
        [
            {
                "first": pair.first,
                "second": pair.second,
                "first_name": names[pair.first],
                "second_name": names[pair.second],
                "distance": pair.distance,
                "method": method,
            }
            for pair, method in methods
        ],
    )
    job.save_array("groups", groups([*known, *found], len(names)))
    return {"n_known": len(known), "n_found": len(found)}
