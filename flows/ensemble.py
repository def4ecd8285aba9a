"""Flow `ensemble`: base models on folds, their probabilities averaged and stacked (Part A.2)."""

from collections.abc import Callable
from functools import partial

from flowers17.config import EnsembleDefinition, MemberSettings, RunOptions, StudySettings
from flowers17.stages import Stage
from flows.part import Part, data
from tasks import classifier, finetuning, rows, stacking, training
from tasks import features as feature_maps
from tasks import split as split_stage
from tasks.finetuning import FineTuning
from tasks.stacking import Member


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
    predictions = stacking.out_of_fold_stage(ensemble.name, members, folds, split)
    return stacking.stage(settings, ensemble.name, predictions, split)


def divided(settings: StudySettings, name: str) -> tuple[Stage, Stage]:
    """Return the stages of the split of a name and of its folds."""
    _, duplicates, splits = data(settings)
    split = split_stage.stage(name, splits)
    return split, stacking.folds_stage(settings, split, duplicates)


def member(
    settings: StudySettings, options: RunOptions, definition: MemberSettings, name: str
) -> Member:
    """Return the stages of a base model on the split of a name: one a fold, and the refit."""
    split, folds = divided(settings, name)
    fit, chooses = _fit(settings, options, definition)
    models = [
        fit(stacking.fold_stage(folds, split, number, choosing=chooses))
        for number in range(1, settings.ensemble.n_folds + 1)
    ]
    return Member(definition.name, models, fit(split, refit_of=models) if chooses else fit(split))


def _fit(
    settings: StudySettings, options: RunOptions, definition: MemberSettings
) -> tuple[Callable[..., Stage], bool]:
    """Stage of a base model for a split or fold, and whether held-out images choose its epoch."""
    if network := definition.fine_tuned:
        tuning = partial(finetuning.stage, settings, options, FineTuning(network))
        return tuning, finetuning.selects_epoch(settings, network)
    if definition.learner is not None:
        trained = partial(training.stage, settings, options, definition, data(settings).images)
        _, recipe = training.augmentation_and_recipe(settings, definition)
        return trained, recipe.selection == "val_loss"
    maps = [feature_maps.stage(settings, options, each) for each in definition.maps]
    parts = settings, definition.combination, maps, rows.stage(maps)
    return partial(classifier.fitted_stage, *parts), False


PART = Part("a2", "ensemble", parts)
stages = PART.stages
ensemble = PART.flow("ensemble")
