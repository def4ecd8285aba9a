"""The figures of Part B.1: the forward pass, Table 8 at a glance, the best's confusions."""

import textwrap

import numpy as np

from flowers17.reporting.drawing import from_template
from flowers17.reporting.figures import Figure, TextLine, answer_lines, data_uri, drawn
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.records import Score
from flowers17.reporting.reference import CLASSIFIERS, TABLE_8
from flowers17.reporting.titles import extractor_title, map_title
from flowers17.reporting.wording import shape_text
from flowers17.seeds import generator

_SHORT = {"naive_bayes": "naive Bayes", "knn": "k-NN", "svm": "SVM"}


def _short(classifier: str) -> str:
    return _SHORT.get(classifier, CLASSIFIERS.get(classifier, classifier))


def forward_pass(inputs: ReportInputs) -> Figure | None:
    """Figure 7: image, extractor, feature map, normalised columns, classifiers, class.

    Shapes are those of this run, and so are image and prediction. None without feature maps.
    """
    extractors = [
        settings for settings in inputs.study.features.table if settings.name in inputs.feature_maps
    ][:4]
    if not inputs.images or not extractors:
        return None
    row, answers = _example(inputs)
    images = inputs.images.mapped("images")
    drawing = from_template(
        "features.svg",
        uri=data_uri(images[row]),
        side=images.shape[1],
        maps=[
            (extractor_title(settings.extractor), inputs.feature_maps[settings.name])
            for settings in extractors
        ],
        shape_text=shape_text,
        classifiers=[
            textwrap.wrap(_short(name), 11) for name in inputs.study.features.classifiers.names
        ],
        answers=answers,
    )
    feature_maps = [inputs.feature_maps[settings.name] for settings in extractors]
    used = tuple(feature_map.artifact.reference for feature_map in feature_maps)
    random_weights = any(feature_map.random_weights for feature_map in feature_maps)
    return drawn("7", drawing, used, behind=None, random_weights=random_weights)


def _example(inputs: ReportInputs) -> tuple[int, list[TextLine]]:
    """A held-out image of the report's split, by its row, and the best classifier's answer."""
    best, random = inputs.best, generator(inputs.study.seed, "report", "figure-7")
    score = best.score("report") if best else None
    if not best or not score:
        answer = f"one of {len(inputs.class_names)} classes"
        return int(random.integers(len(inputs.labels))), [(answer, {"weight": "bold", "size": 11})]
    rows = inputs.rows(score.split)
    index = int(random.integers(len(rows)))
    guess = int(best.predicted(score.split)[index])
    proba = float(best.proba(score.split)[index, guess])
    settings = next(s for s in inputs.study.features.table if (s.name,) == best.maps)
    title = f"{_short(best.classifier)} on {map_title(settings)}"
    return int(rows[index]), answer_lines(inputs, int(rows[index]), guess, proba, title, 46)


def overview(inputs: ReportInputs) -> Figure | None:
    """Figure 7b: Table 8 at a glance: intervals, and marks of the study's numbers beside them."""
    groups: list[tuple[str, list[tuple[str, Score, float | None]]]] = []
    for settings in inputs.study.features.table:
        cells = [
            (
                _short(combination.classifier),
                score,
                TABLE_8[combination.classifier].get(settings.extractor),
            )
            for combination in inputs.table_8
            if combination.maps == (settings,)
            and (evaluation := inputs.evaluation(combination))
            and (score := evaluation.score("report"))
        ]
        if cells:
            feature_map = inputs.feature_maps.get(settings.name)
            tag = " (untrained)" if feature_map and feature_map.random_weights else ""
            groups.append((map_title(settings) + tag, cells))
    if not groups:
        return None
    low = min(score.interval.low for _, cells in groups for _, score, _ in cells)
    if inputs.beside_study:
        low = min([low, *(study for _, cells in groups for _, _, study in cells if study)])
    step = 0.2 if low < 0.5 else 0.1
    start = max(0.0, float(np.floor(low / step)) * step)
    drawing = from_template(
        "overview.svg",
        groups=groups,
        ticks=np.arange(start, 1.001, step).tolist(),
        beside_study=inputs.beside_study,
    )
    used = tuple(e.artifact.reference for e in inputs.evaluations_of_table_8)
    return drawn("7b", drawing, used, behind="8", inputs=inputs)
