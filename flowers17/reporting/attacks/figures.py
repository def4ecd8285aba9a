"""Figures of Part C: robust accuracy by budget, source/target matrices, and galleries."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from flowers17.reporting.attacks.cells import (
    AttackedModel,
    attack_title,
    attacked_models,
    budget_title,
)
from flowers17.reporting.attacks.records import Attack
from flowers17.reporting.confusion_figures import MatrixCell, class_matrix
from flowers17.reporting.drawing import (
    ACCENT,
    INK,
    LINE,
    MUTED,
    WARM,
    WIDTH,
    canvas,
    say,
    svg_text,
)
from flowers17.reporting.figures import Figure, drawn, picture, shortened
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.metrics import accuracy_interval
from flowers17.reporting.wording import capital, counted

_STYLES = {"noise": (MUTED, ":"), "fgsm": (ACCENT, "--"), "pgd": (WARM, "-")}
_GREY = 127.5
_LEFT, _RIGHT = 34.0, WIDTH - 22.0  # ends of the budgets' axis, and room for the last one's name
_HEIGHT = 104.0  # of a panel


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
    apart = (_RIGHT - _LEFT) / (len(budgets) - 1)
    xs = {epsilon: _LEFT + apart * index for index, epsilon in enumerate(budgets)}
    head, gap, foot = 18.0, 14.0, 34.0
    step = head + _HEIGHT + gap
    end = 20 + len(swept) * step - gap
    with canvas(end + foot, salt="figure-c1") as (figure, axes):
        _legend(axes, [name for name in _STYLES if any(attack.name == name for attack in attacks)])
        for index, (title, by_name) in enumerate(swept.items()):
            top = 20 + index * step + head
            say(axes, _LEFT, top - 8, shortened(title, 60), ha="left", weight="bold")
            _levels(axes, top)
            for name, attack in reversed(by_name.items()):  # a broken line over an unbroken one
                _curve(axes, attack, xs, top, *_STYLES[name])
        for epsilon, x in xs.items():
            say(axes, x, end + 9, budget_title(epsilon), size=8, color=MUTED)
        say(axes, (_LEFT + _RIGHT) / 2, end + 26, "budget", color=MUTED)
        text = svg_text(figure)
    caption = (
        "The share of images that a model has right before and after, by budget; bands are 95 % "
        "intervals. The first point is the accuracy on clean images."
    )
    used = tuple(attack.artifact.reference for attack in attacks)
    return drawn("C1", "Robust accuracy by budget", caption, text, used, behind="C1")


def _legend(axes: Axes, names: Sequence[str]) -> None:
    x = _LEFT
    for name in names:
        colour, line = _STYLES[name]
        axes.plot([x, x + 18], [9, 9], color=colour, ls=line, lw=1.6)
        say(axes, x + 23, 9, attack_title(name), ha="left", color=MUTED)
        x += 40 + 7 * len(attack_title(name))


def _levels(axes: Axes, top: float) -> None:
    for level in (0.0, 0.5, 1.0):
        y = top + _HEIGHT * (1 - level)
        axes.plot([_LEFT, _RIGHT], [y, y], color=LINE, lw=0.8, zorder=0)
        say(axes, _LEFT - 5, y, f"{level:g}", ha="right", size=8, color=MUTED)


def _curve(
    axes: Axes, attack: Attack, xs: Mapping[float, float], top: float, colour: str, line: str
) -> None:
    counts = attack.by_budget.values()
    x = [xs[epsilon] for epsilon in attack.by_budget]
    shares = [(n_right / n, *accuracy_interval(n_right, n)) for n_right, n in counts]
    y, low, high = (top + _HEIGHT * (1 - np.asarray(ends)) for ends in zip(*shares, strict=True))
    axes.fill_between(x, low, high, color=colour, alpha=0.12, lw=0)
    axes.plot(x, y, color=colour, ls=line, lw=1.6)


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
        cells.append(MatrixCell(source, target, text, WARM, share))
    number, scale = f"C2{model.suffix}", {WARM: "share that passes; in cells, per cent"}
    columns = "class that it is made to pass for"
    text, order = class_matrix(
        number, attack.classes, cells, columns=columns, scale=scale, size=6.5
    )
    budget = f" at {budget_title(attack.main.epsilon)}" if attack.main.epsilon is not None else ""
    caption = (
        f"{model.title} under {attack_title(attack.name)}{budget}: the percentage "
        "of a true class’s images (row) that are made to pass for another class (column). Only "
        f"images that were right before count; empty where nothing was tried. {reached.sum()} of "
        f"{tried.sum()} pairs of an image and a target reached it.{order}"
    )
    title = "Source and target: which class is made to pass for which"
    return drawn(number, title, caption, text, (attack.artifact.reference,), behind="C2")


def gallery(inputs: ReportInputs, model: AttackedModel) -> Figure | None:
    """Figure C3: an example of each attack on a model; None if none succeeded."""
    attacks = [
        attack for attack in model.attacks if attack.name != "noise" and attack.reached.any()
    ]
    if not attacks:
        return None
    originals = {images.reference.key: images for images in inputs.stage("images")}
    number = f"C3{model.suffix}"
    side, gap, label = 104.0, 18.0, 34.0
    step = label + side + 8
    svgs = []
    with canvas(step * len(attacks), salt=f"figure-{number}") as (figure, axes):
        for place, attack in enumerate(attacks):
            y, image = place * step, int(np.argmax(attack.reached))
            images = originals[attack.artifact.manifest["inputs"]["images"]["key"]]
            clean = images.mapped("images")[int(attack.rows[image])]
            changed = attack.artifact.array("adversarial")[image]
            title = capital(attack_title(attack.name))
            if attack.main.epsilon is not None:
                title += f", {budget_title(attack.main.epsilon)}"
            say(axes, 0, y + 10, title, ha="left", weight="bold", size=9)
            pictures = (clean, _amplified(clean, changed), changed)
            for index, line in enumerate(_labels(attack, image)):
                x = index * (side + gap)
                say(axes, x + side / 2, y + 25, shortened(line, 24), size=8, color=MUTED)
                svgs.append(picture(pictures[index], x, y + label, side, lossless=True))
            for index, sign in enumerate(("+", "=")):
                x = index * (side + gap) + side + gap / 2
                say(axes, x, y + label + side / 2, sign, size=12, color=INK)
        text = svg_text(figure, svgs)
    caption = (
        f"{inputs.kind_of_pictures}{model.title}: of each attack the first image that it "
        "succeeded with. In the middle the change, grey where there is none, stretched so that the "
        "largest fills the range. Percentages are the model’s probability of the class."
    )
    used = tuple(attack.artifact.reference for attack in attacks)
    title = "Original, perturbation, adversarial image"
    return drawn(number, title, caption, text, used, behind="C3")


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
