"""Figures of Part C: robust accuracy by budget, source/target matrices, and galleries."""

from collections.abc import Sequence

import numpy as np

from flowers17.reporting.attacks.cells import (
    AttackedModel,
    attack_title,
    attacked_models,
    budget_title,
    variant_title,
)
from flowers17.reporting.attacks.records import Attack
from flowers17.reporting.confusion_figures import MatrixCell, class_matrix
from flowers17.reporting.drawing import from_template
from flowers17.reporting.figures import Figure, data_uri, drawn, shortened
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.metrics import Interval, accuracy_interval
from flowers17.reporting.wording import capital, counted

_GREY = 127.5


def attack_figures(inputs: ReportInputs) -> list[Figure]:
    """Figures C1 to C3, with a letter for each further model."""
    models = attacked_models(inputs)
    figures = [robust_curves(models)]
    for model in models:
        figures += [source_target(model), gallery(inputs, model)]
    return [figure for figure in figures if figure]


def robust_curves(models: Sequence[AttackedModel]) -> Figure | None:
    """Figure C1: robust accuracy by budget, a panel for each model; None without any."""
    swept = {model.title: model.swept for model in models if model.swept}
    if not swept:
        return None
    attacks = [attack for by_name in swept.values() for attack in by_name.values()]
    budgets = sorted({epsilon for attack in attacks for epsilon in attack.by_budget})
    panels = [
        (
            shortened(title, 60),
            [(name, _curve(attack, budgets)) for name, attack in reversed(by_name.items())],
        )
        for title, by_name in swept.items()
    ]
    text = from_template(
        "budgets.svg",
        budgets=list(map(budget_title, budgets)),
        names={
            name: attack_title(name)
            for name in ("noise", "fgsm", "pgd")
            if any(attack.name == name for attack in attacks)
        },
        panels=panels,
    )
    used = tuple(attack.artifact.reference for attack in attacks)
    return drawn("C1", text, used, behind="C1")


def _curve(attack: Attack, budgets: Sequence[float]) -> list[tuple[int, float, Interval]]:
    """Number of each budget, the share that is right, and its interval."""
    return [
        (budgets.index(epsilon), n_right / n, accuracy_interval(n_right, n))
        for epsilon, (n_right, n) in attack.by_budget.items()
    ]


def source_target(model: AttackedModel) -> Figure | None:
    """Figure C2: which class is made to pass for which; None without targets."""
    attack = model.attack("targeted", "jsma")
    if not attack:
        return None
    reached, tried = attack.source_target
    cells = []
    for source, target in zip(*np.nonzero(tried), strict=True):
        share = reached[source, target] / tried[source, target]
        text = f"{share:.0%}".removesuffix("%")
        cells.append(MatrixCell(source, target, text, "warm", share))
    scale = {"warm": "share that passes; in cells, per cent"}
    columns = "class that it is made to pass for"
    text, order = class_matrix(attack.classes, cells, columns=columns, scale=scale, size=6.5)
    return drawn(
        f"C2{model.suffix}",
        text,
        (attack.artifact.reference,),
        behind="C2",
        name="C2",
        model=model,
        attack=variant_title(attack),
        budget=budget_title(attack.main.epsilon) if attack.main.epsilon is not None else "",
        n_reached=reached.sum(),
        n_tried=tried.sum(),
        order=order,
    )


def gallery(inputs: ReportInputs, model: AttackedModel) -> Figure | None:
    """Figure C3: an example of each attack on a model; None if none succeeded."""
    attacks = [
        attack for attack in model.attacks if attack.name != "noise" and attack.reached.any()
    ]
    if not attacks:
        return None
    originals = {images.reference.key: images for images in inputs.stage("images")}
    rows = []
    for attack in attacks:
        image = int(np.argmax(attack.reached))
        images = originals[attack.artifact.manifest["inputs"]["images"]["key"]]
        clean = images.mapped("images")[int(attack.rows[image])]
        changed = attack.artifact.array("adversarial")[image]
        title = capital(variant_title(attack))
        if attack.main.epsilon is not None:
            title += f", {budget_title(attack.main.epsilon)}"
        pictures = (clean, _amplified(clean, changed), changed)
        uris = [data_uri(pixels, lossless=True) for pixels in pictures]
        words = [shortened(line, 24) for line in _labels(attack, image)]
        rows.append((title, "", uris, words))
    text = from_template("pictures.svg", rows=rows, side=104, gap=18, signs="+=")
    used = tuple(attack.artifact.reference for attack in attacks)
    number = f"C3{model.suffix}"
    return drawn(number, text, used, behind="C3", name="C3", inputs=inputs, model=model)


def _labels(attack: Attack, image: int) -> tuple[str, str, str]:
    """The class before, how much was changed, and the class after; probabilities where noted."""
    run = attack.main
    before = attack.classes[int(attack.labels[image])]
    after = attack.classes[int(attack.column("predicted", run)[image])]
    if run.n_targeted is None:
        before += f", {attack.column('confidence_before', run)[image]:.0%}"
    else:
        after += f", {attack.column('confidence_after', run)[image]:.0%}"
    if run.epsilon is None:
        return before, f"{counted(int(attack.column('l0', run)[image]), 'value')} changed", after
    return before, f"SSIM {attack.column('ssim', run)[image]:.3f}", after


def _amplified(clean: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """The change between two uint8 images as an image, grey where there is none."""
    change = changed.astype(np.float64) - clean
    largest = np.abs(change).max() or 1.0
    return np.rint(_GREY + _GREY * change / largest).astype(np.uint8)
