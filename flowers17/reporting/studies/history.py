"""One metric over all studies of a store, and what changed in between."""

from pathlib import Path
from typing import Any

from flowers17.errors import InvalidInput
from flowers17.manifests import read_as_written
from flowers17.reporting.studies.changes import changes_by_manifests, in_short
from flowers17.reporting.studies.pair import study_facts
from flowers17.reporting.studies.records import Study, newest, studies_in


def history(metric: str, store: Path | str) -> list[dict[str, Any]]:
    """Rows on a metric of every study of a store that has it, newest last.

    A row: study, label, created, value, difference and changed since the one before of its label.
    Raises InvalidInput with the metrics that there are if no study has it.
    """
    studies = studies_in(store)
    newest(studies, store)
    with_metric = [study for study in studies if metric in study.manifest["metrics"]]
    if not with_metric:
        names = "; ".join(row["metric"] for row in metrics(store)) or "none"
        raise InvalidInput(
            f"{store}: expected a metric of its studies, got {metric!r}; there are: {names}"
        )
    last: dict[str, Study] = {}
    rows = []
    for study in with_metric:
        before = last.get(study.label)
        last[study.label] = study
        rows.append({**study_facts(study), **_since(metric, before, study)})
    return rows


def _since(metric: str, before: Study | None, study: Study) -> dict[str, Any]:
    value = study.manifest["metrics"][metric]
    if before is None:
        return {"value": value, "difference": None, "changed": "the first"}
    last = before.manifest["metrics"][metric]
    numbers = all(isinstance(number, int | float) for number in (last, value))
    difference = value - last if numbers else None
    with read_as_written(f"{before.title}, {study.title}"):
        changed = in_short(changes_by_manifests(before, study))
    return {"value": value, "difference": difference, "changed": changed}


def metrics(store: Path | str) -> list[dict[str, Any]]:
    """Metrics of a store's studies: name, number of studies that have it, newest value.

    Raises ArtifactMissing without a study.
    """
    studies = studies_in(store)
    newest(studies, store)
    values: dict[str, list[Any]] = {}
    for study in studies:
        for name, value in study.manifest["metrics"].items():
            values.setdefault(name, []).append(value)
    return [
        {"studies": len(values[name]), "newest": values[name][-1], "metric": name}
        for name in sorted(values)
    ]
