"""Flow `finetune`: heads on pre-trained networks, then their last blocks as well (Part B.2)."""

import itertools
from collections.abc import Iterator

from flowers17.config import FineTunedSettings, RunOptions, StudySettings
from flowers17.request import StudyRequest
from flowers17.stages import Stage
from flows.part import Part
from flows.shared_stages import data
from flows.study_flow import study_flow
from tasks import finetuning, split
from tasks.engine import Results
from tasks.finetuning import FineTuning


def trainings(settings: StudySettings) -> Iterator[tuple[FineTuning, str]]:
    """Yield every network and its split: the study's on the report's, our own on clean ones."""
    table = settings.fine_tuning
    for maps in table.table:
        for head in table.heads:
            yield FineTuning(FineTunedSettings(maps=maps, head=head)), "report"
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
    tuned: dict[FineTuning, list[Stage]] = {}
    for network, name in dict.fromkeys(trainings(settings)):
        measured = finetuning.stage(settings, options, network, split.stage(name, splits))
        tuned.setdefault(network, []).append(measured)
    every_image = split.of_all_images(images, splits)
    refits = [
        finetuning.stage(settings, options, network, every_image, refit_of=measured)
        for network, measured in (tuned.items() if settings.fine_tuning.refit else ())
    ]
    return [*itertools.chain(*tuned.values()), *refits]


PART = Part("b2", "fine-tuning", parts)
stages = PART.stages


@study_flow
def finetune(request: StudyRequest = StudyRequest()) -> Results:
    """Train heads on pre-trained networks, then unfreeze the networks' last blocks."""
    return PART.run(request)
