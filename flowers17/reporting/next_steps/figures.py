"""The figures of the part: learning curves, suspect labels, largest sets, saliency, costs."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from flowers17.artifacts import Artifact
from flowers17.learners.images import resized
from flowers17.reporting.drawing import from_template
from flowers17.reporting.figures import Figure, class_labels, data_uri, drawn, shortened
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.next_steps.tables import answers, times_of
from flowers17.small_data.costs import on_pareto_front

N_TILES = 12
Answer = tuple[Artifact, Mapping[str, Any]]
Labelled = Iterable[tuple[str, np.ndarray]]


def answer_figures(inputs: ReportInputs) -> list[Figure | None]:
    """The figures of the questions that have an answer."""
    known = {number: each for number, each in answers(inputs).items() if not each[1]["reason"]}
    return [_FIGURES[number](inputs, number, answer) for number, answer in known.items()]


def _levels(least: float) -> list[float]:
    """Ticks of accuracy from below the least to 1."""
    step = 0.2 if least < 0.5 else 0.1 if least < 0.85 else 0.05
    start = math.floor(max(0.0, least) / step) * step
    return list(np.arange(start, 1 + step / 2, step).tolist())


def _drawn(number: str, answer: Answer, template: str, **values: Any) -> Figure:
    used = (answer[0].reference,)
    return drawn(number, from_template(template, **values), used, behind=number)


def _curves(inputs: ReportInputs, number: str, answer: Answer) -> Figure:
    """Means with intervals, and the power law up to twice the images."""
    rows = [row for row in answer[1]["rows"] if row.get("accuracy")]
    ends = [row["accuracy"]["interval"] or [row["accuracy"]["value"]] for row in rows]
    curves = [
        {
            "title": shortened(curve["label"], 60),
            "rows": [row for row in rows if row["group"] == curve["label"]],
            "law": curve["law"],
        }
        for curve in answer[1]["curves"]
    ]
    most = 2 * max(max(curve["n_train"]) for curve in answer[1]["curves"])
    ticks = [round(most * share / 4) for share in range(1, 5)]
    levels = _levels(min(map(min, ends)))
    values = {"curves": curves, "most": most, "x_ticks": ticks, "y_ticks": levels}
    values["measure"] = answer[1]["measure"]
    return _drawn(number, answer, "learning_curve.svg", **values)


def _tiles(inputs: ReportInputs, number: str, answer: Answer) -> Figure | None:
    """Images with a line each; None without any."""
    images = inputs.images
    pixels = images.mapped("images") if images else np.empty((0, 1, 1, 3), np.uint8)
    labelled = _LABELLED[number](class_labels(inputs.class_names, 12)[0], pixels, answer)
    tiles = tuple((label, data_uri(picture)) for label, picture in labelled)
    if not tiles:
        return None
    short = [(shortened(name, 22), uri) for name, uri in tiles]
    figure = _drawn(number, answer, "tiles.svg", tiles=short)
    return replace(figure, svg="", tiles=tiles, caption=inputs.kind_of_pictures + figure.caption)


def _suspects(names: list[str], images: np.ndarray, answer: Answer) -> Labelled:
    for row in answer[1]["rows"][:N_TILES]:
        words = (shortened(row[key], 12) for key in ("given", "suggested"))
        yield " → ".join(words) + "?", images[row["row"]]


def _largest(names: list[str], images: np.ndarray, answer: Answer) -> Labelled:
    for each in answer[1]["largest"]:
        first, n_more = [names[label] for label in each["classes"][:3]], len(each["classes"]) - 3
        words = ", ".join(first) + f" and {n_more} more" * (n_more > 0)
        yield f"{names[each['given']]}: {words}", images[each["row"]]


def _maps(names: list[str], images: np.ndarray, answer: Answer) -> Iterator[tuple[str, np.ndarray]]:
    """The worst mistakes of each model, in colour where the prediction rests, else in pale grey."""
    artifact, result = answer
    for model in result["rows"]:
        maps: Any = [] if model["reason"] else artifact.array(f"{model['stage']}-maps")
        columns = [model.get(key, ()) for key in ("rows", "given", "predicted")]
        shown = list(zip(*columns, maps, strict=True))
        for row, own_label, predicted, saliency in shown[: model.get("n_wrong", 0)]:
            weight = np.clip(saliency / max(float(saliency.max()), 1e-9), 0, 1) * 255
            grey = np.repeat(weight.astype(np.uint8)[None, ..., None], 3, axis=3)
            mask = resized(grey, images.shape[1])[0].astype(np.float32) / 255
            pale = 160 + 0.35 * images[row].mean(axis=2, keepdims=True)
            picture = mask * images[row] + (1 - mask) * pale
            yield f"{names[own_label]} → {names[predicted]}", picture.astype("u1")


def _costs(inputs: ReportInputs, number: str, answer: Answer) -> Figure | None:
    """Accuracy against time; the models that no other beats in both are numbered."""
    timed = ((times_of(answer[0], row["model"]).get("ms_1"), row) for row in answer[1]["rows"])
    known = sorted(((ms, row) for ms, row in timed if ms), key=lambda pair: pair[0])
    if not known:
        return None
    times = np.array([ms for ms, _ in known])
    scores = [row["accuracy"] for _, row in known]
    front = on_pareto_front(times, np.array([score["value"] for score in scores]))
    first, last = math.floor(np.log10(times.min())), math.ceil(np.log10(times.max()))
    span, ranks = max(1, last - first), front.cumsum().tolist()
    figure = _drawn(
        number,
        answer,
        "costs.svg",
        models=list(zip((np.log10(times) - first) / span, scores, ranks, front, strict=True)),
        names=[
            shortened(row["model"], 64) for (_, row), on in zip(known, front, strict=True) if on
        ],
        x_ticks=[(k / span, f"{10.0 ** (first + k):g}") for k in range(span + 1)],
        y_ticks=_levels(min(score["interval"][0] for score in scores)),
    )
    return replace(figure, of_machine=True)


_FIGURES = {"N2": _curves, "N3": _tiles, "N4": _tiles, "N5": _tiles, "N6": _costs}
_LABELLED = {"N3": _suspects, "N4": _largest, "N5": _maps}
