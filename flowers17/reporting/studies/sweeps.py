"""A sweep summed up: each number of its studies over all combinations, and over seeds alone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import pandas as pd

from flowers17.reporting.studies.comparison import is_number, numbers_of

EVERY = "all"
SEED = "seed"
FEWER_IS_BETTER = frozenset({"n_missing"})
Name = tuple[str, ...]  # a metric's, or a table's number, row and column


@dataclass(frozen=True)
class SweptStudy:
    """The study of a combination of settings, with its numbers.

    assigned: values as text by setting; words: display text of each. metrics: the manifest's;
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
        return {(name,): value for name, value in self.metrics.items() if is_number(value)}


def summary(studies: Sequence[SweptStudy]) -> dict[str, Any]:
    """Summary of a sweep as plain JSON.

    combinations: name, study and metrics of each. metrics: distribution of each metric over each
    group; best is the highest, of missing numbers the lowest. numbers: distribution of every number
    of every table, without a best. Groups are all combinations, and, if seeds were swept among
    other settings, those that differ in nothing but the seed.
    """
    groups = _groups(studies)
    metrics = [
        {"group": group, "metric": metric, **spread, **_best(metric, spread)}
        for group, (metric,), spread in _spreads(groups, lambda study: study.numbers)
    ]
    numbers = [
        {"group": group, "table": table, "row": row, "metric": metric, **spread}
        for group, (table, row, metric), spread in _spreads(
            groups, lambda study: numbers_of(study.results)
        )
    ]
    return {
        "combinations": [
            {
                "combination": study.name,
                "assigned": dict(study.assigned),
                "study": study.study,
                "metrics": dict(study.metrics),
            }
            for study in studies
        ],
        "metrics": metrics,
        "numbers": numbers,
    }


def _groups(studies: Sequence[SweptStudy]) -> dict[str, list[SweptStudy]]:
    groups = {EVERY: list(studies)}
    settings: dict[str, list[SweptStudy]] = {}
    for study in studies:
        rest = ", ".join(word for setting, word in study.words.items() if setting != SEED)
        settings.setdefault(rest, []).append(study)
    swept = len({study.assigned.get(SEED) for study in studies}) > 1
    return groups | settings if swept and len(settings) > 1 else groups


def _spreads(
    groups: Mapping[str, Sequence[SweptStudy]],
    numbers: Callable[[SweptStudy], Mapping[Any, float]],
) -> Iterator[tuple[str, Name, dict[str, Any]]]:
    """Yield the distribution of each number of each group. numbers: of a study."""
    for group, members in groups.items():
        by_name: dict[Name, dict[str, float]] = {}
        for study in members:
            for name, value in numbers(study).items():
                by_name.setdefault(name, {})[study.name] = value
        for name, values in by_name.items():
            yield group, name, distribution(values)


def distribution(values: Mapping[str, float]) -> dict[str, Any]:
    """Number, mean, spread and extremes of values, with the first combination at each extreme.

    values: by combination, not empty. spread: sample standard deviation, None of a single value.

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


def _best(metric: str, spread: Mapping[str, Any]) -> dict[str, Any]:
    end = "lowest" if metric in FEWER_IS_BETTER else "highest"
    return {"best": spread[end], "best_of": spread[f"{end}_of"]}


def combinations_frame(sweep_summary: Mapping[str, Any]) -> pd.DataFrame:
    """A row of each combination of a `summary`: its settings, study and metrics."""
    rows = sweep_summary["combinations"]
    parts: list[list[Mapping[str, Any]]] = [
        [row["assigned"] for row in rows],
        [{"study": row["study"]} for row in rows],
        [row["metrics"] for row in rows],
    ]
    return pd.concat([pd.DataFrame(part, dtype=object) for part in parts], axis=1)
