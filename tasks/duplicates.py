"""Stage `duplicates`: same-scene pairs of images, and the groups that they form."""

import logging
from collections.abc import Mapping
from typing import Any

from flowers17.config import StudySettings
from flowers17.stages import Job, Stage

logger = logging.getLogger(f"flowers17.{__name__}")


def stage(settings: StudySettings, images: Stage) -> Stage:
    """Return the stage of the near-duplicates among the images."""
    return Stage.of("duplicates", "duplicates", "tasks.duplicates:build", inputs={"images": images})


def build(job: Job) -> Mapping[str, Any]:
    """Find pairs by perceptual hashing and add Flowers-17's known ones."""
    from flowers17.data.duplicates import (
        MOST_SEARCHED_IN_CROPS,
        groups,
        known_pairs,
        merged_pairs,
        near_duplicate_pairs,
    )

    items = job.inputs["images"].json("items")
    names = items["names"]
    known = known_pairs(names) if items["verified"] else []
    in_crops = len(names) <= MOST_SEARCHED_IN_CROPS
    if not in_crops:
        logger.warning(
            "near-duplicates: %s images are more than the %s that are also compared with crops of "
            "each other; cropped copies are not found",
            f"{len(names):,}",
            f"{MOST_SEARCHED_IN_CROPS:,}",
        )
    found = near_duplicate_pairs(
        job.inputs["images"].mapped("images"),
        progress=lambda done, total: job.progress(done, total, "images"),
        in_crops=in_crops,
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
    return {"n_pairs": len(pairs), "n_known": len(known), "in_crops": in_crops}
