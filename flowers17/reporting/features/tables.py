"""The tables of Part B.1: extractors, classifiers on features, what goes beyond Table 8."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flowers17.config import CombinationSettings, FeatureMapSettings
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
from flowers17.reporting.records import Evaluation, FeatureMap, Score
from flowers17.reporting.reference import (
    BEST_OF_TABLE_8,
    CLASSIFIERS,
    TABLE_7,
    TABLE_8,
    ExtractorShape,
    title_of,
)
from flowers17.reporting.tables import Column, Record, StudyNote, Table
from flowers17.reporting.titles import classifier_title, map_title, maps_title, trained_tag
from flowers17.reporting.verdicts import VERDICT_NOTE, no_comparison_notes
from flowers17.reporting.wording import shape_text, thousands

_WEIGHTS = {"file": "ImageNet", "download": "ImageNet", "random": "random"}


def _approximation_notes(inputs: ReportInputs) -> tuple[str, ...]:
    """The note under a table whose support vector machines are approximated."""
    svm = inputs.study.features.classifiers.svm
    if all(len(split["train"]) <= svm.exact_up_to for split in inputs.divided):
        return ()
    return (
        f"Support vector machines of more than {svm.exact_up_to:,} training images are "
        f"approximated: Nyström’s method with {svm.n_landmarks:,} landmarks, one class against the "
        "rest.",
    )


@dataclass(frozen=True)
class ExtractorRecord(Record):
    """An extractor of Table 7 with its feature map, None if it was not run."""

    settings: FeatureMapSettings
    feature_map: FeatureMap | None

    @property
    def study(self) -> ExtractorShape:
        """The study's numbers."""
        return TABLE_7[self.settings.extractor]


def _compared(
    key: str,
    title: str,
    value: Callable[[ExtractorShape | FeatureMap], Value],
    form: Form = thousands,
) -> tuple[Column[ExtractorRecord], ...]:
    return compared_columns(
        key,
        title,
        lambda r: value(r.study),
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
    return Table(
        "7",
        title_of("table", 7),
        _EXTRACTOR_COLUMNS,
        [_extractor_record(inputs, settings) for settings in inputs.study.features.table],
        lead="Each network without its fully connected top: what it is, and what it makes of an "
        "image.",
        notes=(
            "Layers are counted as Keras counts them. The feature map follows from the input’s "
            "size.",
            StudyNote(
                "Today’s MobileNet has one layer fewer than the study’s, and the same parameters; "
                "the study’s inputs are 128 × 128."
            ),
            *no_comparison_notes(inputs.differences_in_short),
        ),
    )


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
    def reference(self) -> float:
        """The study's accuracy, in Table 8."""
        return TABLE_8[self.combination.classifier][self.combination.maps[0].extractor]

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
        lambda r: CLASSIFIERS[r.combination.classifier],
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
    return Table(
        "8",
        title_of("table", 8),
        _CLASSIFIER_COLUMNS,
        records,
        lead="Validation accuracy with 95 % intervals.",
        notes=(
            *((VERDICT_NOTE,) if any(map(inputs.comparable, inputs.study.features.table)) else ()),
            "The report’s split may have near-duplicates on both sides; the clean split keeps "
            f"{inputs.kept_together} on one side. A Wilson interval covers the chance in which "
            "images were held out.",
            *_approximation_notes(inputs),
            *no_comparison_notes(inputs.differences_in_short),
        ),
    )


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
    *mean_columns(ClassifierRecord.mean, lambda r: BEST_OF_TABLE_8),
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
    return Table(
        "8b",
        "Beyond Table 8: larger inputs, reduction, search, several extractors",
        _BEYOND_COLUMNS,
        [
            _classifier_record(
                inputs, combination, inputs.evaluation(combination), group * bool(best)
            )
            for group, combinations in groups.items()
            for combination in combinations
        ],
        lead=f"Accuracy over repeated splits that keep {inputs.kept_together} on one side.",
        notes=(
            StudyNote(f"The study’s best is {BEST_OF_TABLE_8:.3f}, on its one split."),
            "Repeated splits share most of their images, so a plain t-interval would be too "
            "narrow; these use the corrected variance of Nadeau and Bengio (2003).",
            *_approximation_notes(inputs),
            *no_comparison_notes(inputs.differences_in_short),
        ),
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
    classifier = CLASSIFIERS.get(evaluation.classifier, evaluation.classifier)
    return f"{classifier} on {' + '.join(evaluation.maps)}"
