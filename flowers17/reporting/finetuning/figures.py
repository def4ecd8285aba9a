"""The figures of Part B.2: the forward pass of fine-tuning, and both phases' learning curves."""

from collections.abc import Mapping, Sequence
from string import ascii_lowercase
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from flowers17.artifacts import Artifact, Reference
from flowers17.reporting.best import phase_title
from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.diagrams import arrow, box
from flowers17.reporting.drawing import MUTED, PAPER, SOFT, WARM, WIDTH, canvas, say, svg_text
from flowers17.reporting.figures import Figure, drawn, shortened
from flowers17.reporting.finetuning.cells import (
    PHASES,
    configuration_title,
    of_table_9,
    repeated,
)
from flowers17.reporting.finetuning.records import FineTuning, Phase
from flowers17.reporting.learners.curves import Curves, grid_svg, is_cut
from flowers17.reporting.records import inputs_of
from flowers17.reporting.reference import EXTRACTORS, title_of
from flowers17.reporting.titles import map_title
from flowers17.reporting.wording import shape_text
from flowers17.seeds import generator

Phases = Mapping[Phase, FineTuning]
# Between columns, and the boxes of a column from the top: frozen, unfrozen, head, probabilities.
_TOPS, _HEIGHTS = (102.0, 204.0, 290.0, 402.0), (66.0, 50.0, 76.0, 34.0)
_HEIGHT = 506.0


def tuned_forward_pass(inputs: ReportInputs) -> Figure | None:
    """Return Figure 8: image, frozen blocks, unfrozen blocks, head, probabilities.

    One column an extractor of Table 9, by its best network in phase B, with this run's shapes, and
    what the best of all makes of an image. None if no phase B was trained.
    """
    shown = [made for maps in inputs.study.fine_tuning.table if (made := _best(inputs, maps.name))]
    shown = shown[:3]
    if not inputs.images or not shown:
        return None
    best = max((one["b"] for one in shown), key=lambda one: one.score.accuracy)
    row, answers = _example(inputs, best)
    images = inputs.images.mapped("images")
    side, middle = images.shape[1], WIDTH / 2
    with canvas(_HEIGHT, salt="figure-8") as (figure, axes):
        axes.imshow(images[row], extent=(middle - 36, middle + 36, 76, 4))
        axes.set_aspect("auto")
        say(axes, middle + 46, 32, "image", ha="left", weight="bold")
        say(axes, middle + 46, 46, f"{side} × {side} × 3", ha="left", color=MUTED)
        width = min(172.0, WIDTH / len(shown) - 8)
        for place, made in enumerate(shown):
            x = WIDTH * (place + 0.5) / len(shown)
            arrow(axes, (middle, 78), (x, _TOPS[0] - 2))
            _column(axes, inputs, x, width, made)
            arrow(axes, (x, _TOPS[3] + _HEIGHTS[3] + 1), (middle + (x - middle) * 0.4, 456))
        for line, (text, style) in enumerate(answers):
            say(axes, middle, 470 + 17 * line, text, **style)
        axes.set_xlim(0, WIDTH)
        axes.set_ylim(_HEIGHT, 0)
        text = svg_text(figure)
    untrained = any(made["b"].random_weights for made in shown)
    caption = (
        "Phase A trains the head on what the frozen network gives; phase B goes on with the last "
        "blocks unfrozen. Shapes are those of this run."
    )
    caption += " The network’s weights are random, not trained." if untrained else ""
    used = tuple(one.artifact.reference for made in shown for one in made.values())
    return drawn("8", title_of("figure", 8), caption, text, used)


def _best(inputs: ReportInputs, name: str) -> Phases | None:
    """Return both phases of an extractor's best network in phase B, if it has one."""
    maps = next(one for one in inputs.study.fine_tuning.table if one.name == name)
    made = [found for _, found in of_table_9(inputs, maps) if "b" in found]
    return max(made, key=lambda found: found["b"].score.accuracy, default=None)


def _column(axes: Axes, inputs: ReportInputs, x: float, width: float, made: Phases) -> None:
    last, first = made["b"], made.get("a")
    n_head = first.n_trainable if first else None
    n_frozen = last.n_parameters - last.n_trainable
    left, size = x - width / 2, f"{last.input_size} × {last.input_size} × 3"
    title = EXTRACTORS.get(last.extractor, last.extractor)
    boxes: list[tuple[str, list[tuple[str, dict[str, object]]]]] = [
        (
            SOFT,
            [
                (title, {"weight": "bold", "size": 10}),
                (f"input {size}", {"color": MUTED, "size": 8}),
                ("frozen", {}),
                (f"{n_frozen / 1e6:.1f} M weights", {"color": MUTED, "size": 8}),
            ],
        ),
        (
            PAPER,
            [
                (f"{last.unfrozen_from} and all behind it", {"weight": "bold", "size": 8}),
                ("frozen in A, trained in B", {"color": WARM, "size": 8}),
                (_millions(last.n_trainable, n_head), {"color": MUTED, "size": 8}),
            ],
        ),
        (PAPER, _head(last, n_head)),
        (
            PAPER,
            [
                ("softmax", {"weight": "bold", "size": 8}),
                (f"{len(inputs.class_names)} probabilities", {"color": MUTED, "size": 8}),
            ],
        ),
    ]
    for place, (face, lines) in enumerate(boxes):
        top, height = _TOPS[place], _HEIGHTS[place]
        box(axes, left, top, width, height, face=face)
        step = (height - 8) / len(lines)
        for line, (text, style) in enumerate(lines):
            say(axes, x, top + 4 + step * (line + 0.5), text, **style)
        if place < len(boxes) - 1:
            arrow(axes, (x, top + height), (x, _TOPS[place + 1]))
    for place, shape in enumerate((_boundary(inputs, last), _feature_map(inputs, made))):
        if shape:
            y = (_TOPS[place] + _HEIGHTS[place] + _TOPS[place + 1]) / 2
            say(axes, x + 8, y, shape_text(shape), ha="left", size=8)


def _millions(n_trainable: int, n_head: int | None) -> str:
    return "" if n_head is None else f"{(n_trainable - n_head) / 1e6:.1f} M weights"


def _head(one: FineTuning, n_head: int | None) -> list[tuple[str, dict[str, object]]]:
    extras = ["batch norm"] if one.batch_norm else []
    extras += [f"dropout {one.dropout:g}"] if one.dropout else []
    pool = "flattened" if one.pooling == "flatten" else "averaged over places"
    small: dict[str, object] = {"color": MUTED, "size": 8}
    lines: list[tuple[str, dict[str, object]]] = [
        ("head", {"weight": "bold", "size": 9}),
        (f"{pool}, {one.units} units", {"size": 8}),
        (", ".join(extras) or "no batch norm, no dropout", small),
        ("trained in A and B", {"color": WARM, "size": 8}),
    ]
    return lines if n_head is None else [*lines, (f"{n_head / 1e6:.1f} M weights", small)]


def _made_from(inputs: ReportInputs, one: FineTuning, role: str) -> Artifact | None:
    """Return the artifact that a training had under a role, if the report knows it."""
    given = inputs_of(one.artifact).get(role)
    if not given:
        return None
    wanted = Reference.from_json({name: str(value) for name, value in given.items()})
    return next((a for a in inputs.artifacts.values() if a.reference.key == wanted.key), None)


def _boundary(inputs: ReportInputs, one: FineTuning) -> tuple[int, ...]:
    """Return the shape of what the unfrozen blocks are given; empty if it was not stored."""
    found = _made_from(inputs, one, "activations")
    if not found or found.reference.stage != "activations":
        return ()
    stored = np.load(found.file("activations.npy"), mmap_mode="r", allow_pickle=False)
    return tuple(stored.shape[1:])


def _feature_map(inputs: ReportInputs, made: Phases) -> tuple[int, ...]:
    """Return the shape of the extractor's feature map; empty if no stage of the run tells."""
    found = _made_from(inputs, made["a"], "activations") if "a" in made else None
    if found and found.reference.stage == "features":
        return tuple(int(side) for side in found.json("extractor")["map_shape"])
    maps = inputs.feature_maps.get(made["b"].maps)
    return maps.shape if maps else ()


def _example(
    inputs: ReportInputs, best: FineTuning
) -> tuple[int, list[tuple[str, dict[str, object]]]]:
    """Return a held-out image of the report's split and what the best network makes of it."""
    held = inputs.validation_rows(best.score.split)
    row = int(generator(inputs.study.seed, "report", "figure-8").choice(held))
    proba = best.proba[row]
    guess, truth = int(proba.argmax()), int(inputs.labels[row])
    right = "correct" if guess == truth else f"wrong, it is: {inputs.class_names[truth]}"
    name = shortened(inputs.class_names[guess], 24)
    return row, [
        (f"{name}, {float(proba[guess]):.2f}", {"weight": "bold", "size": 11}),
        (shortened(f"{phase_title(inputs, best)}: {right}", 64), {"color": MUTED}),
    ]


def tuned_curves(inputs: ReportInputs) -> list[Figure]:
    """Return Figures 8b, 8c …: learning curves, phases joined, one figure an extractor.

    The last one is of the networks on clean splits, each on its first.
    """
    asked = inputs.study.fine_tuning
    groups: list[tuple[str, list[tuple[str, Phases]]]] = [
        (
            f"Learning curves of {map_title(maps)}, fine-tuned",
            [
                (configuration_title(configuration), made)
                for configuration, made in of_table_9(inputs, maps)
                if made
            ],
        )
        for maps in asked.table
    ]
    own: list[tuple[str, Phases]] = []
    for one in asked.own:
        firsts: dict[Phase, FineTuning] = {}
        for phase in PHASES:
            if found := repeated(inputs, one.name, phase):
                firsts[phase] = found[0]
        if firsts:
            own.append((map_title(one.maps), firsts))
    groups.append(("Learning curves on clean splits, each network on its first", own))
    drawable = [(title, rows) for title, rows in groups if rows]
    return [
        _curves(inputs, f"8{letter}", title, rows)
        for letter, (title, rows) in zip(ascii_lowercase[1:], drawable, strict=False)
    ]


def _curves(
    inputs: ReportInputs, number: str, title: str, made: Sequence[tuple[str, Phases]]
) -> Figure:
    rows = [_joined(name, phases) for name, phases in made]
    caption = (
        "Loss and accuracy on the training images as they are trained on, and on the validation "
        "images, phase A and then phase B, which begins with the head that phase A keeps. The "
        "dashed line and the dot mark the epoch whose weights are kept at the end."
    )
    if is_cut(rows):
        caption += " Losses above the axis are cut off."
    if inputs.differences_in_short:
        caption += f" Not a comparison with the study ({inputs.differences_in_short})."
    used = tuple(one.artifact.reference for _, phases in made for one in phases.values())
    return drawn(number, title, caption, grid_svg(rows), used)


def _joined(title: str, phases: Phases) -> Curves:
    """Return one network's curves: the epochs of phase B are counted on from those of phase A."""
    history: list[Mapping[str, Any]] = []
    notes, parts, kept, before = [], {}, None, 0
    for phase, one in sorted(phases.items()):
        parts[before + 1] = phase.upper()
        history += [{"epoch": before}] if before else []  # no line from one phase to the next
        history += [{**epoch, "epoch": int(epoch["epoch"]) + before} for epoch in one.history]
        kept = before + one.best_epoch
        notes.append(f"{phase.upper()} {one.best_epoch} of {one.epochs}")
        before += one.epochs
    return Curves(shortened(title, 44), history, kept, f"kept: {', '.join(notes)}", parts)
