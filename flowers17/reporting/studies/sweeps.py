"""A sweep summed up: each number of its studies over all combinations, and over seeds alone."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from flowers17.reporting.studies.comparison import numbers_of

EVERY = "all"
SEED = "seed"
FEWER_IS_BETTER = frozenset({"n_missing"})
Name = tuple[str, ...]  # a metric's, or a table's number, row and column


@dataclass(frozen=True)
class SweptStudy:
    """A combination's study: what the sweep assigned, and its numbers.

    assigned: values as text by setting; words: what people call each. metrics: the manifest's;
    results: its `results.json`.
    """

    name: str
    assigned: Mapping[str, str]
    words: Mapping[str, str]
    study: str
    metrics: Mapping[str, Any]
    results: Mapping[str, Any]

    @property
    def numbers(self) -> dict[Name, float]:
        """Its metrics that are numbers, by name."""
        return {
            (name,): value
            for name, value in self.metrics.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }


def summary(studies: Sequence[SweptStudy]) -> dict[str, Any]:
    """Return what is written of a sweep, as plain JSON.

    combinations: name, study and metrics of each. metrics: of each group, how each metric is
    distributed; best is the highest, of what is missing the lowest. numbers: the same of every
    number of every table, of which only a reader knows what is best. Groups are all combinations,
    and, if seeds were swept among other settings, those that differ in nothing but the seed.
    """
    groups = _groups(studies)
    metrics = [
        {"group": group, "metric": name[0], **found, **_best(name[0], found)}
        for group, some in groups.items()
        for name, found in _distributions((one.name, one.numbers) for one in some).items()
    ]
    numbers = [
        {"group": group, "table": name[0], "row": name[1], "metric": name[2], **found}
        for group, some in groups.items()
        for name, found in _distributions(
            (one.name, numbers_of(one.results)) for one in some
        ).items()
    ]
    return {
        "combinations": [
            {
                "combination": one.name,
                "assigned": dict(one.assigned),
                "study": one.study,
                "metrics": dict(one.metrics),
            }
            for one in studies
        ],
        "metrics": metrics,
        "numbers": numbers,
    }


def _groups(studies: Sequence[SweptStudy]) -> dict[str, list[SweptStudy]]:
    groups = {EVERY: list(studies)}
    settings: dict[str, list[SweptStudy]] = {}
    for one in studies:
        rest = ", ".join(word for setting, word in one.words.items() if setting != SEED)
        settings.setdefault(rest, []).append(one)
    swept = len({one.assigned.get(SEED) for one in studies}) > 1
    return groups | settings if swept and len(settings) > 1 else groups


def _distributions(
    found: Iterable[tuple[str, Mapping[Any, float]]],
) -> dict[Name, dict[str, Any]]:
    by_name: dict[Name, dict[str, float]] = {}
    for combination, numbers in found:
        for name, value in numbers.items():
            by_name.setdefault(name, {})[combination] = value
    return {name: distribution(values) for name, values in by_name.items()}


def distribution(values: Mapping[str, float]) -> dict[str, Any]:
    """Return n, mean, spread, and the extremes with the first combination that has each.

    values: by combination, at least one. spread: the sample standard deviation, None of one value.

    >>> distribution({"seed=1": 0.5, "seed=2": 0.7})["lowest_of"]
    'seed=1'
    """
    lowest, highest = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
    return {
        "n": len(values),
        "mean": fmean(values.values()),
        "spread": stdev(values.values()) if len(values) > 1 else None,
        "lowest": values[lowest],
        "lowest_of": lowest,
        "highest": values[highest],
        "highest_of": highest,
    }


def _best(metric: str, found: Mapping[str, Any]) -> dict[str, Any]:
    end = "lowest" if metric in FEWER_IS_BETTER else "highest"
    return {"best": found[end], "best_of": found[f"{end}_of"]}


def csv_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows with equal columns as CSV with a heading; None is empty.

    >>> csv_rows([{"n": 1, "spread": None}])
    'n,spread\\n1,\\n'
    """
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def combination_rows(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row of each combination of a `summary`: what was assigned, study, and metrics."""
    rows = found["combinations"]
    settings = dict.fromkeys(name for one in rows for name in one["assigned"])
    metrics = dict.fromkeys(name for one in rows for name in one["metrics"])
    return [
        {
            **{name: one["assigned"].get(name) for name in settings},
            "study": one["study"],
            **{name: one["metrics"].get(name) for name in metrics},
        }
        for one in rows
    ]
