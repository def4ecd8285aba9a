"""Stage `adversarial_training`: a training whose batches hold adversarial examples."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from flowers17.config import AdversarySettings, Places, StudySettings
from flowers17.stages import Job, Stage
from tasks import training
from tasks.training import Training


def stage(
    settings: StudySettings,
    places: Places,
    one: Training,
    adversary: AdversarySettings,
    images: Stage,
    split: Stage,
    *,
    refit_of: Sequence[Stage] = (),
) -> Stage:
    """Return the stage of a training against an adversary; it is no model of the study's tables."""
    recipe = one.recipe.model_copy(update={"adversary": adversary})
    found = training.stage(
        settings, places, replace(one, recipe=recipe), images, split, refit_of=refit_of
    )
    label = f"{one.name} against {adversary.name}, {split.label}"
    return replace(found, name="adversarial_training", label=label)


def build(job: Job) -> Mapping[str, Any]:
    """Train, a share of every batch attacked; see `tasks.training`."""
    return training.build(job, _adversary)


def _adversary(*given: Any) -> Any:
    from flowers17.robustness.adversarial_training import Adversary

    return Adversary(*given)
