"""Figures of Part C: robust accuracy by budget, source/target matrices, and galleries."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from PIL import Image

from flowers17.reporting.attacks.cells import (
    attack_on,
    attack_title,
    attacks_on,
    budget_title,
    model_title,
    models_of,
    suffix_of,
)
from flowers17.reporting.attacks.records import Attack, Run
from flowers17.reporting.collect import ReportInputs
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
from flowers17.reporting.figures import Figure, drawn, shortened
from flowers17.reporting.metrics import accuracy_interval
from flowers17.reporting.wording import capital

_STYLES = {"noise": (MUTED, ":"), "fgsm": (ACCENT, "--"), "pgd": (WARM, "-")}
MAX_CLASSES_NAMED = 30
_GREY = 127.5
_RIGHT = 22.0  # half of the last budget’s name


def attack_figures(inputs: ReportInputs) -> list[Figure]:
    """Return Figures C1 to C3, with a letter for each further model."""
    found = [robust_curves(inputs)]
    for model in models_of(inputs):
        found += [source_target(inputs, model), gallery(inputs, model)]
    return [one for one in found if one]


def robust_curves(inputs: ReportInputs) -> Figure | None:
    """Return Figure C1: robust accuracy by budget, a panel for each model; None without any."""
    swept = {
        model: {name: one for name in _STYLES if (one := attack_on(inputs, model, name))}
        for model in models_of(inputs)
    }
    swept = {model: found for model, found in swept.items() if found}
    if not swept:
        return None
    budgets = sorted(
        {
            run.epsilon or 0.0
            for found in swept.values()
            for one in found.values()
            for run in one.runs
        }
    )
    left, panel, head, gap, foot = 34.0, 104.0, 18.0, 14.0, 34.0
    step = head + panel + gap
    with canvas(20 + step * len(swept) - gap + foot, salt="figure-c1") as (figure, axes):
        drawn_names = [name for name in _STYLES if any(name in one for one in swept.values())]
        _legend(axes, left, drawn_names)
        for place, (model, found) in enumerate(swept.items()):
            top = 20 + place * step + head
            title = shortened(capital(model_title(model)), 60)
            say(axes, left, top - 8, title, ha="left", weight="bold")
            xs = _axis(axes, left, top, panel, budgets, named=place == len(swept) - 1)
            for name, one in reversed(found.items()):  # a broken line over a whole one
                _curve(axes, one, xs, top, panel, *_STYLES[name])
        say(
            axes,
            (left + WIDTH - _RIGHT) / 2,
            20 + step * len(swept) - gap + 26,
            "budget",
            color=MUTED,
        )
        text = svg_text(figure)
    caption = (
        "The share of images that a model has right before and after, by budget; bands are 95 % "
        "intervals. The first point is the accuracy on clean images."
    )
    used = tuple(one.artifact.reference for found in swept.values() for one in found.values())
    return drawn("C1", "Robust accuracy by budget", caption, text, used)


def _legend(axes: Axes, left: float, names: Sequence[str]) -> None:
    x = left
    for name in names:
        colour, line = _STYLES[name]
        axes.plot([x, x + 18], [9, 9], color=colour, ls=line, lw=1.6)
        say(axes, x + 23, 9, attack_title(name), ha="left", color=MUTED)
        x += 40 + 7 * len(attack_title(name))


def _axis(
    axes: Axes, left: float, top: float, height: float, budgets: list[float], *, named: bool
) -> dict[float, float]:
    """Draw a panel's axes; return where each budget is, from 0, no budget, on, evenly apart."""
    for level in (0.0, 0.5, 1.0):
        y = top + height * (1 - level)
        axes.plot([left, WIDTH - _RIGHT], [y, y], color=LINE, lw=0.8, zorder=0)
        say(axes, left - 5, y, f"{level:g}", ha="right", size=8, color=MUTED)
    wide = (WIDTH - _RIGHT - left) / len(budgets)
    xs = {one: left + wide * place for place, one in enumerate([0.0, *budgets])}
    if named:
        for one, x in xs.items():
            label = "none" if one == 0 else budget_title(one)
            say(axes, x, top + height + 9, label, size=8, color=MUTED)
    return xs


def _curve(
    axes: Axes,
    one: Attack,
    xs: dict[float, float],
    top: float,
    height: float,
    colour: str,
    line: str,
) -> None:
    first = one.runs[0]
    points = [(0.0, first.n_right, first.n)]
    points += [(run.epsilon or 0.0, run.n_withstood, run.n) for run in one.runs]
    x = [xs[epsilon] for epsilon, _, _ in points]
    ends = [accuracy_interval(count, n) for _, count, n in points]
    low, high = ([top + height * (1 - one[side]) for one in ends] for side in (0, 1))
    axes.fill_between(x, low, high, color=colour, alpha=0.12, lw=0)
    y = [top + height * (1 - count / n) for _, count, n in points]
    axes.plot(x, y, color=colour, ls=line, lw=1.6)


def source_target(inputs: ReportInputs, model: str) -> Figure | None:
    """Return Figure C2: which class is made to pass for which; None without targets."""
    for name in ("targeted", "jsma"):
        one = attack_on(inputs, model, name)
        if one:
            return _source_target(inputs, one)
    return None


def _source_target(inputs: ReportInputs, one: Attack) -> Figure:
    reached, tried = one.artifact.array("source-target")
    n = len(one.classes)
    named = n <= MAX_CLASSES_NAMED
    left, top = (104.0, 96.0) if named else (10.0, 10.0)
    cell = (WIDTH - left - 2) / n
    number = f"C2{suffix_of(inputs, one.model)}"
    with canvas(top + n * cell + 8, salt=f"figure-{number}") as (figure, axes):
        for source, target in zip(*np.nonzero(tried), strict=True):
            share = reached[source, target] / tried[source, target]
            x, y = left + target * cell, top + source * cell
            box = [x + 0.5, x + cell - 0.5], y + 0.5, y + cell - 0.5
            axes.fill_between(*box, color=WARM, alpha=0.05 + 0.75 * share, lw=0)
            if named:
                text = f"{share:.0%}".removesuffix("%")
                say(axes, x + cell / 2, y + cell / 2, text, size=min(8.0, cell * 0.42))
        for index in range(n):
            middle = (index + 0.5) * cell
            if named:
                title = shortened(one.classes[index], 18)
                say(axes, left - 6, top + middle, title, ha="right")
                say(axes, left + middle, top - 6, title, rotation=90, va="bottom")
        for edge in (0.0, n * cell):
            axes.plot([left, left + n * cell], [top + edge] * 2, color=LINE, lw=0.8)
            axes.plot([left + edge] * 2, [top, top + n * cell], color=LINE, lw=0.8)
        text = svg_text(figure)
    run = one.main
    budget = f" at {budget_title(run.epsilon)}" if run.epsilon is not None else ""
    caption = (
        f"{capital(model_title(one.model))} under {attack_title(one.name)}{budget}: the percentage "
        "of a true class’s images (row) that are made to pass for another class (column). Only "
        f"images that were right before count; empty where nothing was tried. {reached.sum()} of "
        f"{tried.sum()} pairs of an image and a target reached it."
    )
    if not named:
        caption += f" The {n} classes are in the order of Table D1."
    title = "Source and target: which class is made to pass for which"
    return drawn(number, title, caption, text, (one.artifact.reference,))


def gallery(inputs: ReportInputs, model: str) -> Figure | None:
    """Return Figure C3: an example of each attack on a model; None if none succeeded."""
    found = [
        (one, int(np.argmax(reached)))
        for one in attacks_on(inputs, model)
        if one.name != "noise" and (reached := one.reached(one.main)).any()
    ]
    pictures = {one.reference.key: one for one in inputs.stage("images")}
    if not found:
        return None
    number = f"C3{suffix_of(inputs, model)}"
    side, gap, label = 104.0, 18.0, 34.0
    step = label + side + 8
    svgs = []
    with canvas(step * len(found), salt=f"figure-{number}") as (figure, axes):
        for place, (one, image) in enumerate(found):
            made_of = one.artifact.manifest["inputs"]["images"]["key"]
            row = int(one.rows[image])
            clean = pictures[made_of].mapped("images")[row]
            changed = one.artifact.array("adversarial")[image]
            y = place * step
            _labels(axes, one, image, y, [index * (side + gap) for index in range(3)], side)
            shown = (clean, _amplified(clean, changed), changed)
            svgs += [
                _picture(pixels, index * (side + gap), y + label, side)
                for index, pixels in enumerate(shown)
            ]
            for index, sign in enumerate(("+", "=")):
                x = index * (side + gap) + side + gap / 2
                say(axes, x, y + label + side / 2, sign, size=12, color=INK)
        text = svg_text(figure)
    text = text.removesuffix("</svg>") + "\n".join(svgs) + "\n</svg>"
    kind = "Rendered flowers, drawn from code. " if inputs.is_rendered else ""
    caption = (
        f"{kind}{capital(model_title(model))}: of each attack the first image that it "
        "succeeded with. In the middle the change, grey where there is none, stretched so that the "
        "largest fills the range. Percentages are the model’s probability of the class."
    )
    used = tuple(one.artifact.reference for one, _ in found)
    return drawn(number, "Original, perturbation, adversarial image", caption, text, used)


def _picture(pixels: np.ndarray, x: float, y: float, side: float) -> str:
    """Return an SVG image without loss, since one pixel may be all that differs."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    encoded = base64.b64encode(stream.getvalue()).decode()
    return (
        f'<image x="{x:.1f}" y="{y:.1f}" width="{side:.1f}" height="{side:.1f}" '
        f'xlink:href="data:image/png;base64,{encoded}"/>'
    )


def _labels(axes: Axes, one: Attack, image: int, y: float, xs: list[float], side: float) -> None:
    run = one.main
    after = one.classes[int(one.column("predicted", run)[image])]
    truth = one.classes[int(one.labels[image])]
    what = capital(attack_title(one.name))
    if run.epsilon is not None:
        what += f", {budget_title(run.epsilon)}"
    say(axes, 0, y + 10, what, ha="left", weight="bold", size=9)
    lines = (f"{truth}{_percent(one, run, image, before=True)}", _change(one, run, image))
    for x, line in zip(
        xs, (*lines, f"{after}{_percent(one, run, image, before=False)}"), strict=True
    ):
        say(axes, x + side / 2, y + 25, shortened(line, 24), size=8, color=MUTED)


def _percent(one: Attack, run: Run, image: int, *, before: bool) -> str:
    """Return the probability that goes with a class, where the attack noted it."""
    towards = run.n_targeted is not None
    if towards == before:
        return ""
    name = "confidence_before" if before else "confidence_after"
    return f", {float(one.column(name, run)[image]):.0%}"


def _change(one: Attack, run: Run, image: int) -> str:
    if run.epsilon is None:
        n_values = int(one.column("l0", run)[image])
        return f"{n_values} value{'s' * (n_values != 1)} changed"
    return f"SSIM {one.column('ssim', run)[image]:.3f}"


def _amplified(clean: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """Return the change between two uint8 images as one, grey where there is none."""
    change = changed.astype(np.float64) - clean
    largest = np.abs(change).max() or 1.0
    return np.rint(_GREY + _GREY * change / largest).astype(np.uint8)
