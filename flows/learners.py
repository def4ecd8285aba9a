"""Flow `learners`: CNNs trained from scratch, plain and augmented (Part A.1)."""

from collections.abc import Iterator

from flowers17.config import MemberSettings, RunOptions, StudySettings
from flowers17.stages import Stage
from flows.part import Part, data, with_refits
from tasks import augmentations, split, training


def trainings(settings: StudySettings) -> Iterator[tuple[MemberSettings, str]]:
    """Yield networks and splits: the study's on the report's split, our own on clean ones."""
    learner_settings = settings.learners
    for learner in learner_settings.plain:
        yield MemberSettings(learner=learner, augmentation="none"), "report"
    for learner in learner_settings.augmented:
        for augmentation in learner_settings.augmentations:
            yield MemberSettings(learner=learner, augmentation=augmentation), "report"
    n_clean = min(learner_settings.best_splits, settings.splits.n_repeats)
    clean = [f"repeat-{number:02d}" for number in range(1, n_clean + 1)]
    for learner in learner_settings.best:
        for name in clean:
            yield MemberSettings(learner=learner, recipe="best"), name


def parts(settings: StudySettings, options: RunOptions) -> list[Stage]:
    """Return the stages of Tables 1 to 3 and of our own recipe."""
    pictures, _, splits = data(settings)
    networks = list(trainings(settings))
    trained = with_refits(
        ((network, split.stage(name, splits)) for network, name in networks),
        lambda network, on, **refit: training.stage(
            settings, options, network, pictures, on, **refit
        ),
        split.of_all_images(pictures, splits) if settings.learners.refit else None,
    )
    used = dict.fromkeys(
        training.augmentation_and_recipe(settings, network)[0] for network, _ in networks
    )
    names = [name for name in used if name != "none"]
    shown = [augmentations.stage(settings, names, pictures)] if names else []
    return [*trained, *shown]


PART = Part("a1", "learners", parts)
stages = PART.stages
learners = PART.flow("learners")
