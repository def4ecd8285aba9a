"""Stage `rows`: row-space coordinates of normalised features, which keep all inner products."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from flowers17.stages import Job, Stage


def stage(maps: Sequence[Stage]) -> Stage:
    """Stage of the row-space coordinates of one or several feature maps side by side."""
    names = [json.loads(feature_map.config)["name"] for feature_map in maps]
    return Stage.of(
        "rows",
        f"rows {' + '.join(names)}",
        inputs=dict(zip(names, maps, strict=True)),
    )


def build(job: Job) -> Mapping[str, Any]:
    """Compute the coordinates of the rows in the space that they span."""
    from flowers17.transfer.rowspace import row_space

    rows = row_space([artifact.mapped("features") for artifact in job.inputs.values()])
    job.save_array("rows", rows)
    return {"n_images": rows.shape[0], "n_columns": rows.shape[1]}
