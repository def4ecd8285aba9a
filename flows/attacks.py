"""Flow `attacks`: the study's models under attack, white box and black box (Part C)."""

from collections.abc import Iterator

from prefect import flow

from flowers17.config import Places, StudySettings
from flowers17.request import StudyRequest
from flowers17.stages import Stage
from flows import defending, ensemble
from tasks import attack, features, finetuning, images, report, transfer
from tasks.attack import SWEPT, WHITE_BOX, Target
from tasks.engine import Results, run_stages, sharing
from tasks.finetuning import FineTuning


def targets(settings: StudySettings, places: Places) -> Iterator[Target]:
    """Yield the models to be attacked: refits on the split, fine-tuned networks, its ensembles."""
    ours = settings.attacks
    whole, _ = ensemble.divided(settings, ours.split)
    pictures = images.stage(settings, settings.dataset.image_size)
    for one in ours.models:
        refit = ensemble.member(settings, places, one, ours.split).refit
        yield Target(one.name, refit, pictures, is_network=one.classifier is None)
    for tuned in ours.fine_tuned:
        made = finetuning.stage(settings, places, FineTuning(tuned), whole)
        yield Target(tuned.name, made, features.pictures(settings, tuned.maps), is_network=True)
    if ours.split in settings.ensemble.splits:
        for defined in settings.ensemble.ensembles:
            combined = ensemble.stacked(settings, places, defined, ours.split)
            for method in ours.methods:
                name = f"{defined.name} by {method}"
                yield Target(name, combined, pictures, is_network=False, method=method)


def parts(settings: StudySettings, places: Places) -> list[Stage]:
    """Return the stages of Part C: attacks on models, transfer, defences and poisoning."""
    whole, _ = ensemble.divided(settings, settings.attacks.split)
    attacked = list(targets(settings, places))

    def attacks_on(one: Target) -> dict[str, Stage]:
        return {
            name: attack.stage(settings, places, name, one, whole)
            for name in dict.fromkeys(settings.attacks.attacks)
            if one.is_network or name == "one_pixel"
        }

    by_target = [attacks_on(one) for one in attacked]
    every = [stage for found in by_target for stage in found.values()]
    shown = [
        stage
        for found in by_target
        for name, stage in found.items()
        if name in SWEPT and name in WHITE_BOX
    ]
    if shown and len(attacked) > 1:
        every.append(transfer.stage(settings, places, shown, attacked, whole))
    return [*every, *defending.parts(settings, places)]


def stages(settings: StudySettings, places: Places) -> list[Stage]:
    """Return what the flow runs by itself: its parts, and their tables and figures."""
    return [report.stage(settings, parts(settings, places), label="report on attacks")]


@flow(name="attacks")
def attacks(request: StudyRequest = StudyRequest()) -> Results:
    """Attack the models, show what fools one to the others, and check the attacks themselves."""
    chosen = parts if sharing() else stages
    return run_stages(chosen(request.settings, request.places), request.places)
