"""Figures 5 and 6: the ensemble's forward pass, and the importance of each of its outputs."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from flowers17.reporting.drawing import (
    ACCENT,
    LINE,
    MUTED,
    WIDTH,
    canvas,
    from_template,
    say,
    svg_text,
)
from flowers17.reporting.ensembles.calibration import reliability_figure
from flowers17.reporting.ensembles.confusions import confused_pairs, confusion_matrix
from flowers17.reporting.ensembles.ensemble import Ensemble, ensembles_of
from flowers17.reporting.ensembles.records import EnsembleResult, Member
from flowers17.reporting.ensembles.titles import method_title
from flowers17.reporting.figures import Figure, class_labels, drawn, shortened
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.learners.curves import ticks
from flowers17.reporting.reference import title_of

MAX_CLASSES_NAMED = 20


def ensemble_figures(inputs: ReportInputs) -> list[Figure]:
    """Figures 5 and 6 and what goes with them, of each ensemble on its first split."""
    figures = [
        figure(ensemble, ensemble.first)
        for figure in (
            forward_pass,
            confusion_matrix,
            confused_pairs,
            reliability_figure,
            importances_figure,
        )
        for ensemble in ensembles_of(inputs)
        if ensemble.first
    ]
    return [figure for figure in figures if figure]


def forward_pass(ensemble: Ensemble, result: EnsembleResult) -> Figure:
    """Figure 5 of an ensemble: members, their outputs side by side, meta-learner, class.

    Numbers of layers, outputs and rows are those of this run.
    """
    number, inputs = f"5{ensemble.suffix}", ensemble.inputs
    c = len(result.classes)
    text = from_template(
        "ensemble.svg",
        width=WIDTH,
        size=inputs.study.dataset.image_size,
        n_classes=c,
        members=[_member(ensemble, member) for member in result.members],
        chosen=_chosen_lines(result),
    )
    caption = (
        f"{ensemble.capital_title}: each member gives {c} probabilities; side "
        f"by side they are averaged, or the features of a meta-learner. That is fitted on "
        f"{result.n_train:,} rows, each predicted by models that did not see its image "
        f"({result.n_folds} folds), on {result.split_title}."
    )
    title = f"The forward pass of {ensemble.title}"
    title = title_of("figure", 5) if ensemble.is_study else title
    used = (result.folds.reference, result.reference)
    return drawn(number, title, caption, text, used, behind=f"4{ensemble.suffix}")


def _chosen_lines(result: EnsembleResult) -> list[tuple[str, dict[str, object]]]:
    """The chosen method and its accuracy, line by line with how each is written."""
    *family, name = method_title(result.chosen[0]).split(", ")
    muted: dict[str, object] = {"size": 8, "color": MUTED}
    return [
        *((f"{word}:", muted) for word in family),
        (name, {"weight": "bold", "size": 8}),
        (f"chosen, {result.chosen_score.accuracy:.3f}", muted),
    ]


def _member(ensemble: Ensemble, member: Member) -> tuple[str, str]:
    """A member's name and how many weights it has, if that is known."""
    title = ensemble.member_title(member.name) if ensemble.is_study else member.name
    if member.n_parameters is None:
        return shortened(title, 24), ""
    return shortened(title, 17), f"{member.n_parameters / 1e6:.1f} M"


def importances_figure(ensemble: Ensemble, result: EnsembleResult) -> Figure | None:
    """Figure 6 of an ensemble whose random forest's importances were measured."""
    if not result.importances:
        return None
    number, values = f"6{ensemble.suffix}", result.importances["impurity"]
    n, c = len(result.members), len(result.classes)
    by_member = [
        [values[f"{member.name}/{name}"] for name in result.classes] for member in result.members
    ]
    highest = max(max(row) for row in by_member) or 1.0
    named = c <= MAX_CLASSES_NAMED
    labels, note = class_labels(result.classes if named else ())
    left, panel, head, gap = 34.0, 46.0, 17.0, 8.0
    foot = 86.0 if named else 16.0
    step = head + panel + gap
    with canvas(n * step + foot, salt=f"figure-{number}") as (figure, axes):
        for index, (member, row) in enumerate(zip(result.members, by_member, strict=True)):
            top = index * step + head
            title = ensemble.member_title(member.name)
            say(axes, left, top - 8, shortened(title, 40), ha="left", weight="bold")
            total = f"together {result.impurity[member.name]:.3f}"
            say(axes, WIDTH - 4, top - 8, total, ha="right", color=MUTED)
            _bars(axes, left, top, panel, row, highest)
        if named:
            width = (WIDTH - left - 4) / c
            for index, label in enumerate(labels):
                x = left + (index + 0.5) * width
                say(axes, x, n * step, label, rotation=90, va="top", size=8)
        text = svg_text(figure)
    caption = (
        f"{ensemble.capital_title} on {result.split_title}: impurity importance "
        f"of each of the {n * c} outputs in the random forest fitted on out-of-fold predictions; "
        f"all together are 1.{note}"
    )
    if not named:
        caption += f" The {c} classes are in the order of Table D1."
    title = f"Importance of each of the {n * c} outputs of {ensemble.title}"
    if ensemble.is_study:
        title = title_of("figure", 6)
    return drawn(number, title, caption, text, (result.reference,), behind=number)


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
