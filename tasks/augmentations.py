"""Stage `augmentations`: random views of an image under each augmentation, for the report."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flowers17.config import AugmentationName, StudySettings
from flowers17.stages import Job, Stage

N_DRAWS = 6


def stage(settings: StudySettings, names: Sequence[AugmentationName], images: Stage) -> Stage:
    """Stage of the views."""
    return Stage.of(
        "augmentations",
        "augmentations",
        config={"names": list(names)},
        seed=settings.seed,
        inputs={"images": images},
    )


def build(job: Job) -> Mapping[str, Any]:
    """Draw the views of the first image."""
    from flowers17.data.augmentation import augmented, image_seed

    original = job.inputs["images"].array("images")[0]
    views = [
        [augmented(original, name, image_seed(job.seed, draw, 0)) for draw in range(1, N_DRAWS + 1)]
        for name in job.config["names"]
    ]
    job.save_array("original", original)
    job.save_array("examples", np.array(views))
    job.save_json("names", job.config["names"])
    return {"n_pictures": N_DRAWS * len(views)}
