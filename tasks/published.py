"""What the UI shows of stages: cached ones, progress, lineage, tables and pictures."""

import base64
import csv
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from prefect import artifacts
from prefect.client.schemas.objects import RunInput, TaskRun
from prefect.runtime import flow_run
from prefect.states import State
from prefect.utilities.engine import emit_task_run_state_change_event

from flowers17.artifacts import Reference, Store, short_name
from flowers17.stages import History

SECONDS_BETWEEN_PICTURES = 15.0
PUBLISHED = ("study", "sweep")  # stages whose tables and figures the UI shows
MOST_ROWS = 1000  # of a table in the UI; a longer one stays a file
_SWEEP_TABLES = {
    "sweep-combinations": "Metrics of every combination",
    "sweep-metrics": "Each metric over all combinations, and over seeds alone",
    "sweep-numbers": "Each number of every table over all combinations, and over seeds alone",
}
_PICTURE_TYPES = {".png": "image/png", ".svg": "image/svg+xml"}


def artifact_key(text: str) -> str:
    """Prefect artifact key of a text: lower-case letters, digits and dashes.

    >>> artifact_key("features mobilenet@224-original")
    'features-mobilenet-224-original'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def plain_text(text: str) -> str:
    r"""Markdown that shows a text as it is: names of classes and errors may come from others.

    >>> plain_text("[rose](javascript:x) <b> `a` https://a.b")
    '\\[rose\\](javascript:x) \\<b> \\`a\\` https\\://a.b'
    """
    return re.sub(r"[\\\[\]<&`!|*~#]|:(?=//)|(?<=www)\.", r"\\\g<0>", text)


def publish_cached(
    title: str, task_key: str, state: State[Any], origins: Collection[RunInput]
) -> UUID:
    """Publish a task run of the flow at hand that is in its final state at once; return its id.

    A task that runs tells the server of three states, one after the other, which costs more than
    a look into the store. origins: the task runs that made its inputs, for the UI's graph.
    """
    task_run = TaskRun(
        name=title,
        flow_run_id=UUID(flow_run.get_id()),
        task_key=task_key,
        dynamic_key=str(uuid4()),
        task_inputs={"inputs": list(origins)},
        expected_start_time=state.timestamp,
        start_time=state.timestamp,
        end_time=state.timestamp,
        run_count=1,
    )
    emit_task_run_state_change_event(task_run, None, state)
    return task_run.id


class ProgressArtifact(AbstractContextManager["ProgressArtifact"]):
    """Progress of a stage in the UI, at most one update a second; `watcher` gets every one.

    A training's learning curves so far become a new version of a picture, every 15 seconds.
    """

    def __init__(
        self, label: str, watcher: Callable[[str, int, int, str], None] | None = None
    ) -> None:
        self.label, self.watcher = label, watcher
        self._id: UUID | None = None
        self._last = time.monotonic()
        self._last_picture = float("-inf")
        self._percent = 0.0

    def __call__(self, n_done: int, total: int, unit: str, history: History | None = None) -> None:
        if history and time.monotonic() - self._last_picture >= SECONDS_BETWEEN_PICTURES:
            self._last_picture = time.monotonic()
            from flowers17.reporting.learners.curves import curves_svg

            picture = curves_svg(history, self.label).encode()
            name = f"learning curves {self.label}"
            publish_picture(picture, "image/svg+xml", name, f"Learning curves of {self.label}")
        if self.watcher:
            self.watcher(self.label, n_done, total, unit)
        self._percent = 100 * n_done / max(total, 1)
        if time.monotonic() - self._last >= 1:
            self._last = time.monotonic()
            self._show(f"{self.label}: {n_done} of {total} {unit}")

    def _show(self, description: str) -> None:
        description = plain_text(description)
        if self._id is None:
            self._id = artifacts.create_progress_artifact(  # type: ignore[assignment]
                self._percent, key=artifact_key(f"progress {self.label}"), description=description
            )
        else:
            artifacts.update_progress_artifact(self._id, self._percent, description=description)

    def __exit__(self, kind: object, *problem: object) -> None:
        if self._id is not None:
            self._percent = 100.0 if kind is None else self._percent
            self._show(f"{self.label}: {'done' if kind is None else 'stopped'}")


def publish_lineage(store: Store, references: Sequence[Reference], flow_name: str) -> None:
    """Publish the lineage of a flow's artifacts: names, inputs and metrics.

    All are in one table, since a request for each would cost more than a short stage.
    """
    if not references:
        return
    n_shown = min(len(references), MOST_ROWS)
    extent = f"{n_shown} of {len(references)} artifacts that {flow_name} built"
    artifacts.create_table_artifact(
        [_lineage(store.open(reference).manifest) for reference in references[:n_shown]],
        key=artifact_key(f"lineage {flow_name}"),
        description=f"Lineage of {plain_text(extent)}; `flowers17 show ARTIFACT` tells more",
    )


def _lineage(manifest: Mapping[str, Any]) -> dict[str, str | float]:
    origins = [
        f"{name}: {short_name(value['stage'], value['key'])}"
        for name, value in manifest["inputs"].items()
        if value
    ]
    metrics = (f"{name}: {value}" for name, value in manifest["metrics"].items())
    return {
        "stage": plain_text(manifest["label"]),
        "artifact": short_name(manifest["stage"], manifest["key"]),
        "made from": plain_text(", ".join(origins)),
        "metrics": plain_text(", ".join(metrics)),
        "seconds": manifest["duration_s"],
    }


def rounded(cell: str) -> str:
    """Display text of a table's cell: fractions with four decimals.

    >>> rounded("0.6666666666666666"), rounded("17"), rounded("4 × 4 × 512")
    ('0.6667', '17', '4 × 4 × 512')
    """
    try:
        return f"{float(cell):.4f}" if "." in cell else cell
    except ValueError:
        return cell


def publish_picture(data: bytes, media_type: str, name: str, description: str) -> None:
    """Publish a picture, embedded in a Markdown artifact."""
    encoded = base64.b64encode(data).decode()
    artifacts.create_markdown_artifact(
        f"![{plain_text(name)}](data:{media_type};base64,{encoded})",
        key=artifact_key(name),
        description=plain_text(description),
    )


def publish_contents(store: Store, reference: Reference) -> None:
    """Publish the tables and figures of a report or a sweep; of other stages nothing.

    They are published in the order in which they are to be read, with their titles.
    """
    if reference.stage not in PUBLISHED:
        return  # opened, all files of it would be read
    artifact = store.open(reference)
    if reference.stage == "study":
        results = artifact.json("results")
        for content in results["contents"]:
            key = artifact_key(Path(content["file"]).stem)
            title = f"{content['kind'].capitalize()} {content['number']}. {content['title']}"
            if content["kind"] == "table":
                publish_table(_shown_rows(results["tables"][content["number"]]), key, title)
            else:
                path = artifact.file(f"figures/{content['file']}")
                publish_picture(path.read_bytes(), _PICTURE_TYPES[path.suffix], key, title)
    else:
        for name, title in _SWEEP_TABLES.items():
            with artifact.file(f"{name}.csv").open(newline="") as stream:
                publish_table(list(csv.DictReader(stream)), artifact_key(name), title)


def _shown_rows(table: Mapping[str, Any]) -> list[dict[str, str]]:
    """A table of `results.json` as it is read: its headings, and numbers with their intervals."""
    rows = []
    for row in table["rows"]:
        shown = {"": row["group"]} if "group" in row else {}
        for key, heading in table["columns"]:
            cell = row["cells"][key]
            text = rounded(str(cell["value"]))
            if interval := cell.get("interval"):
                text += f" ({rounded(str(interval[0]))}–{rounded(str(interval[1]))})"
            shown[f"{heading} ({key})" if heading in shown else heading] = text
        rows.append(shown | ({"note": row["note"]} if "note" in row else {}))
    return rows


def publish_table(rows: Sequence[Mapping[str, str]], key: str, title: str) -> None:
    """Publish a table under its title, unless it is empty or too long for the UI."""
    if 0 < len(rows) <= MOST_ROWS:
        shown = [
            {plain_text(name): plain_text(rounded(cell)) for name, cell in row.items()}
            for row in rows
        ]
        artifacts.create_table_artifact(shown, key=key, description=plain_text(title))
