"""Flow `ensemble`: base models on folds, their probabilities averaged and stacked (Part A.2)."""

from prefect import flow

from flowers17.config import EnsembleDefinition, MemberSettings, Places, StudySettings
from flowers17.request import StudyRequest
from flowers17.stages import Stage
from tasks import (
    duplicates,
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
from tasks.engine import Results, run_stages, sharing
from tasks.out_of_fold import Member


def parts(settings: StudySettings, places: Places) -> list[Stage]:
    """Return the stages of Tables 4 to 6: every ensemble on every split asked for."""
    pictures = images.stage(settings, settings.dataset.image_size)
    pairs = duplicates.stage(settings, pictures)
    divided = splits.stage(settings, pictures, pairs)

    def stacked(ensemble: EnsembleDefinition, name: str) -> Stage:
        whole = split.stage(name, divided)
        parted = folds.stage(settings, whole, pairs)
        members = [member(one, whole, parted) for one in ensemble.members]
        found = out_of_fold.stage(ensemble.name, members, parted, whole)
        return stacking.stage(settings, found)

    def member(one: MemberSettings, whole: Stage, parted: Stage) -> Member:
        return network(one, whole, parted) if one.learner else classifier(one, whole, parted)

    def network(one: MemberSettings, whole: Stage, parted: Stage) -> Member:
        what = training.of_member(settings, one)
        chooses = what.recipe.selection == "val_loss"
        fitted_on = [
            training.stage(settings, places, what, pictures, part)
            for part in every_fold(parted, whole, choosing=chooses)
        ]
        refit_of = fitted_on if chooses else ()
        refit = training.stage(settings, places, what, pictures, whole, refit_of=refit_of)
        return Member(one.name, fitted_on, refit)

    def classifier(one: MemberSettings, whole: Stage, parted: Stage) -> Member:
        maps = [feature_maps.stage(settings, places, each) for each in one.maps]
        *fitted_on, refit = (
            fitted.stage(settings, one.combination, maps, rows.stage(maps), part)
            for part in (*every_fold(parted, whole, choosing=False), whole)
        )
        return Member(one.name, fitted_on, refit)

    def every_fold(parted: Stage, whole: Stage, *, choosing: bool) -> list[Stage]:
        return [
            folds.fold_stage(parted, whole, number, choosing=choosing)
            for number in range(1, settings.ensemble.n_folds + 1)
        ]

    ours = settings.ensemble
    return [stacked(one, name) for name in ours.splits for one in ours.ensembles]


def stages(settings: StudySettings, places: Places) -> list[Stage]:
    """Return what the flow runs by itself: its parts, and their tables and figures."""
    return [report.stage(settings, parts(settings, places), label="report on ensemble")]


@flow(name="ensemble")
def ensemble(request: StudyRequest = StudyRequest()) -> Results:
    """Predict images with models that did not see them, then average and stack."""
    chosen = parts if sharing() else stages
    return run_stages(chosen(request.settings, request.places), request.places)
