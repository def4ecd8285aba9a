"""Flow `attacks`: models under attack, their defences, and poisoned training images (Part C)."""

from collections.abc import Iterator, Sequence
from functools import partial

from flowers17.config import MemberSettings, RunOptions, StudySettings
from flowers17.stages import Stage
from flows import ensemble
from flows.part import Part, data
from tasks import adversarial_training, attack, defences, features, poisoning, training
from tasks.attack import BLACK_BOX, SWEPT, WHITE_BOX, VictimStages
from tasks.poisoning import Poisoning


def victims(settings: StudySettings, options: RunOptions) -> Iterator[VictimStages]:
    """Yield the models to be attacked: refits on the split, then its ensembles."""
    part_settings = settings.attacks
    pictures, _ = _data(settings)
    for model in part_settings.models:
        refit = ensemble.member(settings, options, model, part_settings.split).refit
        tuned = model.fine_tuned
        images = features.image_stage(settings, tuned.maps) if tuned else pictures
        yield VictimStages(model.name, refit, images, is_network=model.classifier is None)
    if part_settings.split in settings.ensemble.splits:
        for definition in settings.ensemble.ensembles:
            combination = ensemble.stacked(settings, options, definition, part_settings.split)
            for method in part_settings.methods:
                name = f"{definition.name} by {method}"
                yield VictimStages(name, combination, pictures, is_network=False, method=method)


def attacked(settings: StudySettings, options: RunOptions) -> list[Stage]:
    """Return the stage of each attack on each model, and of what fools one shown to the others."""
    _, split = _data(settings)
    every_victim = list(victims(settings, options))
    by_victim = [
        {
            name: attack.stage(settings, options, name, victim, split)
            for name in dict.fromkeys(settings.attacks.attacks)
            if victim.is_network or name in BLACK_BOX
        }
        for victim in every_victim
    ]
    stages = [stage for by_name in by_victim for stage in by_name.values()]
    names = set(SWEPT) & set(WHITE_BOX)
    shown = [by_name[name] for by_name in by_victim for name in by_name if name in names]
    if shown and len(every_victim) > 1:
        stages.append(attack.transfer_stage(settings, options, shown, every_victim, split))
    return stages


def defended(settings: StudySettings, options: RunOptions) -> list[Stage]:
    """Return the stage of each network's defences."""
    pictures, split = _data(settings)
    stages = []
    for member in settings.defences.networks:
        refit, folds = _trainings(settings, options, member)
        harden = partial(adversarial_training.stage, settings, options, member)
        hardened = [
            harden(adversary, pictures, split, refit_of=folds)
            for _, adversary in defences.trained_against(settings.defences)
        ]
        stages.append(
            defences.stage(settings, options, member.name, refit, hardened, pictures, split)
        )
    return stages


def poisonings(settings: StudySettings, options: RunOptions) -> list[Stage]:
    """Return the stage of all poisonings, if there is a network to be poisoned."""
    part_settings, (pictures, split) = settings.poisoning, _data(settings)
    networks = {member: _trainings(settings, options, member) for member in part_settings.networks}
    poisons = [
        (kind, share) for kind in part_settings.kinds for share in part_settings.shares if share
    ]
    if 0 in part_settings.shares and part_settings.kinds:  # the control
        poisons.insert(0, (part_settings.kinds[-1], 0.0))
    every = []
    for kind, share in poisons:
        data = poisoning.poisoned_stage(settings, kind, share, pictures, split)
        trained = {
            member.name: poisoning.poisoned_training_stage(
                settings, options, member, data, refit_of=folds
            )
            for member, (_, folds) in networks.items()
        }
        every.append(Poisoning(data, trained))
    clean = {member.name: refit for member, (refit, _) in networks.items()}
    return [poisoning.stage(settings, every, clean, split)] if every and networks else []


def parts(settings: StudySettings, options: RunOptions) -> list[Stage]:
    """Return the stages of Part C."""
    return [
        *attacked(settings, options),
        *defended(settings, options),
        *poisonings(settings, options),
    ]


PART = Part("c", "attacks", parts)
stages = PART.stages
attacks = PART.flow("attacks")


def _data(settings: StudySettings) -> tuple[Stage, Stage]:
    """Return the stages of the images, and of the split that is attacked."""
    split, _ = ensemble.divided(settings, settings.attacks.split)
    return data(settings).images, split


def _trainings(
    settings: StudySettings, options: RunOptions, definition: MemberSettings
) -> tuple[Stage, Sequence[Stage]]:
    """Return the stages of a network's refit, and of the folds that set its epochs."""
    member = ensemble.member(settings, options, definition, settings.attacks.split)
    _, recipe = training.augmentation_and_recipe(settings, definition)
    return member.refit, member.folds if recipe.selection == "val_loss" else ()
