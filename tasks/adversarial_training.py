"""Stage `adversarial_training`: a training on adversarial examples, or its control."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from flowers17.config import AdversarySettings, MemberSettings, RunOptions, StudySettings
from flowers17.stages import Job, Stage
from tasks import training


def stage(
    settings: StudySettings,
    options: RunOptions,
    network: MemberSettings,
    adversary: AdversarySettings | None,
    images: Stage,
    split: Stage,
    *,
    refit_of: Sequence[Stage] = (),
) -> Stage:
    """Stage of an adversarial training; its network appears in no table of learners.

    Without an adversary it is the control: the network trained anew, from another seed.
    """
    adversarial = training.stage(
        settings, options, network, images, split, adversary=adversary, refit_of=refit_of
    )
    how = f"against {adversary.name}" if adversary else "anew"
    label = f"{network.name} {how}, {split.label}"
    seed = settings.seed if adversary else settings.seed + 1
    return replace(adversarial, name="adversarial_training", label=label, seed=seed)


def build(job: Job) -> Mapping[str, Any]:
    """Train a network with a share of every batch attacked; see `tasks.training`."""

    def perturbation(*arguments: Any) -> Any:  # imported once the backend knows its device
        from flowers17.robustness.adversarial_training import adversary

        return adversary(*arguments)

    return training.build(job, perturbation)
