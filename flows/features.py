"""Flow `features`: pre-trained features and classical classifiers (Part B.1)."""

from flowers17.config import CombinationSettings, RunOptions, StudySettings
from flowers17.stages import Stage
from flows.part import Part, data
from tasks import classifier, rows, split
from tasks import features as feature_maps


def parts(settings: StudySettings, options: RunOptions) -> list[Stage]:
    """Stages of Tables 7 and 8 and of what goes beyond, each classifier fitted on all images."""
    images, duplicates, splits = data(settings)
    every_image = split.of_all_images(images, splits)

    def predicting(combination: CombinationSettings) -> Stage:
        maps = [feature_maps.stage(settings, options, maps) for maps in combination.maps]
        space = rows.stage(maps)
        measures = classifier.stage(settings, combination, maps, space, splits, duplicates)
        return classifier.fitted_stage(settings, combination, maps, space, every_image, measures)

    table_8 = [
        CombinationSettings(maps=(maps,), classifier=name)
        for maps in settings.features.table
        for name in settings.features.classifiers.names
    ]
    return [predicting(each) for each in (*table_8, *settings.features.combinations)]


PART = Part("b1", "features", parts)
stages = PART.stages
features = PART.flow("features")
