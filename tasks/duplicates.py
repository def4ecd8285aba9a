"""Stage `duplicates`: pairs of near-duplicate images, and their groups."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flowers17.config import StudySettings
from flowers17.stages import Job, Stage

if TYPE_CHECKING:
    from flowers17.data.duplicates import Pair

logger = logging.getLogger(f"flowers17.{__name__}")


def stage(settings: StudySettings, images: Stage) -> Stage:
    """Stage of the near-duplicates among the images."""
    return Stage.of(
        "duplicates",
        "duplicates",
        "tasks.duplicates:build",
        {"near_duplicates": settings.splits.near_duplicates},
        inputs={"images": images},
    )


def build(job: Job) -> Mapping[str, Any]:
    """Find pairs by the method of the settings, and the groups that they form."""
    from flowers17.data.duplicates import groups, identical_pairs, oversized_group

    method = job.config["near_duplicates"]
    names = job.inputs["images"].json("items")["names"]
    metrics: dict[str, Any] = {}
    pairs: list[Pair] = []
    if method == "similar":
        pairs, metrics = _similar(job)
    elif method == "identical":
        pairs = identical_pairs(job.inputs["images"].mapped("images"))
    pair_method = "identical pixels" if method == "identical" else "perceptual hash"
    job.save_json(
        "pairs",
        [
            {
                "first": pair.first,
                "second": pair.second,
                "first_name": names[pair.first],
                "second_name": names[pair.second],
                "distance": pair.distance,
                "method": "known" if pair.distance is None else pair_method,
            }
            for pair in pairs
        ],
    )
    group_of = groups(pairs, len(names))
    job.save_array("groups", group_of)
    oversized = oversized_group(group_of)
    if oversized:
        metrics["oversized_group"] = oversized
        logger.warning(
            "near-duplicates: one group holds %s of %s images; if they only look alike, set "
            "splits.near_duplicates to identical or none",
            f"{oversized:,}",
            f"{len(names):,}",
        )
    return {"n_pairs": len(pairs), **metrics}


def _similar(job: Job) -> "tuple[list[Pair], dict[str, Any]]":
    """Pairs by perceptual hashing together with Flowers-17's known ones, and metrics."""
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
    similar = near_duplicate_pairs(
        job.inputs["images"].mapped("images"),
        progress=lambda n_done, n_images: job.progress(n_done, n_images, "images"),
        in_crops=in_crops,
    )
    return merged_pairs(known, similar), {"n_known": len(known), "in_crops": in_crops}
