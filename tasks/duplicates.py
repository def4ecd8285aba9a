"""Stage `duplicates`: pairs of near-duplicates, and the groups of what must stay together."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from flowers17.config import StudySettings
from flowers17.data.names import listed
from flowers17.errors import InvalidInput
from flowers17.stages import Job, Stage

if TYPE_CHECKING:
    from flowers17.data.duplicates import NearDuplicates
    from flowers17.data.scene_groups import Pair

logger = logging.getLogger(f"flowers17.{__name__}")


def stage(settings: StudySettings, images: Stage) -> Stage:
    """Stage of the near-duplicates among the images."""
    return Stage.of(
        "duplicates",
        "duplicates",
        config=settings.splits.model_dump(include={"near_duplicates", "contradictions"}),
        inputs={"images": images},
    )


def build(job: Job) -> Mapping[str, Any]:
    """Find pairs by the method of the settings, and the groups that they and the source form."""
    from flowers17.data import scene_groups

    items, images = job.inputs["images"].json("items"), job.inputs["images"].mapped("images")
    names, n_images = items["names"], len(images)
    is_test = np.array([part == "test" for part in items.get("parts") or [""] * n_images])
    copies = scene_groups.identical_pairs(images, is_test)
    _check_labels(copies, job.inputs["images"].array("labels"), names, job.config)
    method = job.config["near_duplicates"]
    metrics: dict[str, Any] = {}
    pairs = copies if method != "none" else []
    if method == "similar":
        resemblance, metrics = _resemblance(job, images, copies, is_test)
        if resemblance.look_alike:
            method = "identical"
        else:
            pairs = scene_groups.merged_pairs(copies, resemblance.pairs)
        known = scene_groups.known_pairs(names) if items["verified"] else []
        pairs, metrics["n_known"] = scene_groups.merged_pairs(known, pairs), len(known)
    job.save_json("pairs", [_described(pair, names) for pair in pairs])
    of_groups = scene_groups.pairs_of_equals(items.get("groups") or [""] * n_images, is_test)
    scene = scene_groups.groups([*pairs, *of_groups], n_images)
    twins = np.flatnonzero(is_test & np.isin(scene, scene[~is_test]))
    if len(twins):
        logger.warning(
            "the test part: %s of its images have a near-duplicate, or images of their group, "
            "outside it, which flatters the accuracy on it: %s",
            len(twins),
            listed([names[row] for row in twins]),
        )
    together = (pair for pair in (*pairs, *of_groups) if len({*is_test[pair.rows]}) == 1)
    job.save_array("groups", scene_groups.groups(together, n_images))
    return {"n_pairs": len(pairs), "kept_together": method, "n_twins": len(twins), **metrics}


def _check_labels(
    copies: Iterable["Pair"], labels: np.ndarray, names: Sequence[str], config: Mapping[str, Any]
) -> None:
    """Raise InvalidInput for identical pixels in two classes, or warn, as the settings have it."""
    pairs = [pair for pair in copies if len({*labels[pair.rows].tolist()}) > 1]
    if not pairs:
        return
    text = "expected one class for identical pixels, got two: " + listed(
        [f"{names[pair.first]} = {names[pair.second]}" for pair in pairs]
    )
    if config["contradictions"] == "error":
        raise InvalidInput(
            f"{text}; remove those that are wrong, or set splits.contradictions=warning"
        )
    logger.warning("%s", text)


def _described(pair: "Pair", names: Sequence[str]) -> dict[str, Any]:
    method = "identical pixels" if pair.detail is None else "perceptual hash"
    return {
        **vars(pair),
        "first_name": names[pair.first],
        "second_name": names[pair.second],
        "method": "known" if pair.distance is None else method,
    }


def _resemblance(
    job: Job, images: np.ndarray, copies: Sequence["Pair"], is_test: np.ndarray
) -> "tuple[NearDuplicates, dict[str, Any]]":
    """Near-duplicates by perceptual hashing, and metrics."""
    from flowers17.data.duplicates import MAX_IMAGES_SEARCHED_IN_CROPS, near_duplicates

    in_crops = len(images) <= MAX_IMAGES_SEARCHED_IN_CROPS
    if not in_crops:
        logger.warning(
            "near-duplicates: %s images are more than the %s that are also compared with crops of "
            "each other; cropped copies are not found",
            f"{len(images):,}",
            f"{MAX_IMAGES_SEARCHED_IN_CROPS:,}",
        )
    resemblance = near_duplicates(
        images,
        progress=lambda n_done, n_images: job.progress(n_done, n_images, "images"),
        copies=copies,
        is_test=is_test,
        in_crops=in_crops,
    )
    metrics: dict[str, Any] = {"in_crops": in_crops}
    if resemblance.look_alike:
        metrics["n_look_alikes"] = resemblance.n_proposed
        logger.warning(
            "near-duplicates: the images look alike by nature (%s pairs, which link up to %s of %s "
            "images), so that only those of identical pixels are kept together; clean splits are "
            "not known to be clean. If you know which images belong together, give their groups",
            f"{resemblance.n_proposed:,}",
            f"{resemblance.n_linked:,}",
            f"{len(images):,}",
        )
    return resemblance, metrics
