"""The tables of Part B.1: extractors, classifiers on features, what goes beyond Table 8."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flowers17.config import CombinationSettings, FeatureMapSettings
from flowers17.reporting import reference as published
from flowers17.reporting.columns import (
    Form,
    Value,
    compared_columns,
    mean_columns,
    score_column,
    study_column,
    text_column,
    verdict_column,
)
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.metrics import MeanSpread
from flowers17.reporting.paired_comparisons import (
    PairedRecord,
    comparison_columns,
    paired_comparisons,
)
from flowers17.reporting.records import Evaluation, FeatureMap, Score
from flowers17.reporting.reference import ExtractorShape
from flowers17.reporting.tables import Column, Record, Table
from flowers17.reporting.titles import classifier_title, map_title, maps_title, trained_tag
from flowers17.reporting.wording import shape_text, thousands
from flowers17.reporting.words import worded_table

_WEIGHTS = {"file": "ImageNet", "download": "ImageNet", "random": "random"}


@dataclass(frozen=True)
class ExtractorRecord(Record):
    """An extractor of Table 7 with its feature map, None if it was not run."""

    settings: FeatureMapSettings
    feature_map: FeatureMap | None

    @property
    def study(self) -> ExtractorShape | None:
        """The study's numbers, if it has this extractor."""
        return published.TABLE_7.get(self.settings.extractor)


def _compared(
    key: str,
    title: str,
    value: Callable[[ExtractorShape | FeatureMap], Value],
    form: Form = thousands,
) -> tuple[Column[ExtractorRecord], ...]:
    return compared_columns(
        key,
        title,
        lambda r: value(r.study) if r.study else None,
        lambda r: value(r.feature_map) if r.feature_map else None,
        form,
    )


def _weights(record: ExtractorRecord) -> str | None:
    return record.feature_map.weights if record.feature_map else None


_EXTRACTOR_COLUMNS: tuple[Column[ExtractorRecord], ...] = (
    text_column(
        "extractor", "Extractor", lambda r: map_title(r.settings), lambda r: r.settings.name
    ),
    *_compared("layers", "Layers", lambda extractor: extractor.n_layers),
    *_compared("parameters", "Parameters", lambda extractor: extractor.n_parameters),
    *_compared("feature_map", "Feature map", lambda extractor: shape_text(extractor.shape)),
    *_compared("columns", "Columns", lambda extractor: extractor.n_columns),
    text_column(
        "weights", "Weights", lambda r: _WEIGHTS.get(_weights(r) or "", _weights(r)), _weights
    ),
)


def extractors_table(inputs: ReportInputs) -> Table:
    """Table 7: layers, parameters, feature maps and columns of the extractors."""
    records = [_extractor_record(inputs, settings) for settings in inputs.study.features.table]
    return worded_table("7", _EXTRACTOR_COLUMNS, records, inputs=inputs)


def _extractor_record(inputs: ReportInputs, settings: FeatureMapSettings) -> ExtractorRecord:
    feature_map = inputs.feature_maps.get(settings.name)
    if not feature_map:
        return ExtractorRecord(settings, None, missing=inputs.reason_missing([settings.name]))
    tag, source = trained_tag(feature_map.random_weights), feature_map.artifact.reference
    return ExtractorRecord(settings, feature_map, tag=tag, source=source)


@dataclass(frozen=True)
class ClassifierRecord(Record):
    """A classifier on feature maps with its evaluation, None if it has none.

    comparable: whether the study's number measures the same.
    """

    combination: CombinationSettings
    evaluation: Evaluation | None
    comparable: bool = False

    @property
    def reference(self) -> float | None:
        """The study's accuracy in Table 8, if it has this extractor."""
        return published.TABLE_8[self.combination.classifier].get(
            self.combination.maps[0].extractor
        )

    def mean(self) -> MeanSpread | None:
        """Mean over the repeated clean splits, if there is one."""
        return self.evaluation.repeated if self.evaluation else None

    def score(self, kind: str) -> Score | None:
        """The score on the first split of a kind, if there is one."""
        return self.evaluation.score(kind) if self.evaluation else None


_CLASSIFIER_COLUMNS: tuple[Column[ClassifierRecord], ...] = (
    text_column(
        "classifier",
        "Classifier",
        lambda r: published.CLASSIFIERS[r.combination.classifier],
        lambda r: r.combination.classifier,
    ),
    study_column(lambda r: r.reference, title="study", group="Report’s split"),
    score_column(
        "ours", "ours", lambda r: r.score("report"), lambda r: r.reference, group="Report’s split"
    ),
    verdict_column(
        lambda r: r.score("report"),
        lambda r: r.reference,
        lambda r: r.comparable,
        title="against the study",
        group="Report’s split",
    ),
    score_column("clean", "Clean split", lambda r: r.score("clean")),
)


def classifiers_table(inputs: ReportInputs) -> Table:
    """Table 8: every classifier on every extractor, the study's accuracy beside ours."""
    records = []
    for combination in inputs.table_8:
        evaluation = inputs.evaluation(combination)
        if evaluation and not evaluation.score("report"):
            evaluation = None
        group = map_title(combination.maps[0])
        records.append(_classifier_record(inputs, combination, evaluation, group))
    compared = any(map(inputs.comparable, inputs.study.features.table))
    return worded_table("8", _CLASSIFIER_COLUMNS, records, inputs=inputs, compared=compared)


def _classifier_record(
    inputs: ReportInputs,
    combination: CombinationSettings,
    evaluation: Evaluation | None,
    group: str,
) -> ClassifierRecord:
    if not evaluation:
        names = [settings.name for settings in combination.maps]
        missing = inputs.reason_missing(names, combination.classifier)
        return ClassifierRecord(combination, None, group=group, missing=missing)
    return ClassifierRecord(
        combination,
        evaluation,
        inputs.comparable(combination.maps[0]),
        group=group,
        tag=trained_tag(evaluation.random_weights),
        source=evaluation.artifact.reference,
    )


_BEYOND_COLUMNS: Sequence[Column[ClassifierRecord]] = [
    text_column(
        "features",
        "Features",
        lambda r: maps_title(r.combination.maps),
        lambda r: " + ".join(settings.name for settings in r.combination.maps),
    ),
    text_column("classifier", "Classifier", lambda r: classifier_title(r.combination)),
    *mean_columns(ClassifierRecord.mean, lambda r: published.BEST_OF_TABLE_8),
    score_column("clean", "Clean split", lambda r: r.score("clean")),
    score_column("report", "Report’s split", lambda r: r.score("report")),
]


def beyond_table(inputs: ReportInputs) -> Table:
    """Table 8b: what Table 8 leaves out, over repeated clean splits."""
    beyond = "Beyond the study" if inputs.beside_study else "Beyond Table 8"
    groups = {beyond: inputs.study.features.combinations}
    best = best_over_repeats(inputs.evaluations_of_table_8)
    if best:
        first = next(c for c in inputs.table_8 if inputs.evaluation(c) is best)
        groups = {"The best of Table 8, by its mean": (first,), **groups}
    records = [
        _classifier_record(inputs, combination, inputs.evaluation(combination), group * bool(best))
        for group, combinations in groups.items()
        for combination in combinations
    ]
    return worded_table(
        "8b", _BEYOND_COLUMNS, records, inputs=inputs, best_of_study=published.BEST_OF_TABLE_8
    )


def best_over_repeats(evaluations: Sequence[Evaluation]) -> Evaluation | None:
    """The evaluation with the highest mean over the repeated clean splits.

    Of the measure that stands first: see `Score.headline`.
    """
    means = [(e.headline.mean, e) for e in evaluations if e.headline]
    return max(means, key=lambda pair: pair[0])[1] if means else None


def evaluation_title(inputs: ReportInputs, evaluation: Evaluation) -> str:
    """Display name of an evaluation: `logistic regression on MobileNet`."""
    for combination in (*inputs.table_8, *inputs.study.features.combinations):
        if inputs.evaluation(combination) is evaluation:
            return f"{classifier_title(combination)} on {maps_title(combination.maps)}"
    classifier = published.CLASSIFIERS.get(evaluation.classifier, evaluation.classifier)
    return f"{classifier} on {' + '.join(evaluation.maps)}"


_COLUMNS: tuple[Column[PairedRecord], ...] = (
    text_column("classifier", "Classifier on features", lambda r: r.title),
    *comparison_columns(
        second=("only_best", "Best alone right"), first=("only_this", "This alone right")
    ),
)


def paired_table(inputs: ReportInputs) -> Table:
    """Table 8c: each classifier against the best, image by image."""
    best = inputs.best
    score = best.score("report") if best else None
    title = evaluation_title(inputs, best) if best else ""
    records = _records(inputs, best, score.split) if best and score else []
    return worded_table("8c", _COLUMNS, records, score=score, best=title)


def _records(inputs: ReportInputs, best: Evaluation, split: str) -> list[PairedRecord]:
    """The other evaluations on the split, each against the best, the most accurate first."""
    scores = [(evaluation, evaluation.score("report")) for evaluation in inputs.evaluations]
    evaluations = [e for e, score in scores if e is not best and score and score.split == split]
    correct = inputs.correct(best, split)
    comparisons = paired_comparisons((inputs.correct(e, split), correct) for e in evaluations)
    compared = sorted(
        zip(evaluations, comparisons, strict=True),
        key=lambda pair: (-pair[1].first_accuracy, evaluation_title(inputs, pair[0])),
    )
    return [
        PairedRecord(
            evaluation_title(inputs, evaluation),
            comparison=comparison,
            tag=trained_tag(evaluation.random_weights),
            source=evaluation.artifact.reference,
        )
        for evaluation, comparison in compared
    ]
