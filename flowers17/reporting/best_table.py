"""Table 10: the best of each part of the study, and the best that the project has beside it."""

from collections.abc import Iterator
from dataclasses import dataclass

from flowers17.artifacts import Reference
from flowers17.config import CombinationSettings, FeatureMapSettings
from flowers17.reporting.best import (
    Best,
    best_classifiers,
    best_ensembles,
    best_fine_tuned,
    best_networks,
    best_training,
    split_text,
)
from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.ensembles.ensemble import ensembles_of
from flowers17.reporting.finetuning.cells import (
    comparable as comparable_tuning,
)
from flowers17.reporting.finetuning.cells import (
    on_the_reports_split,
    tag_of,
)
from flowers17.reporting.learners.cells import comparable as comparable_training
from flowers17.reporting.learners.cells import number_cell
from flowers17.reporting.records import Score, Training
from flowers17.reporting.reference import (
    BEST_OF_TABLE_8,
    BEST_OF_TABLE_9,
    STACKING_OF_TABLE_5,
    TABLE_2,
    TABLE_3,
    title_of,
)
from flowers17.reporting.tables import EMPTY, Cell, Column, Row, Table
from flowers17.reporting.titles import trained_tag
from flowers17.reporting.verdicts import VERDICT_NOTE, no_comparison_notes, verdict_cell


@dataclass(frozen=True)
class Same:
    """What the study names, as we made it: score, source, and whether the two compare."""

    score: Score
    source: Reference
    comparable: bool
    tag: str = ""


def best_table(inputs: ReportInputs) -> Table:
    """Return Table 10; without rows if fewer than two parts have anything of ours."""
    learners = (inputs.training("baseline", "none"), inputs.training("mk-2", "wide"))
    plain, augmented = (_trained(inputs, one) for one in learners)
    parts = (
        (
            "Networks from scratch, plain data",
            "Baseline",
            TABLE_2["baseline"].validation_accuracy,
            plain,
            best_training(t for t in inputs.trainings if t.augmentation == "none"),
        ),
        (
            "Networks from scratch, augmented",
            "Mk-2, #3 wide mix",
            TABLE_3["mk-2"]["wide"].validation_accuracy,
            augmented,
            best_networks(inputs).over_clean
            or best_training(t for t in inputs.trainings if t.augmentation != "none"),
        ),
        (
            "Ensembles",
            "Mk-2 to Mk-6, stacked",
            STACKING_OF_TABLE_5,
            _studys_ensemble(inputs),
            best_ensembles(inputs).overall,
        ),
        (
            "Classifiers on features",
            "logistic regression on MobileNet",
            BEST_OF_TABLE_8,
            _features_as_the_study(inputs),
            best_classifiers(inputs).overall,
        ),
        (
            "Fine-tuned networks",
            "MobileNet, Adam + batch norm + dropout",
            BEST_OF_TABLE_9,
            _tuned_as_the_study(inputs),
            best_fine_tuned(inputs).overall,
        ),
    )
    rows = tuple(row for part in parts for row in _rows(*part))
    n_filled = sum(bool(same or ours) for *_, same, ours in parts)
    judged = any(same and same.comparable for *_, same, _ in parts)
    return Table(
        "10",
        title_of("table", 10),
        (
            Column("model", "Model", numeric=False),
            Column("study", "Study"),
            Column("ours", "Ours", interval=True),
            Column("verdict", "Against the study", numeric=False),
            Column("where", "Ours measured on", numeric=False),
        ),
        rows if n_filled > 1 else (),
        lead="The study’s best of each part, on its one split, and the same of ours; below it the "
        "best that this run has, over repeated clean splits where there are such.",
        notes=(
            *((VERDICT_NOTE,) if judged else ()),
            "Means over clean splits, where near-duplicates never lie on both sides, are the "
            "honest numbers; a best picked from several on one split flatters itself.",
            *no_comparison_notes(inputs.differences_in_short),
        ),
    )


def _rows(
    group: str, title: str, reference: float, same: Same | None, ours: Best | None
) -> Iterator[Row]:
    """Yield the row of what the study names, and that of the best of ours in the same part."""
    mine, judged, where, tag = EMPTY, EMPTY, EMPTY, ""
    if same:
        score, tag = same.score, same.tag
        text = f"{score.accuracy:.3f}"
        mine = Cell(text, score.accuracy, score.interval, reference, same.source)
        judged = verdict_cell(score, reference, same.comparable)
        where = Cell(split_text(score))
    missing = "" if same or ours else "nothing of this part has a result"
    yield Row((Cell(title), number_cell(reference), mine, judged, where), group, tag, missing)
    if ours:
        best = Cell(f"{ours.accuracy:.3f}", ours.accuracy, ours.interval, artifact=ours.source)
        title = ", ".join(part for part in (ours.title, ours.method) if part)
        head = Cell(f"best of ours: {title}")
        yield Row((head, EMPTY, best, EMPTY, Cell(ours.where)), group, ours.tag)


def _trained(inputs: ReportInputs, one: Training | None) -> Same | None:
    if not one:
        return None
    return Same(one.score, one.artifact.reference, comparable_training(inputs, one), one.tag)


def _studys_ensemble(inputs: ReportInputs) -> Same | None:
    """The study's own scheme: its five networks, stacked on their own training images."""
    for ensemble in ensembles_of(inputs):
        result = ensemble.first if ensemble.is_study else None
        stacking = result.stacking("biased", "random_forest") if result else None
        if result and stacking:
            compares = ensemble.compares(result)
            return Same(stacking.held_out, result.reference, compares, ensemble.tag)
    return None


def _features_as_the_study(inputs: ReportInputs) -> Same | None:
    wanted = FeatureMapSettings(extractor="mobilenet")
    found = inputs.evaluation(CombinationSettings(maps=(wanted,), classifier="logistic_regression"))
    score = found.score("report") if found else None
    if not found or not score:
        return None
    tag = trained_tag(found.random_weights)
    return Same(score, found.artifact.reference, inputs.comparable(wanted), tag)


def _tuned_as_the_study(inputs: ReportInputs) -> Same | None:
    one = on_the_reports_split(inputs, "mobilenet adam + batch norm + dropout", "b")
    if not one:
        return None
    return Same(one.score, one.artifact.reference, comparable_tuning(inputs, one), tag_of([one]))
