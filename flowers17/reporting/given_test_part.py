"""The tables of test parts: every model on images that chose nothing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import get_args

import numpy as np

from flowers17.artifacts import Reference
from flowers17.reporting.best import Best, phase_title
from flowers17.reporting.cells import score_cell, spread_cell
from flowers17.reporting.columns import text_column
from flowers17.reporting.ensembles.records import By
from flowers17.reporting.features.tables import evaluation_title
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.learners.cells import training_title
from flowers17.reporting.metrics import MeanSpread, accuracy_interval, balanced_interval
from flowers17.reporting.records import ACCURACY, HEADLINE, Score
from flowers17.reporting.tables import Column, Record, Table
from flowers17.reporting.titles import method_title, trained_tag
from flowers17.reporting.wording import counted
from flowers17.reporting.words import worded_table

_BY = {"refit": "refits", "average": "mean of the folds’ models"}
# A model stands for itself as it was fitted on a split of the first of these kinds.
_OWN_SPLITS = {"report": "report’s split", "clean": "clean split", "repeated": "repeated split"}


@dataclass(frozen=True)
class TestRecord(Record):
    """A model: its means on validation and test parts, over splits of one kind or several seeds."""

    title: str
    fitted_on: str
    validation: Sequence[Score]
    test: Sequence[Score]


def _mean(scores: Sequence[Score], measure: Callable[[Score], float] = ACCURACY) -> MeanSpread:
    """Mean over scores. Models that are scored on the same images add none to the interval."""
    values, n = [measure(score) for score in scores], scores[0].n_validation
    by_class = [score.by_class for score in scores if score.by_class]
    if measure is HEADLINE and by_class:
        interval = balanced_interval(np.mean(by_class, axis=0).tolist())
    else:
        interval = accuracy_interval(round(mean(values) * n), n)
    return MeanSpread(len(values), mean(values), stdev(values) if values[1:] else None, interval)


def best_on_test(inputs: ReportInputs) -> Best | None:
    """The model that is best on validation images, by its score on a given test part."""
    best = max(
        _records(inputs, _OWN_SPLITS),
        key=lambda record: _mean(record.validation, HEADLINE).mean,
        default=None,
    )
    if not best or not best.source:
        return None
    title = f"{best.title}, the best in validation"
    return Best(title, _mean(best.test, HEADLINE), best.source, best.tag)


def _records(inputs: ReportInputs, kinds: Mapping[str, str]) -> list[TestRecord]:
    """Models with a test part, by the first of these kinds of splits that each was fitted on."""
    models: dict[tuple[str, str], list[tuple[Score, str, Reference]]] = {}
    for group, title, score, tag, source in _models(inputs):
        if score.test and score.kind in kinds:
            models.setdefault((group, title), []).append((score, tag, source))
    records = []
    for (group, title), entries in models.items():
        kind = min((score.kind for score, *_ in entries), key=list(kinds).index)
        scores = [score for score, *_ in entries if score.kind == kind]
        tests = [score.on_test for score in scores if score.on_test]
        fitted_on = counted(len({score.split for score in scores}), kinds[kind])
        _, tag, source = entries[0]
        records.append(
            TestRecord(title, fitted_on, scores, tests, group=group, tag=tag, source=source)
        )
    return records


def _models(inputs: ReportInputs) -> Iterator[tuple[str, str, Score, str, Reference]]:
    """Yield group, title, score, tag and artifact of every model on every split."""
    for run in inputs.evaluations:
        title, tag = evaluation_title(inputs, run), trained_tag(run.random_weights)
        for score in run.scores:
            yield "Classifiers on features", title, score, tag, run.artifact.reference
    for network in inputs.trainings:
        title, source = training_title(network), network.artifact.reference
        yield "Networks from scratch", title, network.score, network.tag, source
    for tuning in inputs.fine_tunings:
        title, tag = phase_title(inputs, tuning), trained_tag(tuning.random_weights)
        yield "Fine-tuned networks", title, tuning.score, tag, tuning.artifact.reference
    for result in inputs.ensemble_results:
        members = {member.name for member in result.members}
        for name, outcome in result.outcomes.items():
            for by in get_args(By):
                title = f"{name if name in members else method_title(name)}, {_BY[by]}"
                yield f"Ensemble {result.name}", title, outcome.by(by), "", result.reference


def test_tables(inputs: ReportInputs) -> list[Table]:
    """Table T1, of a given test part, and T2, of the official splits' test images."""
    n_twins = inputs.duplicates_metrics.get("n_twins", 0)
    balanced = [] if inputs.is_balanced else [_BALANCED]
    own, official = _records(inputs, _OWN_SPLITS), _records(inputs, {"official": "official split"})
    tables = [
        worded_table("T1", (*_COLUMNS[:-1], *balanced), own, n_twins=n_twins),
        worded_table("T2", (*_COLUMNS, *balanced), official),
    ]
    return [table for table in tables if table.records]


_COLUMNS: tuple[Column[TestRecord], ...] = (
    text_column("model", "Model", lambda r: r.title),
    text_column("fitted_on", "Fitted on", lambda r: r.fitted_on),
    Column("validation", "Validation", lambda r: score_cell(_mean(r.validation)), interval=True),
    Column("test", "Test", lambda r: score_cell(_mean(r.test), source=r.source), interval=True),
    Column("spread", "± s.d.", lambda r: spread_cell(_mean(r.test))),
)
_BALANCED: Column[TestRecord] = Column(
    "balanced",
    "Balanced test accuracy",
    lambda r: score_cell(_mean(r.test, HEADLINE), source=r.source),
    interval=True,
)
