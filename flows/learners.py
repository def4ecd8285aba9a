"""Flow `learners`: CNNs trained from scratch, plain and augmented (Part A.1)."""

from collections.abc import Iterator

from flowers17.config import AugmentationName, RunOptions, StudySettings
from flowers17.stages import Stage
from flows.part import Part, with_refits
from flows.shared_stages import data
from tasks import augmentations, split, training
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
    trained = with_refits(
        ((learner, split.stage(name, splits)) for learner, name in trainings(settings)),
        lambda learner, on, **refit: training.stage(
            settings, options, learner, pictures, on, **refit
        ),
        split.of_all_images(pictures, splits) if settings.learners.refit else None,
    )
    names: dict[AugmentationName, None] = dict.fromkeys(
        learner.augmentation for learner, _ in trainings(settings) if learner.augmentation != "none"
    )
    shown = [augmentations.stage(settings, list(names), pictures)] if names else []
    return [*trained, *shown]


PART = Part("a1", "learners", parts)
stages = PART.stages
learners = PART.flow("learners")
