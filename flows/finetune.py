"""Flow `finetune`: heads on pre-trained networks, then their last blocks as well (Part B.2)."""

from collections.abc import Iterator
from functools import partial

from flowers17.config import RunOptions, StudySettings
from flowers17.stages import Stage
from flows.part import Part, data, with_refits
from tasks import finetuning, split
from tasks.finetuning import FineTuning


def trainings(settings: StudySettings) -> Iterator[tuple[FineTuning, str]]:
    """Yield every network and its split: the study's on the report's, our own on clean ones."""
    table = settings.fine_tuning
    for network in table.networks:
        yield FineTuning(network), "report"
    for network in table.repeated:
        for number in range(1, table.n_seeds + 1):
            yield FineTuning(network, number), "report"
    n_clean = min(table.own_splits, settings.splits.n_repeats)
    for network in table.own:
        for number in range(1, n_clean + 1):
            yield FineTuning(network), f"repeat-{number:02d}"


def parts(settings: StudySettings, options: RunOptions) -> list[Stage]:
    """Stages of Table 9, phase B of each network, which phase A comes before, and refits."""
    images, _, splits = data(settings)
    every_network = dict.fromkeys(trainings(settings))
    return with_refits(
        ((network, split.stage(name, splits)) for network, name in every_network),
        partial(finetuning.stage, settings, options),
        split.of_all_images(images, splits) if settings.fine_tuning.refit else None,
    )


PART = Part("b2", "fine-tuning", parts)
stages = PART.stages
finetune = PART.flow("finetune")
