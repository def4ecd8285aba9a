"""The figures of Part B.2: the forward pass of fine-tuning, and both phases' learning curves."""

from collections.abc import Mapping, Sequence
from string import ascii_lowercase
from typing import Any

from flowers17.artifacts import Artifact
from flowers17.reporting.drawing import MUTED, WARM, from_template
from flowers17.reporting.figures import Figure, TextLine, answer_lines, data_uri, drawn, shortened
from flowers17.reporting.finetuning.networks import (
    Phases,
    networks_of_table_9,
    own_networks,
    phase_title,
)
from flowers17.reporting.finetuning.records import FineTuning
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.learners.curves import Curves, grid_svg, is_cut
from flowers17.reporting.records import inputs_of
from flowers17.reporting.titles import extractor_title, map_title
from flowers17.reporting.wording import shape_text
from flowers17.seeds import generator

_SMALL, _BOLD = {"color": MUTED, "size": 8}, {"weight": "bold", "size": 8}
_TRAINED = {"color": WARM, "size": 8}


def tuned_forward_pass(inputs: ReportInputs) -> Figure | None:
    """Figure 8: image, frozen blocks, unfrozen blocks, head, probabilities.

    One column an extractor of Table 9, by its best network in phase B, with this run's shapes, and
    what the best of all makes of an image. None if no phase B was trained.
    """
    by_extractor: dict[str, list[Phases]] = {}
    for network in networks_of_table_9(inputs):
        if "b" in network.firsts:
            title = map_title(network.settings.maps)
            by_extractor.setdefault(title, []).append(network.firsts)
    shown = [max(networks, key=_accuracy) for networks in by_extractor.values()][:3]
    if not inputs.images or not shown:
        return None
    best = max(shown, key=_accuracy)["b"]
    row, answers = _example(inputs, best)
    images = inputs.images.mapped("images")
    drawing = from_template(
        "tuned.svg",
        uri=data_uri(images[row]),
        side=images.shape[1],
        columns=[_column(inputs, phases) for phases in shown],
        answers=answers,
    )
    random_weights = any(phases["b"].random_weights for phases in shown)
    used = tuple(tuning.artifact.reference for phases in shown for tuning in phases.values())
    return drawn("8", drawing, used, behind=None, random_weights=random_weights)


def _accuracy(phases: Phases) -> float:
    return phases["b"].score.accuracy


def _column(inputs: ReportInputs, phases: Phases) -> dict[str, Any]:
    """Boxes of a network with their lines, and the shapes of what passes between them."""
    last, first = phases["b"], phases.get("a")
    side, title = last.input_size, extractor_title(last.extractor)
    boxes: list[list[TextLine]] = [
        [
            (title, {"weight": "bold", "size": 10}),
            (f"input {side} × {side} × 3", _SMALL),
            ("frozen", {}),
            (_millions(last.n_parameters - last.n_trainable), _SMALL),
        ],
        [
            (f"{last.unfrozen_from} and all behind it", _BOLD),
            ("frozen in A, trained in B", _TRAINED),
            (_millions(last.n_trainable - first.n_trainable) if first else "", _SMALL),
        ],
        _head(last) + ([(_millions(first.n_trainable), _SMALL)] if first else []),
        [("softmax", _BOLD), (f"{len(inputs.class_names)} probabilities", _SMALL)],
    ]
    shapes = (_boundary(inputs, last), _feature_map(inputs, phases))
    return {"boxes": boxes, "shapes": [shape_text(shape) for shape in shapes]}


def _millions(n_weights: int) -> str:
    return f"{n_weights / 1e6:.1f} M weights"


def _head(tuning: FineTuning) -> list[TextLine]:
    extras = ["batch norm"] * tuning.batch_norm
    extras += [f"dropout {tuning.dropout:g}"] if tuning.dropout else []
    pool = "flattened" if tuning.pooling == "flatten" else "averaged over places"
    return [
        ("head", {"weight": "bold", "size": 9}),
        (f"{pool}, {tuning.units} units", {"size": 8}),
        (", ".join(extras) or "no batch norm, no dropout", _SMALL),
        ("trained in A and B", _TRAINED),
    ]


def _frozen_output(inputs: ReportInputs, tuning: FineTuning) -> Artifact | None:
    """The stored output of the frozen part that a phase was trained on, if the report knows it."""
    key = inputs_of(tuning.artifact).get("activations", {}).get("key")
    return next((a for a in inputs.artifacts.values() if a.reference.key == key), None)


def _boundary(inputs: ReportInputs, tuning: FineTuning) -> tuple[int, ...]:
    """Shape of the unfrozen blocks' input; empty if it was not stored."""
    artifact = _frozen_output(inputs, tuning)
    if not artifact or artifact.reference.stage != "activations":
        return ()
    return artifact.mapped("activations").shape[1:]


def _feature_map(inputs: ReportInputs, phases: Phases) -> tuple[int, ...]:
    """Shape of the extractor's feature map; empty if no stage of the run tells."""
    artifact = _frozen_output(inputs, phases["a"]) if "a" in phases else None
    if artifact and artifact.reference.stage == "features":
        return tuple(int(side) for side in artifact.json("extractor")["map_shape"])
    maps = inputs.feature_maps.get(phases["b"].maps)
    return maps.shape if maps else ()


def _example(inputs: ReportInputs, best: FineTuning) -> tuple[int, list[TextLine]]:
    """A held-out image of the report's split, by its row, and the best network's answer."""
    held_out = inputs.rows(best.score.split)
    row = int(generator(inputs.study.seed, "report", "figure-8").choice(held_out))
    guess = int(best.proba[row].argmax())
    proba = float(best.proba[row, guess])
    return row, answer_lines(inputs, row, guess, proba, phase_title(inputs, best), 64)


def tuned_curves(inputs: ReportInputs) -> list[Figure]:
    """Figures 8b, 8c …: learning curves, phases joined, one figure an extractor.

    The last one is of the networks on clean splits, each on its first.
    """
    by_title: dict[str, list[tuple[str, Phases]]] = {}
    for network in networks_of_table_9(inputs):
        if network.tunings:
            title = f"Learning curves of {map_title(network.settings.maps)}, fine-tuned"
            by_title.setdefault(title, []).append((network.recipe_title, network.firsts))
    for network in own_networks(inputs):
        if network.tunings:
            title = "Learning curves on clean splits, each network on its first"
            name = map_title(network.settings.maps)
            by_title.setdefault(title, []).append((name, network.firsts))
    return [
        _curves(inputs, f"8{letter}", title, networks)
        for letter, (title, networks) in zip(ascii_lowercase[1:], by_title.items(), strict=False)
    ]


def _curves(
    inputs: ReportInputs, number: str, title: str, networks: Sequence[tuple[str, Phases]]
) -> Figure:
    rows = [_joined(name, phases) for name, phases in networks]
    used = tuple(tuning.artifact.reference for _, phases in networks for tuning in phases.values())
    values = {"inputs": inputs, "title": title, "cut": is_cut(rows)}
    return drawn(number, grid_svg(rows), used, behind="9", name="8-curves", **values)


def _joined(title: str, phases: Phases) -> Curves:
    """One network's curves: the epochs of phase B are counted on from those of phase A."""
    history: list[Mapping[str, Any]] = []
    notes, parts, kept_epoch, before = [], {}, None, 0
    for phase, tuning in sorted(phases.items()):
        parts[before + 1] = phase.upper()
        history += [{"epoch": before}] if before else []  # no line from one phase to the next
        history += [{**epoch, "epoch": int(epoch["epoch"]) + before} for epoch in tuning.history]
        kept_epoch = before + tuning.best_epoch
        notes.append(f"{phase.upper()} {tuning.best_epoch} of {tuning.epochs}")
        before += tuning.epochs
    return Curves(shortened(title, 44), history, kept_epoch, f"kept: {', '.join(notes)}", parts)
