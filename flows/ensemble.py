"""Flow `ensemble`: base models on folds, their probabilities averaged and stacked (Part A.2)."""

from flowers17.config import (
    EnsembleDefinition,
    FineTunedSettings,
    MemberSettings,
    RunOptions,
    StudySettings,
)
from flowers17.request import StudyRequest
from flowers17.stages import Stage
from flows.part import Part
from flows.shared_stages import data
from flows.study_flow import study_flow
from tasks import features as feature_maps
from tasks import finetuning, fitted, out_of_fold, rows, stacking, training
from tasks import folds as fold_stages
from tasks import split as split_stage
from tasks.engine import Results
from tasks.finetuning import FineTuning
from tasks.out_of_fold import Member


def parts(settings: StudySettings, options: RunOptions) -> list[Stage]:
    """Return the stages of Tables 4 to 6: every ensemble on every split asked for."""
    return [
        stacked(settings, options, ensemble, name)
        for name in settings.ensemble.splits
        for ensemble in settings.ensemble.ensembles
    ]


def stacked(
    settings: StudySettings, options: RunOptions, ensemble: EnsembleDefinition, name: str
) -> Stage:
    """Return the stage that combines an ensemble's members on the split of a name."""
    split, folds = divided(settings, name)
    members = [member(settings, options, each, name) for each in ensemble.members]
    predictions = out_of_fold.stage(ensemble.name, members, folds, split)
    return stacking.stage(settings, ensemble.name, predictions, split)


def divided(settings: StudySettings, name: str) -> tuple[Stage, Stage]:
    """Return the stages of the split of a name and of its folds."""
    _, duplicates, splits = data(settings)
    split = split_stage.stage(name, splits)
    return split, fold_stages.stage(settings, split, duplicates)


def member(
    settings: StudySettings, options: RunOptions, definition: MemberSettings, name: str
) -> Member:
    """Return the stages of a base model on the split of a name: one a fold, and the refit."""
    split, folds = divided(settings, name)

    def network() -> Member:
        pictures = data(settings).images
        learner = training.member_training(settings, definition)
        chooses = learner.recipe.selection == "val_loss"
        models = [
            training.stage(settings, options, learner, pictures, fold)
            for fold in every_fold(choosing=chooses)
        ]
        refit_of = models if chooses else ()
        refit = training.stage(settings, options, learner, pictures, split, refit_of=refit_of)
        return Member(definition.name, models, refit)

    def classifier() -> Member:
        maps = [feature_maps.stage(settings, options, each) for each in definition.maps]
        *models, refit = (
            fitted.stage(settings, definition.combination, maps, rows.stage(maps), fold)
            for fold in (*every_fold(choosing=False), split)
        )
        return Member(definition.name, models, refit)

    def fine_tuned(network: FineTunedSettings) -> Member:
        tuning, chooses = FineTuning(network), finetuning.selects_epoch(settings, network)
        models = [
            finetuning.stage(settings, options, tuning, fold)
            for fold in every_fold(choosing=chooses)
        ]
        refit_of = models if chooses else ()
        refit = finetuning.stage(settings, options, tuning, split, refit_of=refit_of)
        return Member(definition.name, models, refit)

    def every_fold(*, choosing: bool) -> list[Stage]:
        return [
            fold_stages.fold_stage(folds, split, number, choosing=choosing)
            for number in range(1, settings.ensemble.n_folds + 1)
        ]

    if definition.fine_tuned:
        return fine_tuned(definition.fine_tuned)
    return network() if definition.learner else classifier()


PART = Part("a2", "ensemble", parts)
stages = PART.stages


@study_flow
def ensemble(request: StudyRequest = StudyRequest()) -> Results:
    """Predict images with models that did not see them, then average and stack."""
    return PART.run(request)
