"""The figures of Part B.1: the forward pass, Table 8 at a glance, the best's confusions."""

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from flowers17.config import ClassifierName, FeatureMapSettings
from flowers17.reporting.drawing import (
    ACCENT,
    LINE,
    MUTED,
    PAPER,
    WARM,
    WIDTH,
    canvas,
    from_template,
    say,
    svg_text,
)
from flowers17.reporting.figures import Figure, data_uri, drawn, shortened
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.records import FeatureMap, Score
from flowers17.reporting.reference import CLASSIFIERS, EXTRACTORS, TABLE_8, title_of
from flowers17.reporting.titles import map_title
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
    text = from_template(
        "features.svg",
        width=WIDTH,
        uri=data_uri(images[row]),
        side=images.shape[1],
        maps=[_drawn_map(inputs.feature_maps[settings.name], settings) for settings in extractors],
        classifiers=[
            textwrap.wrap(_short(name), 11) for name in inputs.study.features.classifiers.names
        ],
        answers=answers,
    )
    feature_maps = [inputs.feature_maps[settings.name] for settings in extractors]
    caption = (
        "Each extractor’s feature map becomes a row of numbers; each classifier learns from the "
        "rows of the training images. Shapes are those of this run."
    )
    caption += " The weights are random, not trained." * any(m.random_weights for m in feature_maps)
    used = tuple(feature_map.artifact.reference for feature_map in feature_maps)
    return drawn("7", title_of("figure", 7), caption, text, used, behind=None)


def _drawn_map(feature_map: FeatureMap, settings: FeatureMapSettings) -> dict[str, Any]:
    """What Figure 7 shows of an extractor and its feature map."""
    millions = f"{feature_map.n_parameters / 1e6:.1f} M weights"
    return {
        "title": EXTRACTORS[settings.extractor],
        "n_layers": feature_map.n_layers,
        "weights": "untrained" if feature_map.random_weights else millions,
        "random": feature_map.random_weights,
        "shape": (*feature_map.shape, 1, 1, 1)[:3],
        "words": shape_text(feature_map.shape),
        "n_columns": feature_map.n_columns,
    }


def _example(inputs: ReportInputs) -> tuple[int, list[tuple[str, dict[str, object]]]]:
    """A held-out image of the report's split and what the best classifier makes of it."""
    best, split = inputs.best, None
    score = best.score("report") if best else None
    random = generator(inputs.study.seed, "report", "figure-7")
    if not best or not score:
        split = [(f"one of {len(inputs.class_names)} classes", {"weight": "bold", "size": 11})]
        return int(random.integers(len(inputs.labels))), split
    rows = inputs.validation_rows(score.split)
    index = int(random.integers(len(rows)))
    row, guess = int(rows[index]), int(best.predicted(score.split)[index])
    proba = float(best.proba(score.split)[index, guess])
    truth = inputs.class_names[inputs.labels[row]]
    right = "correct" if guess == inputs.labels[row] else f"wrong, it is: {truth}"
    settings = next(s for s in inputs.study.features.table if (s.name,) == best.maps)
    answer = shortened(f"{_short(best.classifier)} on {map_title(settings)}: {right}", 46)
    name = shortened(inputs.class_names[guess], 24)
    return row, [
        (f"{name}, {proba:.2f}", {"weight": "bold", "size": 11}),
        (answer, {"color": MUTED}),
    ]


def overview(inputs: ReportInputs) -> Figure | None:
    """Figure 7b: Table 8 at a glance: intervals, and marks of the study's numbers beside them."""
    shown: list[tuple[FeatureMapSettings, list[tuple[ClassifierName, Score]]]] = []
    for settings in inputs.study.features.table:
        cells = [
            (combination.classifier, score)
            for combination in inputs.table_8
            if combination.maps == (settings,)
            and (evaluation := inputs.evaluation(combination))
            and (score := evaluation.score("report"))
        ]
        if cells:
            shown.append((settings, cells))
    if not shown:
        return None
    left, step, head, top = 116, 17, 26, 30
    height = top + sum(head + step * len(cells) for _, cells in shown) + 30
    low = min(score.interval.low for _, cells in shown for _, score in cells)
    if inputs.beside_study:
        low = min(low, *(TABLE_8[name][s.extractor] for s, cells in shown for name, _ in cells))
    tick_step = 0.2 if low < 0.5 else 0.1
    start = max(0.0, float(np.floor(low / tick_step)) * tick_step)
    scale = (WIDTH - left - 14) / (1 - start)

    def at(accuracy: float) -> float:
        return left + (accuracy - start) * scale

    with canvas(height, salt="figure-7b") as (figure, axes):
        for tick in np.arange(start, 1.001, tick_step):
            axes.plot([at(tick)] * 2, [top, height - 24], color=LINE, lw=0.8, zorder=0)
            say(axes, at(tick), height - 13, f"{tick:.1f}", color=MUTED)
        _mark(axes, left, 13)
        axes.plot([left - 6, left + 6], [13, 13], color=ACCENT, lw=2)
        measure = "ours" if inputs.beside_study else "accuracy"
        say(axes, left + 11, 13, f"{measure}, 95 % interval", ha="left", color=MUTED)
        if inputs.beside_study:
            _study_mark(axes, left + 128, 13)
            say(axes, left + 138, 13, "the study’s", ha="left", color=MUTED)
        y = float(top)
        for settings, cells in shown:
            feature_map = inputs.feature_maps.get(settings.name)
            tag = " (untrained)" if feature_map and feature_map.random_weights else ""
            say(axes, 2, y + 16, map_title(settings) + tag, ha="left", weight="bold")
            y += head
            for name, score in cells:
                say(axes, left - 12, y + 8, _short(name), ha="right")
                ends = [at(score.interval.low), at(score.interval.high)]
                axes.plot(ends, [y + 8, y + 8], color=ACCENT, lw=2, solid_capstyle="round")
                _mark(axes, at(score.accuracy), y + 8)
                if inputs.beside_study:
                    _study_mark(axes, at(TABLE_8[name][settings.extractor]), y + 8)
                y += step
        text = svg_text(figure)
    caption = "Validation accuracy on the report’s split."
    if inputs.differences_in_short:
        caption += f" Not a comparison with the study ({inputs.differences_in_short})."
    used = tuple(e.artifact.reference for e in inputs.evaluations_of_table_8)
    return drawn("7b", "Table 8 at a glance", caption, text, used, behind="8")


def _mark(axes: Axes, x: float, y: float) -> None:
    axes.plot([x], [y], marker="o", markersize=6, color=ACCENT, markeredgewidth=0)


def _study_mark(axes: Axes, x: float, y: float) -> None:
    axes.plot(
        [x],
        [y],
        color=WARM,
        marker="D",
        markersize=5.5,
        markerfacecolor=PAPER,
        markeredgecolor=WARM,
        markeredgewidth=1.5,
    )
