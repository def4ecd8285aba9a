"""Flow `ensemble`: base models on folds, their probabilities averaged and stacked (Part A.2)."""

from prefect import flow

from flowers17.config import (
    EnsembleDefinition,
    FineTunedSettings,
    MemberSettings,
    Places,
    StudySettings,
)
from flowers17.request import StudyRequest
from flowers17.stages import Stage
from flows.part import run_part
from tasks import (
    duplicates,
    finetuning,
    fitted,
    folds,
    images,
    out_of_fold,
    report,
    rows,
    split,
    splits,
    stacking,
    training,
)
from tasks import features as feature_maps
from tasks.engine import Results
from tasks.finetuning import FineTuning
from tasks.out_of_fold import Member


def parts(settings: StudySettings, places: Places) -> list[Stage]:
    """Return the stages of Tables 4 to 6: every ensemble on every split asked for."""
    ours = settings.ensemble
    return [stacked(settings, places, one, name) for name in ours.splits for one in ours.ensembles]


def stacked(
    settings: StudySettings, places: Places, ensemble: EnsembleDefinition, name: str
) -> Stage:
    """Return the stage that combines an ensemble's members on the split of a name."""
    whole, parted = divided(settings, name)
    members = [member(settings, places, one, name) for one in ensemble.members]
    found = out_of_fold.stage(ensemble.name, members, parted, whole)
    return stacking.stage(settings, found)


def divided(settings: StudySettings, name: str) -> tuple[Stage, Stage]:
    """Return the stages of the split of a name and of its folds."""
    pictures = images.stage(settings, settings.dataset.image_size)
    pairs = duplicates.stage(settings, pictures)
    whole = split.stage(name, splits.stage(settings, pictures, pairs))
    return whole, folds.stage(settings, whole, pairs)


def member(settings: StudySettings, places: Places, one: MemberSettings, name: str) -> Member:
    """Return the stages of a base model on the split of a name: one a fold, and the refit."""
    whole, parted = divided(settings, name)

    def network() -> Member:
        pictures = images.stage(settings, settings.dataset.image_size)
        what = training.member_training(settings, one)
        chooses = what.recipe.selection == "val_loss"
        fitted_on = [
            training.stage(settings, places, what, pictures, part)
            for part in every_fold(choosing=chooses)
        ]
        refit_of = fitted_on if chooses else ()
        refit = training.stage(settings, places, what, pictures, whole, refit_of=refit_of)
        return Member(one.name, fitted_on, refit)

    def classifier() -> Member:
        maps = [feature_maps.stage(settings, places, each) for each in one.maps]
        *fitted_on, refit = (
            fitted.stage(settings, one.combination, maps, rows.stage(maps), part)
            for part in (*every_fold(choosing=False), whole)
        )
        return Member(one.name, fitted_on, refit)

    def fine_tuned(network: FineTunedSettings) -> Member:
        what, chooses = FineTuning(network), finetuning.selects_epoch(settings, network)
        fitted_on = [
            finetuning.stage(settings, places, what, part) for part in every_fold(choosing=chooses)
        ]
        refit_of = fitted_on if chooses else ()
        refit = finetuning.stage(settings, places, what, whole, refit_of=refit_of)
        return Member(one.name, fitted_on, refit)

    def every_fold(*, choosing: bool) -> list[Stage]:
        return [
            folds.fold_stage(parted, whole, number, choosing=choosing)
            for number in range(1, settings.ensemble.n_folds + 1)
        ]

    if one.fine_tuned:
        return fine_tuned(one.fine_tuned)
    return network() if one.learner else classifier()


def stages(settings: StudySettings, places: Places) -> list[Stage]:
    """Return what the flow runs by itself: its parts, and their tables and figures."""
    return [report.stage(settings, parts(settings, places), label="report on ensemble")]


@flow(name="ensemble")
def ensemble(request: StudyRequest = StudyRequest()) -> Results:
    """Predict images with models that did not see them, then average and stack."""
    return run_part(request, parts, stages)
