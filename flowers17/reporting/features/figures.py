"""The figures of Part B.1: the forward pass, Table 8 at a glance, the best's confusions."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Polygon

from flowers17.config import ClassifierName, FeatureMapSettings
from flowers17.reporting.diagrams import arrow, box
from flowers17.reporting.drawing import (
    ACCENT,
    LINE,
    MUTED,
    PAPER,
    WARM,
    WIDTH,
    canvas,
    say,
    svg_text,
)
from flowers17.reporting.figures import Figure, drawn, shortened
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.records import FeatureMap, Score
from flowers17.reporting.reference import CLASSIFIERS, EXTRACTORS, TABLE_8, title_of
from flowers17.reporting.titles import map_title
from flowers17.reporting.wording import shape_text
from flowers17.seeds import generator

_SHORT = {"naive_bayes": "naive Bayes", "knn": "k-NN", "svm": "SVM"}


def _short(classifier: str) -> str:
    return _SHORT.get(classifier, CLASSIFIERS.get(classifier, classifier))


def _cuboid(axes: Axes, x: float, y: float, feature_map: FeatureMap) -> None:
    """Draw a feature map around (x, y): its face for height and width, its length for channels."""
    height, width, channels = (*feature_map.shape, 1, 1, 1)[:3]
    face_h, face_w = 6 + 2.6 * min(height, 8), 6 + 2.6 * min(width, 8)
    length = 12 + 20 * min(channels, 2048) / 2048
    dx, dy = length * 0.85, length * 0.45
    left, top = x - (face_w + dx) / 2, y - (face_h - dy) / 2
    right, bottom = left + face_w, top + face_h
    sides = (
        ([(left, top), (right, top), (right, bottom), (left, bottom)], 0.55),
        ([(left, top), (left + dx, top - dy), (right + dx, top - dy), (right, top)], 0.25),
        ([(right, top), (right + dx, top - dy), (right + dx, bottom - dy), (right, bottom)], 0.4),
    )
    for corners, alpha in sides:
        axes.add_patch(Polygon(corners, closed=True, facecolor=ACCENT, alpha=alpha, lw=0))
        axes.add_patch(Polygon(corners, closed=True, fill=False, edgecolor=PAPER, lw=0.8))


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
    side = images.shape[1]
    with canvas(482, salt="figure-7") as (figure, axes):
        middle = WIDTH / 2
        axes.imshow(images[row], extent=(middle - 36, middle + 36, 76, 4))
        axes.set_aspect("auto")
        say(axes, middle + 46, 32, "image", ha="left", weight="bold")
        say(axes, middle + 46, 46, f"{side} × {side} × 3", ha="left", color=MUTED)
        centres = [WIDTH * (i + 0.5) / len(extractors) for i in range(len(extractors))]
        for settings, x in zip(extractors, centres, strict=True):
            arrow(axes, (middle, 78), (x, 102))
            _extractor(axes, x, inputs.feature_maps[settings.name], settings)
            arrow(axes, (x, 274), (x, 292))
        box(axes, 5, 294, WIDTH - 10, 26)
        say(axes, middle, 307, "flattened and normalised, one row an image", weight="bold")
        _classifiers(axes, inputs.study.features.classifiers.names)
        box(axes, middle - 130, 424, 260, 52, face=PAPER)
        for line, (text, style) in enumerate(answers):
            say(axes, middle, 441 + 17 * line, text, **style)
        axes.set_xlim(0, WIDTH)
        axes.set_ylim(482, 0)
        text = svg_text(figure)
    feature_maps = [inputs.feature_maps[settings.name] for settings in extractors]
    caption = (
        "Each extractor’s feature map becomes a row of numbers; each classifier learns from the "
        "rows of the training images. Shapes are those of this run."
    )
    caption += " The weights are random, not trained." * any(m.random_weights for m in feature_maps)
    used = tuple(feature_map.artifact.reference for feature_map in feature_maps)
    return drawn("7", title_of("figure", 7), caption, text, used, behind=None)


def _extractor(axes: Axes, x: float, feature_map: FeatureMap, settings: FeatureMapSettings) -> None:
    box(axes, x - 42, 104, 84, 66)
    say(axes, x, 120, EXTRACTORS[settings.extractor], weight="bold", size=10)
    say(axes, x, 137, f"{feature_map.n_layers} layers", color=MUTED)
    weights = (
        "untrained"
        if feature_map.random_weights
        else f"{feature_map.n_parameters / 1e6:.1f} M weights"
    )
    say(axes, x, 153, weights, color=WARM if feature_map.random_weights else MUTED)
    arrow(axes, (x, 171), (x, 190))
    _cuboid(axes, x, 212, feature_map)
    say(axes, x, 246, shape_text(feature_map.shape))
    say(axes, x, 262, f"{feature_map.n_columns:,} columns", color=MUTED)


def _classifiers(axes: Axes, names: Sequence[str]) -> None:
    width = (WIDTH - 4) / len(names)
    for index, name in enumerate(names):
        x = 2 + width * (index + 0.5)
        arrow(axes, (x, 321), (x, 344))
        box(axes, x - width / 2 + 3, 346, width - 6, 38)
        lines = textwrap.wrap(_short(name), 11)
        for line, part in enumerate(lines):
            say(axes, x, 365 + 12 * (line - (len(lines) - 1) / 2), part)
        arrow(axes, (x, 385), (WIDTH / 2 + (x - WIDTH / 2) * 0.4, 422))


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
    """Figure 7b: Table 8 at a glance, ours with intervals, the study's as marks."""
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
        say(axes, left + 11, 13, "ours, 95 % interval", ha="left", color=MUTED)
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
                _study_mark(axes, at(TABLE_8[name][settings.extractor]), y + 8)
                y += step
        text = svg_text(figure)
    caption = "Validation accuracy on the report’s split."
    if inputs.differences:
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
