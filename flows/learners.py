"""Flow `learners`: CNNs trained from scratch, plain and augmented (Part A.1)."""

import itertools
from collections.abc import Iterator

from flowers17.config import AugmentationName, RunOptions, StudySettings
from flowers17.request import StudyRequest
from flowers17.stages import Stage
from flows.part import Part
from flows.shared_stages import data
from flows.study_flow import study_flow
from tasks import augmentations, split, training
from tasks.engine import Results
from tasks.training import Training


def trainings(settings: StudySettings) -> Iterator[tuple[Training, str]]:
    """Yield every training and its split: the study's on the report's, our own on clean ones."""
    learner_settings = settings.learners
    for learner in learner_settings.plain:
        yield training.study_training(settings, learner, "none"), "report"
    for learner in learner_settings.augmented:
        for augmentation in learner_settings.augmentations:
            yield training.study_training(settings, learner, augmentation), "report"
    n_clean = min(learner_settings.best_splits, settings.splits.n_repeats)
    clean = [f"repeat-{number:02d}" for number in range(1, n_clean + 1)]
    for learner in learner_settings.best:
        for name in clean:
            yield training.best_training(settings, learner), name


def parts(settings: StudySettings, options: RunOptions) -> list[Stage]:
    """Return the stages of Tables 1 to 3 and of our own recipe."""
    pictures, _, splits = data(settings)
    trained: dict[Training, list[Stage]] = {}
    for learner, name in trainings(settings):
        measured = training.stage(settings, options, learner, pictures, split.stage(name, splits))
        trained.setdefault(learner, []).append(measured)
    every_image = split.of_all_images(pictures, splits)
    refits = [
        training.stage(settings, options, learner, pictures, every_image, refit_of=measured)
        for learner, measured in (trained.items() if settings.learners.refit else ())
    ]
    names: dict[AugmentationName, None] = dict.fromkeys(
        learner.augmentation for learner, _ in trainings(settings) if learner.augmentation != "none"
    )
    shown = [augmentations.stage(settings, list(names), pictures)] if names else []
    return [*itertools.chain(*trained.values()), *refits, *shown]


PART = Part("a1", "learners", parts)
stages = PART.stages


@study_flow
def learners(request: StudyRequest = StudyRequest()) -> Results:
    """Train the study's CNNs, and our own, each from its last checkpoint."""
    return PART.run(request)
