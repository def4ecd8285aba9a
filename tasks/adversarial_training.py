"""Stage `adversarial_training`: a training whose batches hold adversarial examples."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from flowers17.config import AdversarySettings, RunOptions, StudySettings
from flowers17.stages import Job, Stage
from tasks import training
from tasks.training import Training


def stage(
    settings: StudySettings,
    options: RunOptions,
    standard: Training,
    adversary: AdversarySettings,
    images: Stage,
    split: Stage,
    *,
    refit_of: Sequence[Stage] = (),
) -> Stage:
    """Stage of an adversarial training; its network appears in no table of learners.

    standard: the same training without an adversary.
    """
    recipe = standard.recipe.model_copy(update={"adversary": adversary})
    attacked = replace(standard, recipe=recipe)
    adversarial = training.stage(settings, options, attacked, images, split, refit_of=refit_of)
    label = f"{standard.name} against {adversary.name}, {split.label}"
    return replace(adversarial, name="adversarial_training", label=label)


def build(job: Job) -> Mapping[str, Any]:
    """Train a network with a share of every batch attacked; see `tasks.training`."""
    return training.build(job, _adversary)


def _adversary(*arguments: Any) -> Any:
    from flowers17.robustness.adversarial_training import adversary

    return adversary(*arguments)
