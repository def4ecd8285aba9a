"""The tables of test parts: every model on images that chose nothing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import mean, stdev
from typing import NamedTuple, get_args

import numpy as np

from flowers17.artifacts import Reference
from flowers17.reporting.best import Best
from flowers17.reporting.columns import Record
from flowers17.reporting.ensembles.records import By
from flowers17.reporting.features.tables import evaluation_title
from flowers17.reporting.finetuning.networks import phase_title
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.metrics import MeanSpread, accuracy_interval, balanced_interval
from flowers17.reporting.records import ACCURACY, HEADLINE, Score
from flowers17.reporting.tables import Table
from flowers17.reporting.titles import method_title, trained_tag
from flowers17.reporting.wording import counted
from flowers17.reporting.words import worded_table

_BY = {"refit": "refits", "average": "mean of the folds’ models"}
# A model stands for itself as it was fitted on a split of the first of these kinds.
_OWN_SPLITS = {"report": "report’s split", "clean": "clean split", "repeated": "repeated split"}


class TestedModel(NamedTuple):
    """A model's scores on validation and test parts, over splits of one kind or several seeds."""

    group: str
    title: str
    fitted_on: str
    validation: Sequence[Score]
    test: Sequence[Score]
    tag: str
    source: Reference


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
        _tested_models(inputs, _OWN_SPLITS),
        key=lambda model: _mean(model.validation, HEADLINE).mean,
        default=None,
    )
    if not best:
        return None
    title = f"{best.title}, the best in validation"
    return Best(title, _mean(best.test, HEADLINE), best.source, best.tag)


def _tested_models(inputs: ReportInputs, kinds: Mapping[str, str]) -> list[TestedModel]:
    """Models with a test part, by the first of these kinds of splits that each was fitted on."""
    by_name: dict[tuple[str, str], list[tuple[Score, str, Reference]]] = {}
    for group, title, score, tag, source in _models(inputs):
        if score.test and score.kind in kinds:
            by_name.setdefault((group, title), []).append((score, tag, source))
    models = []
    for (group, title), entries in by_name.items():
        kind = min((score.kind for score, *_ in entries), key=list(kinds).index)
        scores = [score for score, *_ in entries if score.kind == kind]
        tests = [score.on_test for score in scores if score.on_test]
        fitted_on = counted(len({score.split for score in scores}), kinds[kind])
        models.append(TestedModel(group, title, fitted_on, scores, tests, *entries[0][1:]))
    return models


def _models(inputs: ReportInputs) -> Iterator[tuple[str, str, Score, str, Reference]]:
    """Yield group, title, score, tag and artifact of every model on every split."""
    for run in inputs.evaluations:
        title, tag = evaluation_title(inputs, run), trained_tag(run.random_weights)
        for score in run.scores:
            yield "Classifiers on features", title, score, tag, run.artifact.reference
    for network in inputs.trainings:
        source = network.artifact.reference
        yield "Networks from scratch", network.title, network.score, network.tag, source
    for tuning in inputs.fine_tunings:
        title, tag = phase_title(inputs, tuning), trained_tag(tuning.random_weights)
        yield "Fine-tuned networks", title, tuning.score, tag, tuning.artifact.reference
    for result in inputs.ensemble_results:
        members = {member.name for member in result.members}
        for name, outcome in result.outcomes.items():
            for by in get_args(By):
                title = f"{name if name in members else method_title(name)}, {_BY[by]}"
                yield f"Ensemble {result.name}", title, outcome[by], "", result.reference


def test_tables(inputs: ReportInputs) -> list[Table]:
    """Table T1, of a given test part, and T2, of the official splits' test images."""
    n_twins = inputs.duplicates_metrics.get("n_twins", 0)
    own, official = _records(inputs, _OWN_SPLITS), _records(inputs, {"official": "official split"})
    tables = worded_table("T1", own, n_twins=n_twins), worded_table("T2", official)
    return [table for table in tables if table.records]


def _records(inputs: ReportInputs, kinds: Mapping[str, str]) -> list[Record]:
    records = []
    for model in _tested_models(inputs, kinds):
        test = _mean(model.test)
        values = {
            "model": model.title,
            "fitted_on": model.fitted_on,
            "validation": _mean(model.validation),
            "test": test,
            "spread": test.spread,
        }
        if not inputs.is_balanced:
            values["balanced"] = _mean(model.test, HEADLINE)
        records.append(Record(values, group=model.group, tag=model.tag, source=model.source))
    return records
