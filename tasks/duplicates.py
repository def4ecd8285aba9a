"""Stage `duplicates`: same-scene pairs of images, and the groups that they form."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flowers17.config import StudySettings
from flowers17.stages import Job, Stage

if TYPE_CHECKING:
    from flowers17.data.duplicates import Pair

logger = logging.getLogger(f"flowers17.{__name__}")


def stage(settings: StudySettings, images: Stage) -> Stage:
    """Return the stage of the near-duplicates among the images."""
    return Stage.of(
        "duplicates",
        "duplicates",
        "tasks.duplicates:build",
        {"near_duplicates": settings.splits.near_duplicates},
        inputs={"images": images},
    )


def build(job: Job) -> Mapping[str, Any]:
    """Find the pairs that the settings ask for, and the groups that they form."""
    from flowers17.data.duplicates import groups, identical_pairs, oversized_group

    asked = job.config["near_duplicates"]
    names = job.inputs["images"].json("items")["names"]
    told: dict[str, Any] = {}
    pairs: list[Pair] = []
    if asked == "similar":
        pairs, told = _similar(job)
    elif asked == "identical":
        pairs = identical_pairs(job.inputs["images"].mapped("images"))
    by = "identical pixels" if asked == "identical" else "perceptual hash"
    job.save_json(
        "pairs",
        [
            {
                "first": pair.first,
                "second": pair.second,
                "first_name": names[pair.first],
                "second_name": names[pair.second],
                "distance": pair.distance,
                "method": "known" if pair.distance is None else by,
            }
            for pair in pairs
        ],
    )
    group_of = groups(pairs, len(names))
    job.save_array("groups", group_of)
    oversized = oversized_group(group_of)
    if oversized:
        told["oversized_group"] = oversized
        logger.warning(
            "near-duplicates: one group holds %s of %s images; if they only look alike, set "
            "splits.near_duplicates to identical or none",
            f"{oversized:,}",
            f"{len(names):,}",
        )
    return {"n_pairs": len(pairs), **told}


def _similar(job: Job) -> "tuple[list[Pair], dict[str, Any]]":
    """Return the pairs by perceptual hashing and Flowers-17's known ones, and what to tell."""
    from flowers17.data.duplicates import (
        MAX_IMAGES_SEARCHED_IN_CROPS,
        known_pairs,
        merged_pairs,
        near_duplicate_pairs,
    )

    items = job.inputs["images"].json("items")
    names = items["names"]
    known = known_pairs(names) if items["verified"] else []
    in_crops = len(names) <= MAX_IMAGES_SEARCHED_IN_CROPS
    if not in_crops:
        logger.warning(
            "near-duplicates: %s images are more than the %s that are also compared with crops of "
            "each other; cropped copies are not found",
            f"{len(names):,}",
            f"{MAX_IMAGES_SEARCHED_IN_CROPS:,}",
        )
    found = near_duplicate_pairs(
        job.inputs["images"].mapped("images"),
        progress=lambda done, total: job.progress(done, total, "images"),
        in_crops=in_crops,
    )
    return merged_pairs(known, found), {"n_known": len(known), "in_crops": in_crops}
