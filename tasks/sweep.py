"""Stage `sweep`: the studies of a sweep summed up."""

from collections.abc import Mapping, Sequence
from typing import Any

from flowers17.errors import StageFailed
from flowers17.stages import Job, Stage
from flowers17.sweeps.combinations import Combination


def stage(flow: str, combinations: Sequence[Combination], studies: Sequence[Stage]) -> Stage:
    """Return the stage that sums up the studies, one a combination, that there are."""
    settings = dict.fromkeys(setting for one in combinations for setting in one.assigned)
    described = [
        {"assigned": list(one.assigned.items()), "words": list(one.words.items()), "name": one.name}
        for one in combinations
    ]
    return Stage.of(
        "sweep",
        f"sweep of {flow} over {', '.join(settings)}",
        "tasks.sweep:build",
        {"flow": flow, "combinations": described},
        inputs={one.name: study for one, study in zip(combinations, studies, strict=True)},
        tolerant=True,
    )


def build(job: Job) -> Mapping[str, Any]:
    """Write the summary's files."""
    from flowers17.reporting.studies.sweeps import SweptStudy, combination_rows, csv_rows, summary

    if not job.inputs:
        raise StageFailed("expected the study of at least one combination, found none")
    combinations = job.config["combinations"]
    found = summary(
        [
            SweptStudy(
                one["name"],
                dict(one["assigned"]),
                dict(one["words"]),
                f"study/{study.reference.key}",
                study.manifest["metrics"],
                study.json("results"),
            )
            for one in combinations
            if (study := job.inputs.get(one["name"]))
        ]
    )
    failed = [one["name"] for one in combinations if one["name"] not in job.inputs]
    job.save_json("sweep", {"flow": job.config["flow"], **found, "failed": failed})
    for name, rows in (
        ("combinations", combination_rows(found)),
        ("metrics", found["metrics"]),
        ("numbers", found["numbers"]),
    ):
        path = job.folder / f"sweep-{name}.csv"
        path.write_text(csv_rows(rows), encoding="utf-8", newline="\n")
    return {"combinations": len(job.inputs), "failed": len(failed)}
