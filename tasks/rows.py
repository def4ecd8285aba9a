"""Stage `rows`: row-space coordinates of normalised features, all that inner products need."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from flowers17.stages import Job, Stage


def stage(maps: Sequence[Stage]) -> Stage:
    """Return the stage of the coordinates of one or several feature maps set side by side."""
    names = [json.loads(features.config)["name"] for features in maps]
    return Stage.of(
        "rows",
        f"rows {' + '.join(names)}",
        "tasks.rows:build",
        inputs=dict(zip(names, maps, strict=True)),
        optional=any(features.optional for features in maps),
    )


def build(job: Job) -> Mapping[str, Any]:
    """Rotate the rows into the space that they span."""
    from flowers17.transfer.rowspace import row_space

    rows = row_space([artifact.mapped("features") for artifact in job.inputs.values()])
    job.save_array("rows", rows)
    return {"n_images": rows.shape[0], "n_columns": rows.shape[1]}
