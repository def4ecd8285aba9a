"""Figures 5 and 6: the ensemble's forward pass, and the importance of each of its outputs."""

from flowers17.reporting.drawing import WIDTH, from_template
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
        chosen=method_title(result.chosen[0]).split(", "),
        accuracy=result.chosen_score.accuracy,
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
    text = from_template(
        "importances.svg",
        width=WIDTH,
        n_classes=c,
        members=[
            (
                shortened(ensemble.member_title(member.name), 40),
                result.impurity[member.name],
                outputs,
            )
            for member, outputs in zip(result.members, by_member, strict=True)
        ],
        highest=highest,
        levels=[0.0, *ticks(highest, 2)],
        labels=labels,
    )
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
