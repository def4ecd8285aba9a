"""One metric over all studies of a store, and what changed in between."""

from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from flowers17.commands.changes import changes_by_manifests, in_short
from flowers17.commands.comparing import difference_text, number_text, study_facts
from flowers17.errors import InvalidInput
from flowers17.manifests import read_as_written
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
        metrics = sorted({name for study in studies for name in study.manifest["metrics"]})
        raise InvalidInput(
            f"{store}: expected a metric of its studies, got {metric!r}; there are: "
            f"{'; '.join(metrics) or 'none'}"
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


def history_table(rows: list[dict[str, Any]]) -> Table:
    """Table of the rows that `history` returns."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("created", "study"):
        table.add_column(name, no_wrap=True)
    table.add_column("label")
    for name in ("value", "difference"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("changed since the one before of its label", overflow="fold")
    for row in rows:
        texts = number_text(row["value"]), difference_text(row["difference"])
        table.add_row(
            row["created"], row["study"], escape(row["label"]), *texts, escape(row["changed"])
        )
    return table
