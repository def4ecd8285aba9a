"""The tables of Part B.1: extractors, classifiers on features, what goes beyond Table 8."""

from collections.abc import Mapping, Sequence
from typing import Any

from flowers17.config import CombinationSettings
from flowers17.reporting import reference as published
from flowers17.reporting.cells import Cell, mean_values, verdict_cell
from flowers17.reporting.columns import Record
from flowers17.reporting.data_tables import without_twins
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.paired_comparisons import comparison_values, paired_comparisons
from flowers17.reporting.records import Evaluation, FeatureMap
from flowers17.reporting.reference import ExtractorShape
from flowers17.reporting.tables import Table
from flowers17.reporting.titles import classifier_title, map_title, maps_title, trained_tag
from flowers17.reporting.wording import shape_text
from flowers17.reporting.words import worded_table

_WEIGHTS = {"file": "ImageNet", "download": "ImageNet", "random": "random"}


def extractors_table(inputs: ReportInputs) -> Table:
    """Table 7: layers, parameters, feature maps and columns of the extractors."""
    records = []
    for settings in inputs.study.features.table:
        feature_map = inputs.feature_maps.get(settings.name)
        study = published.TABLE_7.get(settings.extractor)
        values: dict[str, Any] = {"extractor": Cell(map_title(settings), settings.name)}
        values |= _shape_values(study, "study_") if study else {}
        if not feature_map:
            missing = inputs.reason_missing([settings.name])
            records.append(Record(values, missing=missing))
            continue
        values |= _shape_values(feature_map)
        weights = feature_map.weights
        values["weights"] = Cell(_WEIGHTS.get(weights, weights), weights)
        tag, source = trained_tag(feature_map.random_weights), feature_map.artifact.reference
        records.append(Record(values, tag=tag, source=source))
    return worded_table("7", records, inputs=inputs)


def _shape_values(extractor: ExtractorShape | FeatureMap, prefix: str = "") -> dict[str, Any]:
    return {
        f"{prefix}layers": extractor.n_layers,
        f"{prefix}parameters": extractor.n_parameters,
        f"{prefix}feature_map": shape_text(extractor.shape),
        f"{prefix}columns": extractor.n_columns,
    }


def classifiers_table(inputs: ReportInputs) -> Table:
    """Table 8: every classifier on every extractor, the study's accuracy beside ours."""
    records = []
    for combination in inputs.table_8:
        evaluation, (maps,) = inputs.evaluation(combination), combination.maps
        classifier = combination.classifier
        reference = published.TABLE_8[classifier].get(maps.extractor)
        values: dict[str, Any] = {
            "classifier": Cell(published.CLASSIFIERS[classifier], classifier),
            "study": reference,
        }
        score = evaluation.score("report") if evaluation else None
        if not evaluation or not score:
            evaluation = None
        else:
            comparable = inputs.comparable(maps)
            values |= {"ours": score, "verdict": verdict_cell(score, reference, comparable)}
            values["apart"] = without_twins(inputs, evaluation, score)
            values["clean"] = evaluation.score("clean")
        records.append(_record(inputs, combination, evaluation, values, map_title(maps)))
    compared = any(map(inputs.comparable, inputs.study.features.table))
    return worded_table("8", records, inputs=inputs, compared=compared)


def _record(
    inputs: ReportInputs,
    combination: CombinationSettings,
    evaluation: Evaluation | None,
    values: Mapping[str, Any],
    group: str,
) -> Record:
    """A row on a classifier, or on the reason why it has no evaluation."""
    if not evaluation:
        names = [settings.name for settings in combination.maps]
        missing = inputs.reason_missing(names, combination.classifier)
        return Record(values, group=group, missing=missing)
    tag, source = trained_tag(evaluation.random_weights), evaluation.artifact.reference
    return Record(values, group=group, tag=tag, source=source)


def beyond_table(inputs: ReportInputs) -> Table:
    """Table 8b: what Table 8 leaves out, over repeated clean splits."""
    beyond = "Beyond the study" if inputs.beside_study else "Beyond Table 8"
    groups: dict[str, Sequence[CombinationSettings]] = {beyond: inputs.study.features.combinations}
    means = [(e.headline.mean, e) for e in inputs.evaluations_of_table_8 if e.headline]
    _, best = max(means, key=lambda pair: pair[0], default=(0.0, None))
    if best:
        first = next(c for c in inputs.table_8 if inputs.evaluation(c) is best)
        groups = {"The best of Table 8, by its mean": (first,), **groups}
    records = []
    for group, combinations in groups.items():
        for combination in combinations:
            evaluation, maps = inputs.evaluation(combination), combination.maps
            name = " + ".join(settings.name for settings in maps)
            values = {
                "features": Cell(maps_title(maps), name),
                "classifier": classifier_title(combination),
                "study": published.BEST_OF_TABLE_8,
            }
            if evaluation:
                values |= mean_values(evaluation.repeated)
                values |= {kind: evaluation.score(kind) for kind in ("clean", "report")}
            records.append(_record(inputs, combination, evaluation, values, group * bool(best)))
    return worded_table("8b", records, inputs=inputs, best_of_study=published.BEST_OF_TABLE_8)


def evaluation_title(inputs: ReportInputs, evaluation: Evaluation) -> str:
    """Display name of an evaluation: `logistic regression on MobileNet`."""
    for combination in (*inputs.table_8, *inputs.study.features.combinations):
        if inputs.evaluation(combination) is evaluation:
            return f"{classifier_title(combination)} on {maps_title(combination.maps)}"
    classifier = published.CLASSIFIERS.get(evaluation.classifier, evaluation.classifier)
    return f"{classifier} on {' + '.join(evaluation.maps)}"


def paired_table(inputs: ReportInputs) -> Table:
    """Table 8c: each classifier against the best, image by image, the most accurate first."""
    best, records = inputs.best, []
    score = best.score("report") if best else None
    if best and score:
        scores = [(evaluation, evaluation.score("report")) for evaluation in inputs.evaluations]
        others = [e for e, own in scores if e is not best and own and own.split == score.split]
        correct = inputs.correct(best, score.split)
        comparisons = paired_comparisons((inputs.correct(e, score.split), correct) for e in others)
        titles = [evaluation_title(inputs, evaluation) for evaluation in others]
        compared = zip(titles, others, comparisons, strict=True)
        for title, evaluation, comparison in sorted(
            compared, key=lambda row: (-row[2].first_accuracy, row[0])
        ):
            values = {
                "classifier": title,
                **comparison_values(comparison, "only_this", "only_best"),
            }
            tag, source = trained_tag(evaluation.random_weights), evaluation.artifact.reference
            records.append(Record(values, tag=tag, source=source))
    title = evaluation_title(inputs, best) if best else ""
    return worded_table("8c", records, score=score, best=title)
