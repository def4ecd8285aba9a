"""Flow `attacks`: models under attack, their defences, and poisoned training images (Part C)."""

from collections.abc import Iterator
from dataclasses import dataclass

from prefect import flow

from flowers17.config import MemberSettings, Places, StudySettings
from flowers17.request import StudyRequest
from flowers17.stages import Stage
from flows import ensemble
from flows.part import run_part
from tasks import (
    adversarial_training,
    attack,
    defences,
    features,
    images,
    poisoned,
    poisoning,
    report,
    training,
    transfer,
)
from tasks.attack import SWEPT, WHITE_BOX, Target
from tasks.engine import Results
from tasks.poisoning import Poisoning
from tasks.training import Training


@dataclass(frozen=True)
class Network:
    """A network from scratch: how it is trained, on a split, for as long as its folds found."""

    training: Training
    refit: Stage
    refit_of: tuple[Stage, ...]


def targets(settings: StudySettings, places: Places) -> Iterator[Target]:
    """Yield the models to be attacked: refits on the split, then its ensembles."""
    ours = settings.attacks
    pictures, _ = _data(settings)
    for one in ours.models:
        refit = ensemble.member(settings, places, one, ours.split).refit
        tuned = one.fine_tuned
        seen = features.image_stage(settings, tuned.maps) if tuned else pictures
        yield Target(one.name, refit, seen, is_network=one.classifier is None)
    if ours.split in settings.ensemble.splits:
        for defined in settings.ensemble.ensembles:
            combined = ensemble.stacked(settings, places, defined, ours.split)
            for method in ours.methods:
                name = f"{defined.name} by {method}"
                yield Target(name, combined, pictures, is_network=False, method=method)


def attacked(settings: StudySettings, places: Places) -> list[Stage]:
    """Return the stage of each attack on each model, and of what fools one shown to the others."""
    _, whole = _data(settings)
    every_target = list(targets(settings, places))

    def attacks_on(one: Target) -> dict[str, Stage]:
        return {
            name: attack.stage(settings, places, name, one, whole)
            for name in dict.fromkeys(settings.attacks.attacks)
            if one.is_network or name == "one_pixel"
        }

    by_target = [attacks_on(one) for one in every_target]
    every = [stage for found in by_target for stage in found.values()]
    shown = [
        stage
        for found in by_target
        for name, stage in found.items()
        if name in SWEPT and name in WHITE_BOX
    ]
    if shown and len(every_target) > 1:
        every.append(transfer.stage(settings, places, shown, every_target, whole))
    return every


def defended(settings: StudySettings, places: Places) -> list[Stage]:
    """Return the stage of each network's defences."""
    pictures, whole = _data(settings)

    def stage(one: MemberSettings) -> Stage:
        found = _network(settings, places, one)
        hardened = [
            adversarial_training.stage(
                settings,
                places,
                found.training,
                adversary,
                pictures,
                whole,
                refit_of=found.refit_of,
            )
            for adversary in settings.defences.adversaries
        ]
        return defences.stage(settings, places, one.name, found.refit, hardened, pictures, whole)

    return [stage(one) for one in settings.defences.networks]


def poisonings(settings: StudySettings, places: Places) -> list[Stage]:
    """Return the stage of all poisonings, if there is a network to be poisoned."""
    ours, (pictures, whole) = settings.poisoning, _data(settings)
    networks = {one.name: _network(settings, places, one) for one in ours.networks}
    control = [(ours.kinds[-1], 0.0)] if 0 in ours.shares and ours.kinds else []
    poisons = [(kind, share) for kind in ours.kinds for share in ours.shares if share]

    def on(data: Stage) -> Poisoning:
        return Poisoning(
            data,
            {
                name: poisoned.trained_on(
                    settings, places, one.training, data, refit_of=one.refit_of
                )
                for name, one in networks.items()
            },
        )

    every = [
        on(poisoned.stage(settings, kind, share, pictures, whole))
        for kind, share in (*control, *poisons)
    ]
    clean = {name: one.refit for name, one in networks.items()}
    return [poisoning.stage(settings, every, clean, whole)] if every and networks else []


def parts(settings: StudySettings, places: Places) -> list[Stage]:
    """Return the stages of Part C."""
    return [
        *attacked(settings, places),
        *defended(settings, places),
        *poisonings(settings, places),
    ]


def stages(settings: StudySettings, places: Places) -> list[Stage]:
    """Return what the flow runs by itself: its parts, and their tables and figures."""
    return [report.stage(settings, parts(settings, places), label="report on attacks")]


@flow(name="attacks")
def attacks(request: StudyRequest = StudyRequest()) -> Results:
    """Attack the models, show what fools one to the others, and check the attacks themselves."""
    return run_part(request, parts, stages)


def _data(settings: StudySettings) -> tuple[Stage, Stage]:
    """Return the stages of the images, and of the split that is attacked."""
    pictures = images.stage(settings, settings.dataset.image_size)
    whole, _ = ensemble.divided(settings, settings.attacks.split)
    return pictures, whole


def _network(settings: StudySettings, places: Places, one: MemberSettings) -> Network:
    member = ensemble.member(settings, places, one, settings.attacks.split)
    what = training.member_training(settings, one)
    refit_of = tuple(member.folds) if what.recipe.selection == "val_loss" else ()
    return Network(what, member.refit, refit_of)
