"""Flow `features`: pre-trained features and classical classifiers (Part B.1)."""

from prefect import flow

from flowers17.config import CombinationSettings, FeatureMapSettings, Places, StudySettings
from flowers17.request import StudyRequest
from flowers17.stages import Stage
from flows.part import run_part
from tasks import classifier, duplicates, images, report, rows, splits
from tasks import features as feature_maps
from tasks.engine import Results


def parts(settings: StudySettings, places: Places) -> list[Stage]:
    """Return the stages of Tables 7 and 8 and of what goes beyond them."""
    pictures = images.stage(settings, settings.dataset.image_size)
    pairs = duplicates.stage(settings, pictures)
    divided = splits.stage(settings, pictures, pairs)

    def classified(combination: CombinationSettings) -> Stage:
        maps = [features_of(one) for one in combination.maps]
        return classifier.stage(settings, combination, maps, rows.stage(maps), divided, pairs)

    def features_of(one: FeatureMapSettings) -> Stage:
        return feature_maps.stage(settings, places, one)

    table_8 = [
        CombinationSettings(maps=(one,), classifier=name)
        for one in settings.features.table
        for name in settings.features.classifiers.names
    ]
    return [classified(one) for one in (*table_8, *settings.features.combinations)]


def stages(settings: StudySettings, places: Places) -> list[Stage]:
    """Return what the flow runs by itself: its parts, and their tables and figures."""
    return [report.stage(settings, parts(settings, places), label="report on features")]


@flow(name="features")
def features(request: StudyRequest = StudyRequest()) -> Results:
    """Extract features with pre-trained networks and evaluate classifiers on them."""
    return run_part(request, parts, stages)
