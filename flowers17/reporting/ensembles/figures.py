"""Figures 5 and 6: the ensemble's forward pass, and the importance of each of its outputs."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.diagrams import arrow, box
from flowers17.reporting.drawing import ACCENT, LINE, MUTED, PAPER, WIDTH, canvas, say, svg_text
from flowers17.reporting.ensembles.cells import (
    ensemble_title,
    is_the_studys,
    mains,
    member_title,
    method_title,
    split_title,
    suffix_of,
)
from flowers17.reporting.ensembles.importances import impurity_sums
from flowers17.reporting.ensembles.records import Ensemble, Member
from flowers17.reporting.figures import Figure, drawn, shortened
from flowers17.reporting.learners.curves import ticks
from flowers17.reporting.reference import title_of
from flowers17.reporting.wording import capital

MAX_CLASSES_NAMED = 20
_STEP = 30.0


def forward_passes(inputs: ReportInputs) -> list[Figure]:
    """Return Figure 5 of each ensemble: members, their outputs side by side, meta-learner, class.

    Numbers of layers, outputs and rows are those of this run, on the ensemble's first split.
    """
    return [_forward_pass(inputs, one) for one in mains(inputs)]


def _forward_pass(inputs: ReportInputs, one: Ensemble) -> Figure:
    studys, number = is_the_studys(inputs, one.name), f"5{suffix_of(inputs, one.name)}"
    n, c = len(one.members), len(one.classes)
    size = inputs.study.dataset.image_size
    top, height = 8.0, max(3, n) * _STEP
    middle = top + height / 2
    rows = [middle + (place - (n - 1) / 2) * _STEP for place in range(n)]
    outputs = [f"{n} × {c}", f"= {n * c}", "outputs"]
    with canvas(top + height + 46, salt=f"figure-{number}") as (figure, axes):
        box(axes, 2, middle - 22, 48, 44)
        say(axes, 26, middle - 6, "image", weight="bold")
        say(axes, 26, middle + 8, f"{size} × {size}", color=MUTED, size=8)
        for y, member in zip(rows, one.members, strict=True):
            arrow(axes, (51, middle), (73, y))
            _member(axes, inputs, 74, y, member, short=studys)
            arrow(axes, (199, y), (217, y))
            _outputs(axes, 218, y, c)
        first, last = rows[0] - 12, rows[-1] + 12
        axes.plot([236, 242, 242, 236], [first, first, last, last], color=MUTED, lw=1)
        arrow(axes, (242, middle), (268, middle))
        for line, text in enumerate(outputs):
            y = last + 12 + 11 * line
            say(axes, 226, y, text, color=MUTED, size=8)
        box(axes, 269, middle - 26, 89, 52)
        for line, (text, style) in enumerate(_combined(one)):
            say(axes, 313.5, middle - 12 + 13 * line, text, **style)
        arrow(axes, (313.5, middle + 27), (313.5, middle + 46))
        say(axes, 313.5, middle + 55, f"one of {c} classes", weight="bold")
        text = svg_text(figure)
    caption = (
        f"{capital(ensemble_title(inputs, one.name))}: each member gives {c} probabilities; side "
        f"by side they are averaged, or the features of a meta-learner. That is fitted on "
        f"{one.n_train:,} rows, each predicted by models that did not see its image "
        f"({one.n_folds} folds), on {split_title(one)}."
    )
    used = (one.folds.reference, *((one.stacked.reference,) if one.stacked else ()))
    title = title_of("figure", 5) if studys else f"The forward pass of ensemble {one.name}"
    return drawn(number, title, caption, text, used)


def _combined(one: Ensemble) -> list[tuple[str, dict[str, object]]]:
    method, _ = one.chosen
    share = one.chosen_correct / len(one.rows)
    *first, last = method_title(method).split(", ")
    lines: list[tuple[str, dict[str, object]]] = [(last, {"weight": "bold", "size": 8})]
    lines = [(f"{first[0]}:", {"size": 8, "color": MUTED}), *lines] if first else lines
    return [*lines, (f"chosen, {share:.3f}", {"size": 8, "color": MUTED})]


def _member(
    axes: Axes, inputs: ReportInputs, x: float, y: float, member: Member, *, short: bool
) -> None:
    box(axes, x, y - 12, 124, 24)
    title = member_title(inputs, member.name, short=True) if short else member.name
    known = member.n_parameters is not None
    say(axes, x + 6, y, shortened(title, 17 if known else 24), ha="left", size=8, weight="bold")
    if member.n_parameters is not None:
        weights = f"{member.n_parameters / 1e6:.1f} M"
        say(axes, x + 118, y, weights, ha="right", size=8, color=MUTED)


def _outputs(axes: Axes, x: float, y: float, n_classes: int) -> None:
    """Draw a member's outputs as a strip of cells, at most as many as can be told apart."""
    shown = min(n_classes, 17)
    height = 22 / shown
    for index in range(shown):
        top = y - 11 + index * height
        axes.fill_between([x, x + 16], top, top + height, color=ACCENT, alpha=0.25, lw=0)
        axes.plot([x, x + 16], [top, top], color=PAPER, lw=0.5)


def importance_figures(inputs: ReportInputs) -> list[Figure]:
    """Return Figure 6 of each ensemble whose random forest's importances were measured."""
    return [_importances(inputs, one) for one in mains(inputs) if one.result.get("importances")]


def _importances(inputs: ReportInputs, one: Ensemble) -> Figure:
    studys, number = is_the_studys(inputs, one.name), f"6{suffix_of(inputs, one.name)}"
    values: Mapping[str, float] = one.result["importances"]["impurity"]
    sums, n, c = impurity_sums(one), len(one.members), len(one.classes)
    by_member = [
        [values[f"{member.name}/{name}"] for name in one.classes] for member in one.members
    ]
    highest = max(max(row) for row in by_member) or 1.0
    named = c <= MAX_CLASSES_NAMED
    left, panel, head, gap = 34.0, 46.0, 17.0, 8.0
    foot = 86.0 if named else 16.0
    step = head + panel + gap
    with canvas(n * step + foot, salt=f"figure-{number}") as (figure, axes):
        for place, (member, row) in enumerate(zip(one.members, by_member, strict=True)):
            top = place * step + head
            title = member_title(inputs, member.name, short=studys)
            say(axes, left, top - 8, shortened(title, 40), ha="left", weight="bold")
            total = f"together {sums[member.name]:.3f}"
            say(axes, WIDTH - 4, top - 8, total, ha="right", color=MUTED)
            _bars(axes, left, top, panel, row, highest)
        if named:
            width = (WIDTH - left - 4) / c
            for index, name in enumerate(one.classes):
                x = left + (index + 0.5) * width
                y = n * step
                say(axes, x, y, shortened(name, 18), rotation=90, va="top", size=8)
        text = svg_text(figure)
    caption = (
        f"{capital(ensemble_title(inputs, one.name))} on {split_title(one)}: impurity importance "
        f"of each of the {n * c} outputs in the random forest fitted on out-of-fold predictions; "
        "all together are 1."
    )
    if not named:
        caption += f" The {c} classes are in the order of Table D1."
    used = (one.stacked.reference,) if one.stacked else ()
    title = f"Importance of each of the {n * c} outputs of ensemble {one.name}"
    if studys:
        title = title_of("figure", 6).replace("85", str(n * c))
    return drawn(number, title, caption, text, used)


def _bars(
    axes: Axes, left: float, top: float, height: float, row: Sequence[float], highest: float
) -> None:
    width = (WIDTH - left - 4) / len(row)
    for level in [0.0, *ticks(highest, 2)]:
        y = top + height * (1 - level / highest)
        axes.plot([left, WIDTH - 4], [y, y], color=LINE, lw=0.8, zorder=0)
        say(axes, left - 4, y, f"{level:g}", ha="right", size=8, color=MUTED)
    for index, value in enumerate(row):
        x, inside = left + index * width, min(1.5, width * 0.15)
        axes.fill_between(
            [x + inside, x + width - inside],
            top + height * (1 - value / highest),
            top + height,
            color=ACCENT,
            lw=0,
        )
