"""The second half of flow `attacks`: defences of networks, and poisoned training images."""

from dataclasses import dataclass

from flowers17.config import MemberSettings, Places, StudySettings
from flowers17.stages import Stage
from flows import ensemble
from tasks import adversarial_training, defences, images, poisoned, poisoning, training
from tasks.poisoning import Poisoning
from tasks.training import Training


@dataclass(frozen=True)
class Network:
    """A network from scratch: how it is trained, on a split, for as long as its folds found."""

    training: Training
    refit: Stage
    refit_of: tuple[Stage, ...]


def parts(settings: StudySettings, places: Places) -> list[Stage]:
    """Return the stages of defences and of poisoning, on the split that is attacked."""
    return [*defended(settings, places), *poisonings(settings, places)]


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


def _data(settings: StudySettings) -> tuple[Stage, Stage]:
    pictures = images.stage(settings, settings.dataset.image_size)
    whole, _ = ensemble.divided(settings, settings.attacks.split)
    return pictures, whole


def _network(settings: StudySettings, places: Places, one: MemberSettings) -> Network:
    member = ensemble.member(settings, places, one, settings.attacks.split)
    what = training.of_member(settings, one)
    refit_of = tuple(member.folds) if what.recipe.selection == "val_loss" else ()
    return Network(what, member.refit, refit_of)
