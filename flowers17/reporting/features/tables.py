"""The tables of Part B.1: extractors, classifiers on features, what goes beyond the study."""

from collections.abc import Sequence

from flowers17.config import CombinationSettings, FeatureMapSettings
from flowers17.reporting.cells import integer_cell, mean_cell, spread_cell
from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.metrics import Interval, within
from flowers17.reporting.records import Evaluation, Score
from flowers17.reporting.reference import BEST_OF_TABLE_8, CLASSIFIERS, TABLE_7, TABLE_8, title_of
from flowers17.reporting.tables import EMPTY, Cell, Column, Row, Table, Verdict
from flowers17.reporting.titles import classifier_title, map_title, maps_title

UNTRAINED = "untrained weights"
_WEIGHTS = {
    "file": "ImageNet",
    "download": "ImageNet",
    "random": "random",
}

_VERDICTS = (
    "“within”: the study’s number lies in our interval; “better”: it lies below our interval; "
    "“below”: it lies above our interval.",
)


def thousands(value: int) -> str:
    """Return an integer with thousands set apart: 14,714,688."""
    return f"{value:,}"


def shape_text(shape: Sequence[int]) -> str:
    """Return a shape as people write it: 4 × 4 × 512."""
    return " × ".join(str(side) for side in shape)


def interval_text(interval: Interval) -> str:
    """Return an interval as people write it.

    >>> interval_text(Interval(0.916, 0.965)), interval_text(Interval(-0.01, 0.02))
    ('0.916–0.965', '−0.010 to 0.020')
    """
    between = " to " if interval.low < 0 else "–"
    return f"{interval.low:.3f}{between}{interval.high:.3f}".replace("-", "−")


def verdict_of(score: Score, reference: float) -> Verdict:
    """Return where our accuracy stands to the study's: within the interval, better, or below."""
    if within(score.interval, reference):
        return "within"
    return "better" if score.accuracy > reference else "below"


def comparison_note(inputs: ReportInputs) -> tuple[str, ...]:
    """Return the plain note under a table whose numbers are not of the study's kind."""
    if not inputs.differences:
        return ()
    return (
        f"Not a comparison ({inputs.differences_in_short}): the study’s numbers only show where "
        "they belong.",
    )


def trained_tag(random_weights: bool) -> str:
    """Return the warning that belongs to numbers of untrained weights; empty for others."""
    return UNTRAINED if random_weights else ""


def approximation_note(inputs: ReportInputs) -> tuple[str, ...]:
    """Return the plain note under a table whose support vector machines are approximated."""
    svm = inputs.study.features.classifiers.svm
    if all(len(one["train"]) <= svm.exact_up_to for one in inputs.divided):
        return ()
    return (
        f"Support vector machines of more than {svm.exact_up_to:,} training images are "
        f"approximated: Nyström’s method with {svm.n_landmarks:,} landmarks, one class against the "
        "rest.",
    )


def extractors_table(inputs: ReportInputs) -> Table:
    """Return Table 7: layers, parameters, feature maps and columns of the extractors."""
    rows = [_extractor_row(inputs, one) for one in inputs.study.features.table]
    groups = ("Layers", "Parameters", "Feature map", "Columns")
    columns = [Column("extractor", "Extractor", numeric=False)]
    for group in groups:
        key = group.lower().replace(" ", "_")
        columns += [Column(f"study_{key}", "study", group), Column(key, "ours", group)]
    columns.append(Column("weights", "Weights", numeric=False))
    return Table(
        "7",
        title_of("table", 7),
        tuple(columns),
        tuple(rows),
        lead="Each network without its fully connected top: what it is, and what it makes of an "
        "image.",
        notes=(
            "Layers are counted as Keras counts them; today’s MobileNet has one fewer than the "
            "study’s, and the same parameters.",
            "The feature map follows from the input’s size; the study’s is 128 × 128.",
            *comparison_note(inputs),
        ),
    )


def _extractor_row(inputs: ReportInputs, one: FeatureMapSettings) -> Row:
    study, made = TABLE_7[one.extractor], inputs.feature_maps.get(one.name)
    title = Cell(map_title(one), one.name)
    theirs = (
        Cell(str(study.n_layers), study.n_layers),
        Cell(thousands(study.n_parameters), study.n_parameters),
        Cell(shape_text(study.feature_map), shape_text(study.feature_map)),
        Cell(thousands(study.n_columns), study.n_columns),
    )
    if not made:
        blank = [cell for pair in zip(theirs, [EMPTY] * 4, strict=True) for cell in pair]
        return Row((title, *blank, EMPTY), missing=inputs.reason_missing([one.name]))
    source = made.artifact.reference
    ours = (
        Cell(str(made.n_layers), made.n_layers, None, study.n_layers, source),
        Cell(thousands(made.n_parameters), made.n_parameters, None, study.n_parameters, source),
        Cell(
            shape_text(made.shape),
            shape_text(made.shape),
            None,
            shape_text(study.feature_map),
            source,
        ),
        Cell(thousands(made.n_columns), made.n_columns, None, study.n_columns, source),
    )
    cells = [cell for pair in zip(theirs, ours, strict=True) for cell in pair]
    weights = Cell(_WEIGHTS.get(made.weights, made.weights), made.weights)
    return Row((title, *cells, weights), tag=trained_tag(made.random_weights))


def _accuracy(evaluation: Evaluation, kind: str, reference: float | None = None) -> Cell:
    score = evaluation.score(kind)
    if not score:
        return EMPTY
    return Cell(
        f"{score.accuracy:.3f}",
        score.accuracy,
        score.interval,
        reference,
        evaluation.artifact.reference,
    )


def classifiers_table(inputs: ReportInputs) -> Table:
    """Return Table 8: every classifier on every extractor, the study's accuracy beside ours."""
    return Table(
        "8",
        title_of("table", 8),
        (
            Column("classifier", "Classifier", numeric=False),
            Column("study", "Study"),
            Column("ours", "Ours, report’s split", interval=True),
            Column("verdict", "Against the study", numeric=False),
            Column("clean", "Ours, clean split", interval=True),
        ),
        tuple(_classifier_row(inputs, one) for one in inputs.table_8),
        lead="Validation accuracy with 95 % intervals.",
        notes=(
            *(_VERDICTS if any(inputs.comparable(one.maps[0]) for one in inputs.table_8) else ()),
            "The report’s split is random, so that near-duplicates may lie on both sides of it; in "
            "the clean split they never do. A Wilson interval covers the chance in which images "
            "were held out.",
            *approximation_note(inputs),
            *comparison_note(inputs),
        ),
    )


def _classifier_row(inputs: ReportInputs, combination: CombinationSettings) -> Row:
    (one,) = combination.maps
    reference = TABLE_8[combination.classifier][one.extractor]
    title = Cell(CLASSIFIERS[combination.classifier], combination.classifier)
    study = Cell(f"{reference:.3f}", reference)
    group = map_title(one)
    found = inputs.evaluation(combination)
    score = found.score("report") if found else None
    if not found or not score:
        cells = (title, study, EMPTY, EMPTY, EMPTY)
        reason = inputs.reason_missing([one.name], combination.classifier)
        return Row(cells, group, missing=reason)
    verdict = verdict_of(score, reference) if inputs.comparable(one) else None
    judged = Cell(verdict or "–", verdict or "not comparable", verdict=verdict)
    ours = _accuracy(found, "report", reference)
    tag = trained_tag(found.random_weights)
    return Row((title, study, ours, judged, _accuracy(found, "clean")), group, tag)


def beyond_table(inputs: ReportInputs) -> Table:
    """Return Table 8b: what the study left out, over repeated clean splits."""
    rows = []
    best = best_over_repeats(inputs.evaluations_of_table_8)
    if best:
        combination = next(one for one in inputs.table_8 if inputs.evaluation(one) is best)
        rows.append(_beyond_row(inputs, combination, "The best of Table 8, by its mean"))
    group = "Beyond the study" if rows else ""
    rows += [_beyond_row(inputs, one, group) for one in inputs.study.features.combinations]
    return Table(
        "8b",
        "Beyond the study: larger inputs, reduction, search, several extractors",
        (
            Column("features", "Features", numeric=False),
            Column("classifier", "Classifier", numeric=False),
            Column("mean", "Mean over clean splits", interval=True),
            Column("spread", "± s.d."),
            Column("n_splits", "Splits"),
            Column("clean", "Clean split", interval=True),
            Column("report", "Report’s split", interval=True),
        ),
        tuple(rows),
        lead="Accuracy over repeated splits that keep near-duplicates on one side, the honest "
        f"measure. The study’s best is {BEST_OF_TABLE_8:.3f}, on its one split.",
        notes=(
            "Repeated splits share most of their images, so a plain t-interval would be too "
            "narrow; these use the corrected variance of Nadeau and Bengio (2003).",
            *approximation_note(inputs),
            *comparison_note(inputs),
        ),
    )


def best_over_repeats(evaluations: Sequence[Evaluation]) -> Evaluation | None:
    """Return the evaluation with the highest mean over the repeated clean splits."""
    counted = [(one.repeated.mean, one) for one in evaluations if one.repeated]
    return max(counted, key=lambda pair: pair[0])[1] if counted else None


def _beyond_row(inputs: ReportInputs, combination: CombinationSettings, group: str) -> Row:
    title = maps_title(combination.maps)
    names = [one.name for one in combination.maps]
    head = (Cell(title, " + ".join(names)), Cell(classifier_title(combination)))
    found = inputs.evaluation(combination)
    if not found:
        reason = inputs.reason_missing(names, combination.classifier)
        return Row((*head, *[EMPTY] * 5), group, missing=reason)
    over, source = found.repeated, found.artifact.reference
    cells = (
        *head,
        mean_cell(over, BEST_OF_TABLE_8, source),
        spread_cell(over, source),
        integer_cell(over.n_splits if over else None),
        _accuracy(found, "clean"),
        _accuracy(found, "report"),
    )
    return Row(cells, group, trained_tag(found.random_weights))


def evaluation_title(inputs: ReportInputs, evaluation: Evaluation) -> str:
    """Return how people call an evaluation: `logistic regression on MobileNet`."""
    asked = [*inputs.table_8, *inputs.study.features.combinations]
    for one in asked:
        if inputs.evaluation(one) is evaluation:
            maps = maps_title(one.maps)
            return f"{classifier_title(one)} on {maps}"
    return f"{CLASSIFIERS.get(evaluation.classifier, evaluation.classifier)} on " + " + ".join(
        evaluation.maps
    )
