"""Table 10: the best of each part of the study, and the best that the project has beside it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from flowers17.config import CombinationSettings, FeatureMapSettings, FineTunedSettings
from flowers17.reporting.best import (
    Best,
    best_classifiers,
    best_ensembles,
    best_fine_tuned,
    best_networks,
    best_training,
    evaluated,
    trained,
    tuned,
)
from flowers17.reporting.cells import Cell, verdict_cell
from flowers17.reporting.columns import Record
from flowers17.reporting.ensembles.ensemble import ensembles_of
from flowers17.reporting.finetuning.networks import tuned_network
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.reference import TABLE_10
from flowers17.reporting.tables import Table
from flowers17.reporting.words import worded_table


def best_table(inputs: ReportInputs) -> Table:
    """Table 10; without rows if fewer than two parts have anything of ours.

    On unbalanced data it holds every headline, since other tables of accuracies have plain ones.
    """
    plain = [training for training in inputs.trainings if training.augmentation == "none"]
    augmented = [training for training in inputs.trainings if training.augmentation != "none"]
    results: Sequence[tuple[Best | None, Sequence[Best | None]]] = (
        (_training(inputs, "baseline", "none"), [best_training(inputs, plain)]),
        (
            _training(inputs, "mk-2", "wide"),
            [best_networks(inputs).over_clean, best_training(inputs, augmented)],
        ),
        (_stacking(inputs, "biased"), best_ensembles(inputs).both),
        (_classifier(inputs), best_classifiers(inputs).both),
        (_fine_tuned(inputs), best_fine_tuned(inputs).both),
    )
    records = [
        record
        for study, bests in zip(TABLE_10, results, strict=True)
        for record in _records(inputs, *study, *bests)
    ]
    filled = {record.group for record in records if record.source}
    return worded_table(
        "10",
        records if len(filled) > 1 or not inputs.is_balanced else (),
        inputs=inputs,
        compared=any(best.comparable for best, _ in results if best),
    )


def _records(
    inputs: ReportInputs,
    group: str,
    title: str,
    reference: float,
    counterpart: Best | None,
    bests: Sequence[Best | None],
) -> Iterator[Record]:
    """Yield the row of what the study names, and those of the best of ours in the same part."""
    results = [best for best in bests if best]
    if inputs.beside_study:
        missing = "" if counterpart or results else "nothing of this part has a result"
        yield _record(group, title, counterpart, reference, missing)
        unbiased = _stacking(inputs, "out-of-fold") if group == "Ensembles" else None
        if unbiased:
            yield _record(group, "Mk-2 to Mk-6, stacked out of fold", unbiased)
    prefix = "best of ours: " if inputs.beside_study else ""
    for best in results[:1] if inputs.is_balanced else results:
        own_title = ", ".join(part for part in (best.title, best.method) if part)
        yield _record(group, prefix + own_title, best)


def _record(
    group: str, title: str, best: Best | None, reference: float | None = None, missing: str = ""
) -> Record:
    values: dict[str, Any] = {"model": title, "study": reference}
    if not best:
        return Record(values, group=group, missing=missing)
    text, source = f"{best.accuracy:.3f}", best.source
    values |= {
        "ours": Cell(text, best.accuracy, best.interval, reference, source),
        "verdict": verdict_cell(best.score, reference, best.comparable),
        "where": best.where,
    }
    return Record(values, group=group, tag=best.tag, missing=missing, source=source)


def _training(inputs: ReportInputs, learner: str, augmentation: str) -> Best | None:
    training = inputs.training(learner, augmentation)
    return trained(inputs, training, training.score) if training else None


def _stacking(inputs: ReportInputs, scheme: str) -> Best | None:
    """The study's five networks, stacked under a scheme; the study's is `biased`."""
    for ensemble in ensembles_of(inputs):
        result = ensemble.first if ensemble.is_study else None
        stacking = result.stacking(scheme, "random_forest") if result else None
        if result and stacking:
            return Best(
                ensemble.name,
                stacking.held_out,
                result.reference,
                ensemble.tag,
                comparable=scheme == "biased" and ensemble.compares(result),
            )
    return None


def _classifier(inputs: ReportInputs) -> Best | None:
    maps = FeatureMapSettings(extractor="mobilenet")
    combination = CombinationSettings(maps=(maps,), classifier="logistic_regression")
    evaluation = inputs.evaluation(combination)
    score = evaluation.score("report") if evaluation else None
    if not evaluation or not score:
        return None
    best = evaluated(inputs, evaluation, score)
    return replace(best, comparable=inputs.comparable(maps))


def _fine_tuned(inputs: ReportInputs) -> Best | None:
    network = FineTunedSettings(maps=FeatureMapSettings(extractor="mobilenet"))
    tuning = tuned_network(inputs, network, "report").firsts.get("b")
    return tuned(inputs, tuning, tuning.score) if tuning else None
