"""Stage `sweep`: the studies of a sweep summed up."""

from collections.abc import Mapping, Sequence
from typing import Any

from flowers17.errors import StageFailed
from flowers17.stages import Job, Stage
from flowers17.sweeps.combinations import Combination


def stage(flow: str, combinations: Sequence[Combination], studies: Sequence[Stage]) -> Stage:
    """Stage that sums up the studies that there are, one for each combination."""
    names = [combination.name for combination in combinations]
    settings = dict.fromkeys(
        setting for combination in combinations for setting in combination.assigned
    )
    described = [
        {
            "assigned": list(combination.assigned.items()),
            "words": list(combination.words.items()),
            "name": combination.name,
        }
        for combination in combinations
    ]
    return Stage.of(
        "sweep",
        f"sweep of {flow} over {', '.join(settings)}",
        config={"flow": flow, "combinations": described},
        inputs=dict(zip(names, studies, strict=True)),
        tolerant=True,
    )


def build(job: Job) -> Mapping[str, Any]:
    """Write the summary's files."""
    import pandas as pd

    from flowers17.reporting.studies.sweeps import SweptStudy, combinations_frame, summary
    from flowers17.reporting.tables import csv_text

    if not job.inputs:
        raise StageFailed("expected the study of at least one combination, found none")
    combinations = job.config["combinations"]
    totals = summary(
        [
            SweptStudy(
                combination["name"],
                dict(combination["assigned"]),
                dict(combination["words"]),
                f"study/{study.reference.key}",
                study.manifest["metrics"],
                study.json("results"),
            )
            for combination in combinations
            if (study := job.inputs.get(combination["name"]))
        ]
    )
    names = [combination["name"] for combination in combinations]
    failed = [name for name in names if name not in job.inputs]
    job.save_json("sweep", {"flow": job.config["flow"], **totals, "failed": failed})
    for name, frame in (
        ("combinations", combinations_frame(totals)),
        ("metrics", pd.DataFrame(totals["metrics"], dtype=object)),
        ("numbers", pd.DataFrame(totals["numbers"], dtype=object)),
    ):
        path = job.folder / f"sweep-{name}.csv"
        path.write_text(csv_text(frame), encoding="utf-8", newline="\n")
    return {"combinations": len(job.inputs), "failed": len(failed)}
