"""Table 10: the best of each part of the study, and the best that the project has beside it."""

from collections.abc import Iterator
from dataclasses import dataclass

from flowers17.artifacts import Reference
from flowers17.config import CombinationSettings, FeatureMapSettings
from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.ensembles.cells import comparable as comparable_ensemble
from flowers17.reporting.ensembles.cells import ensemble_title, is_the_studys, mains
from flowers17.reporting.ensembles.cells import method_title as ensemble_method
from flowers17.reporting.ensembles.cells import tag_of as ensemble_tag
from flowers17.reporting.ensembles.paired import best_ensemble
from flowers17.reporting.features.tables import best_over_repeats, evaluation_title
from flowers17.reporting.finetuning.cells import (
    best_of_table_9,
    network_title,
    on_the_reports_split,
    tag_of,
)
from flowers17.reporting.finetuning.cells import (
    comparable as comparable_tuning,
)
from flowers17.reporting.finetuning.own import best_tuned_over_clean
from flowers17.reporting.finetuning.records import FineTuning
from flowers17.reporting.learners.cells import comparable as comparable_training
from flowers17.reporting.learners.cells import number_cell, training_title
from flowers17.reporting.learners.tables import best_over_clean
from flowers17.reporting.metrics import Interval, MeanSpread
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
from flowers17.reporting.verdicts import verdict_of
from flowers17.reporting.wording import capital


@dataclass(frozen=True)
class Same:
    """What the study names, as we made it: score, source, and whether the two compare."""

    score: Score
    source: Reference
    comparable: bool
    tag: str = ""


@dataclass(frozen=True)
class Ours:
    """The best of ours in a part: its name, accuracy, interval, and what that was measured on."""

    title: str
    accuracy: float
    interval: Interval | None
    where: str
    source: Reference
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
            _plain(inputs),
        ),
        (
            "Networks from scratch, augmented",
            "Mk-2, #3 wide mix",
            TABLE_3["mk-2"]["wide"].validation_accuracy,
            augmented,
            _augmented(inputs),
        ),
        (
            "Ensembles",
            "Mk-2 to Mk-6, stacked",
            STACKING_OF_TABLE_5,
            _studys_ensemble(inputs),
            _ensemble(inputs),
        ),
        (
            "Classifiers on features",
            "logistic regression on MobileNet",
            BEST_OF_TABLE_8,
            _features_as_the_study(inputs),
            _features(inputs),
        ),
        (
            "Fine-tuned networks",
            "MobileNet, Adam + batch norm + dropout",
            BEST_OF_TABLE_9,
            _tuned_as_the_study(inputs),
            best_tuned(inputs),
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
            *(_VERDICTS if judged else ()),
            "Means over clean splits, where near-duplicates never lie on both sides, are the "
            "honest numbers; a best picked from several on one split flatters itself.",
            *_difference_notes(inputs),
        ),
    )


_VERDICTS = (
    "“within”: the study’s number lies in our interval; “better”: it lies below our interval; "
    "“below”: it lies above our interval.",
)


def _difference_notes(inputs: ReportInputs) -> tuple[str, ...]:
    if not inputs.differences_in_short:
        return ()
    return (
        f"Not a comparison ({inputs.differences_in_short}): the study’s numbers only show where "
        "they belong.",
    )


def _rows(
    group: str, title: str, reference: float, same: Same | None, ours: Ours | None
) -> Iterator[Row]:
    """Yield the row of what the study names, and that of the best of ours in the same part."""
    mine, judged, where, tag = EMPTY, EMPTY, EMPTY, ""
    if same:
        score, tag = same.score, same.tag
        text = f"{score.accuracy:.3f}"
        mine = Cell(text, score.accuracy, score.interval, reference, same.source)
        verdict = verdict_of(score, reference) if same.comparable else None
        judged = Cell(verdict or "–", verdict or "not comparable", verdict=verdict)
        where = Cell(split_text(score))
    missing = "" if same or ours else "nothing of this part has a result"
    yield Row((Cell(title), number_cell(reference), mine, judged, where), group, tag, missing)
    if ours:
        best = Cell(f"{ours.accuracy:.3f}", ours.accuracy, ours.interval, artifact=ours.source)
        head = Cell(f"best of ours: {ours.title}")
        yield Row((head, EMPTY, best, EMPTY, Cell(ours.where)), group, ours.tag)


def split_text(score: Score) -> str:
    """Return on what a score was measured: `report’s split`, `clean split`."""
    return "report’s split" if score.kind == "report" else f"{score.split} split"


def _of_score(title: str, score: Score, source: Reference, tag: str = "") -> Ours:
    return Ours(title, score.accuracy, score.interval, split_text(score), source, tag)


def _of_mean(title: str, mean: MeanSpread, source: Reference, tag: str = "") -> Ours:
    where = f"mean over {mean.n_splits} clean split{'s' * (mean.n_splits != 1)}"
    return Ours(title, mean.mean, mean.interval, where, source, tag)


def _trained(inputs: ReportInputs, one: Training | None) -> Same | None:
    if not one:
        return None
    return Same(one.score, one.artifact.reference, comparable_training(inputs, one), one.tag)


def _plain(inputs: ReportInputs) -> Ours | None:
    made = [one for one in inputs.trainings if one.augmentation == "none"]
    return _best_training(made)


def _augmented(inputs: ReportInputs) -> Ours | None:
    clean = best_over_clean(inputs)
    if clean:
        first, mean = clean
        return _of_mean(training_title(first), mean, first.artifact.reference, first.tag)
    return _best_training([one for one in inputs.trainings if one.augmentation != "none"])


def _best_training(made: list[Training]) -> Ours | None:
    made = [one for one in made if one.score.kind == "report"]
    best = max(made, key=lambda one: one.score.accuracy, default=None)
    if not best:
        return None
    return _of_score(training_title(best), best.score, best.artifact.reference, best.tag)


def _studys_ensemble(inputs: ReportInputs) -> Same | None:
    """Return the study's own way: its five networks, stacked on their own training images."""
    for one in mains(inputs):
        if not is_the_studys(inputs, one.name) or not one.stacked:
            continue
        for way in one.stackings:
            if (way.way, way.meta_learner) == ("biased", "random_forest"):
                compares = comparable_ensemble(inputs, one.name)
                compares = compares and one.kind in ("report", "clean")
                tag = ensemble_tag(inputs, one.name)
                return Same(one.score(way.honest), one.stacked.reference, compares, tag)
    return None


def _ensemble(inputs: ReportInputs) -> Ours | None:
    best = best_ensemble(inputs)
    if not best or not best.first.stacked:
        return None
    one, source = best.first, best.first.stacked.reference
    title = capital(ensemble_title(inputs, one.name))
    tag = ensemble_tag(inputs, one.name)
    if best.over:
        return _of_mean(title, best.over, source, tag)
    title += f", {ensemble_method(one.chosen[0])}"
    return _of_score(title, one.score(one.chosen_correct), source, tag)


def _features_as_the_study(inputs: ReportInputs) -> Same | None:
    wanted = FeatureMapSettings(extractor="mobilenet")
    found = inputs.evaluation(CombinationSettings(maps=(wanted,), classifier="logistic_regression"))
    score = found.score("report") if found else None
    if not found or not score:
        return None
    tag = trained_tag(found.random_weights)
    return Same(score, found.artifact.reference, inputs.comparable(wanted), tag)


def _features(inputs: ReportInputs) -> Ours | None:
    over = best_over_repeats(inputs.evaluations)
    if over and over.repeated:
        title, tag = evaluation_title(inputs, over), trained_tag(over.random_weights)
        return _of_mean(title, over.repeated, over.artifact.reference, tag)
    best = inputs.best
    score = best.score("report") if best else None
    if not best or not score:
        return None
    tag = trained_tag(best.random_weights)
    return _of_score(evaluation_title(inputs, best), score, best.artifact.reference, tag)


def _tuned_as_the_study(inputs: ReportInputs) -> Same | None:
    one = on_the_reports_split(inputs, "mobilenet adam + batch norm + dropout", "b")
    if not one:
        return None
    return Same(one.score, one.artifact.reference, comparable_tuning(inputs, one), tag_of([one]))


def best_tuned(inputs: ReportInputs) -> Ours | None:
    """Return the best fine-tuned network: over clean splits if there are such, else of Table 9."""
    clean = best_tuned_over_clean(inputs)
    if clean:
        first, mean = clean
        return _of_mean(titled(inputs, first), mean, first.artifact.reference, tag_of([first]))
    best = best_of_table_9(inputs)
    if not best:
        return None
    return _of_score(titled(inputs, best), best.score, best.artifact.reference, tag_of([best]))


def titled(inputs: ReportInputs, one: FineTuning) -> str:
    """Return how people call one phase of a network: `MobileNet, SGD, phase A`."""
    return f"{network_title(inputs, one)}, phase {one.phase.upper()}"
